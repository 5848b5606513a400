"""Between a transport and aiosmtplib: sees every reply first and ends the connection when a server is not asked.

aiosmtplib throws such bytes away, which is safe but silent, and it reads replies loosely. With the tap the negotiation
has the same strict grammar as the session behind it (smtp.reply), and bytes that follow the 220 of STARTTLS end it
(RFC 3207 6, CVE-2011-0411).
"""

from __future__ import annotations

import asyncio
from typing import cast

import aiosmtplib

from engine.net.trace import Note, text_of
from engine.smtp.reply import ReplyError, ReplyReader, shown


class Tap(asyncio.Protocol):
    """Sees every reply before aiosmtplib does. `expected` counts the replies that we have asked for."""

    def __init__(self, smtp: aiosmtplib.SMTP, trace: Note | None = None) -> None:
        assert smtp.transport is not None
        assert smtp.protocol is not None
        # uvloop's transports are no asyncio.Transport by inheritance.
        self.transport = cast("asyncio.Transport", smtp.transport)
        self._inner = smtp.protocol
        self._reader = ReplyReader()
        self.expected = 0
        self.error = ""
        self.trace = trace
        self.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        if self.trace is not None:
            self.trace("<", text_of(data))
        if not self.error:
            self.error = self._check(data)
        if self.error:
            self.transport.abort()
        else:
            self._inner.data_received(data)

    def _check(self, data: bytes) -> str:
        self._reader.feed(data)
        try:
            while self._reader.next() is not None:
                self.expected -= 1
        except ReplyError as error:
            return str(error)
        if self.expected < 0 or (self.expected == 0 and not self._reader.is_empty):
            return f"the server speaks out of turn: {shown(data)}"
        return ""

    def eof_received(self) -> bool:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
