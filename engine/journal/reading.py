"""Reading segments back, also one that a crash or a bad sector has torn: everything whole before the tear, no more.

The compressor is flushed after each group, so what was synced can be read although the frame has no end yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import zstandard

from engine.journal.record import RECORD_DECODER, Record

SUFFIX = ".jsonl.zst"
PORTION = 64 * 1024


def segments(folder: Path) -> list[Path]:
    """Oldest first: a name begins with the segment's number. What has none is somebody's copy, and would stand behind
    the newest, where recovery looks.
    """
    return [path for _, path in sorted((number_of(path), path) for path in folder.glob("[0-9]*-*" + SUFFIX))]


def number_of(segment: Path) -> int:
    """0 for a name that only looks like ours."""
    number = segment.name.partition("-")[0]
    return int(number) if number.isascii() and number.isdecimal() else 0


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a segment; a torn end is where reading stops."""
    rest = b""
    for text in _texts(path):
        lines = (rest + text).split(b"\n")
        rest = lines.pop()
        yield from lines


def read_records(path: Path) -> Iterator[Record]:
    """As read_lines; a line that is no record is a tear too."""
    for line in read_lines(path):
        try:
            record = RECORD_DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        yield record


def _texts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        while portion := file.read(PORTION):
            if decompressor.eof:
                return  # behind the frame's end: not ours
            try:
                text = decompressor.decompress(portion)
            except zstandard.ZstdError:
                yield _before_tear(path, file.tell() - len(portion), portion)
                return
            yield text


def _before_tear(path: Path, start: int, portion: bytes) -> bytes:
    """What `portion`, which begins at `start`, still gives before the byte that cannot be: a failed call of the
    decompressor gives nothing, also not what was good in it.
    """
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    with path.open("rb") as file:
        while start:
            start -= len(read := file.read(min(start, PORTION)))
            decompressor.decompress(read)
    found = bytearray()
    try:
        for byte in portion:
            found += decompressor.decompress(bytes((byte,)))
    except zstandard.ZstdError:
        return bytes(found)
    return bytes(found)
