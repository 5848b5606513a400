"""Removes libraries from the NEEDED list of a shared object's image (ELF64, little-endian). Pure.

The dynamic section is an array of (tag, value) pairs that ends with DT_NULL: unwanted DT_NEEDED pairs are left out,
the rest moves up, and the freed end is filled with DT_NULL. Nothing else of the image changes. Offsets from the image
are not trusted: anything outside it is an ElfError, never a read beyond the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from struct import error as StructError  # noqa: N812 - an exception's name

IDENT = b"\x7fELF\x02\x01\x01"
"""ELF, 64 bits, little-endian, version 1."""
HEADER = Struct("<16xHHIQQQIHHHHHH")
SEGMENT = Struct("<IIQQQQQQ")
DYNAMIC = Struct("<qQ")

PT_LOAD = 1
PT_DYNAMIC = 2
DT_NULL = 0
DT_NEEDED = 1
DT_STRTAB = 5
SEGMENTS_LIMIT = 64
NAME_LIMIT = 256


class ElfError(Exception):
    """The image is not what we know how to change."""


def without_needed(image: bytes, unwanted: frozenset[str]) -> bytes:
    """The image with those NEEDED entries gone; the same bytes if there are none."""
    try:
        return _without_needed(image, unwanted)
    except StructError:
        raise ElfError("the image ends before its tables do") from None


def _without_needed(image: bytes, unwanted: frozenset[str]) -> bytes:
    segments = list(_segments(image))
    offset, size = _dynamic_place(segments)
    entries = list(_entries(image, offset, size))
    strings = next((_file_offset(segments, value) for tag, value in entries if tag == DT_STRTAB), None)
    if strings is None:
        raise ElfError("the dynamic section names no string table")
    kept = [
        (tag, value) for tag, value in entries if not (tag == DT_NEEDED and _name(image, strings + value) in unwanted)
    ]
    table = b"".join(DYNAMIC.pack(tag, value) for tag, value in kept)
    table += bytes((len(entries) - len(kept)) * DYNAMIC.size)  # DT_NULL is zero
    return image[:offset] + table + image[offset + len(table) :]


def needed(image: bytes) -> list[str]:
    """Names in the NEEDED list, in order."""
    segments = list(_segments(image))
    entries = list(_entries(image, *_dynamic_place(segments)))
    strings = next(_file_offset(segments, value) for tag, value in entries if tag == DT_STRTAB)
    return [_name(image, strings + value) for tag, value in entries if tag == DT_NEEDED]


def _segments(image: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(type, file offset, address, size in the file) of each program header."""
    if not image.startswith(IDENT):
        raise ElfError("not a 64-bit little-endian ELF image")
    header = HEADER.unpack_from(image)
    start, entry_size, count = header[4], header[8], header[9]
    if entry_size != SEGMENT.size or count > SEGMENTS_LIMIT:
        raise ElfError(f"{count} program headers of {entry_size} bytes")
    for number in range(count):
        kind, _, offset, address, _, size, _, _ = SEGMENT.unpack_from(image, start + number * entry_size)
        yield kind, offset, address, size


def _dynamic_place(segments: list[tuple[int, int, int, int]]) -> tuple[int, int]:
    for kind, offset, _, size in segments:
        if kind == PT_DYNAMIC:
            return offset, size
    raise ElfError("no dynamic section: not a shared object")


def _entries(image: bytes, offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Up to DT_NULL, without it."""
    for position in range(offset, offset + size, DYNAMIC.size):
        tag, value = DYNAMIC.unpack_from(image, position)
        if tag == DT_NULL:
            return
        yield tag, value
    raise ElfError("the dynamic section has no end")


def _file_offset(segments: list[tuple[int, int, int, int]], address: int) -> int:
    for kind, offset, start, size in segments:
        if kind == PT_LOAD and start <= address < start + size:
            return offset + address - start
    raise ElfError(f"address {address:#x} is in no loaded segment")


def _name(image: bytes, offset: int) -> str:
    raw = image[offset : offset + NAME_LIMIT]
    end = raw.find(b"\0")
    if end < 0:
        raise ElfError(f"the name at {offset:#x} has no end")
    return raw[:end].decode("latin-1")
