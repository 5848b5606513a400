"""Merge values in each of their places."""

import html
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mail import values

ODD = [
    "",
    "山田太郎",
    "O'Neil & <b>",
    "a\nb\rc\r\nd",
    ".",
    ".x",
    "a  b ",
    " a",
    "=",
    "x=y",
    "12,345",
    "a.b",
    "山" * 40,
    "x" * 200,
    "\n",
    "a\x85b",
    "タブ\tx",
]


@pytest.mark.parametrize("value", ODD)
def test_value(value: str) -> None:
    tidy = value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert values.plain(value).decode() == tidy
    assert values.markup(value).decode() == html.escape(tidy)
    for quoted, expected in ((values.quoted_plain(value), tidy), (values.quoted_markup(value), html.escape(tidy))):
        assert quopri.decodestring(quoted).decode() == expected
        assert quoted.isascii()
        for line in quoted.split(b"\r\n"):
            assert len(line) <= 76
            assert not line.startswith(b".")
            assert line == line.rstrip()
            assert b"  " not in line
            assert b"\t" not in line


def test_links() -> None:
    url = "https://u.example.jp/?a=1&b='2'&c=\"3\""
    assert values.link(url) == values.plain(url)
    assert values.link_markup(url) == values.markup(url)


@pytest.mark.parametrize("place", [values.plain, values.markup, values.quoted_plain, values.quoted_markup])
def test_what_check_fields_refuses_is_harmless_all_the_same(place: values.Prepare) -> None:
    octets = quopri.decodestring(place("a\0\x1b\x7fb\ud800c"))
    assert octets == b"a   b?c"


@given(st.lists(st.text(), max_size=4))
def test_what_is_plain_together_is_plain_alone_and_the_same_everywhere(parts: list[str]) -> None:
    if values.is_plain("".join(parts)):
        for part in parts:
            assert {prepare(part) for prepare in values.PLAIN_ALIKE} == {part.encode()}


@pytest.mark.parametrize("text", ["a&b", "<", ">", '"', "'", "\n", "\x00", "\x7f", "\ud800", "\u3000"])
def test_what_is_not_plain(text: str) -> None:
    assert not values.is_plain("佐藤 " + text)
    assert values.is_plain("佐藤 花子 123")
