"""The flow's plain integers: what was counted since the start, read by /metrics and /status.

Counting costs an addition; turning numbers into Prometheus families happens when somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.metrics import Buckets
from engine.spool.port import Outcome

FIRST_ATTEMPT_BOUNDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3600.0, 14400.0),
)
"""Seconds from acceptance (or not_before, if later) to the first attempt."""


@dataclass(slots=True)
class Counts:
    """Since this process started; `recovered` is what it found in the spool."""

    recovered: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    deferrals: int = 0
    attempts: int = 0
    in_doubt: int = 0
    """Attempts whose fate at the receiver is unknown (lost after the final dot)."""
    recovered_in_doubt: int = 0
    """Recipients that a crash left between sent and synced: the bound of its duplicates."""
    resent_in_doubt: int = 0
    """Deliveries of recipients that an earlier attempt may have reached: possible duplicates."""
    rechecked: int = 0
    suppressed_by_reason: dict[str, int] = field(default_factory=dict)
    replies_by_class: dict[str, int] = field(default_factory=dict)
    first_attempt: tuple[Buckets, Buckets] = field(
        default_factory=lambda: (Buckets(FIRST_ATTEMPT_BOUNDS), Buckets(FIRST_ATTEMPT_BOUNDS))
    )
    """By priority."""
    bytes_sent: int = 0


@dataclass(slots=True)
class PathCounts:
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    """Bounced, expired or cancelled after an attempt."""
    throttled: int = 0
    rate: float = 0.0
    """Attempts that ended, a second, over the last moments."""
    ended: int = 0
    deferred_in_a_row: int = 0

    def tick(self) -> None:
        """Each second."""
        ended = self.delivered + self.deferred + self.failed
        self.rate += (ended - self.ended - self.rate) * 0.2
        self.ended = ended

    def note(self, outcome: Outcome | None) -> None:
        if outcome is Outcome.DELIVERED:
            self.delivered += 1
            self.deferred_in_a_row = 0
        elif outcome is None:
            self.deferred += 1
            self.deferred_in_a_row += 1
        else:
            self.failed += 1
