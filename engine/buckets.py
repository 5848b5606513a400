"""A histogram in plain integers, and the bounds that the engine's histograms have.

Whoever observes pays a bisection of a short tuple and two additions (0.15 microseconds); what a scrape makes of it is
made when somebody scrapes. Bounds are chosen where a decision lies: what is normal, what an alert asks for, what a
receiver's timeouts end. One thread observes, any may read: a reader may see a value in `counts` and not yet in `total`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

FIRST_ATTEMPT_BOUNDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3600.0, 14400.0),
)
"""Seconds from acceptance (or not_before, if later) to the first attempt."""
STAY_BOUNDS = (0.05, 0.25, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 259200.0, 432000.0)
"""Seconds from acceptance (or not_before) to the outcome: up to the five days that mail is tried as a rule."""
PHASE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Seconds of a round trip or more: from one on a loopback to the ten minutes that a receiver may take (the dot)."""
SYNC_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds of a commit or a sync: an NVMe takes one millisecond, a disk ten, one that fails seconds."""
LAG_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds that a timer of the event loop is late."""
BATCH_BOUNDS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128)
"""Signatures: eight at a time fill the multi-buffer library, a sheet of 64 with two keys asks for 128."""


class Buckets:
    """A histogram in plain integers. `observe` costs a bisection of a short tuple."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """Upper bound of the bucket that holds the q-quantile; infinity behind the last bound, 0.0 when empty."""
        wanted = q * self.count
        if not wanted:
            return 0.0
        seen = 0
        for count, bound in zip(self.counts, (*self.bounds, float("inf")), strict=True):
            seen += count
            if seen >= wanted:
                return bound
        return float("inf")

    def cumulative(self) -> list[tuple[str, float]]:
        seen = 0
        rows: list[tuple[str, float]] = []
        for count, bound in zip(self.counts, (*map(str, self.bounds), "+Inf"), strict=True):
            seen += count
            rows.append((bound, seen))
        return rows
