"""One signing worker seen from the core: its process, its socket, and the batches that it owes.

Answers are resolved on the loop in one callback per read. This file decides nothing: where a batch goes, and what
happens after a death, stands in client.py.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from engine.buckets import BATCH_BOUNDS, Buckets
from engine.signer.frames import ANSWER, GREETING_LIMIT, LENGTH
from engine.signer.processor import environment_of

SIGNALS_OF_THE_GROUP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Owed:
    """A batch that was given to a worker. The frame is kept: another worker may have to get it."""

    __slots__ = ("count", "deaths", "frame", "future", "id", "sizes", "urgent")

    def __init__(
        self, id_: int, frame: bytes, sizes: list[int], future: asyncio.Future[list[bytes]], *, urgent: bool
    ) -> None:
        self.id = id_
        self.frame = frame
        self.sizes = sizes
        self.count = len(sizes)
        self.future = future
        self.urgent = urgent
        self.deaths = 0
        """Workers that died owing it."""


class Counts:
    """Since the start; engine/observe.py reads them at a scrape."""

    __slots__ = ("batch_sizes", "batches", "fallbacks", "restarts", "resubmitted", "signatures")

    def __init__(self) -> None:
        self.signatures = 0
        self.batches = 0
        self.batch_sizes = Buckets(BATCH_BOUNDS)
        """Of what was asked for."""
        self.fallbacks = 0
        """Signatures that the multi-buffer library did not give, or gave wrong, and OpenSSL did."""
        self.restarts = 0
        self.resubmitted = 0
        """Batches given to another worker because theirs died."""


class SigningProcess(asyncio.Protocol):
    """Made by `start_process`. `on_end` is called once, when the worker's end of the socket is gone."""

    def __init__(
        self, process: subprocess.Popen[bytes], counts: Counts, on_end: Callable[[SigningProcess], None]
    ) -> None:
        self.process = process
        self.owed: dict[int, Owed] = {}
        self.load = 0
        """Signatures owed."""
        self.ended = False
        self.reads = 0
        """Moves with every answer, for the watch over stalls."""
        self.greeting: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._counts = counts
        self._on_end = on_end
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def give(self, batch: Owed) -> None:
        self.owed[batch.id] = batch
        self.load += batch.count
        self.write(batch.frame)

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        if self._buffer:
            data = self._buffer + data
        self._buffer = self._resolve(data) if self.greeting.done() else self._greet(data)

    def _greet(self, data: bytes) -> bytes:
        if len(data) < LENGTH.size:
            return data
        (length,) = LENGTH.unpack_from(data)
        if length > GREETING_LIMIT:
            self.close()
            return b""
        end = LENGTH.size + length
        if len(data) < end:
            return data
        self.greeting.set_result(json.loads(data[LENGTH.size : end]))
        return data[end:]

    def _resolve(self, data: bytes) -> bytes:
        """Hands out every complete answer in `data`; returns the rest. Hot: about 0.3 µs a signature."""
        position = 0
        available = len(data)
        counts = self._counts
        while available - position >= ANSWER.size:
            id_, length, fallbacks = ANSWER.unpack_from(data, position)
            start = position + ANSWER.size
            position_after = start + length
            if position_after > available:
                break
            position = position_after
            batch = self.owed.pop(id_)
            self.load -= batch.count
            counts.batches += 1
            counts.signatures += batch.count
            counts.fallbacks += fallbacks
            signatures: list[bytes] = []
            for size in batch.sizes:
                signatures.append(data[start : start + size])
                start += size
            assert start == position, "the worker and the core disagree about the size of a signature"
            if not batch.future.done():
                batch.future.set_result(signatures)
        return data[position:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it broke changes nothing
        self.ended = True
        if not self.greeting.done():
            self.greeting.set_exception(ConnectionError("the worker ended during its start"))
            self.greeting.exception()  # marked as seen: whoever waits gets it, and nobody may be waiting
        self._on_end(self)

    def close(self) -> None:
        """The worker sees the end of its socket and exits."""
        if self._transport is not None:
            self._transport.close()

    async def reaped(self, seconds: float) -> int:
        """Exit status, negative for a signal; kills after `seconds`, and when cancelled."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        try:
            # Polled: a child's end gives no event without a thread or a handler of SIGCHLD.
            while self.process.poll() is None and loop.time() < deadline:
                await asyncio.sleep(0.01)
        finally:
            status = self.killed()
        return status

    def killed(self) -> int:
        """Exit status; kills what still runs. Takes a millisecond at most."""
        self.close()
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait()


async def start_process(
    told: dict[str, object],
    counts: Counts,
    on_end: Callable[[SigningProcess], None],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> SigningProcess:
    """Starts a worker, with this in its environment beside ours, and sends its greeting. Its own comes into
    `.greeting`.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        try:
            process = _spawn(theirs, environment)
        except OSError:
            ours.close()
            raise
    try:
        _, protocol = await asyncio.get_running_loop().create_unix_connection(
            lambda: SigningProcess(process, counts, on_end), sock=ours
        )
    except BaseException:  # cancelled: nobody knows of the process yet
        ours.close()
        process.kill()
        process.wait()
        raise
    text = json.dumps(told).encode()
    protocol.write(LENGTH.pack(len(text)) + text)
    return protocol


def _spawn(theirs: socket.socket, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Blocked here, the signals stay blocked in the child from its first instruction on: no window in which a
    # Ctrl-C kills a worker that has not come to ignore it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_OF_THE_GROUP)
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "engine.signer.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=environment_of(environment),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
