"""Pool: how many connections, when, and what failure does to that. Connections are only counted here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from engine.net.pool import DEAD_SITE_PAUSE, LONGEST_PAUSE, Pool
from engine.policy.shaping import Limits
from engine.policy.throttle import Rate

FREE = Limits(max_connection_rate=None, connection_limit=4, initial_connection_limit=4)


@dataclass(eq=False)
class Line:
    idle_since: float | None = None


def opened(pool: Pool, count: int = 1, **kwargs: Any) -> list[Line]:
    lines = [Line(**kwargs) for _ in range(count)]
    pool.opening += count
    for line in lines:
        pool.opened(line)  # type: ignore[arg-type]
    return lines


@pytest.mark.parametrize(("waiting", "wanted"), [(0, 0), (1, 1), (10, 1), (11, 2), (1000, 4)])
def test_so_many_messages_justify_so_many_connections(waiting: int, wanted: int) -> None:
    assert Pool(FREE).assign(0.0, waiting) == (wanted, 0.0)


def test_what_is_open_or_being_opened_counts() -> None:
    pool = Pool(FREE)
    assert pool.assign(0.0, 1000) == (4, 0.0)
    assert pool.assign(0.0, 1000) == (0, 0.0)
    pool.opening = 0
    opened(pool, 3)
    assert pool.assign(0.0, 1000) == (1, 0.0)


def test_stuck_ones_justify_one_more_within_the_window() -> None:
    pool = Pool(FREE)
    opened(pool, 2)
    assert pool.assign(0.0, 1) == (0, 0.0)
    assert pool.assign(0.0, 1, stuck=True) == (1, 0.0)
    pool.opening = 0
    opened(pool, 2)
    assert pool.assign(0.0, 1, stuck=True) == (0, 0.0)


def test_connections_are_not_opened_faster_than_the_rate() -> None:
    pool = Pool(Limits(max_connection_rate=Rate(1, 1, 2), connection_limit=9, initial_connection_limit=9))
    count, wait = pool.assign(100.0, 1000)
    assert (count, 0.9 < wait < 1.1) == (2, True)
    assert pool.assign(100.0, 1000)[0] == 0
    assert pool.assign(100.0 + wait, 1000)[0] == 1


def test_a_refusal_rests_longer_each_time_up_to_a_bound() -> None:
    pool, now, rests = Pool(FREE), 0.0, []
    for _ in range(12):
        count, _ = pool.assign(now, 1000)
        assert count == (4 if not rests else 1), "one connection to try with"
        pool.opening = 1
        pool.refused(now, error="refused", pause_seconds=5.0)
        pool.window.revive()
        rests.append(pool.paused_until - now)
        assert pool.assign(now, 1000) == (0, rests[-1])
        now = pool.paused_until
    assert rests[:4] == [5.0, 10.0, 20.0, 40.0]
    assert rests[-1] == LONGEST_PAUSE
    assert (pool.last_error, pool.refused_total, pool.opening) == ("refused", 12, 0)


def test_a_pause_that_the_site_asked_for_is_kept_even_beyond_the_bound() -> None:
    pool = Pool(FREE)
    pool.opening = 1
    pool.refused(0.0, error="", pause_seconds=7200.0)
    assert pool.paused_until == 7200.0
    pool.pause(0.0, 5.0)
    assert pool.paused_until == 7200.0, "a shorter pause does not shorten"


def test_success_forgets_the_failures() -> None:
    pool = Pool(FREE)
    pool.opening = 1
    pool.refused(0.0, error="x", pause_seconds=1.0)
    opened(pool)
    assert pool.failures == 0
    assert pool.assign(1.0, 1000)[0] == pool.window.size - 1


def test_a_dead_site_rests_and_is_tried_with_one_connection() -> None:
    pool = Pool(FREE)
    while not pool.window.dead:
        pool.window.failure()
    assert pool.assign(0.0, 1000) == (0, DEAD_SITE_PAUSE)
    assert "failed in a row" in pool.last_error
    assert pool.assign(DEAD_SITE_PAUSE, 1000) == (1, 0.0)


def test_lost_and_idle_ones_are_known() -> None:
    pool = Pool(FREE)
    idle, busy = opened(pool, idle_since=1.0) + opened(pool)
    assert pool.idle() == [idle]
    pool.lost(idle)  # type: ignore[arg-type]
    pool.lost(busy)  # type: ignore[arg-type]
    assert (pool.connections, pool.opened_total, pool.closed_total) == (set(), 2, 2)


def test_another_server_is_not_held_to_what_this_one_refused() -> None:
    pool = Pool(FREE)
    for _ in range(3):
        pool.opening += 1
        pool.refused(0.0, error="CONNECT refused", pause_seconds=60.0)
    assert pool.assign(1.0, 100)[0] == 0
    pool.forget_refusals()
    assert (pool.failures, pool.last_error) == (0, "")
    assert pool.assign(1.0, 100)[0] > 0
    assert pool.knows_nothing(1.0) is True


def test_what_a_reply_asked_for_stays() -> None:
    pool = Pool(FREE)
    pool.opening += 1
    pool.refused(0.0, error="CONNECT refused", pause_seconds=60.0)
    pool.pause(0.0, 600.0)
    pool.forget_refusals()
    assert pool.paused_until == 600.0


def test_a_dead_site_is_tried_elsewhere_at_once() -> None:
    pool = Pool(FREE)
    pool.window.size = 0
    pool.forget_refusals()
    assert pool.assign(0.0, 100)[0] > 0
