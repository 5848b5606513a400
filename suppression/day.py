"""Calendar days of the law: Japan's, counted from 1970-01-01.

The periods of 特定電子メール法 and 特定商取引法 are counted in calendar days (民法 140, 143条), and those are days in
Japan, wherever the machine stands. Japan has no daylight saving, so a day is arithmetic on the Unix time.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

_DAY: Final = 86_400
_JST: Final = 9 * 3_600
_FIRST: Final = date(1970, 1, 1)
LAST_DAY: Final = (date.max - _FIRST).days


def day_of(at: float) -> int:
    """Of a Unix time in seconds."""
    return int((at + _JST) // _DAY)


def day_of_microseconds(at: int) -> int:
    return (at + _JST * 1_000_000) // (_DAY * 1_000_000)


def begins(day: int) -> float:
    """Unix time of the midnight in Japan with which this day begins."""
    return float(day * _DAY - _JST)


def within(day: int) -> int:
    """Some time of this day, in microseconds, not before 1970."""
    return day * _DAY * 1_000_000


def number_of(day: date) -> int:
    return (day - _FIRST).days


def date_of(number: int) -> date:
    return _FIRST + timedelta(days=number)
