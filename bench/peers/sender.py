"""Hands mail to a server over SMTP as a program would that has much of it: a process of its own for every peer.

A constant body in which recipient and Message-ID change. MAIL, RCPT and DATA go together (RFC 2920), the next message
only after the answer to the last. A refusal for now (4xx) is tried again; what was answered with 250 is accepted, and
nothing else. It prints one JSON line at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop

from bench.configuration import SENDER_DOMAIN
from bench.mailing import People, urgent_address

LINE = b"5a2j56+A44Gu5p6c54mp44CB54S844GN44Gf44Gm44Gu44OR44Oz44CB55Sj5Zyw55u06YCB44Gu\r\n"
SIGNATURE_BYTES = 600
MOST_ATTEMPTS = 5
_TEMPORARY = re.compile(rb"^4\d\d", re.MULTILINE)
_REFUSAL = re.compile(rb"^[45]\d\d", re.MULTILINE)
_HEADER = (
    f"From: Bench <shop@{SENDER_DOMAIN}>\r\nTo: <%b>\r\nSubject: =?utf-8?b?56eL44Gu5oSf6Kyd56Wt?=\r\n"
    "Date: Mon, 01 Jan 2024 00:00:00 +0900\r\nMessage-ID: <%b@bench.example>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
).encode()


def body_of(size: int) -> bytes:
    """So much that the signed message has about `size` bytes on the wire."""
    return LINE * max(1, (size - len(_HEADER) - SIGNATURE_BYTES) // len(LINE))


def message_to(address: str, identity: str, body: bytes) -> bytes:
    return _HEADER % (address.encode(), identity.encode()) + body


class Load:
    """What is still to be sent, and what became of it."""

    def __init__(self, addresses: Sequence[str], identity: str, body: bytes) -> None:
        self.addresses, self.identity, self.body = addresses, identity, body
        self.left = deque((number, 1) for number in range(len(addresses)))
        self.sent_at = [0.0] * len(addresses)
        self.accepted = 0
        self.refused: list[str] = []
        self.open = 0
        self.done = asyncio.Event()

    def settled(self, number: int, attempt: int, reply: bytes) -> None:
        if not _REFUSAL.search(reply):
            self.accepted += 1
        elif _TEMPORARY.search(reply) and attempt < MOST_ATTEMPTS:
            self.left.append((number, attempt + 1))
        else:
            self.refused.append(f"{self.addresses[number]}: {reply[:80]!a}")

    def closed(self) -> None:
        self.open -= 1
        if not self.open:
            self.done.set()


class SendingConnection(asyncio.Protocol):
    """One connection, from the greeting to QUIT. It takes what it sends from the load, one at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._awaited = 1
        self._step = self._greeted
        self._current = (0, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._buffer.endswith(b"\n") and _final_lines(self._buffer) >= self._awaited:
            reply, self._buffer = self._buffer, b""
            self._step(reply)

    def _say(self, data: bytes, awaited: int, step: object) -> None:
        self._awaited, self._step = awaited, step  # type: ignore[assignment]
        self._transport.write(data)

    def _greeted(self, _reply: bytes) -> None:
        self._say(b"EHLO bench.example\r\n", 1, self._next)

    def _next(self, _reply: bytes) -> None:
        load = self._load
        if not load.left:
            self._say(b"QUIT\r\n", 1, lambda _reply: self._transport.close())
            return
        self._current = load.left.popleft()
        number = self._current[0]
        load.sent_at[number] = load.sent_at[number] or time.time()
        recipient = load.addresses[number].encode()
        self._say(
            b"MAIL FROM:<shop@%b>\r\nRCPT TO:<%b>\r\nDATA\r\n" % (SENDER_DOMAIN.encode(), recipient), 3, self._data
        )

    def _data(self, reply: bytes) -> None:
        if not _REFUSAL.search(reply):
            number = self._current[0]
            address = self._load.addresses[number]
            message = message_to(address, f"{self._load.identity}-{number}", self._load.body)
            self._say(message + b".\r\n", 1, self._answered)
            return
        self._load.settled(*self._current, reply)
        if b"\n354" in reply:  # a go-ahead for nobody: the end of the data is still awaited (RFC 2920 3.1)
            self._say(b".\r\n", 1, self._next)
        else:
            self._say(b"RSET\r\n", 1, self._next)

    def _answered(self, reply: bytes) -> None:
        self._load.settled(*self._current, reply)
        self._next(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._load.refused.append(f"connection: {exc!r}")
        self._load.closed()


def _final_lines(replies: bytes) -> int:
    """Replies that are complete: of several lines only the last has no hyphen behind its code."""
    return sum(line[3:4] == b" " for line in replies.split(b"\r\n") if line)


async def send(load: Load, port: int, connections: int) -> None:
    loop = asyncio.get_running_loop()
    load.open = connections = min(connections, len(load.addresses))
    await asyncio.gather(
        *(loop.create_connection(lambda: SendingConnection(load), "127.0.0.1", port) for _ in range(connections))
    )
    await load.done.wait()


async def send_paced(addresses: Sequence[str], port: int, identity: str, body: bytes, interval: float) -> list[float]:
    """One after the other, each on a connection of its own; when each was begun."""
    begun = []
    for number, address in enumerate(addresses):
        before = time.time()
        load = Load([address], f"{identity}-{number}", body)
        await send(load, port, 1)
        begun.append(before if load.accepted else 0.0)
        await asyncio.sleep(max(0.0, before + interval - time.time()))
    return begun


async def _send(arguments: argparse.Namespace) -> dict[str, object]:
    body = body_of(arguments.size)
    identity = f"{arguments.identity}-{time.time():.0f}"
    if arguments.paced:
        addresses = [urgent_address(number) for number in range(arguments.paced)]
        begun = await send_paced(addresses, arguments.port, identity, body, arguments.interval_ms / 1000)
        return {"begun": begun}
    people = People(arguments.messages, arguments.domains)
    load = Load([people.address(number) for number in range(people.count)], identity, body)
    began = time.time()
    await send(load, arguments.port, arguments.connections)
    told = {"accepted": load.accepted, "refused": load.refused[:5], "began": began, "ended": time.time()}
    return told | {"cpu_seconds": time.process_time()}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.peers.sender", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--messages", type=int, default=1000)
    add("--paced", type=int, default=0, metavar="N", help="instead: N single mails, one every --interval-ms")
    add("--interval-ms", type=float, default=50.0)
    add("--connections", type=int, default=20)
    add("--domains", type=int, default=20)
    add("--size", type=int, default=4096)
    add("--identity", default="bench", help="begins every Message-ID")
    add("--result", type=Path, help="the JSON goes there instead of standard output")
    arguments = parser.parse_args(words)
    told = json.dumps(uvloop.run(_send(arguments)))
    if arguments.result:
        arguments.result.write_text(told, "ascii")
    else:
        print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
