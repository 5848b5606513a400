from __future__ import annotations

import pytest

from engine.policy.backoff import Ladder


def test_it_doubles_up_to_the_cap() -> None:
    ladder = Ladder(1200, 14400, jitter=0.0)
    assert [ladder.delay(n, 0.5) for n in range(6)] == [1200, 2400, 4800, 9600, 14400, 14400]


def test_any_count_is_answered() -> None:
    assert Ladder(1, 14400, jitter=0.0).delay(10**6, 0.0) == 14400


def test_jitter_only_shortens() -> None:
    ladder = Ladder(1000, 10000, jitter=0.2)
    assert ladder.delay(0, 0.0) == 1000
    assert ladder.delay(0, 0.5) == 900
    assert 800 < ladder.delay(0, 0.999) < 801


def test_steps_first_then_the_last_doubles() -> None:
    ladder = Ladder(1200, 14400, jitter=0.0, steps=(300, 600, 3600))
    assert [ladder.delay(n, 0.0) for n in range(6)] == [300, 600, 3600, 7200, 14400, 14400]


def test_a_step_is_capped_too() -> None:
    assert Ladder(1200, 500, jitter=0.0, steps=(600,)).delay(0, 0.0) == 500


def test_a_hint_brings_the_attempt_forward_and_never_before_the_told_time() -> None:
    ladder = Ladder(1200, 14400, jitter=0.2)
    assert ladder.delay(0, 0.0, 300.0) == 310
    assert ladder.delay(0, 0.5, 300.0) == pytest.approx(341)


def test_a_hint_may_put_it_off() -> None:
    assert Ladder(1200, 14400, jitter=0.0).delay(0, 0.0, 3600.0) == 3610


def test_a_hint_is_capped() -> None:
    assert Ladder(1200, 14400, jitter=0.0).delay(0, 0.0, 86400.0) == 14400


def test_a_server_that_always_says_at_once_is_not_obeyed_for_ever() -> None:
    ladder = Ladder(1200, 14400, jitter=0.0)
    assert [ladder.delay(n, 0.0, 1.0) for n in range(5)] == [60, 120, 240, 480, 960]


def test_the_floor_under_hints_is_never_above_the_ladder() -> None:
    assert Ladder(2, 3600, jitter=0.0).delay(0, 0.0, 1.0) == 11
    assert Ladder(20, 3600, jitter=0.0).delay(0, 0.0, 1.0) == 20
