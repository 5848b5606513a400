"""Whatever happens to a window, it stays within its bounds and moves by one at most."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.policy.window import Window

_WINDOWS = st.builds(Window, st.integers(1, 50), st.integers(1, 50), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
_EVENTS = st.lists(st.sampled_from(["success", "idle success", "failure", "revive"]), max_size=300)


def _apply(window: Window, event: str) -> None:
    if event == "success":
        window.success()
    elif event == "idle success":
        window.success(busy=0)
    elif event == "failure":
        window.failure()
    else:
        window.revive()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200), st.integers(1, 50), st.sampled_from([0.0, 0.5, 1.0, 3.0]), _EVENTS)
def test_bounds_and_steps(limit: int, initial: int, cohorts: float, events: list[str]) -> None:
    window = Window(limit, initial, cohorts)
    for event in events:
        before = window.size
        _apply(window, event)
        after = window.size
        assert 0 <= after <= limit
        assert window.dead == (after == 0)
        if before == 0:
            assert after in {0, 1, min(initial, limit)}
        elif after == 0:
            assert event == "failure"
            assert cohorts > 0
        else:
            assert abs(after - before) <= 1
            assert (after > before) <= event.endswith("success")
            assert (after < before) <= (event == "failure")


@settings(max_examples=100, deadline=None)
@given(_WINDOWS, _EVENTS)
def test_success_for_long_opens_fully_and_one_failure_shrinks(window: Window, events: list[str]) -> None:
    for event in events:
        _apply(window, event)
    for _ in range(50 * 50):
        window.success()
    full = window.size
    window.success()
    assert window.size == full >= 1
    window.failure()
    assert window.size <= max(full - 1, 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 100), st.integers(1, 50))
def test_one_cohort_of_failures_is_enough(limit: int, initial: int) -> None:
    window = Window(limit, initial, 1.0)
    for _ in range(window.size):
        window.failure()
    assert window.dead
