"""A new address earns its name: how many messages a day a source may send, by the number of the day.

Past the schedule's last day a source is warm and has no budget any more. Days are calendar days of the schedule's zone
(receivers' daily views are, too, and nobody's counter starts at noon). What was used is counted when a message is given
to the source, so that a budget is never exceeded by what is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from engine.policy.quiet import parse_zone

LONGEST: Final = 365
KEYS: Final = frozenset({"start", "schedule", "zone", "provider"})


@dataclass(frozen=True, slots=True)
class Warmup:
    start: date
    """Day 1."""
    schedule: tuple[int, ...]
    """Messages of day 1, 2, ..."""
    zone: tzinfo
    providers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """A schedule for one provider, inside the whole one."""

    def day(self, now: float) -> int:
        """1 on the first day; below 1 before it."""
        return (datetime.fromtimestamp(now, self.zone).date() - self.start).days + 1

    def allowance(self, now: float, provider: str = "") -> int | None:
        """Messages of today, to the provider or in all; None: no limit. 0 before the first day."""
        schedule = self.providers.get(provider, ()) if provider else self.schedule
        day = self.day(now)
        if day < 1:
            return 0
        return schedule[day - 1] if day <= len(schedule) else None

    def midnight(self, now: float) -> float:
        """When the next day begins, Unix seconds."""
        today = datetime.fromtimestamp(now, self.zone).date()
        start = datetime(today.year, today.month, today.day, tzinfo=self.zone) + timedelta(days=1)
        return start.timestamp()


class Budget:
    """One source's day: what it has been given, in all ("") and by provider. `used` is kept across restarts."""

    __slots__ = ("day", "used", "warmup")

    def __init__(self, warmup: Warmup, day: int = 0, used: Mapping[str, int] | None = None) -> None:
        self.warmup: Final = warmup
        self.day = day
        self.used: dict[str, int] = dict(used or {})

    def left(self, now: float, provider: str = "") -> int | None:
        """What may still be given to it today for the provider; None: no limit."""
        self._turn(now)
        rest = [
            max(0, allowance - self.used.get(name, 0))
            for name in {"", provider}
            if (allowance := self.warmup.allowance(now, name)) is not None
        ]
        return min(rest) if rest else None

    def take(self, now: float, provider: str, count: int = 1) -> None:
        self._turn(now)
        for name in {"", provider} if provider in self.warmup.providers else {""}:
            self.used[name] = self.used.get(name, 0) + count

    def _turn(self, now: float) -> None:
        day = self.warmup.day(now)
        if day > self.day:  # a clock that goes back gives no second budget
            self.day = day
            self.used.clear()


def read_warmup(table: object) -> Warmup:
    """Raises ValueError with the remedy."""
    if not isinstance(table, Mapping) or not {"start", "schedule"} <= table.keys():
        raise ValueError('write {start = 2026-04-01, schedule = [50, 100, 200], zone = "Asia/Tokyo"}')
    odd = sorted(ascii(key)[:40] for key in table.keys() - KEYS)
    if odd:
        raise ValueError(f"unknown key {odd[0]}; known are {', '.join(sorted(KEYS))}")
    start, zone, providers = table["start"], table.get("zone", "Asia/Tokyo"), table.get("provider", {})
    if not isinstance(start, date) or isinstance(start, datetime):
        raise ValueError("start: write the first day as 2026-04-01, without quotes")
    if not isinstance(zone, str):
        raise ValueError('zone: write a time zone such as "Asia/Tokyo"')
    if not isinstance(providers, Mapping) or len(providers) > 100:
        raise ValueError("provider: write a table with a list for each provider")
    schedules = {str(name): _schedule(value) for name, value in providers.items()}
    return Warmup(start, _schedule(table["schedule"]), parse_zone(zone), schedules)


def _schedule(value: object) -> tuple[int, ...]:
    if (
        isinstance(value, list)
        and 0 < len(value) <= LONGEST
        and all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 10**9 for n in value)
    ):
        return tuple(value)
    raise ValueError(f"schedule: write the messages of each day, a list of 1 to {LONGEST} whole numbers from 1")
