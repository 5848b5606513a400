from __future__ import annotations

from engine.policy.window import Window


def _repeat(count: int, call: object) -> None:
    assert callable(call)
    for _ in range(count):
        call()


def test_slow_open_a_cohort_of_successes_adds_one() -> None:
    window = Window(10, initial=2)
    window.success()
    assert window.size == 2
    window.success()
    assert window.size == 3
    _repeat(2, window.success)
    assert window.size == 3
    window.success()
    assert window.size == 4


def test_never_over_the_limit() -> None:
    window = Window(4, initial=9)
    assert window.size == 4
    _repeat(100, window.success)
    assert window.size == 4


def test_an_unused_window_does_not_grow() -> None:
    window = Window(10, initial=2)
    _repeat(100, lambda: window.success(busy=1))
    assert window.size == 3
    _repeat(100, lambda: window.success(busy=5))
    assert window.size == 7


def test_the_first_failure_of_a_cohort_shrinks_at_once_the_others_do_not() -> None:
    window = Window(10, initial=5, failed_cohorts=0)
    window.failure()
    assert window.size == 4
    _repeat(3, window.failure)
    assert window.size == 4
    _repeat(2, window.failure)
    assert window.size == 3


def test_a_failure_undoes_the_successes_counted_so_far() -> None:
    window = Window(10, initial=4)
    _repeat(3, window.success)
    window.failure()
    assert window.size == 3
    _repeat(2, window.success)
    assert window.size == 3
    window.success()
    assert window.size == 4


def test_one_stays_open_when_sites_never_die() -> None:
    window = Window(3, failed_cohorts=0)
    _repeat(100, window.failure)
    assert (window.size, window.dead) == (1, False)


def test_a_cohort_of_failures_is_death() -> None:
    window = Window(5, initial=5)
    _repeat(4, window.failure)
    assert not window.dead
    window.failure()
    assert (window.size, window.dead) == (0, True)
    window.failure()
    assert window.size == 0


def test_a_success_between_saves() -> None:
    window = Window(5, initial=5)
    for _ in range(50):
        _repeat(2, window.failure)
        window.success()
    assert not window.dead


def test_more_cohorts_more_patience() -> None:
    window = Window(1, failed_cohorts=3)
    _repeat(2, window.failure)
    assert not window.dead
    window.failure()
    assert window.dead


def test_the_dead_get_one_try() -> None:
    window = Window(10, initial=5)
    _repeat(9, window.failure)
    window.revive()
    assert (window.size, window.dead) == (1, False)
    window.failure()
    assert window.dead
    window.revive()
    window.success()
    assert window.size == 2


def test_a_late_success_wakes_the_dead() -> None:
    window = Window(10, initial=5)
    _repeat(9, window.failure)
    window.success()
    assert window.size == 5


def test_the_living_need_no_revival() -> None:
    window = Window(10, initial=5)
    window.revive()
    assert window.size == 5


def test_slower_shrinks_and_never_kills() -> None:
    window = Window(10, 10)
    for _ in range(500):
        window.slower()
    assert (window.size, window.dead) == (1, False)


def test_slower_leaves_a_dead_site_dead() -> None:
    window = Window(1, 1)
    window.failure()
    window.slower()
    assert window.dead
