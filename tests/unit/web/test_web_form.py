"""What a POST asks for, in every spelling that providers and browsers have, and in none besides."""

from __future__ import annotations

import pytest

from engine.web.form import Wanted, wanted

ENCODED = "application/x-www-form-urlencoded"
MULTIPART = 'multipart/form-data; boundary="x=1"'


def multipart(*fields: tuple[str, str], boundary: str = "x=1") -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    ]
    return "".join([*parts, f"--{boundary}--\r\n"]).encode()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ENCODED, b"List-Unsubscribe=One-Click"),
        (f"{ENCODED}; charset=UTF-8", b"List-Unsubscribe=One-Click"),
        (ENCODED, b"List-Unsubscribe=One-Click\r\n"),
        (ENCODED, b"list-unsubscribe=one-click"),
        (ENCODED, b"List%2DUnsubscribe=One%2DClick&more=1"),
        ("", b"List-Unsubscribe=One-Click"),
        ("text/plain", b"List-Unsubscribe=One-Click"),
        (MULTIPART, multipart(("List-Unsubscribe", "One-Click"))),
        (MULTIPART.upper().replace("X=1", "x=1"), multipart(("List-Unsubscribe", "One-Click"))),
        ("multipart/form-data; boundary=abc", multipart(("a", "b"), ("List-Unsubscribe", "One-Click"), boundary="abc")),
    ],
)
def test_one_click(kind, body) -> None:
    assert wanted(kind, body) is Wanted.ONE_CLICK


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (ENCODED, b"scope=topic", Wanted.TOPIC),
        (ENCODED, b"scope=all", Wanted.ALL),
        (ENCODED, b"scope=confirm", Wanted.CONFIRM),
        (ENCODED, b"scope=all&scope=all", Wanted.ALL),
        (MULTIPART, multipart(("scope", "topic")), Wanted.TOPIC),
    ],
)
def test_buttons(kind, body, expected) -> None:
    assert wanted(kind, body) is expected


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ENCODED, b""),
        (ENCODED, b"List-Unsubscribe"),
        (ENCODED, b"List-Unsubscribe="),
        (ENCODED, b"List-Unsubscribe=One-Clic"),
        (ENCODED, b"One-Click=List-Unsubscribe"),
        (ENCODED, b"scope=topic&scope=all"),
        (ENCODED, b"scope=one-click"),
        (ENCODED, b"scope=nothing"),
        (ENCODED, b"scope=everything"),
        (ENCODED, b"\xff\xfe"),
        (ENCODED, b"scope=%ff"),
        (ENCODED, b"a=1&" * 100 + b"List-Unsubscribe=One-Click"),
        (MULTIPART, b"List-Unsubscribe=One-Click"),
        (MULTIPART, multipart(("a", "b"))),
        (MULTIPART, b"--x=1\r\nList-Unsubscribe: One-Click\r\n\r\n--x=1--"),
        (MULTIPART, b"--x=1\r\n" * 5000),
        ("multipart/form-data", multipart(("List-Unsubscribe", "One-Click"))),
        ("multipart/form-data; boundary=\r\nX: y", b"--\r\n"),
        ("application/json", b'{"List-Unsubscribe": "One-Click"}'),
    ],
)
def test_nothing_else(kind, body) -> None:
    assert wanted(kind, body) is Wanted.NOTHING
