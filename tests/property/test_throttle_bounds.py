"""Over any history the throttle grants at most burst + rate * t, and it wastes nothing that it could grant."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.policy.throttle import Rate, Throttle

_RATES = st.builds(
    lambda count, seconds, share: Rate(count, seconds, max(1, int(count * share))),
    st.integers(1, 5000),
    st.sampled_from([1, 60, 3600, 86400]),
    st.floats(0.0, 1.0),
)
_STEPS = st.lists(st.floats(-5.0, 60.0) | st.floats(0.0, 0.01) | st.just(0.0), min_size=1, max_size=120)


@settings(max_examples=150, deadline=None)
@given(_RATES, _STEPS, st.floats(0.0, 1e6))
def test_no_span_of_any_history_is_granted_more(rate: Rate, steps: list[float], start: float) -> None:
    throttle, now, elapsed, granted = Throttle(rate), start, 0.0, []
    for step in steps:
        now += step
        # Time as the throttle counts it: a step back of the clock is no time at all.
        elapsed += max(step, 0.0)
        if throttle.take(now) == 0.0:
            granted.append(elapsed)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            allowed = rate.burst + rate.count / rate.seconds * (granted[last] - granted[first])
            assert last - first + 1 <= allowed + 1e-6


@settings(max_examples=100, deadline=None)
@given(_RATES, st.integers(1, 300), st.floats(0.0, 1e6), st.lists(st.floats(0.0, 3600.0), max_size=5))
def test_who_waits_as_told_gets_the_rate_exactly(rate: Rate, count: int, start: float, backwards: list[float]) -> None:
    throttle, now, waited = Throttle(rate), start + 20_000.0, 0.0
    assert throttle.peek(now) == 0.0
    for index in range(count):
        if index < len(backwards):
            now -= backwards[index]
        wait = throttle.peek(now)
        now, waited = now + wait, waited + wait
        assert throttle.take(now) == 0.0
    owed = max(0, count - rate.burst) * rate.seconds / rate.count
    assert owed - 1e-5 * count <= waited <= owed + 1e-5 * count


@settings(max_examples=100, deadline=None)
@given(_RATES, _STEPS)
def test_a_refusal_changes_nothing(rate: Rate, steps: list[float]) -> None:
    asked, quiet, now = Throttle(rate), Throttle(rate), 100.0
    for step in steps:
        now += step
        asked.peek(now)
        answer = asked.take(now)
        if answer:
            assert asked.take(now) == answer
        assert quiet.take(now) == answer
