"""Lines of one width."""

import pytest

from engine.mail.lines import lines_of


@pytest.mark.parametrize("size", [0, 1, 75, 76, 77, 152, 153, 4096, 4097, 10_000])
def test_lines(size: int) -> None:
    text = bytes(range(256)) * 40
    lines = lines_of(text[:size], 76)
    assert b"".join(lines) == text[:size]
    assert all(len(line) == 76 for line in lines[:-1])
    assert len(lines) == -(-size // 76)
