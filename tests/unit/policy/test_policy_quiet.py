from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from engine.policy.quiet import QuietHours, parse_quiet, rest_until, spread_until

TOKYO = ZoneInfo("Asia/Tokyo")
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = TOKYO) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-04-01T21:59:59", None),
        ("2026-04-01T22:00:00", "2026-04-02T07:00:00"),
        ("2026-04-01T23:59:59", "2026-04-02T07:00:00"),
        ("2026-04-02T00:00:00", "2026-04-02T07:00:00"),
        ("2026-04-02T06:59:59", "2026-04-02T07:00:00"),
        ("2026-04-02T07:00:00", None),
        ("2026-12-31T23:00:00", "2027-01-01T07:00:00"),
    ],
)
def test_over_midnight(now: str, until: str | None) -> None:
    quiet = parse_quiet("22:00-07:00 Asia/Tokyo")
    assert quiet.until(at(now)) == (at(until) if until else 0.0)


@pytest.mark.parametrize(("now", "inside"), [("11:59", False), ("12:00", True), ("12:59", True), ("13:00", False)])
def test_within_a_day(now: str, inside: bool) -> None:
    quiet = parse_quiet("12:00-13:00 Asia/Tokyo")
    assert bool(quiet.until(at(f"2026-04-01T{now}:00"))) is inside


def test_a_night_may_be_an_hour_shorter() -> None:
    quiet = parse_quiet("22:00-07:00 Europe/Berlin")
    begin = at("2026-03-28T22:00:00", BERLIN)
    assert quiet.until(begin) - begin == 8 * 3600


def test_as_text() -> None:
    assert str(parse_quiet("22:00-07:00 Asia/Tokyo")) == "22:00-07:00 Asia/Tokyo"
    assert parse_quiet("22:00-07:00 Asia/Tokyo") == parse_quiet("22:00-07:00 Asia/Tokyo")
    assert isinstance(parse_quiet("22:00-07:00 UTC"), QuietHours)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("22-7", 'write "22:00-07:00 Asia/Tokyo"'),
        ("22:00-07:00", 'write "22:00-07:00 Asia/Tokyo"'),
        ("24:00-07:00 Asia/Tokyo", "each time from 00:00 to 23:59"),
        ("07:00-07:00 Asia/Tokyo", "begin and end are the same"),
        ("22:00-07:00 Asia/Nyaan", "no time zone that this system knows"),
        ("22:00-07:00 Asia/", "no time zone that this system knows"),
    ],
)
def test_what_is_wrong(text: str, remedy: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_quiet(text)
    assert remedy in str(caught.value)


def test_spread_over_the_first_minutes_of_an_hour() -> None:
    hour = 3600.0 * 480000
    names = [f"d{n}.example" for n in range(200)]
    assert all(spread_until(hour + 59.9, 10, name) >= hour + 60 for name in names)
    starts = {name: spread_until(hour, 10, name) for name in names}
    assert all(hour + 60 <= start <= hour + 600 for start in starts.values())
    assert len({round(start) for start in starts.values()}) > 100
    for name, start in starts.items():
        assert spread_until(start - 0.1, 10, name) == start
        assert spread_until(start, 10, name) == 0.0
        assert spread_until(hour + 601, 10, name) == 0.0
    assert spread_until(hour, 0, "x") == 0.0
    assert spread_until(hour, 1, "x") == hour + 60


def test_the_night_before_the_hour() -> None:
    quiet = parse_quiet("22:00-07:00 Asia/Tokyo")
    now = at("2026-04-01T23:00:00")
    assert rest_until(now, quiet, 10, "x") == at("2026-04-02T07:00:00")
    assert rest_until(now, None, 10, "x") == spread_until(now, 10, "x") > now
    assert rest_until(now, None, 0, "x") == 0.0
