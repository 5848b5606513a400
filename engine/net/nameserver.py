"""One DNS server: our questions to it over UDP, and over TCP when the answer does not fit.

A few connected sockets with ports that the kernel chose, each replaced after some questions; a forged response has to
hit port, number and question (RFC 5452). What does not is counted and otherwise ignored: the real one may follow.
Nothing is interpreted or repeated here; a failure is a text.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import cast

from engine.net.answer import answers

SOCKETS = 8
QUESTIONS_EACH = 2000
"""Then the socket gives way to one with another port."""


class _Socket(asyncio.DatagramProtocol):
    """One connected UDP socket."""

    def __init__(self, nameserver: Nameserver) -> None:
        self._nameserver = nameserver
        self.waiting: dict[int, tuple[bytes, asyncio.Future[bytes | str]]] = {}
        self.asked = 0
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's face
        number = data[0] << 8 | data[1] if len(data) > 12 else -1
        asked, future = self.waiting.get(number, (b"", None))
        if future is None or future.done() or not answers(data, number, asked):
            self._nameserver.strays += 1
            return
        future.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """What ICMP says of the server, such as connection refused: all that wait here need wait no longer."""
        text = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else repr(exc)[:80]
        for _, future in self.waiting.values():
            if not future.done():
                future.set_result(text)

    @property
    def is_worn(self) -> bool:
        return self.asked >= QUESTIONS_EACH or self.transport.is_closing()


class Nameserver:
    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.strays = 0
        """Datagrams that answered nothing."""
        self._sockets: list[_Socket | None] = [None] * SOCKETS
        self._worn: set[_Socket] = set()

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    async def ask(self, asked: bytes, message: bytes, seconds: float) -> bytes | str:
        """`message` without its number, `asked` its question. The response, or why there is none."""
        chance = os.urandom(3)
        try:
            sock = await self._socket(chance[2] % SOCKETS)
        except OSError as error:
            return f"{self}: {error.strerror or error}"
        number = chance[0] << 8 | chance[1]
        while number in sock.waiting:
            number = int.from_bytes(os.urandom(2), "big")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes | str] = loop.create_future()
        sock.waiting[number] = asked, future
        sock.asked += 1
        timer = loop.call_later(seconds, _late, future, seconds)
        try:
            sock.transport.sendto(number.to_bytes(2, "big") + message)
            found = await future
        finally:
            timer.cancel()
            del sock.waiting[number]
            if sock in self._worn and not sock.waiting:
                self._worn.discard(sock)
                sock.transport.close()
        return found if isinstance(found, bytes) else f"{self}: {found}"

    async def _socket(self, place: int) -> _Socket:
        sock = self._sockets[place]
        if sock is not None and not sock.is_worn:
            return sock
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        _, made = await loop.create_datagram_endpoint(
            lambda: _Socket(self), remote_addr=(self.address, self.port), family=family
        )
        worn, self._sockets[place] = self._sockets[place], made
        if worn is not None:
            if worn.waiting:
                self._worn.add(worn)
            else:
                worn.transport.close()
        return made

    async def ask_by_tcp(self, asked: bytes, message: bytes, seconds: float) -> bytes | str:
        """RFC 7766. One connection a question: it is rare."""
        number = os.urandom(2)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(self.address, self.port)
                writer.write((len(message) + 2).to_bytes(2, "big") + number + message)
                size = int.from_bytes(await reader.readexactly(2), "big")
                data = await reader.readexactly(size)
        except TimeoutError:
            return f"{self}: no answer over TCP within {seconds:.3g} seconds"
        except (OSError, EOFError) as error:
            code = getattr(error, "errno", None)
            return f"{self}: TCP: {os.strerror(code) if code else 'closed in the middle'}"
        finally:
            if writer is not None:
                writer.transport.abort()
        if not answers(data, int.from_bytes(number, "big"), asked):
            return f"{self}: TCP: the response is to another question"
        return data

    def retire(self) -> None:
        """Asked no more: what was asked is still answered, and each socket ends with its last answer."""
        for place, sock in enumerate(self._sockets):
            if sock is not None and sock.waiting:
                self._worn.add(sock)
            elif sock is not None:
                sock.transport.close()
            self._sockets[place] = None

    def close(self) -> None:
        for sock in (*self._sockets, *self._worn):
            if sock is not None:
                sock.transport.close()
        self._sockets = [None] * SOCKETS
        self._worn.clear()


def _late(future: asyncio.Future[bytes | str], seconds: float) -> None:
    if not future.done():
        future.set_result(f"no answer within {seconds:.3g} seconds")
