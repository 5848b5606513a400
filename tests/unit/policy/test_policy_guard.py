"""Rates, the canary's test, complaints and waves: when enough is too much."""

from __future__ import annotations

from dataclasses import fields

import pytest

from engine.policy.classify import Class
from engine.policy.guard import (
    MARKS,
    MOST_OPT_OUTS,
    RECENT,
    Daily,
    GuardSettings,
    Passing,
    Tally,
    Verdict,
    Wave,
    is_mass_opt_out,
    is_unknown_user,
    judge_canary,
    judge_complaints,
    judge_unknown,
)
from engine.smtp.event import Phase

DEFAULT = GuardSettings()


def test_every_threshold_says_how_sure_it_is() -> None:
    assert MARKS.keys() == {field.name for field in fields(GuardSettings)} - {"enabled"}
    assert set(MARKS.values()) <= {"documented", "custom", "guess"}
    assert DEFAULT.unknown_warn == 0.02
    assert DEFAULT.unknown_pause == 0.045
    assert DEFAULT.unknown_abort == 0.10
    assert (DEFAULT.complaint_warn, DEFAULT.complaint_pause) == (0.001, 0.003)


@pytest.mark.parametrize(
    "fields", [{"unknown_warn": 0.05}, {"unknown_pause": 0.1}, {"canary_good": 0.05}, {"complaint_warn": 0.003}]
)
def test_thresholds_out_of_order_are_refused(fields) -> None:
    with pytest.raises(ValueError, match="must be below"):
        GuardSettings(**fields)


@pytest.mark.parametrize(
    ("replies", "unknown", "verdict"),
    [
        (199, 199, Verdict.CLEAR),
        (200, 3, Verdict.CLEAR),
        (200, 4, Verdict.WARN),
        (200, 8, Verdict.WARN),
        (200, 9, Verdict.PAUSE),
        (200, 19, Verdict.PAUSE),
        (200, 20, Verdict.ABORT),
        (10_000, 199, Verdict.CLEAR),
        (10_000, 200, Verdict.WARN),
    ],
)
def test_unknown_users_are_judged_from_two_hundred_replies_on(replies, unknown, verdict) -> None:
    assert judge_unknown(Tally(replies, unknown), DEFAULT) is verdict


def test_the_bad_end_of_a_long_list_does_not_hide_behind_its_beginning() -> None:
    tally = Tally()
    for _ in range(200_000):
        tally.note(unknown=False)
    assert tally.replies < RECENT
    for number in range(2000):
        tally.note(unknown=number % 5 == 0)
    assert judge_unknown(tally, DEFAULT) is Verdict.WARN
    assert Tally().share == 0.0


def test_only_an_unknown_user_at_rcpt_counts() -> None:
    assert is_unknown_user(Class.UNKNOWN_USER, Phase.RCPT)
    assert not is_unknown_user(Class.UNKNOWN_USER, Phase.DOT)
    assert not is_unknown_user(Class.FILTERED, Phase.RCPT)
    assert not is_unknown_user(None, Phase.RCPT)


def judged(replies: str, settings: GuardSettings = DEFAULT) -> tuple[Passing, int]:
    """`replies`: one letter each, x unknown."""
    unknown = 0
    for number, reply in enumerate(replies, 1):
        unknown += reply == "x"
        found = judge_canary(number, unknown, settings)
        if found is not Passing.OPEN:
            return found, number
    return Passing.OPEN, len(replies)


def test_a_clean_canary_passes_after_a_hundred() -> None:
    assert judged("." * 500) == (Passing.GOOD, 100)


def test_a_bad_canary_fails_early() -> None:
    assert judged("xx" + "." * 10) == (Passing.BAD, 2)
    found, after = judged(("x" + "." * 11) * 50)
    assert found is Passing.BAD
    assert after < 100


def test_a_list_at_the_good_share_passes_and_one_at_the_bad_share_fails() -> None:
    assert judged(("." * 99 + "x") * 5)[0] is Passing.GOOD
    assert judged(("." * 19 + "x") * 25)[0] is Passing.BAD


def test_at_the_end_of_the_sample_the_likelier_decides() -> None:
    small = GuardSettings(canary=20)
    assert judge_canary(20, 0, small) is Passing.GOOD
    assert judge_canary(19, 0, small) is Passing.OPEN
    assert judge_canary(20, 1, small) is Passing.BAD
    assert judged("." * 60, GuardSettings(canary=60)) == (Passing.GOOD, 60)


def test_complaints_are_judged_on_a_day_that_has_enough() -> None:
    daily = Daily(day=10, delivered=999, complaints=99)
    assert judge_complaints(daily, DEFAULT) is Verdict.CLEAR
    daily.delivered = 10_000
    daily.complaints = 2
    assert judge_complaints(daily, DEFAULT) is Verdict.CLEAR
    for complaints, verdict in ((9, Verdict.CLEAR), (10, Verdict.WARN), (29, Verdict.WARN), (30, Verdict.PAUSE)):
        daily.complaints = complaints
        assert judge_complaints(daily, DEFAULT) is verdict
    assert Daily().share == 0.0


def test_today_s_complaints_may_be_about_yesterday_s_mail() -> None:
    daily = Daily(day=10, delivered=5000, complaints=4, verdict=Verdict.WARN)
    daily.turn(10)
    assert daily.complaints == 4
    daily.turn(11)
    assert daily == Daily(day=11, before=5000)
    assert daily.base == 5000
    daily.turn(13)
    assert daily == Daily(day=13)


def test_whoever_looked_counts_anew_on_what_was_delivered() -> None:
    daily = Daily(day=10, delivered=4000, complaints=40, before=3000, verdict=Verdict.PAUSE)
    daily.renew()
    assert daily == Daily(day=10, before=4000)
    daily.complaints = 11
    assert judge_complaints(daily, DEFAULT) is Verdict.WARN
    daily.complaints = 12
    assert judge_complaints(daily, DEFAULT) is Verdict.PAUSE


def test_a_wave_is_what_came_within_the_time() -> None:
    wave = Wave()
    assert [wave.note(now, 60.0) for now in (0.0, 10.0, 59.9, 60.0, 71.0)] == [1, 2, 3, 3, 3]
    assert wave.times.maxlen == MOST_OPT_OUTS


def test_a_mass_opt_out_is_a_share_of_enough_deliveries() -> None:
    assert is_mass_opt_out(20, 1000, DEFAULT)
    assert not is_mass_opt_out(19, 1000, DEFAULT)
    assert not is_mass_opt_out(500, 999, DEFAULT)
    assert not is_mass_opt_out(1000, 1000, GuardSettings(optout_share=0.0))
    assert not is_mass_opt_out(1, 0, DEFAULT)
