"""When bulk mail rests: quiet hours, and the full hour at which every sender's timer rings.

Both answer one question, from which moment on mail may go; who asks again then has waited for nothing else. Times of
day are of a named zone (zoneinfo); days change their length with it, so that the end is looked for on its calendar.
Transactional mail is not asked about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zlib import crc32
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_FORM: Final = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2}) ([A-Za-z][A-Za-z0-9_+/-]{0,63})")
REMEDY: Final = 'write "22:00-07:00 Asia/Tokyo"'


@dataclass(frozen=True, slots=True)
class QuietHours:
    begin: time
    end: time
    zone: tzinfo

    def until(self, now: float) -> float:
        """Unix seconds at which they end; 0.0 outside them."""
        local = datetime.fromtimestamp(now, self.zone)
        clock = local.time()
        over_midnight = self.begin > self.end
        inside = (clock >= self.begin or clock < self.end) if over_midnight else self.begin <= clock < self.end
        if not inside:
            return 0.0
        day = local.date() + timedelta(days=1 if over_midnight and clock >= self.begin else 0)
        return datetime.combine(day, self.end, self.zone).timestamp()

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M} {self.zone}"


def parse_quiet(text: str) -> QuietHours:
    """Raises ValueError, whose text is the remedy."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(REMEDY)
    try:
        begin, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    except ValueError:
        raise ValueError(REMEDY + ", each time from 00:00 to 23:59") from None
    if begin == end:
        raise ValueError("begin and end are the same; leave it out for no rest")
    return QuietHours(begin, end, parse_zone(match[5]))


@lru_cache(maxsize=64)
def parse_zone(name: str) -> tzinfo:
    """Reads the system's zone table once a name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name[:64]!a} is no time zone that this system knows; write one such as Asia/Tokyo"
        ) from None


def spread_until(now: float, minutes: int, who: str) -> float:
    """0.0, or when the mail of `who` may go on: in minute :00 nobody's may, and then each has its own moment within
    the first `minutes` of the hour, the same every hour.
    """
    if not minutes:
        return 0.0
    into = now % 3600.0
    share = crc32(who.encode("utf-8", "replace")) / 2**32
    own = 60.0 + int(share * (minutes - 1) * 60.0)
    return 0.0 if into >= own else now - into + own


def rest_until(now: float, quiet: QuietHours | None, minutes: int, who: str) -> float:
    """Unix seconds until which bulk mail rests; 0.0: it may go."""
    until = quiet.until(now) if quiet else 0.0
    return until or spread_until(now, minutes, who)
