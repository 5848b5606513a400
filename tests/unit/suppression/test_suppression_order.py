from __future__ import annotations

from datetime import date

import pytest

from suppression.events import MAX_EVIDENCE, MAX_TOPICS, EventError
from suppression.order import (
    NO_ORDER,
    OrderKind,
    OrderReceived,
    OrderReleased,
    OrderState,
    check_order,
    order_state,
    row_of,
)

NOW = 1_800_000_000.0
TODAY = date(2027, 1, 15)
O7, I14, S15 = OrderKind.ORDER7, OrderKind.INSTR14, OrderKind.SUSP15


def order(kind=O7, at=10.0, scope=(), **more):
    return OrderReceived("acme", kind, at, TODAY, scope, **more)


def release(kind=O7, at=20.0, scope=(), officer="山田"):
    return OrderReleased("acme", kind, at, officer, scope)


def state(*events, topic=""):
    return order_state([row_of(event, round(NOW * 1e6)) for event in events], topic)


def held(*kinds):
    return OrderState(held=frozenset(kinds))


@pytest.mark.parametrize(
    ("events", "topic", "expected"),
    [
        ([], "", NO_ORDER),
        ([order()], "", held(O7)),
        ([order()], "news", held(O7)),
        ([order(), order(S15), order(I14)], "", held(O7, S15, I14)),
        ([order(), release()], "", OrderState(released=frozenset({O7}))),
        ([release(at=9.0), order()], "", held(O7)),
        ([order(), release(at=10.0)], "", held(O7)),
        ([order(), release(), order(at=30.0)], "", held(O7)),
        ([order(), release(S15)], "", held(O7)),
        ([order(), order(S15), release(S15)], "", OrderState(frozenset({O7}), frozenset({S15}))),
        ([order(scope=("news",))], "", NO_ORDER),
        ([order(scope=("news",))], "shop", NO_ORDER),
        ([order(scope=("news", "more"))], "news", held(O7)),
        ([order(), release(scope=("news",))], "news", OrderState(released=frozenset({O7}))),
        ([order(), release(scope=("news",))], "", held(O7)),
        ([order(), release(scope=("news",))], "shop", held(O7)),
    ],
)
def test_what_is_in_force(events, topic, expected) -> None:
    assert state(*events, topic=topic) == expected
    assert state(*reversed(events), topic=topic) == expected


def test_a_row_carries_the_day_of_the_order_and_nothing_of_the_future() -> None:
    row = row_of(order(at=NOW + 100, scope=("b", "a"), evidence="\0 \ud800"), round(NOW * 1e6))
    assert (row.at, row.day, row.scope, row.officer) == (NOW * 1e6, 20_833, ("a", "b"), "")
    assert row.evidence == "\\0 \\ud800"
    row = row_of(release(at=NOW), round(NOW * 1e6))
    assert (row.day, row.officer) == (20_833, "山田")


@pytest.mark.parametrize("event", [order(), order(at=NOW + 300), release(), order(scope=("news",), evidence="x")])
def test_accepts(event) -> None:
    check_order(event, NOW)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (OrderReceived("", O7, 1.0, TODAY), "sender: empty"),
        (order(at=-1.0), "at: -1.0"),
        (order(at=NOW + 301), "at: "),
        (order(scope=("t",) * (MAX_TOPICS + 1)), "scope: 101"),
        (order(scope=("",)), "scope: empty"),
        (order(evidence="e" * (MAX_EVIDENCE + 1)), "evidence: "),
        (release(officer=""), "officer: empty"),
        (OrderReceived("acme", O7, 1.0, date(2027, 1, 16)), "day: 2027-01-16"),
    ],
)
def test_refuses_with_the_field_named(event, field) -> None:
    with pytest.raises(EventError, match=f"^{field}"):
        check_order(event, NOW)
