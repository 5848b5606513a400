from __future__ import annotations

import pytest

from engine.policy.duration import parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (60, 60.0),
        (1.5, 1.5),
        ("90", 90.0),
        ("60s", 60.0),
        ("5 minutes", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 1 Hour, 30 Min ", 5400.0),
        ("5d", 432000.0),
        ("0.5s", 0.5),
        ("366 days", 366 * 86400.0),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "5 fortnights",
        "1 month",
        "h",
        "1h 30",
        "-5",
        "1e9",
        "5m!",
        "!5m",
        "9" * 65,
        "367d",
        -1,
        10**9,
        float("nan"),
        float("inf"),
        True,
        None,
        [],
        b"5m",
    ],
)
def test_no_durations(value: object) -> None:
    with pytest.raises(ValueError, match="write seconds"):
        parse_duration(value)
