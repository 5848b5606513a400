"""A remote server that plays a dialogue, and the reading of dialogue files (tests/dialogues/*.smtp).

A file is one conversation:
    # comment                         ! send a@x.example b@x.example   (the transactions, in order)
    S: 250 ok                         the server writes this line; S lines in a row are one write
    S: <split> | <close> | <reset>    a new segment | the server closes | it resets the connection
    S: <tls>                          the handshake begins here
    S: <raw> bytes with \\r\\n \\0        written as they stand
    C: MAIL FROM:<*>                  the client must write this line; * stands for anything
    C: <payload a@x.example>          the client must write that transaction's payload (without the dot)
    ! quit                            the client is told to quit when it has nothing more to send
    = a@x.example DOT 250             expected outcome, in order: recipient, phase, code | unresolved
    = closed DOT 421 | closed idle error text...   how the session ends; without it, it stays open
The conversation begins with the greeting. A test that feeds a Session directly takes the lines behind the EHLO reply.
"""

from __future__ import annotations

import asyncio
import codecs
import fnmatch
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

CLOSE = "<close>"
RESET = "<reset>"
SPLIT = "<split>"
TLS = "<tls>"
TLS_RECORD = b"\x16\x03"
"""A ClientHello begins so: whether the client still sends it to a server that hangs up is a matter of time."""
ACTIONS = (CLOSE, RESET, SPLIT, TLS)
PATIENCE = 3.0


@dataclass
class Dialogue:
    name: str
    send: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    steps: list[tuple[str, str]] = field(default_factory=list)
    """("S" | "C", line)"""
    expected: list[str] = field(default_factory=list)

    @property
    def after_ehlo(self) -> int:
        """Index of the first step behind the (last) EHLO reply."""
        ehlo = max(i for i, (side, line) in enumerate(self.steps) if side == "C" and line.startswith(("EHLO", "HELO")))
        return next(i + 1 for i, (side, line) in enumerate(self.steps) if i > ehlo and side == "S" and line[3:4] == " ")

    def ehlo_text(self) -> str:
        end = self.after_ehlo
        lines: list[str] = []
        while self.steps[end - 1][0] == "S":
            end -= 1
            lines.insert(0, self.steps[end][1][4:])
        return "\n".join(lines)


def read_dialogue(path: Path) -> Dialogue:
    dialogue = Dialogue(path.stem)
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "!" and rest.startswith("send "):
            dialogue.send += rest.split()[1:]
        elif mark == "!":
            dialogue.words.add(rest)
        elif mark in {"S:", "C:"}:
            dialogue.steps.append((mark[0], rest))
        elif mark == "=":
            dialogue.expected.append(rest)
        else:
            assert not line or mark == "#", f"{path}: {line}"
    return dialogue


def payload_of(recipient: str) -> bytes:
    return f"To: {recipient}\r\nSubject: x\r\n\r\n..dot\r\nfor {recipient}\r\n".encode()


def server_bytes(line: str) -> bytes:
    if line.startswith("<raw> "):
        raw, _ = codecs.escape_decode(line[6:].encode())
        assert isinstance(raw, bytes)
        return raw
    return line.encode() + b"\r\n"


def expected_bytes(line: str) -> bytes:
    """What the client must have written for a C line, wildcards still inside."""
    if line.startswith("<payload "):
        return payload_of(line[9:-1])
    return line.encode() + b"\r\n"


def fits(written: bytes, line: str) -> bool:
    pattern = expected_bytes(line).decode()
    return fnmatch.fnmatchcase(written.decode(), pattern.replace("[", "[[]"))


class Remote:
    """`async with Remote(dialogue) as remote:` listens on remote.port; one connection after the other gets the same
    dialogue. Afterwards `remote.faults` says where a client left its text.
    """

    def __init__(self, dialogue: Dialogue, context: ssl.SSLContext | None = None) -> None:
        self.dialogue = dialogue
        self.context = context
        self.faults: list[str] = []
        self.port = 0
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._playing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*self._playing)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        playing = asyncio.current_task()
        assert playing is not None
        self._playing.add(playing)
        try:
            await self._play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.faults.append(repr(error))
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        out = b""
        for side, line in [*self.dialogue.steps, ("C", "")]:
            if side == "S" and line not in ACTIONS:
                out += server_bytes(line)
                continue
            if out:
                writer.write(out)
                await writer.drain()
                out = b""
            if line == SPLIT:
                await asyncio.sleep(0)  # likely to be a segment of its own; no outcome hangs on it
            elif line == RESET:
                writer.transport.abort()
                return
            elif line == CLOSE:
                writer.write_eof()
                break
            elif line == TLS:
                assert self.context is not None
                await writer.start_tls(self.context)
            elif line:
                await self._hear(reader, line)
        async with asyncio.timeout(PATIENCE):
            try:
                rest = await reader.read()
            except ConnectionResetError:
                return  # the client gave up, which is an end like any other
        if rest and not rest.startswith(TLS_RECORD):
            self.faults.append(f"the client went on: {rest!r}")

    async def _hear(self, reader: asyncio.StreamReader, line: str) -> None:
        count = expected_bytes(line).count(b"\r\n")
        async with asyncio.timeout(PATIENCE):
            written = b"".join([await reader.readuntil(b"\r\n") for _ in range(count)])
        if not fits(written, line):
            self.faults.append(f"expected {line!r}, the client wrote {written!r}")
