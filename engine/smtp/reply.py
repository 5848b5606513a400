"""Replies of an SMTP server: bytes in, values out (RFC 5321 4.2, enhanced codes of RFC 2034 and 3463).

However the stream is cut, the same replies come out. The grammar is strict, because with pipelining one misread
line shifts every later reply (a QUIT's 221 would be taken for a message's 250): what is no reply raises ReplyError
and the caller must give the connection up. A line may end in LF alone, as some servers do. Lines, replies and the
text kept of them are bounded. What a reply means is decided elsewhere.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

MAX_LINE = 4096
"""RFC 5321 4.5.3.1.5 asks for 512; real banners and policy texts are longer."""
MAX_REPLY = 16 * 1024
MAX_REPLY_LINES = 128
MAX_TEXT = 1024

# Second digits above 5 stand in real replies ("571 delivery not authorized"), so only the first is held to RFC 5321.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|$)")


class ReplyError(Exception):
    """The server wrote what is not a reply, or more than we read."""


class Reply(NamedTuple):
    """A tuple and not a dataclass: one is made per message on the hot path."""

    code: int
    enhanced: str
    """RFC 3463 code such as "5.1.1", or empty."""
    text: str
    """The lines without their codes, joined by LF; at most 1 KiB. Foreign text: escape it before showing it."""

    @property
    def is_positive(self) -> bool:
        return self.code < 300

    def __str__(self) -> str:
        parts = (str(self.code), self.enhanced, self.text)
        return " ".join(part for part in parts if part)


def shown(raw: bytes | str) -> str:
    """Foreign text, cut and escaped for an error message."""
    return ascii(raw[:80])


class ReplyReader:
    """Collects one connection's stream. Feed, then call next() until it gives None, before feeding again."""

    __slots__ = ("_lines", "_open", "_size", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._lines: deque[bytes] = deque()
        self._open: list[bytes] = []
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Nothing is held: neither a reply nor the beginning of one."""
        return not (self._lines or self._tail or self._open)

    def feed(self, data: bytes) -> None:
        lines = (self._tail + data if self._tail else data).split(b"\n")
        self._tail = lines.pop()
        self._lines.extend(lines)

    def take(self, prefix: bytes) -> bool:
        """Consumes the next line if it is a whole one-line reply that begins so ("250 "), without reading its text.

        The shortcut of the hot path: of a positive MAIL, RCPT or DATA nobody wants more than the code.
        """
        lines = self._lines
        if self._open or not lines or not lines[0].startswith(prefix) or len(lines[0]) > MAX_LINE:
            return False
        lines.popleft()
        return True

    def next(self) -> Reply | None:
        """The next whole reply, or None. Raises ReplyError, after which the reader is of no use."""
        while self._lines:
            line = self._lines.popleft()
            code, is_last = self._accept(line)
            if is_last:
                lines, self._open, self._size = self._open, [], 0
                return _reply(code, lines)
        if len(self._tail) > MAX_LINE:
            raise ReplyError(f"a reply line of more than {MAX_LINE} bytes: {shown(self._tail)}")
        return None

    def _accept(self, line: bytes) -> tuple[int, bool]:
        if line.endswith(b"\r"):
            line = line[:-1]
        if len(line) > MAX_LINE:
            raise ReplyError(f"a reply line of more than {MAX_LINE} bytes: {shown(line)}")
        match = _LINE.fullmatch(line)
        if match is None:
            raise ReplyError(f"not a reply: {shown(line)}")
        code, separator, text = match.groups()
        if self._open and not self._open[0].startswith(code):
            raise ReplyError(f"the lines of one reply carry different codes: {shown(self._open[0])}, {shown(line)}")
        self._size += len(line)
        self._open.append(code + (text or b""))
        if self._size > MAX_REPLY or len(self._open) > MAX_REPLY_LINES:
            raise ReplyError(f"a reply of more than {MAX_REPLY} bytes or {MAX_REPLY_LINES} lines: {shown(line)}")
        return int(code), separator != b"-"


def _reply(code: int, lines: list[bytes]) -> Reply:
    """`lines` begin with the three digits. The enhanced code counts only if its class is that of the code."""
    texts = [line[3:] for line in lines]
    match = _ENHANCED.match(texts[0])
    enhanced = b""
    if match is not None and texts[0][:1] == lines[0][:1]:
        enhanced = match[1]
        texts = [_without(enhanced, text) for text in texts]
    return Reply(code, enhanced.decode(), decode_text(b"\n".join(texts)))


def _without(enhanced: bytes, text: bytes) -> bytes:
    """RFC 2034 4: every line of a reply repeats the enhanced code."""
    match = _ENHANCED.match(text)
    return text[match.end() :] if match is not None and match[1] == enhanced else text


def decode_text(raw: bytes) -> str:
    """Japanese receivers answer in UTF-8 where they do; a cut character at the end is dropped as a replacement."""
    return raw[:MAX_TEXT].decode("utf-8", "replace")


def make_reply(code: int, text: str) -> Reply:
    """The reply of whoever has parsed it already (aiosmtplib): lines joined by LF, enhanced code still inside."""
    digits = b"%03d" % code
    return _reply(code, [digits + line for line in text.encode("utf-8", "surrogateescape").split(b"\n")])
