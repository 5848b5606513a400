"""Lots of a canary: even, the same for ever, and not to be foreseen."""

from __future__ import annotations

import itertools

import pytest

from engine.policy.lot import SLACK, Lots, share_of

LOTS = Lots(b"secret of the engine")


def test_lots_are_even_and_neighbours_have_nothing_to_do_with_each_other() -> None:
    lots = [LOTS.lot(number) for number in range(100_000)]
    assert all(0.0 <= lot < 1.0 for lot in lots)
    tenths = [sum(int(lot * 10) == tenth for lot in lots) for tenth in range(10)]
    assert all(9_500 < count < 10_500 for count in tenths), tenths
    rising = sum(one < other for one, other in itertools.pairwise(lots))
    assert 49_000 < rising < 51_000


def test_a_lot_follows_from_recipient_and_secret_alone() -> None:
    largest = (1 << 63) - 1
    assert LOTS.lot(largest) == Lots(b"secret of the engine").lot(largest)
    assert LOTS.lot(1) != Lots(b"another secret").lot(1)


@pytest.mark.parametrize(
    ("size", "known", "before", "share"),
    [
        (500, 1_000_000, 0.0, SLACK * 500 / 1_000_000),
        (500, 500, 0.0, 1.0),
        (500, 0, 0.0, 1.0),
        (500, 1_000_000, 0.1, 0.2),
        (500, 1000, 0.7, 1.0),
    ],
)
def test_the_share_that_is_wanted(size, known, before, share) -> None:
    assert share_of(size, known, before) == share
