"""Fifteen minutes of rates, whatever the clock and the counters do."""

from __future__ import annotations

from engine.page.series import SECONDS, Sample, Series


def sample(delivered: int = 0, queued: int = 0) -> Sample:
    return Sample(2 * delivered, delivered, 1, 0, 0, queued)


def test_rates_are_per_second_of_the_time_that_passed() -> None:
    series = Series()
    series.add(sample(0), 100.0)
    assert (series.last, series.points()) == (None, [])
    series.add(sample(10, 7), 101.0)
    series.add(sample(40, 8), 104.0)
    assert series.points() == [(101, 20.0, 10.0, 0.0, 0.0, 0.0, 7), (104, 20.0, 10.0, 0.0, 0.0, 0.0, 8)]
    assert series.last == series.points()[-1]


def test_two_samples_at_once_make_no_peak() -> None:
    series = Series()
    series.add(sample(0), 100.0)
    series.add(sample(1000), 100.01)
    assert series.points() == []
    series.add(sample(1000), 101.0)
    assert series.points()[0][2] == 1000.0


def test_a_counter_that_falls_is_no_negative_rate() -> None:
    series = Series()
    series.add(sample(50), 100.0)
    series.add(sample(0), 101.0)
    assert series.points()[0][1:4] == (0.0, 0.0, 0.0)


def test_the_ring_keeps_its_size() -> None:
    series = Series()
    for second in range(SECONDS + 100):
        series.add(sample(second), float(second))
    points = series.points()
    assert (len(points), points[0][0], points[-1][0]) == (SECONDS, 100, SECONDS + 99)
