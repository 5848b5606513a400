from __future__ import annotations

import pytest

from engine.smtp.extensions import MAX_KEYWORDS, Extensions, parse_extensions
from engine.smtp.reply import ReplyError

GMAIL = """mx.google.com at your service, [192.0.2.1]
SIZE 157286400
8BITMIME
STARTTLS
ENHANCEDSTATUSCODES
PIPELINING
CHUNKING
SMTPUTF8"""


def test_a_large_receiver() -> None:
    assert parse_extensions(GMAIL) == Extensions(
        size=157286400, pipelining=True, eightbitmime=True, smtputf8=True, starttls=True
    )


def test_nothing_is_offered() -> None:
    assert parse_extensions("PIPELINING") == Extensions()
    assert parse_extensions("") == Extensions()


def test_case_and_empty_lines_do_not_matter() -> None:
    assert parse_extensions("mx\npipelining\n\n  Size   10 ") == Extensions(size=10, pipelining=True)


@pytest.mark.parametrize(
    ("keyword", "size"),
    [
        ("SIZE", 0),
        ("SIZE 0", 0),
        ("SIZE x", 0),
        ("SIZE -1", 0),
        ("SIZE ３", 0),
        ("SIZE " + "9" * 20, int("9" * 20)),
        ("SIZE " + "9" * 21, 0),
    ],
)
def test_size(keyword: str, size: int) -> None:
    assert parse_extensions(f"mx\n{keyword}").size == size


def test_too_many_keywords() -> None:
    assert parse_extensions("mx" + "\nX" * MAX_KEYWORDS) == Extensions()
    with pytest.raises(ReplyError, match="101 keywords"):
        parse_extensions("mx" + "\nX" * (MAX_KEYWORDS + 1))
