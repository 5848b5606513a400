"""The last fifteen minutes of the engine as rates, one point a second, in a ring of fixed size.

Points are made from counters that only grow. Pure: the time is an argument. A second that came late is divided by the
time that it took, so that a stalled event loop shows as a gap and not as a peak.
"""

from __future__ import annotations

from collections import deque
from dataclasses import astuple, dataclass

SECONDS = 900
SHORTEST = 0.05
"""Below this many seconds between two samples a rate says nothing."""

Point = tuple[int, float, float, float, float, float, int]
"""Unix second; accepted, delivered, deferred, failed, suppressed a second; recipients without an outcome."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters since the start, and one level."""

    accepted: int
    delivered: int
    deferred: int
    failed: int
    """Bounced or expired."""
    suppressed: int
    queued: int


class Series:
    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=SECONDS)
        self._last: tuple[float, tuple[int, ...]] | None = None

    def add(self, sample: Sample, now: float) -> None:
        *counters, queued = astuple(sample)
        before, self._last = self._last, (now, tuple(counters))
        if before is None:
            return
        took = now - before[0]
        if took < SHORTEST:
            self._last = before
            return
        rates = [round(max(0, value - old) / took, 1) for value, old in zip(counters, before[1], strict=True)]
        accepted, delivered, deferred, failed, suppressed = rates
        self._points.append((int(now), accepted, delivered, deferred, failed, suppressed, queued))

    @property
    def last(self) -> Point | None:
        return self._points[-1] if self._points else None

    def points(self) -> list[Point]:
        """The oldest first."""
        return list(self._points)
