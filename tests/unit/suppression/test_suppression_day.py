from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from suppression.day import begins, date_of, day_of, day_of_microseconds, number_of, within

JST = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-04-10T00:00:00+09:00", "2026-04-10"),
        ("2026-04-09T23:59:59.999999+09:00", "2026-04-09"),
        ("2026-04-09T15:00:00+00:00", "2026-04-10"),
        ("1970-01-01T00:00:00+00:00", "1970-01-01"),
        ("2028-02-29T12:00:00+09:00", "2028-02-29"),
    ],
)
def test_a_day_begins_at_midnight_in_japan(moment, day) -> None:
    at = datetime.fromisoformat(moment).timestamp()
    expected = number_of(date.fromisoformat(day))
    assert day_of(at) == day_of_microseconds(round(at * 1e6)) == expected
    assert date_of(expected) == date.fromisoformat(day)
    assert datetime.fromtimestamp(begins(expected), JST) == datetime.fromisoformat(day).replace(tzinfo=JST)
    assert day_of_microseconds(within(expected)) == expected
    assert within(expected) >= 0
