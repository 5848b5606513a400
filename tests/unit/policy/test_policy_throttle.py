from __future__ import annotations

import pytest

from engine.policy.throttle import Rate, Throttle


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", Rate(100, 1, 100)),
        ("100/sec", Rate(100, 1, 100)),
        ("100/min", Rate(100, 60, 100)),
        ("100/Minute", Rate(100, 60, 100)),
        ("20/m", Rate(20, 60, 20)),
        (" 7 / h ", Rate(7, 3600, 7)),
        ("1_000/hour", Rate(1000, 3600, 1000)),
        ("10,000/day,max_burst=1", Rate(10000, 86400, 1)),
        ("local:10,000/d, max_burst = 50", Rate(10000, 86400, 50)),
    ],
)
def test_rates_in_kumomtas_words(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100",
        "/s",
        "100/",
        "100/fortnight",
        "-1/s",
        "1.5/s",
        "100/s,burst=3",
        "100/s,max_burst=",
        "x100/s",
        "0/s",
        "100/s,max_burst=0",
        "100/s,max_burst=101",
        "2,000,000,000/s",
        "1" * 65 + "/s",
    ],
)
def test_no_rates(text: str) -> None:
    with pytest.raises(ValueError, match="write a "):
        Rate.parse(text)


@pytest.mark.parametrize("text", ["100/s", "100/min", "1000/hour", "10000/day,max_burst=1"])
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    assert str(Rate.parse(text)) == text


def test_the_burst_goes_at_once_and_then_one_by_one() -> None:
    throttle = Throttle(Rate(10, 1, 3))
    assert [throttle.take(5.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert throttle.take(5.0) == pytest.approx(0.1, abs=1e-5)
    assert throttle.take(5.05) == pytest.approx(0.05, abs=1e-5)
    assert throttle.take(5.11) == 0.0
    assert throttle.take(5.11) > 0.0


def test_after_the_wait_the_grant_is_sure() -> None:
    throttle = Throttle(Rate(7, 60, 1))
    now = 1e6 + 1 / 3
    for _ in range(200):
        assert throttle.take(now) == 0.0
        now += throttle.take(now)


def test_idle_time_saves_up_no_more_than_the_burst() -> None:
    throttle = Throttle(Rate(10, 1, 2))
    throttle.take(0.0)
    assert [throttle.take(1e6) == 0.0 for _ in range(3)] == [True, True, False]


def test_peek_takes_nothing() -> None:
    throttle = Throttle(Rate(1, 60, 1))
    assert throttle.peek(1.0) == throttle.peek(1.0) == throttle.take(1.0) == 0.0
    assert throttle.peek(1.0) == throttle.take(1.0) == pytest.approx(60.0, abs=1e-3)


def test_a_clock_that_steps_back_neither_grants_nor_stalls() -> None:
    throttle = Throttle(Rate(1, 1, 1))
    throttle.take(1000.0)
    assert throttle.take(10.0) == pytest.approx(1.0, abs=1e-3)
    assert throttle.take(10.5) == pytest.approx(0.5, abs=1e-3)
    assert throttle.take(11.1) == 0.0


def test_a_clock_that_steps_forward_gives_the_burst_and_no_more() -> None:
    throttle = Throttle(Rate(1, 1, 2))
    assert [throttle.take(now) == 0.0 for now in (0.0, 0.0, 0.0, 3600.0, 3600.0, 3600.0)] == [True, True, False] * 2


def test_a_full_throttle_owes_nothing() -> None:
    throttle = Throttle(Rate(2, 60, 2))
    assert throttle.is_full(1000.0)
    assert throttle.take(1000.0) == 0.0
    assert not throttle.is_full(1029.0)
    assert throttle.is_full(1030.0)
    for _ in range(2):
        throttle.take(1030.0)
    assert not throttle.is_full(1089.0)
    assert throttle.is_full(1090.0)
