"""A signing worker: the only kind of process that holds private keys. Run as `python -m engine.signer.worker FD`.

It is told its keys and backend by the core over the inherited socket, answers ready or with one line of error, and
then turns batches of digests into signatures until the socket ends: the core is gone or has closed. SIGINT, SIGTERM
and SIGHUP are ignored, because a group or a service manager sends them to all while the core still has mail to sign.
Between slices it reads what has arrived, so that an urgent batch waits for one slice, not for the bulk before it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections import deque
from pathlib import Path

from engine.signer.backend import Backend, BackendUnavailable
from engine.signer.choice import Choice, choose
from engine.signer.frames import ANSWER, DIGEST_SIZE, GREETING_LIMIT, LENGTH, REQUEST, key_indexes
from engine.signer.keys import KeyFileError, PrivateKey, algorithm_of, public_text, read_key, signature_size

PR_SET_DUMPABLE = 4
"""prctl(2)."""
READ_SIZE = 262_144
SLICE = 8
"""RSA signatures between two looks at the socket; the width of crypto_mb."""
SLICE_LIMIT = 32
"""The same with the Ed25519 signatures that stand between them."""


class Batch:
    __slots__ = ("count", "digests", "fallbacks", "id", "indexes", "signatures", "taken")

    def __init__(self, id_: int, indexes: tuple[int, ...], digests: bytes) -> None:
        self.id = id_
        self.indexes = indexes
        self.digests = digests
        self.count = len(indexes)
        self.taken = 0
        self.fallbacks = 0
        self.signatures: list[bytes] = []

    def take(self) -> tuple[int, bytes]:
        start = self.taken * DIGEST_SIZE
        index = self.indexes[self.taken]
        self.taken += 1
        return index, self.digests[start : start + DIGEST_SIZE]

    def answer(self) -> bytes:
        body = b"".join(self.signatures)
        return ANSWER.pack(self.id, len(body), self.fallbacks) + body


class Inbox:
    """What has been read and is not signed yet, urgent apart from bulk. Pure: bytes in, slices out."""

    __slots__ = ("_buffer", "_bulk", "_slow", "_urgent")

    def __init__(self, slow: tuple[bool, ...]) -> None:
        self._slow = slow
        """By key index: True for RSA, which counts towards the slice's width."""
        self._buffer = b""
        self._urgent: deque[Batch] = deque()
        self._bulk: deque[Batch] = deque()

    @property
    def waiting(self) -> bool:
        return bool(self._urgent or self._bulk)

    def feed(self, data: bytes) -> None:
        data = self._buffer + data
        position = 0
        while len(data) - position >= REQUEST.size:
            id_, count, urgent = REQUEST.unpack_from(data, position)
            indexes = key_indexes(count)
            start = position + REQUEST.size + indexes.size
            end = start + count * DIGEST_SIZE
            if end > len(data):
                break
            batch = Batch(id_, indexes.unpack_from(data, position + REQUEST.size), data[start:end])
            (self._urgent if urgent else self._bulk).append(batch)
            position = end
        self._buffer = data[position:]

    def take(self) -> list[tuple[Batch, int, bytes]]:
        """The next slice: urgent first, and across batches so that eight lanes are filled if there are eight."""
        lanes: list[tuple[Batch, int, bytes]] = []
        width = 0
        while width < SLICE and len(lanes) < SLICE_LIMIT and self.waiting:
            queue = self._urgent or self._bulk
            batch = queue[0]
            index, digest = batch.take()
            lanes.append((batch, index, digest))
            width += self._slow[index]
            if batch.taken == batch.count:
                queue.popleft()
        return lanes


def sign_slice(lanes: list[tuple[Batch, int, bytes]], backend: Backend) -> bytes:
    """Signs, and returns the answers of the batches that are complete now."""
    before = backend.fallbacks
    signatures = backend.sign([(index, digest) for _, index, digest in lanes])
    answers: list[bytes] = []
    lanes[0][0].fallbacks += backend.fallbacks - before
    for (batch, _, _), signature in zip(lanes, signatures, strict=True):
        batch.signatures.append(signature)
        if len(batch.signatures) == batch.count:
            answers.append(batch.answer())
    return b"".join(answers)


def serve(wire: socket.socket, backend: Backend, slow: tuple[bool, ...]) -> None:
    """Until the core closes its end."""
    inbox = Inbox(slow)
    while read_all(wire, inbox):
        lanes = inbox.take()
        if lanes:
            answers = sign_slice(lanes, backend)
            if answers:
                wire.sendall(answers)


def read_all(wire: socket.socket, inbox: Inbox) -> bool:
    """Waits only when there is nothing to sign. False: the core is gone."""
    while True:
        try:
            data = wire.recv(READ_SIZE, socket.MSG_DONTWAIT if inbox.waiting else 0)
        except BlockingIOError:
            return True
        if not data:
            return False
        inbox.feed(data)
        if len(data) < READ_SIZE:
            return True


def read_exactly(wire: socket.socket, size: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        data = wire.recv(size - len(chunks))
        if not data:
            raise ConnectionError("the core closed during the greeting")
        chunks += data
    return bytes(chunks)


def read_greeting(wire: socket.socket) -> dict[str, object]:
    (length,) = LENGTH.unpack(read_exactly(wire, LENGTH.size))
    assert length <= GREETING_LIMIT, length
    greeting = json.loads(read_exactly(wire, length))
    assert isinstance(greeting, dict)
    return greeting


def send_greeting(wire: socket.socket, greeting: dict[str, object]) -> None:
    text = json.dumps(greeting).encode()
    wire.sendall(LENGTH.pack(len(text)) + text)


def ready(choice: Choice, keys: list[PrivateKey]) -> dict[str, object]:
    described = [
        {"algorithm": algorithm_of(key), "size": signature_size(key), "public": public_text(key)} for key in keys
    ]
    return {"backend": choice.backend.name, "reason": choice.reason, "keys": described}


def shield() -> None:
    """Before any key is read: signals of the group are the core's affair, and no core dump carries a key."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def seal() -> None:
    """Once keys are in memory: no other process of this user may read it (ptrace, /proc/PID/mem)."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def main(descriptor: int) -> int:
    shield()
    wire = socket.socket(fileno=descriptor)
    wire.setblocking(True)
    told = read_greeting(wire)
    os.nice(int(str(told["nice"])))
    files = told["keys"]
    assert isinstance(files, list)
    try:
        keys = [read_key(Path(file)) for file in files]
        choice = choose(str(told["backend"]), keys)
    except (KeyFileError, BackendUnavailable) as error:
        send_greeting(wire, {"error": str(error)})
        return 1
    seal()
    send_greeting(wire, ready(choice, keys))
    serve(wire, choice.backend, tuple(algorithm_of(key) == "rsa-sha256" for key in keys))
    return 0


if __name__ == "__main__":
    # The core may vanish at any moment, between a read and a write too: that is an end like any other.
    with contextlib.suppress(ConnectionError):
        sys.exit(main(int(sys.argv[1])))
