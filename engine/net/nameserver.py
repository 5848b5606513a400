"""One DNS server: our questions to it over UDP, and over TCP when the answer does not fit.

A few connected sockets with ports that the kernel chose, each replaced after some questions; a forged response has to
hit port, number and question (RFC 5452). What does not is counted and otherwise ignored: the real one may follow.
Nothing is interpreted or repeated here; a failure is a text.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Final

from engine.net.answer import answers

SOCKETS: Final = 8
QUESTIONS_EACH: Final = 2000
"""Then the socket gives way to one with another port."""
AT_ONCE: Final = 64
"""Datagrams read from one socket before others have their turn."""
LARGEST: Final = 65_535
CLOCK_STEP: Final = 0.002
"""uvloop's timers count milliseconds, and may be early by half of one."""

Reply = bytes | str
"""The response, or why there is none."""


class _Socket:
    """One connected UDP socket and the questions that wait for an answer to it."""

    __slots__ = ("asked", "loop", "sock", "waiting")

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self.sock = sock
        self.loop = loop
        self.waiting: dict[int, tuple[bytes, asyncio.Future[Reply], float, float]] = {}
        """Number -> question, who waits for it, until when on the loop's clock, and how long that was."""
        self.asked = 0


class Nameserver:
    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.strays = 0
        """Datagrams that answered nothing."""
        self._sockets: list[_Socket | None] = [None] * SOCKETS
        self._worn: set[_Socket] = set()
        self._timer: asyncio.TimerHandle | None = None
        """One for all questions: the first of them that is late."""
        self._room = memoryview(bytearray(LARGEST))

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    async def ask(self, asked: bytes, message: bytes, seconds: float) -> Reply:
        """`message` without its number, `asked` its question."""
        chance = os.urandom(3)
        loop = asyncio.get_running_loop()
        try:
            sock = self._socket(chance[2] % SOCKETS, loop)
            number = chance[0] << 8 | chance[1]
            while number in sock.waiting:
                number = int.from_bytes(os.urandom(2), "big")
            self._send(sock, number.to_bytes(2, "big") + message)
        except OSError as error:
            return f"{self}: {error.strerror or error}"
        future: asyncio.Future[Reply] = loop.create_future()
        until = loop.time() + seconds
        sock.waiting[number] = asked, future, until, seconds
        sock.asked += 1
        timer = self._timer
        if timer is None or until < timer.when():
            self._watch(until, loop)
        found = await future
        return found if isinstance(found, bytes) else f"{self}: {found}"

    def _send(self, sock: _Socket, message: bytes) -> None:
        try:
            sock.sock.send(message)
        except BlockingIOError:
            """No room in the kernel: as good as lost on the way, and asked again as such."""
        except OSError as error:
            # What ICMP had to say of earlier questions comes with the next call, whichever it is: this one goes again.
            sock.sock.send(message)
            self._failed(sock, error)

    def _socket(self, place: int, loop: asyncio.AbstractEventLoop) -> _Socket:
        known = self._sockets[place]
        if known is not None and known.asked < QUESTIONS_EACH:
            return known
        made = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.connect((self.address, self.port))
            new = self._sockets[place] = _Socket(made, loop)
            loop.add_reader(made.fileno(), self._readable, new)
        except OSError:
            made.close()
            raise
        if known is not None:
            self._worn.add(known)
            self._retire(known)
        return new

    def _retire(self, sock: _Socket) -> None:
        """A worn socket goes with the last question that waits there."""
        if not sock.waiting and sock in self._worn:
            self._worn.discard(sock)
            self._close(sock)

    def _readable(self, sock: _Socket) -> None:
        waiting = sock.waiting
        for _ in range(AT_ONCE):
            try:
                data = self._room[: sock.sock.recv_into(self._room)].tobytes()
            except BlockingIOError:
                break
            except OSError as error:
                self._failed(sock, error)
                break
            number = data[0] << 8 | data[1] if len(data) > 12 else -1
            known = waiting.get(number)
            if known is None or known[1].done() or not answers(data, number, known[0]):
                self.strays += 1
            else:
                del waiting[number]
                known[1].set_result(data)
            if not waiting:
                break
        if self._worn:
            self._retire(sock)

    def _failed(self, sock: _Socket, error: OSError) -> None:
        """The server's host says that nobody listens, or the like: all that wait here need wait no longer."""
        text = os.strerror(error.errno) if error.errno else repr(error)[:80]
        for _, future, _, _ in sock.waiting.values():
            if not future.done():
                future.set_result(text)
        sock.waiting.clear()

    # -- time ----------------------------------------------------------------------------------------------

    def _watch(self, until: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(until, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Who is late, and who is the next to be. Walks all questions, but only as often as the first may be late."""
        self._timer = None
        now, first = loop.time(), 0.0
        for sock in [sock for sock in (*self._sockets, *self._worn) if sock is not None]:
            for number, (_, future, until, seconds) in list(sock.waiting.items()):
                if future.done():
                    del sock.waiting[number]  # who asked was cancelled
                elif until <= now + CLOCK_STEP:
                    del sock.waiting[number]
                    future.set_result(f"no answer within {seconds:.3g} seconds")
                elif not first or until < first:
                    first = until
            self._retire(sock)
        if first:
            self._watch(first, loop)

    # -- the rest ------------------------------------------------------------------------------------------

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
            if sock is not None:
                self._worn.add(sock)
                self._retire(sock)
            self._sockets[place] = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sock in (*self._sockets, *self._worn):
            if sock is not None:
                self._failed(sock, OSError(errno.ECANCELED, ""))
                self._close(sock)
        self._sockets = [None] * SOCKETS
        self._worn.clear()

    @staticmethod
    def _close(sock: _Socket) -> None:
        sock.loop.remove_reader(sock.sock.fileno())
        sock.sock.close()
