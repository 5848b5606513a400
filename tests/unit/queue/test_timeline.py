"""The timeline by example: order, out and back, parked lanes, counts, a clock that goes back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine.mail.envelope import Priority
from engine.queue.timeline import Timeline


@dataclass(frozen=True)
class Lane:
    domain: str
    priority: Priority = Priority.BULK


A, B, C = Lane("a.example"), Lane("b.example"), Lane("c.example")
FAST = Lane("a.example", Priority.TRANSACTIONAL)


def timeline():
    return Timeline("start")


def test_lanes_are_due_in_order():
    line = timeline()
    line.add(A, 1, 30)
    line.add(B, 1, 10)
    line.add(C, 1, 20)
    assert line.next_due() == 10
    assert line.pop_due(9) == []
    assert line.pop_due(25) == [B, C]
    assert line.next_due() == 30
    assert line.pop_due(30) == [A]
    assert line.next_due() is None


def test_transactional_lanes_go_first():
    line = timeline()
    line.add(A, 1, 1)
    line.add(FAST, 1, 5)
    assert line.next_due() == 1
    assert line.pop_due(5) == [FAST, A]


def test_limit_keeps_the_rest_due():
    line = timeline()
    for lane in (A, B, FAST):
        line.add(lane, 1, 1)
    assert line.pop_due(1, 2) == [FAST, A]
    assert line.pop_due(1, 2) == [B]
    assert line.pop_due(1, 0) == []


def test_lane_is_given_once_until_its_pull_is_told():
    line = timeline()
    line.add(A, 5, 1)
    assert line.pop_due(1) == [A]
    line.add(A, 1, 1)
    assert line.pop_due(9) == []
    assert line.next_due() is None
    line.pulled(A, 5, "five", None)
    assert (line.waiting(A), line.cursor(A)) == (1, "five")
    assert line.pop_due(9) == [A]
    line.pulled(A, 1, "six", None)
    assert (line.waiting(A), line.next_due()) == (0, None)


def test_next_due_is_the_earlier_of_told_and_added():
    line = timeline()
    line.add(A, 5, 1)
    line.pop_due(1)
    line.add(A, 1, 40)
    line.pulled(A, 1, "x", 20)
    assert line.next_due() == 20
    line.pop_due(20)
    line.add(A, 1, 40)
    line.pulled(A, 1, "x", 50)
    assert line.next_due() == 40


def test_earlier_mail_moves_a_lane_forward():
    line = timeline()
    line.add(A, 1, 50)
    line.add(A, 1, 10)
    line.add(A, 1, 30)
    assert line.pop_due(10) == [A]
    assert line.pop_due(50) == []


def test_put_back_keeps_counts_and_cursor():
    line = timeline()
    line.add(A, 3, 1)
    line.pop_due(1)
    line.pulled(A, 1, "one", 1)
    line.pop_due(1)
    line.put_back(A, 7)
    assert (line.waiting(A), line.cursor(A), line.next_due()) == (2, "one", 7)


def test_parked_lane_has_no_place():
    line = timeline()
    line.add(A, 1, 1)
    line.add(B, 1, 9)
    line.park(A)
    assert line.is_parked(A)
    line.add(A, 4, 0)
    assert line.next_due() == 9
    assert line.pop_due(9) == [B]
    assert line.waiting(A) == 5
    line.unpark(A)
    assert not line.is_parked(A)
    assert line.pop_due(9) == [A]


def test_lane_parked_while_out_comes_back_when_unparked():
    line = timeline()
    line.add(A, 2, 1)
    line.pop_due(1)
    line.park(A)
    line.pulled(A, 1, "x", 1)
    assert line.pop_due(5) == []
    line.unpark(A)
    assert line.pop_due(5) == [A]


def test_lane_unparked_while_out_is_not_given_twice():
    line = timeline()
    line.add(A, 2, 1)
    line.pop_due(1)
    line.park(A)
    line.unpark(A)
    line.add(A, 1, 1)
    assert line.pop_due(5) == []
    line.pulled(A, 1, "x", None)
    assert line.pop_due(5) == [A]


def test_parking_an_empty_or_unknown_lane_is_remembered():
    line = timeline()
    line.park(A)
    line.add(A, 1, 1)
    assert line.pop_due(1) == []
    line.unpark(A)
    line.unpark(B)
    assert line.pop_due(1) == [A]


def test_clock_that_goes_back_stops_nothing():
    line = timeline()
    line.add(A, 1, 100)
    line.pop_due(100)
    line.pulled(A, 1, "x", None)
    line.add(A, 1, 100)
    assert line.pop_due(100 - 3600) == [A]


def test_counts():
    line = timeline()
    assert (line.total(), len(line), list(line)) == (0, 0, [])
    assert (line.waiting(A), line.cursor(A), line.is_parked(A)) == (0, "start", False)
    line.add(A, 3, 1)
    line.add(FAST, 2, 1)
    line.add(B, 4, 1)
    line.add(C, 1, 1)
    line.remove(C, 1)
    assert line.total() == 9
    assert (len(line), list(line)) == (4, [A, FAST, B, C])


def test_pull_told_before_its_submit_is_below_zero_for_a_moment():
    line = timeline()
    line.add(A, 1, 1)
    line.pop_due(1)
    line.pulled(A, 3, "x", None)
    assert line.waiting(A) == -2
    line.add(A, 2, 1)
    assert line.total() == 0


def test_forgotten_lane_starts_anew():
    line = timeline()
    line.add(A, 1, 1)
    line.pop_due(1)
    line.pulled(A, 1, "x", None)
    line.forget(A)
    assert (len(line), line.cursor(A)) == (0, "start")
    line.add(A, 1, 3)
    assert line.pop_due(3) == [A]


def test_place_of_a_forgotten_lane_is_passed_over():
    line = timeline()
    line.add(A, 1, 1)
    line.remove(A, 1)
    line.forget(A)
    assert line.next_due() is None
    assert line.pop_due(5) == []


@pytest.mark.parametrize("waits", [1, 0])
def test_lane_in_use_is_not_forgotten(waits):
    line = timeline()
    line.add(A, 1, 1)
    if not waits:
        line.remove(A, 1)
        line.pop_due(1)
    with pytest.raises(AssertionError):
        line.forget(A)


def test_outdated_places_do_not_pile_up():
    line = timeline()
    line.add(B, 1, 5)
    for number in range(10_000):
        line.add(A, 1, 1_000_000)
        line.add(A, 1, number)
        line.pop_due(number)
        line.pulled(A, 1, number, 1_000_000)
    assert sum(len(order) for order in line._orders.values()) < 100
    assert line.pop_due(1_000_000) == [A]


def test_what_is_held_is_counted_as_it_changes():
    line = timeline()
    line.add(A, 5, 10)
    line.add(B, 2, 10)
    line.park(A)
    line.park(B, held=False)
    assert line.held() == 5
    line.park(A)
    line.add(A, 3, 11)
    line.remove(A, 1)
    assert (line.held(), line.total()) == (7, 9)
    line.pulled(A, 2, 1, None)
    line.park(B)
    assert line.held() == 7
    line.unpark(A)
    line.unpark(A)
    line.unpark(B)
    assert (line.held(), line.total()) == (0, 7)
