"""One segment of the journal: a numbered file, zstd-compressed lines, synced group by group.

Segments are numbered, not only dated, so that a clock that steps back cannot put the newest one among the old. The
name, the folder and the folder's own name are synced before a line counts. A segment whose writing failed is never
written again: a failed sync may have thrown the pages away (as PostgreSQL learnt in 2018).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import zstandard

from engine.journal.reading import SUFFIX, number_of, segments
from engine.journal.record import Record, encode_records

NEWEST_KEPT = 3
"""Segments that retention never takes: recovery after a crash reads them."""


@dataclass(frozen=True, slots=True)
class JournalSettings:
    folder: Path
    max_segment_bytes: int = 64 * 1024 * 1024
    """Compressed size at which a new segment begins."""
    max_segment_seconds: float = 600.0
    """Age at which a segment is closed: then it is complete and may be shipped or archived."""
    compression_level: int = 3
    """zstd's, 1 to 19."""
    keep_seconds: float = 0.0
    """Age after its last line at which a segment is deleted; 0: never, it is evidence of what was sent to whom."""


class Files(Protocol):
    """The system calls that a segment needs; each raises OSError."""

    def create(self, path: Path) -> int: ...
    def write(self, file: int, data: memoryview) -> int: ...
    def sync(self, file: int) -> None: ...
    def sync_folder(self, folder: Path) -> None: ...
    def close(self, file: int) -> None: ...


class SystemFiles:
    def create(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)

    def write(self, file: int, data: memoryview) -> int:
        return os.write(file, data)

    def sync(self, file: int) -> None:
        os.fdatasync(file)

    def sync_folder(self, folder: Path) -> None:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def close(self, file: int) -> None:
        os.close(file)


def prepare_folder(folder: Path, files: Files) -> None:
    """Makes the folder (0750) with all above it, durably. Raises OSError, with the remedy where it is known."""
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    for above in reversed(missing):
        above.mkdir(mode=0o750, exist_ok=True)
        files.sync_folder(above.parent)
    if not folder.is_dir():
        raise NotADirectoryError(f"journal folder {str(folder)!r} is a file; move it away, or change journal.folder")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o022:
        raise PermissionError(f"journal folder {str(folder)!r} is writable for others (mode {mode:04o}); chmod 0750")


def expired(folder: Path, keep_seconds: float, now: float) -> list[Path]:
    """Segments that retention takes. A clock that is wrong never takes the newest."""
    if not keep_seconds:
        return []
    return [path for path in segments(folder)[:-NEWEST_KEPT] if path.stat().st_mtime < now - keep_seconds]


def _next_name(folder: Path) -> str:
    number = max(map(number_of, segments(folder)), default=0) + 1
    return f"{number:010d}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}{SUFFIX}"


class Segment:
    """An open segment. Not for two threads."""

    def __init__(self, settings: JournalSettings, files: Files, encoder: msgspec.json.Encoder) -> None:
        self._settings = settings
        self._files = files
        self._encoder = encoder
        self._started = time.monotonic()
        self._file = files.create(settings.folder / _next_name(settings.folder))
        self._is_open = True
        self._compressor = zstandard.ZstdCompressor(level=settings.compression_level, write_checksum=True).compressobj()
        self.size = 0
        try:
            files.sync_folder(settings.folder)
        except OSError:
            self.abandon()
            raise

    def seconds_left(self) -> float:
        """Until it is to be closed; 0.0 or less: now."""
        if self.size >= self._settings.max_segment_bytes:
            return 0.0
        return self._started + self._settings.max_segment_seconds - time.monotonic()

    def append(self, records: Sequence[Record]) -> None:
        """One group, which ends with a flushed block: once synced it can be read back."""
        lines = encode_records(self._encoder, records)
        self._put(self._compressor.compress(lines) + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    def sync(self) -> None:
        self._files.sync(self._file)

    def finish(self) -> None:
        """Ends the frame, so that any zstd tool takes it as complete."""
        try:
            self._put(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
            self.sync()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Closes the file as it is."""
        if self._is_open:
            self._is_open = False
            self._files.close(self._file)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self._files.write(self._file, view)
            view = view[written:]
            self.size += written
