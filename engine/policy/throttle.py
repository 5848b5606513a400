"""How many a time: rates as text, and a throttle that keeps them.

The throttle is the generic cell rate algorithm: one number, the theoretical arrival time of the next grant, stands for
the whole history, so that it costs nothing while it waits and knows exactly when the next grant is due. Over any span
of t seconds it grants at most burst + t * rate. It never queues and never sleeps: whoever is refused is told how
long to stay away. The text form is KumoMTA's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from engine.policy.duration import SECONDS

_RATE: Final = re.compile(r"(?:local:)?([0-9][0-9,_]{0,14}) ?/ ?([a-z]{1,7})(?:, ?max_burst ?= ?([0-9]{1,10}))?")
_LARGEST: Final = 1_000_000_000
REMEDY: Final = 'write a rate such as "100/s", "100/min", "1,000/hour" or "10,000/day,max_burst=1"'


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` grants every `seconds`, of which `burst` may come at once."""

    count: int
    seconds: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Without max_burst a whole period's count may come at once, as in KumoMTA.

        "local:" is accepted, every throttle is local. Raises ValueError, whose text is the remedy.
        """
        match = _RATE.fullmatch(text.strip().lower()) if len(text) <= 64 else None
        if match is None or match[2] not in SECONDS:
            raise ValueError(REMEDY)
        count = int(match[1].replace(",", "").replace("_", ""))
        burst = count if match[3] is None else int(match[3])
        if not (1 <= count <= _LARGEST and 1 <= burst <= count):
            raise ValueError(f"write a count from 1 to {_LARGEST} and a max_burst from 1 to the count")
        return cls(count, SECONDS[match[2]], burst)

    def __str__(self) -> str:
        unit = {1: "s", 60: "min", 3600: "hour", 86400: "day"}[self.seconds]
        burst = "" if self.burst == self.count else f",max_burst={self.burst}"
        return f"{self.count}/{unit}{burst}"


class Throttle:
    """One rate's memory. `now` is seconds of any clock; where that steps back, the throttle's own time stands still
    for the step and goes on with it, so that nothing stalls and nothing is granted twice.
    """

    __slots__ = ("_arrival", "_interval", "_latest", "_tolerance", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate: Final = rate
        self._interval: Final = rate.seconds / rate.count
        self._tolerance: Final = (rate.burst - 1) * self._interval
        self._arrival = 0.0
        self._latest = 0.0

    def take(self, now: float) -> float:
        """0.0: granted. Else nothing was taken, and the answer is the seconds after which a grant is sure."""
        wait = self.peek(now)
        if wait == 0.0:
            self._arrival = max(self._arrival, now) + self._interval
        return wait

    def is_full(self, now: float) -> bool:
        """Nothing is owed any more: a new throttle would answer the same."""
        return self._arrival <= now

    def peek(self, now: float) -> float:
        """What take would answer, without taking."""
        if now < self._latest:
            self._arrival += now - self._latest
        self._latest = now
        ahead = self._arrival - self._tolerance - now
        # A microsecond more than asked: now + wait, rounded, must not fall short of the grant by one bit and spin.
        return 0.0 if ahead <= 0.0 else ahead + 1e-6
