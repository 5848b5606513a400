"""Which sources a sender's mail may leave from, and which of them are out."""

from __future__ import annotations

from engine.flow.outlets import Outlets
from engine.mail.envelope import Priority
from engine.policy.source import Source, make_pool

BULK, FIRST = Priority.BULK, Priority.TRANSACTIONAL
SOURCES = {name: Source(name) for name in "abc"}


def outlets() -> Outlets:
    pools = {"two": make_pool("two", {"a": 3, "b": 1}), "one": make_pool("one", {"c": 1})}
    return Outlets(SOURCES, pools, {"shop": ("one", "two"), "club": ("two", "two")})


def weights(found: Outlets, sender: str, priority: Priority = BULK, rerouted: str = "") -> dict[str, int]:
    return dict(found.pool(sender, priority, rerouted).weights)


def test_a_source_that_is_out_carries_nothing_of_that_sender() -> None:
    found = outlets()
    assert found.take_out("shop", ["a", "not configured"])
    assert weights(found, "shop") == {"b": 1}
    assert weights(found, "club") == {"a": 3, "b": 1}
    assert weights(found, "shop", FIRST) == {"c": 1}
    assert weights(found, "shop", BULK, "two") == {"b": 1}, "by an operator's order neither"


def test_it_is_back_when_it_is_not_out_any_more() -> None:
    found = outlets()
    found.take_out("shop", ["a"])
    assert found.take_out("shop", [])
    assert weights(found, "shop") == {"a": 3, "b": 1}
    assert not found.out


def test_no_pool_is_left_without_a_source() -> None:
    found = outlets()
    found.take_out("shop", ["a"])
    assert not found.take_out("shop", ["a", "b"])
    assert not found.take_out("shop", ["c"])
    assert weights(found, "shop") == {"b": 1}


def test_an_order_to_a_pool_of_which_nothing_is_left_does_not_count() -> None:
    found = outlets()
    found.take_out("club", ["c"])
    assert weights(found, "club", BULK, "one") == {"a": 3, "b": 1}
    assert weights(found, "shop", BULK, "one") == {"c": 1}


def test_a_lane_asks_for_room_in_the_pool_that_is_left_too() -> None:
    """Else what may not leave from an open source would be pulled without end for one that is full."""
    found = outlets()
    assert [sorted(pool.weights) for pool in found.pools_of(BULK)] == [["a", "b"], ["a", "b", "c"]]
    found.take_out("shop", ["a"])
    assert [sorted(pool.weights) for pool in found.pools_of(BULK)] == [["b"], ["a", "b"], ["a", "b", "c"]]


def test_a_reload_keeps_out_what_is_out() -> None:
    before, after = outlets(), Outlets(SOURCES, {}, {"shop": ("default", "default")})
    before.take_out("shop", ["a"])
    before.take_out("club", ["b"])
    after.inherit(before)
    assert after.out == {"shop": frozenset("a")}
    assert weights(after, "shop") == {"b": 1, "c": 1}
