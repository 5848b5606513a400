"""The delivery log: one JSON line per event, in zstd-compressed segments, synced before it counts.

Record types and fields are those that KumoMTA's users know (Reception, Delivery, TransientFailure, Bounce,
Expiration), plus Suppressed and Cancelled; `zstd -dc journal/*.zst | jq` reads them. `append` returns when the lines
are on disk, so the journal never claims less than what left. A crash tears at most the last segment's end: readers
stop at the last whole line, and the next start opens a new segment instead of writing behind the tear. A failed
write or sync is final (JournalFailed): the pages are gone, the process must stop.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zstandard

SUFFIX = ".jsonl.zst"


class JournalFailed(Exception):  # noqa: N818 - the journal's state, not one call's error
    """Disk lost: stop sending, say so, exit non-zero."""


class Peer(msgspec.Struct, frozen=True):
    name: str
    addr: str


class Response(msgspec.Struct, frozen=True):
    code: int
    enhanced_code: str
    content: str
    command: str


class Record(msgspec.Struct, omit_defaults=True):
    """One line. Times are Unix seconds; `created` is the acceptance, `timestamp` the event."""

    type: str
    id: str
    timestamp: float
    sender: str = ""
    recipient: str = ""
    queue: str = ""
    site: str = ""
    size: int = 0
    response: Response | None = None
    peer_address: Peer = Peer("", "")
    created: float = 0.0
    num_attempts: int = 0
    bounce_classification: str = ""
    egress_source: str = ""
    nodeid: str = ""
    session_id: str = ""
    tls_cipher: str = ""
    in_doubt: bool = False
    legal_sender: str = ""
    category: str = ""
    topic: str = ""
    mailing: str = ""
    basis: str = ""
    reason: str = ""
    epoch: int = -1
    count: int = 0


@dataclass(frozen=True, slots=True)
class JournalSettings:
    folder: Path
    max_segment_bytes: int = 64 * 1024 * 1024
    """Compressed size at which a new segment begins."""
    max_segment_seconds: float = 600.0
    compression_level: int = 3


RECORD_DECODER = msgspec.json.Decoder(Record)


def segments(folder: Path) -> list[Path]:
    """Oldest first: names are start times."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a segment; a torn end is where reading stops."""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    with path.open("rb") as file, suppress(zstandard.ZstdError):
        while block := file.read(1 << 20):
            lines = (rest + decompressor.decompress(block)).split(b"\n")
            rest = lines.pop()
            yield from lines


def read_records(path: Path) -> Iterator[Record]:
    return map(RECORD_DECODER.decode, read_lines(path))


class Journal:
    """Owns the folder's newest segment and one thread that encodes, compresses, writes and syncs."""

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        settings.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._loop = asyncio.get_running_loop()
        self._groups: queue.SimpleQueue[tuple[Sequence[Record], asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._error: JournalFailed | None = None
        self.records = 0
        self.bytes_written = 0
        self.sync_seconds = 0.0
        self.syncs = 0
        self._segment: _Segment | None = None
        self._thread = threading.Thread(target=self._write_groups, name="journal", daemon=True)
        self._thread.start()

    async def append(self, records: Sequence[Record]) -> None:
        """Returns after the sync. Raises JournalFailed, also for everything that comes after a failure."""
        if self._error:
            raise self._error
        future: asyncio.Future[None] = self._loop.create_future()
        self._groups.put((records, future))
        await future

    async def close(self) -> None:
        self._groups.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _write_groups(self) -> None:
        while (group := self._groups.get()) is not None:
            records, future = group
            if not self._error:
                try:
                    self._write(records)
                except OSError as error:
                    self._error = JournalFailed(f"journal {self._settings.folder}: {error.strerror or error}")
            self._loop.call_soon_threadsafe(self._answer, future)
        if self._segment:
            self._segment.finish()

    def _answer(self, future: asyncio.Future[None]) -> None:
        if future.cancelled():
            return
        if self._error:
            future.set_exception(self._error)
        else:
            future.set_result(None)

    def _write(self, records: Sequence[Record]) -> None:
        segment = self._segment
        if segment is None or segment.is_full(self._settings):
            if segment:
                segment.finish()
            segment = self._segment = _Segment(self._settings)
        before = segment.size
        segment.append(records)
        started = time.monotonic()
        segment.sync()
        self.sync_seconds += time.monotonic() - started
        self.syncs += 1
        self.records += len(records)
        self.bytes_written += segment.size - before


class _Segment:
    """One open file. A group ends with a flushed zstd block, so what is synced can be read back."""

    def __init__(self, settings: JournalSettings) -> None:
        self._started = time.monotonic()
        name = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f".{time.time_ns() % 10**9:09d}Z{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(settings.folder / name, flags, 0o640)
        folder = os.open(settings.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._compressor = zstandard.ZstdCompressor(level=settings.compression_level).compressobj()
        self._encoder = msgspec.json.Encoder()
        self.size = 0

    def is_full(self, settings: JournalSettings) -> bool:
        return (
            self.size >= settings.max_segment_bytes or time.monotonic() - self._started >= settings.max_segment_seconds
        )

    def append(self, records: Sequence[Record]) -> None:
        lines = self._encoder.encode_lines(records)
        self._put(self._compressor.compress(lines) + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    def sync(self) -> None:
        os.fdatasync(self._file)

    def finish(self) -> None:
        self._put(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
        self.sync()
        os.close(self._file)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self.size += len(data)
