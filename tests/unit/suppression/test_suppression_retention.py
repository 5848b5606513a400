"""施行規則 4条2項 and 特定商取引法施行規則 30条2項, vector by vector, and what must hold for any days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.retention import OPEN, Facts, Rule, components, end_after, end_counting, keep_until

LAST = date(2026, 4, 10)
ORDER = date(2026, 5, 1)
ENDED = date(2020, 1, 1)


def day(text: str) -> date:
    return date.fromisoformat(text)


def kept(*sends: str, orders: tuple[str, ...] = (), mail_order: tuple[str, ...] = ()) -> str:
    """With the whole history known, nobody relying on it any more, and without a margin."""
    facts = Facts(
        [day(send) for send in sends],
        [day(send) for send in mail_order],
        is_complete=True,
        decided=ENDED,
        orders=[day(order) for order in orders],
    )
    return keep_until(facts, 0).isoformat()


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-04-10", "2026-05-09"),
        ("2026-01-31", "2026-02-28"),
        ("2026-01-30", "2026-02-28"),
        ("2026-01-29", "2026-02-28"),
        ("2026-01-28", "2026-02-27"),
        ("2028-01-31", "2028-02-29"),
        ("2028-01-30", "2028-02-29"),
        ("2028-01-29", "2028-02-28"),
        ("2026-01-01", "2026-01-31"),
        ("2026-02-01", "2026-02-28"),
        ("2026-03-31", "2026-04-30"),
        ("2026-12-10", "2027-01-09"),
        ("9999-12-10", "9999-12-31"),
    ],
)
def test_a_month_counts_the_day_of_the_send(first: str, last: str) -> None:
    assert end_counting(day(first), months=1).isoformat() == last
    assert kept(first) == last


@pytest.mark.parametrize(
    ("sends", "orders", "until"),
    [
        (["2026-04-10"], ["2026-05-01"], "2027-04-09"),  # ロ
        (["2026-04-10"], ["2026-05-09"], "2027-04-09"),  # ロ, its last day
        (["2026-04-10"], ["2026-05-10"], "2026-05-09"),  # a day too late
        (["2026-04-10"], ["2026-06-01"], "2026-05-09"),
        (["2026-04-10", "2026-09-01"], ["2026-05-01"], "2027-08-31"),  # イ
        (["2026-04-10", "2027-04-20", "2027-12-01"], ["2026-05-01"], "2028-04-19"),  # イ, the last send outside of it
        (["2026-05-01"], ["2026-05-01"], "2027-04-30"),  # on the day of the order
        (["2027-05-01"], ["2026-05-01"], "2028-04-30"),  # last day of the year after the order, counted widely
        (["2027-05-02"], ["2026-05-01"], "2027-06-01"),
        (["2026-04-10"], ["2026-06-01", "2026-05-01"], "2027-04-09"),
        (["2028-02-29"], ["2028-02-29"], "2029-02-28"),
        (["2027-02-28"], ["2027-02-28"], "2028-02-27"),
    ],
)
def test_orders(sends: list[str], orders: list[str], until: str) -> None:
    assert kept(*sends, orders=tuple(orders)) == until


@pytest.mark.parametrize(
    ("sent", "until"),
    [
        ("2026-04-10", "2029-04-10"),
        ("2028-02-29", "2031-02-28"),
        ("2025-02-28", "2028-02-28"),
        ("9998-01-01", "9999-12-31"),
    ],
)
def test_mail_order_is_kept_for_three_years_not_counting_the_day(sent: str, until: str) -> None:
    assert end_after(day(sent), 3).isoformat() == until
    assert kept(mail_order=(sent,)) == until


def test_without_a_send_it_is_kept_until_the_decision() -> None:
    assert keep_until(Facts(decided=LAST), 0) == LAST
    assert keep_until(Facts()) == OPEN


def test_the_margin_is_added_to_the_day_and_not_to_what_has_no_end() -> None:
    assert keep_until(Facts([LAST], decided=LAST)) == day("2026-05-16")
    assert keep_until(Facts([LAST], decided=LAST), 30) == day("2026-06-08")
    assert keep_until(Facts([LAST])) == OPEN
    assert keep_until(Facts(decided=OPEN - timedelta(3)), 7) == OPEN


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (Facts([LAST]), Rule.IN_FORCE),
        (Facts([LAST], decided=LAST, is_queued=True), Rule.QUEUED),
        (Facts([LAST], decided=LAST, is_frozen=True), Rule.FROZEN),
        (Facts([LAST], decided=LAST, hold=OPEN), Rule.HOLD),
    ],
)
def test_what_keeps_without_end(facts: Facts, rule: Rule) -> None:
    longest = components(facts)[0]
    assert (longest.rule, longest.until, keep_until(facts)) == (rule, OPEN, OPEN)


def test_a_hold_with_an_end_keeps_until_then() -> None:
    assert keep_until(Facts([LAST], decided=LAST, hold=date(2030, 1, 1)), 0) == date(2030, 1, 1)


def test_the_reasons_say_what_they_count_from() -> None:
    facts = Facts([LAST, date(2026, 9, 1)], [LAST], is_complete=True, decided=ENDED, orders=[ORDER])
    told = [(found.rule, found.counted_from, found.until, found.order) for found in components(facts)]
    assert told == [
        (Rule.MAIL_ORDER, LAST, date(2029, 4, 10), None),
        (Rule.ORDER_WITHIN, date(2026, 9, 1), date(2027, 8, 31), ORDER),
        (Rule.ORDER_SOON, LAST, date(2027, 4, 9), ORDER),
        (Rule.MONTH, date(2026, 9, 1), date(2026, 9, 30), None),
    ]


def test_of_an_unknown_history_the_worst_is_presumed() -> None:
    only_last = Facts([date(2027, 12, 1)], decided=ENDED, orders=[ORDER])
    assert keep_until(only_last, 0) == date(2028, 4, 30), "a send on the last day of the order's year"
    since = Facts([date(2027, 12, 1)], decided=ENDED, orders=[ORDER], since=date(2027, 6, 1))
    assert keep_until(since, 0) == date(2027, 12, 31), "the consent is younger than that"


days = st.dates(date(2020, 1, 1), date(2040, 12, 31))
histories = st.lists(days, min_size=1, max_size=6)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    return Facts(
        draw(st.lists(days, max_size=5)),
        draw(st.lists(days, max_size=3)),
        is_complete=draw(st.booleans()),
        decided=draw(days),
        orders=draw(st.lists(days, max_size=3)),
        hold=draw(st.none() | days),
    )


@given(facts(), days)
def test_one_more_send_order_or_margin_never_shortens(known: Facts, more: date) -> None:
    def with_(**changes: object) -> Facts:
        fields = {name: getattr(known, name) for name in Facts.__slots__}
        return Facts(**{**fields, **changes})

    before = keep_until(known, 0)
    if known.sends or known.mail_order:  # else it was kept until the decision only
        assert keep_until(with_(sends=[*known.sends, more]), 0) >= before
        assert keep_until(with_(mail_order=[*known.mail_order, more]), 0) >= before
    assert keep_until(with_(orders=[*known.orders, more]), 0) >= before
    assert keep_until(known, 7) >= before
    assert all(keep_until(known, 0) >= found.until for found in components(known))


@given(histories, st.lists(days, max_size=3), st.integers(0, 40))
def test_the_last_day_alone_even_overstated_never_keeps_shorter_than_the_whole_history(
    history: list[date], orders: list[date], overstated: int
) -> None:
    whole = Facts(history, is_complete=True, decided=ENDED, orders=orders)
    last = Facts([max(history) + timedelta(overstated)], decided=ENDED, orders=orders, since=min(history))
    assert keep_until(last, 0) >= keep_until(whole, 0)


@given(days, st.integers(1, 36))
def test_a_period_that_counts_its_first_day_ends_before_one_that_does_not(first: date, months: int) -> None:
    counted = end_counting(first, months=months)
    assert first < counted
    if months % 12 == 0:
        assert end_after(first, months // 12) - counted in (timedelta(0), timedelta(1))
