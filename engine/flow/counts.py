"""The flow's plain integers: what was counted since the start, read by /metrics and /status.

Counting costs an addition; turning numbers into Prometheus families happens when somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.buckets import FIRST_ATTEMPT_BOUNDS, PHASE_BOUNDS, STAY_BOUNDS, Buckets
from engine.flow.remarks import Remarks
from engine.spool.port import Outcome


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
    stay_delivered: Buckets = field(default_factory=lambda: Buckets(STAY_BOUNDS))
    """Beside `stay`, because hashing an outcome costs as much as observing."""
    stay: dict[Outcome, Buckets] = field(default_factory=lambda: {outcome: Buckets(STAY_BOUNDS) for outcome in Outcome})
    transaction: Buckets = field(default_factory=lambda: Buckets(PHASE_BOUNDS))
    """From MAIL FROM to the reply that ended it. Pipelining begins the next one before the last is answered."""
    bytes_sent: int = 0
    remarks: Remarks = field(default_factory=Remarks)
    connections_opened: int = 0
    connections_refused: int = 0


class Tally:
    """What a label of a counter stands for: it never goes back, whatever becomes of the paths that count into it."""

    __slots__ = ("deferred", "delivered", "failed")

    def __init__(self) -> None:
        self.delivered = 0
        self.deferred = 0
        self.failed = 0

    @property
    def ended(self) -> int:
        return self.delivered + self.deferred + self.failed


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
    site: Tally = field(default_factory=Tally)
    """Counted into as well; flow/traffic.py says which they are."""
    provider: Tally = field(default_factory=Tally)

    def tick(self) -> None:
        """Each second."""
        ended = self.delivered + self.deferred + self.failed
        self.rate += (ended - self.ended - self.rate) * 0.2
        self.ended = ended

    def note(self, outcome: Outcome | None) -> None:
        if outcome is Outcome.DELIVERED:
            self.delivered += 1
            self.site.delivered += 1
            self.provider.delivered += 1
            self.deferred_in_a_row = 0
        elif outcome is None:
            self.deferred += 1
            self.site.deferred += 1
            self.provider.deferred += 1
            self.deferred_in_a_row += 1
        else:
            self.failed += 1
            self.site.failed += 1
            self.provider.failed += 1
