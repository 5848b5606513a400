"""What automation has done to one path's limits, and how successes undo it: additive increase, step by step.

A change holds for its duration. Then it ends at once, or, where the rule names a way back, rises by successes, never by
the clock (Postfix's feedback): a step for each cohort of deliveries. Of a number a cohort is one (the procedure of
Google's 4.7.28: one connection, and one more for each success); of a rate it is what the rate lets through in a minute,
so that who sends at full pace rises a step a minute and who sends little as he sends, instead of doubling with each
step. A rule may name its cohort (`successes`). A new match begins anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from engine.policy.automation import Action, ActionKind, AutomationRule, Back
from engine.policy.limits import Limits
from engine.policy.throttle import Rate

RATE: Final = "max_message_rate"
_COHORT_SECONDS: Final = 60.0
_SLOWEST: Final = 1 / 3600


@dataclass(slots=True)
class Change:
    value: float
    until: float
    step: float
    """0.0: it ends with `until`."""
    rule: str
    successes: int = 0
    """Deliveries for one step; 0: one, of a rate what it lets through in a minute."""
    seen: int = 0
    """Since the last step."""

    def cohort(self, key: str) -> int:
        if self.successes:
            return self.successes
        return max(1, math.ceil(self.value * _COHORT_SECONDS)) if key == RATE else 1


class Brake:
    """One path's. `normal` is what its limits say, by key; a rate without limit is infinity."""

    __slots__ = ("_normal", "changes")

    def __init__(self, normal: dict[str, float]) -> None:
        self._normal: Final = normal
        self.changes: Final[dict[str, Change]] = {}

    def adopt(self, normal: dict[str, float]) -> None:
        """Other limits; what a rule has changed stays, below them."""
        self._normal.clear()
        self._normal.update(normal)

    def value(self, key: str) -> float:
        change = self.changes.get(key)
        return self._normal[key] if change is None else min(change.value, self._normal[key])

    def apply(self, rule: AutomationRule, action: Action, now: float) -> None:
        """SetConfig and ScaleConfig. With a way back for the same key it rises again, by the rule's steps."""
        value = action.value
        if action.kind is ActionKind.SCALE:
            current = self.value(action.key)
            value = (100.0 if math.isinf(current) else current) * action.value
        back = rule.back if rule.back and rule.back.key == action.key else None
        self._put(action.key, value, now + rule.duration, rule.name, back)

    def begin_back(self, rule: AutomationRule, until: float) -> None:
        """After a suspension that ends at `until`: what holds from then on."""
        if rule.back is not None:
            self._put(rule.back.key, rule.back.value, until, rule.name, rule.back)

    def _put(self, key: str, value: float, until: float, rule: str, back: Back | None) -> None:
        lowest = _SLOWEST if key == RATE else 1.0
        step, successes = (back.step, back.successes) if back else (0.0, 0)
        if math.isinf(self._normal[key]) and step:
            # No limit to rise to: what the site had before nobody knows, so the brake ends at a hundred a second.
            self._normal[key] = 100.0
        self.changes[key] = Change(max(value, lowest), until, step, rule, successes)

    def success(self, now: float) -> bool:
        """A delivery. Whether a limit has changed."""
        changed = False
        for key, change in list(self.changes.items()):
            if now < change.until or not change.step:
                continue
            change.seen += 1
            if change.seen < change.cohort(key):
                continue
            change.value += change.step
            change.seen = 0
            changed = True
            if change.value >= self._normal[key]:
                del self.changes[key]
        return changed

    def expire(self, now: float) -> bool:
        """Ends what has no way back and whose time is over. Whether a limit has changed."""
        over = [key for key, change in self.changes.items() if not change.step and now >= change.until]
        for key in over:
            del self.changes[key]
        return bool(over)


def normal_of(limits: Limits) -> dict[str, float]:
    """What a path's own limits say of what a brake may change."""
    rate = limits.max_message_rate
    return {
        "connection_limit": float(limits.connection_limit),
        "max_deliveries_per_connection": float(limits.max_deliveries_per_connection),
        RATE: rate.count / rate.seconds if rate else math.inf,
    }


def rate_of(per_second: float) -> Rate | None:
    """A throttle's form of a rate; infinity is none."""
    if math.isinf(per_second):
        return None
    return Rate(max(1, round(per_second * 3600)), 3600, max(1, math.ceil(per_second)))
