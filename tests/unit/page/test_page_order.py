"""What the page may order, and nothing else."""

from __future__ import annotations

import json

import pytest

from engine.page.order import read_order, shown_order
from engine.request import Cancel, Resume, Steer
from engine.wire import Refusal


def read(**fields: object):
    return read_order(json.dumps(fields).encode())


def test_each_order_becomes_a_request_and_a_line_for_the_log() -> None:
    order, asked = read(do="suspend", reason="苦情", seconds=3600, scope={"site": "mx.example.jp:25", "domain": ""})
    assert asked == Steer(id=0, verb="suspend", site="mx.example.jp:25", seconds=3600, reason="苦情")
    assert shown_order(order) == "suspend site=mx.example.jp:25 for 3600 s, reason: \\u82e6\\u60c5"
    order, asked = read(do="suspend", reason="r", seconds=None, scope={"sender": "shop", "mailing": "m"})
    assert asked == Steer(id=0, verb="suspend", sender="shop", mailing="m", reason="r")
    assert shown_order(order) == "suspend sender=shop mailing=m until resumed, reason: r"
    order, asked = read(do="resume", reason="r", number=7)
    assert (asked, shown_order(order)) == (Resume(id=0, number=7), "resume 7, reason: r")
    order, asked = read(do="cancel", reason="wrong\nprice", sender="shop", mailing="m")
    assert asked == Cancel(id=0, sender="shop", mailing="m")
    assert shown_order(order) == "cancel sender=shop mailing=m, reason: wrong\\nprice"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"do": "bounce", "reason": "r", "seconds": None, "scope": {"domain": "a.example"}},
        {"do": "suspend", "reason": "", "seconds": 1, "scope": {"domain": "a.example"}},
        {"do": "suspend", "reason": "   ", "seconds": 1, "scope": {"domain": "a.example"}},
        {"do": "suspend", "reason": "r" * 201, "seconds": 1, "scope": {"domain": "a.example"}},
        {"do": "suspend", "reason": "r", "seconds": 0, "scope": {"domain": "a.example"}},
        {"do": "suspend", "reason": "r", "seconds": 1.5, "scope": {"domain": "a.example"}},
        {"do": "suspend", "reason": "r", "seconds": 10**9, "scope": {"domain": "a.example"}},
        {"do": "suspend", "reason": "r", "seconds": 1, "scope": {"pool": "a"}},
        {"do": "suspend", "reason": "r", "seconds": 1, "scope": {"id": "a"}},
        {"do": "suspend", "reason": "r", "seconds": 1, "scope": {"site": 1}},
        {"do": "suspend", "reason": "r", "seconds": 1, "scope": {"sender": "a" * 10_000}},
        {"do": "resume", "reason": "r", "number": 0},
        {"do": "resume", "reason": "r", "number": 1, "everything": True},
        {"do": "cancel", "reason": "r", "sender": "shop", "mailing": ""},
        {"do": "cancel", "reason": "r", "sender": "shop", "mailing": "m", "address": "a@b.example"},
    ],
)
def test_anything_else_is_refused(fields) -> None:
    with pytest.raises(Refusal):
        read(**fields)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff\xfe", b'{"do":"\\ud800"}', b"[" * 4000])
def test_what_is_no_json_is_refused(body) -> None:
    with pytest.raises(Refusal):
        read_order(body)
