"""Dropping NEEDED entries, on an image small enough to be written by hand and on the real library."""

from struct import pack

import pytest

from engine.signer.elf import DT_NULL, DYNAMIC, ElfError, needed, without_needed
from engine.signer.library import UNUSED, find_library

STRINGS = b"\0liba.so\0libb.so.5\0libc.so.6\0"
BASE = 0x1000
DYNAMIC_AT = 0x200
STRINGS_AT = 0x100


def image(
    entries: list[tuple[int, int]] | None = None, *, entry_size: int = 56, count: int = 2, strings: bytes = STRINGS
) -> bytes:
    if entries is None:
        entries = [(1, 1), (1, 9), (14, 1), (1, 19), (5, BASE + STRINGS_AT), (DT_NULL, 0)]
    table = b"".join(DYNAMIC.pack(*entry) for entry in entries)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, entry_size, count, 0, 0, 0)
    segments = pack("<IIQQQQQQ", 1, 4, 0, BASE, BASE, 0x300, 0x300, 0x1000)
    segments += pack("<IIQQQQQQ", 2, 6, DYNAMIC_AT, BASE + DYNAMIC_AT, 0, len(table), len(table), 8)
    body = (header + segments).ljust(STRINGS_AT, b"\0") + strings
    return body.ljust(DYNAMIC_AT, b"\0") + table + b"tail"


def test_unwanted_names_go_and_the_rest_keeps_its_order() -> None:
    before = image()
    after = without_needed(before, frozenset({"libb.so.5", "not there"}))
    assert needed(before) == ["liba.so", "libb.so.5", "libc.so.6"]
    assert needed(after) == ["liba.so", "libc.so.6"]
    assert len(after) == len(before)
    assert after.endswith(b"tail")
    assert after[:DYNAMIC_AT] == before[:DYNAMIC_AT]
    # SONAME and STRTAB stay, the freed pair at the end is DT_NULL.
    assert after[DYNAMIC_AT : DYNAMIC_AT + 6 * 16] == b"".join(
        DYNAMIC.pack(*entry) for entry in [(1, 1), (14, 1), (1, 19), (5, BASE + STRINGS_AT), (0, 0), (0, 0)]
    )


def test_nothing_unwanted_changes_nothing() -> None:
    assert without_needed(image(), frozenset({"libd.so"})) == image()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b"", "not a 64-bit"),
        (b"\x7fELF\x01\x01\x01" + bytes(100), "not a 64-bit"),
        (image()[:40], "ends before"),
        (image()[:100], "ends before"),
        (image()[: DYNAMIC_AT + 8], "ends before"),
        (image(entry_size=32), "program headers of 32 bytes"),
        (image(count=1), "not a shared object"),
        (image(count=65), "65 program headers"),
        (image([(1, 1), (5, BASE)]), "has no end"),
        (image([(1, 1), (0, 0)]), "no string table"),
        (image([(1, 1), (5, 0x9999_0000), (0, 0)]), "in no loaded segment"),
        (image([(1, 1 << 40), (5, BASE), (0, 0)]), "has no end"),
    ],
)
def test_a_broken_image_is_an_elf_error(broken: bytes, words: str) -> None:
    with pytest.raises(ElfError, match=words):
        without_needed(broken, frozenset({"liba.so"}))


def test_the_real_library_loses_exactly_the_four() -> None:
    before = find_library().read_bytes()
    after = without_needed(before, UNUSED)
    assert set(needed(before)) - set(needed(after)) == UNUSED
    assert [name for name in needed(before) if name not in UNUSED] == needed(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) < 34 * 16
