"""What both of our SMTP servers (submission, return path) add to aiosmtpd: bounds, and an end that awaits the disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

from aiosmtpd.smtp import SMTP

_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>\s*(.*)')


class Listening(Protocol):
    """The settings of one listener."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def hostname(self) -> str: ...
    @property
    def size_limit(self) -> int:
        """Octets of one mail."""

    @property
    def connections(self) -> int:
        """At the same time, at most."""

    @property
    def timeout(self) -> float:
        """Seconds without a command."""


class Counting(Protocol):
    connections: int
    connections_refused: int


SettingsT = TypeVar("SettingsT", bound=Listening)
CountsT = TypeVar("CountsT", bound=Counting)


class Listener(Generic[SettingsT, CountsT]):
    """Owns a port and the connections taken on it."""

    def __init__(self, settings: SettingsT, counts: CountsT) -> None:
        self.settings = settings
        self.counts = counts
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that we listen on, also when any was asked for."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def listen(self, connection: Callable[[], Connection], tls: ssl.SSLContext | None = None) -> None:
        """`tls`: from the first byte. Raises OSError when the port is taken."""
        # aiosmtpd logs every command with its addresses at INFO, and its own deprecation at each login
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connection, self.settings.host, self.settings.port, ssl=tls)

    async def close(self, patience: float = 5.0) -> None:
        """A mail whose records are on their way to disk may still be told so, for `patience` seconds."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(*(connection.idle.wait() for connection in self.connections))
        for connection in list(self.connections):
            connection.end()

    def has_room(self, connection: Connection) -> bool:
        """For this one beside the others; asked again after STARTTLS."""
        return len(self.connections - {connection}) < self.settings.connections


class Connection(SMTP):
    def __init__(self, listener: Listener[Any, Any], hooks: object, **options: Any) -> None:
        """`options`: aiosmtpd's."""
        settings: Listening = listener.settings
        self._listener = listener
        self._unaccounted = 0
        self.idle = asyncio.Event()
        """Clear while records are on their way to disk."""
        self.idle.set()
        super().__init__(
            hooks,
            data_size_limit=settings.size_limit,
            enable_SMTPUTF8=True,
            hostname=settings.hostname,
            ident="Sokutatsu",
            timeout=settings.timeout,
            loop=asyncio.get_running_loop(),
            **options,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listener = self._listener
        if not listener.has_room(self):
            listener.counts.connections_refused += 1
            cast("asyncio.WriteTransport", transport).write(b"421 4.7.0 Too many connections\r\n")
            transport.close()
            return
        listener.connections.add(self)
        listener.counts.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._listener.connections:
            self._listener.connections.discard(self)
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """A line without end would be collected without bound by aiosmtpd: nobody sends twice the limit in one mail."""
        self._unaccounted += len(data)
        if self._unaccounted > 2 * self._listener.settings.size_limit + (1 << 20):
            self.end()
            return
        super().data_received(data)

    def _set_post_data_state(self) -> None:
        self._unaccounted = 0
        super()._set_post_data_state()  # type: ignore[no-untyped-call]

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """`<path>` and what follows. Whether that is an address (docomo's `a..b` is one) is not aiosmtpd's to say."""
        match = _PATH.fullmatch(arg)
        return (match[1], match[2]) if match else (None, None)

    def end(self) -> None:
        if self.transport is not None:
            self.transport.close()
