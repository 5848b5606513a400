"""When the next attempt is due: a ladder that doubles, is capped and jittered, and listens to the receiver.

RFC 5321 4.5.4.1 asks for retries that space out; receivers that greylist say when to come back ("try again in 300
seconds"), and coming when told delivers hours earlier. A hint may shorten the wait but never below a floor that
doubles as well, so that a server that always says "1 second" is not obeyed for ever. When to give up is not decided
here: that is the message's expiry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_HINT_FLOOR: Final = 60.0
_HINT_MARGIN: Final = 10.0
"""A greylist that opens after 300 seconds refuses at 299.9."""


class Ladder:
    """Times in seconds. `steps`, where given, are the first delays; after them the last one doubles."""

    __slots__ = ("_cap", "_jitter", "_steps")

    def __init__(
        self,
        retry_interval: float = 1200.0,
        max_retry_interval: float = 14400.0,
        jitter: float = 0.2,
        steps: Sequence[float] = (),
    ) -> None:
        self._steps: Final = tuple(steps) or (retry_interval,)
        self._cap: Final = max_retry_interval
        self._jitter: Final = jitter

    def delay(self, attempt: int, u: float, hint_seconds: float | None = None) -> float:
        """Seconds from attempt number `attempt` (0 is the first) to the next one; `u` in [0, 1) is the caller's die.

        Without a hint: at most max_retry_interval, at least (1 - jitter) of the rung. Jitter only shortens: capped
        retries of a million recipients must not meet at the cap.
        """
        rung = self._rung(attempt)
        if hint_seconds is None:
            return rung * (1.0 - self._jitter * u)
        floor = min(_HINT_FLOOR * 2.0 ** min(attempt, 20), rung)
        told = min(max(hint_seconds + _HINT_MARGIN, floor), self._cap)
        # Never before the told time, so here jitter lengthens.
        return told * (1.0 + self._jitter * u)

    def _rung(self, attempt: int) -> float:
        steps = self._steps
        if attempt < len(steps):
            return min(steps[attempt], self._cap)
        # 2 ** 20 rungs of a second are twelve days: beyond any cap, and no overflow whatever the count.
        return min(steps[-1] * 2.0 ** min(attempt - len(steps) + 1, 20), self._cap)
