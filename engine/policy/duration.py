"""Durations as operators write them: 60, "60s", "5 minutes", "1h 30m", "5 days".

The same words serve configuration files and the hints inside replies. A number without a unit is seconds. Months and
years are refused: their length is nobody's agreement.
"""

from __future__ import annotations

import re
from typing import Final

SECONDS: Final = {
    "s": 1,
    "sec": 1,
    "secs": 1,
    "second": 1,
    "seconds": 1,
    "m": 60,
    "min": 60,
    "mins": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hr": 3600,
    "hrs": 3600,
    "hour": 3600,
    "hours": 3600,
    "d": 86400,
    "day": 86400,
    "days": 86400,
}
"""Unit word -> its seconds."""

_BARE: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([a-z]{1,7})[ ,]{0,2}")
REMEDY: Final = 'write seconds, or a text such as "90s", "5 minutes", "1h 30m", "5 days"'


def parse_duration(value: object) -> float:
    """Seconds. Raises ValueError, whose text is the remedy, for anything that is not a duration."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _bounded(value)
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError(REMEDY)
    text = value.strip().lower()
    return _bounded(float(text) if _BARE.fullmatch(text) else _sum_of_parts(text))


def _sum_of_parts(text: str) -> float:
    total, position = 0.0, 0
    while match := _PART.match(text, position):
        total += float(match[1]) * SECONDS.get(match[2], float("nan"))
        position = match.end()
    if position == 0 or position < len(text):
        raise ValueError(REMEDY)
    return total


def _bounded(seconds: float) -> float:
    # Compared this way round so that NaN, the mark of an unknown unit, is refused too.
    if not 0 <= seconds <= 366 * 86400:
        raise ValueError(REMEDY + ", at most 366 days")
    return float(seconds)
