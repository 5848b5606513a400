"""The receiving server's sockets: uvloop, many messages per read, one write per read.

`start_sink()` gives a running one to a test; bench/sink.py is the same on the command line. The dialogue is
bench/receiver.py, the faults are bench/faults.py, the truth is bench/receipts.py. A client that does not read its
replies is disconnected, so that memory stays bounded; nothing else here limits a client.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import cast

from bench.faults import Faults, Share
from bench.receipts import Ledger
from bench.receiver import End, Personality, Receiver

HIGH_WATER = 1 << 20


@dataclass(frozen=True, slots=True)
class SinkSettings:
    listen: tuple[tuple[str, int], ...] = (("127.0.0.1", 0),)
    personality: Personality = field(default_factory=Personality)
    tls: ssl.SSLContext | None = None
    latency: float = 0.0
    """Seconds before each write, that is per round trip."""
    shares: tuple[Share, ...] = ()
    refuse_connections: int = 0
    """The first so many connections are greeted with 421 and closed."""
    drop_at: str = ""
    """Disconnect every client at "connect", "ehlo" or "starttls"."""


class SinkConnection(asyncio.Protocol):
    """One client. Feeds the receiver, writes its replies, does what `end` says."""

    __slots__ = ("_loop", "_receiver", "_sink", "_transport")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._loop = sink.loop
        self._receiver = Receiver(sink.personality, sink.faults, sink.ledger)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        fresh = self._transport is None
        self._transport = transport
        if not fresh:
            self._receiver.secured()
            self._sink.ledger.count("tls_connections")
            return
        self._sink.connections.add(self)
        self._sink.ledger.count("connections")
        self._greet(transport)

    def _greet(self, transport: asyncio.Transport) -> None:
        settings = self._sink.settings
        if settings.drop_at == "connect":
            transport.close()
        elif self._sink.ledger.counters["connections"] <= settings.refuse_connections:
            transport.write(b"421 4.3.2 too many connections\r\n")
            transport.close()
        else:
            self._write(settings.personality.greeting)

    def data_received(self, data: bytes) -> None:
        if self._sink.settings.drop_at and self._drops(data):
            return
        receiver = self._receiver
        replies = receiver.receive(data)
        if receiver.end is not End.OPEN:
            self._end(replies)
        elif replies:
            self._write(replies)

    def _drops(self, data: bytes) -> bool:
        assert self._transport is not None
        if not data.upper().startswith(self._sink.settings.drop_at.upper().encode()):
            return False
        self._sink.ledger.count(f"dropped at {self._sink.settings.drop_at}")
        self._transport.close()
        return True

    def _end(self, replies: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if replies:
            self._write(replies)
        if self._receiver.end is End.CLOSED:
            self._later(transport.close)
        elif self._receiver.end is End.TLS:
            transport.pause_reading()
            self._later(lambda: self._sink.spawn(self._secure()))

    async def _secure(self) -> None:
        assert self._transport is not None
        context = self._sink.settings.tls
        assert context is not None
        try:
            transport = await self._loop.start_tls(self._transport, self, context, server_side=True)
        except (ssl.SSLError, ConnectionError, TimeoutError):
            self._sink.ledger.count("failed_handshakes")
            return
        assert transport is not None
        self.connection_made(transport)

    def _write(self, replies: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if self._sink.settings.latency:
            self._loop.call_later(self._sink.settings.latency, transport.write, replies)
        elif transport.get_write_buffer_size() > HIGH_WATER:
            self._sink.ledger.count("clients_that_do_not_read")
            transport.abort()
        else:
            transport.write(replies)

    def _later(self, call: Callable[[], None]) -> None:
        """Behind the replies that are still held back."""
        if self._sink.settings.latency:
            self._loop.call_later(self._sink.settings.latency, call)
        else:
            call()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._sink.ledger.count("broken_connections")
        self._sink.connections.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass(slots=True, eq=False)
class Sink:
    """A running sink. `close()` ends it and writes what is buffered."""

    settings: SinkSettings
    ledger: Ledger
    loop: asyncio.AbstractEventLoop
    faults: Faults
    personality: Personality
    servers: list[asyncio.Server] = field(default_factory=list)
    connections: set[SinkConnection] = field(default_factory=set)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _handshakes: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [server.sockets[0].getsockname()[:2] for server in self.servers]

    @property
    def port(self) -> int:
        return self.addresses[0][1]

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self.loop.create_task(work)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.connections):
            connection.abort()
        for task in list(self._handshakes):
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()
        self.ledger.close()


async def start_sink(settings: SinkSettings | None = None, ledger: Ledger | None = None) -> Sink:
    """Listening when it returns; `sink.port` is the first listener's."""
    settings = settings or SinkSettings()
    who = settings.personality
    if settings.tls is not None:
        who = replace(who, starttls=True)
    loop = asyncio.get_running_loop()
    sink = Sink(settings, ledger or Ledger(), loop, Faults(settings.shares), who)
    for host, port in settings.listen:
        sink.servers.append(await loop.create_server(lambda: SinkConnection(sink), host, port, backlog=1024))
    return sink
