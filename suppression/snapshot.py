"""The index on disk, to be mapped at start instead of built: a cache of the ledger up to one event, never the truth.

A file of a checked header (JSON: which ledger, which secret, up to which event, the standings, where each table
lies) and the tables' arrays as they are in memory. Mapped private: changed pages are ours, the file stays as written.
Whatever does not fit, an old format, another ledger, a wrong checksum, is refused with a reason, and the caller builds
from the ledger. Written beside and renamed, so a crash leaves the old one.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from suppression.events import AddressState, Basis, Covers
from suppression.index import Index, Run
from suppression.secret import sync_folder
from suppression.standing import Ground, Refusal, Stand, Standing

_MAGIC = b"SKTIDX02"
_HEAD = struct.Struct("<8sII")
"""Magic, length of the header, CRC-32 of the header."""
_ALIGN = 4096


class SnapshotInvalid(Exception):  # noqa: N818 - an expected answer: build from the ledger instead
    """Why this file is not used."""


class Stamp(NamedTuple):
    """Whose snapshot it is. Both parts must be the opener's own."""

    ledger: str
    fingerprint: str


class _Place(NamedTuple):
    """Where a table lies; offsets are counted from the first page behind the header."""

    kind: str
    sender: int
    capacity: int
    held: int
    slots: int
    keys_at: int
    numbers_at: int


def write_snapshot(path: Path, index: Index, stamp: Stamp, event: int) -> None:
    """The index as it stands after `event`. Raises OSError; the old file is then still there."""
    places: list[_Place] = []
    pieces: list[tuple[int, memoryview]] = []
    end, checksum = 0, 0
    for kind, sender, run in index.tables():
        keys, numbers = run.memory()
        keys_at = end
        numbers_at = _aligned(keys_at + keys.nbytes)
        end = _aligned(numbers_at + numbers.nbytes)
        places.append(_Place(kind, sender, run.capacity, run.count, keys.nbytes // 8, keys_at, numbers_at))
        pieces += [(keys_at, keys), (numbers_at, numbers)]
        checksum = zlib.crc32(numbers, zlib.crc32(keys, checksum))
    header = {
        "ledger": stamp.ledger,
        "fingerprint": stamp.fingerprint,
        "event": event,
        "standings": [_encoded(standing) for standing in index.standings],
        "tables": places,
        "end": end,
        "checksum": checksum,
    }
    _write(path, json.dumps(header).encode(), pieces, end)


def _write(path: Path, header: bytes, pieces: list[tuple[int, memoryview]], end: int) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_HEAD.pack(_MAGIC, len(header), zlib.crc32(header)) + header)
        start = _aligned(file.tell())
        for offset, piece in pieces:
            file.seek(start + offset)
            file.write(piece)
        file.truncate(start + end)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def read_snapshot(path: Path, stamp: Stamp) -> tuple[Index, int]:
    """The index and the last event in it. Raises SnapshotInvalid. Reads the whole file once, for its checksum."""
    try:
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:
        raise SnapshotInvalid(f"{path}: {error}") from error
    try:
        return _read(memoryview(memory), stamp)
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise SnapshotInvalid(f"{path}: {error!r}") from error


def _read(memory: memoryview, stamp: Stamp) -> tuple[Index, int]:
    magic, length, checksum = _HEAD.unpack_from(memory)
    raw = bytes(memory[_HEAD.size : _HEAD.size + length])
    if magic != _MAGIC or zlib.crc32(raw) != checksum:
        raise SnapshotInvalid("header damaged or of another format")
    header = json.loads(raw)
    if Stamp(header["ledger"], header["fingerprint"]) != stamp:
        raise SnapshotInvalid("made from another ledger or under another secret")
    tables = list(_tables(memory[_aligned(_HEAD.size + length) :], header["tables"]))
    found = 0
    for _, _, run in tables:
        keys, numbers = run.memory()
        found = zlib.crc32(numbers, zlib.crc32(keys, found))
    if found != header["checksum"]:
        raise SnapshotInvalid("tables damaged")
    index = Index()
    index.restore([_decoded(standing) for standing in header["standings"]], tables)
    return index, int(header["event"])


def _tables(memory: memoryview, places: list[list[Any]]) -> Iterator[tuple[str, int, Run]]:
    for kind, sender, capacity, count, slots, keys_at, numbers_at in places:
        keys, numbers = memory[keys_at : keys_at + 8 * slots], memory[numbers_at : numbers_at + 4 * slots]
        if len(keys) != 8 * slots or len(numbers) != 4 * slots:
            raise SnapshotInvalid("cut short")
        yield str(kind), sender, Run.mapped(keys, numbers, capacity, count)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def _encoded(standing: Standing) -> list[Any]:
    topics = [[number, *_encoded_stand(stand)] for number, stand in standing.topics]
    return [int(standing.address), _encoded_stand(standing.elsewhere), topics]


def _encoded_stand(stand: Stand) -> list[Any]:
    return [int(stand.refusal), sorted([int(part) for part in ground] for ground in stand.grounds), stand.period]


def _decoded(raw: list[Any]) -> Standing:
    address, elsewhere, topics = raw
    return Standing(
        AddressState(address),
        _decoded_stand(elsewhere),
        tuple((int(number), _decoded_stand(stand)) for number, *stand in topics),
    )


def _decoded_stand(raw: list[Any]) -> Stand:
    refusal, grounds, period = raw
    made = (Ground(Basis(basis), Covers(covers), since, until) for basis, covers, since, until in grounds)
    return Stand(Refusal(refusal), frozenset(made), period)
