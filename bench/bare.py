"""The least that a pipelining client can do: one constant message, again and again, from one process.

It writes the next MAIL/RCPT/DATA behind the dot (RFC 2920) and only counts reply lines, so it is the floor under
any session and a load for the sink. It stops at the first reply that is not the expected one.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

_REFUSAL = re.compile(rb"^[45]\d\d", re.MULTILINE)


class UnexpectedReply(Exception):  # noqa: N818 - what the server said
    """The floor is measured against a server that accepts everything."""


@dataclass(frozen=True, slots=True)
class BareResult:
    messages: int
    seconds: float
    cpu_seconds: float


class BareClient(asyncio.Protocol):
    """One connection. `take()` says whether one more message is to be sent; `ended` is called once."""

    __slots__ = ("_buffer", "_ended", "_group", "_last", "_payload", "_steady", "_take", "_transport", "error")

    def __init__(self, group: bytes, payload: bytes, take: Callable[[], bool], ended: Callable[[], None]) -> None:
        self._group = group
        self._payload = payload + b".\r\n"
        self._steady = self._payload + group
        self._take = take
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._last = False
        self.error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport

    def start(self) -> None:
        """The dialogue is past EHLO: the first group goes out."""
        assert self._transport is not None
        if self._take():
            self._transport.write(self._group)
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Every wave of replies ends with the 354 of the next message, the last one with a 250 alone."""
        if self._buffer:
            data = self._buffer + data
        if self._last and data.startswith(b"250") and data.endswith(b"\r\n"):
            assert self._transport is not None
            self._transport.close()
        elif data.rfind(b"354") >= 0 and data.endswith(b"\r\n"):
            self._buffer = b""
            self._next()
        elif _REFUSAL.search(data):
            self._fail(data)
        else:
            self._buffer = data

    def _next(self) -> None:
        assert self._transport is not None
        if self._take():
            self._transport.write(self._steady)
        else:
            self._last = True
            self._transport.write(self._payload)

    def _fail(self, data: bytes) -> None:
        assert self._transport is not None
        self.error = UnexpectedReply(f"{data[:80]!a}")
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = self.error or exc or (None if self._last else UnexpectedReply("disconnected"))
        self._ended()


async def _open(host: str, port: int, context: ssl.SSLContext | None, client: BareClient) -> asyncio.StreamWriter:
    """Greeting, EHLO, STARTTLS by streams, then the transport changes hands. The writer must outlive the client: it
    closes the transport when it is collected.
    """
    reader, writer = await asyncio.open_connection(host, port)
    await _reply(reader, b"220")
    writer.write(b"EHLO bench.test\r\n")
    await _reply(reader, b"250")
    if context is not None:
        writer.write(b"STARTTLS\r\n")
        await _reply(reader, b"220")
        await writer.start_tls(context, server_hostname="localhost")
        writer.write(b"EHLO bench.test\r\n")
        await _reply(reader, b"250")
    transport = writer.transport
    transport.set_protocol(client)
    client.connection_made(transport)
    client.start()
    return writer


async def _reply(reader: asyncio.StreamReader, code: bytes) -> None:
    while line := await asyncio.wait_for(reader.readline(), 10):
        if not line.startswith(code):
            raise UnexpectedReply(f"{line[:80]!a}")
        if line[3:4] == b" ":
            return
    raise UnexpectedReply("disconnected")


async def send_bare(
    address: tuple[str, int],
    payload: bytes,
    *,
    messages: int,
    connections: int,
    tls: ssl.SSLContext | None = None,
    seconds: float = 120.0,
) -> BareResult:
    """`payload` is dot-stuffed and ends with CRLF. Raises UnexpectedReply, and TimeoutError after `seconds`."""
    assert payload.endswith(b"\r\n")
    left = messages
    open_connections = connections
    done = asyncio.Event()

    def take() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    def ended() -> None:
        nonlocal open_connections
        open_connections -= 1
        if not open_connections:
            done.set()

    group = b"MAIL FROM:<bench@bench.test> SIZE=%d\r\nRCPT TO:<person@sink.test>\r\nDATA\r\n" % len(payload)
    clients = [BareClient(group, payload, take, ended) for _ in range(min(connections, messages))]
    open_connections = len(clients)
    started, cpu = time.perf_counter(), time.process_time()
    writers = await asyncio.gather(*(_open(*address, tls, client) for client in clients))
    await asyncio.wait_for(done.wait(), seconds)
    del writers
    errors = [client.error for client in clients if client.error is not None]
    if errors:
        raise errors[0]
    return BareResult(messages, time.perf_counter() - started, time.process_time() - cpu)
