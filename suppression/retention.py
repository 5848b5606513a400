"""Until when a consent's record must be kept: 特定電子メール法施行規則 4条2項, 特定商取引法施行規則 30条2項.

Days are calendar days in Japan. Periods end as 民法 140条 and 143条 say: counted from the first day itself where the
ordinance says 起算して, else from the day after it. Where only the last of several sends is known, the answer is the
latest one that any earlier sends could give: too long is allowed, too short is not. Pure: dates in, dates out. It
refuses to know whether somebody still relies on the consent; who asks says so.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

OPEN: Final = date.max
"""No end can be named yet."""
MARGIN_DAYS: Final = 7
"""Kept longer than the law asks, against mistakes of ours. A guess: configurable."""
MONTHS: Final = 1
"""施行規則 4条2項2号本文 「一月」"""
ORDER_YEARS: Final = 1
"""施行規則 4条2項2号イ・ロ 「一年」"""
MAIL_ORDER_YEARS: Final = 3
"""特定商取引法施行規則 30条2項 「三年間」"""


class Rule(StrEnum):
    """Which sentence asks for how long."""

    UNSENT = "UNSENT"
    """4条2項1号: nothing was sent, until the day on which it was decided to send nothing."""
    MONTH = "MONTH"
    """4条2項2号本文: a month, counting the day of the last send."""
    ORDER_WITHIN = "ORDER_WITHIN"
    """4条2項2号イ: sent within a year of an order, a year from the last such send."""
    ORDER_SOON = "ORDER_SOON"
    """4条2項2号ロ: the order came within a month of the last send, a year from that send."""
    MAIL_ORDER = "MAIL_ORDER"
    """特定商取引法施行規則 30条2項: three years after the last mail-order advertisement, its day not counted."""
    IN_FORCE = "IN_FORCE"
    """The sender still relies on the consent: it may send again."""
    QUEUED = "QUEUED"
    """A message to this address is waiting in the queue."""
    FROZEN = "FROZEN"
    """An order against the sender stands: nothing of this sender's is purged until it is released."""
    HOLD = "HOLD"
    """Kept for a proceeding, by the operator's word."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one consent of one address towards one sender."""

    sends: Sequence[date] = ()
    """Days on which advertising was sent under it, in any order."""
    mail_order: Sequence[date] = ()
    """Those on which it was mail-order advertising."""
    is_complete: bool = False
    """False: of `sends` only the last counts for certain, and others may have been before it."""
    since: date = date.min
    """Day of the consent: no send was earlier."""
    decided: date | None = None
    """Day on which the sender had to decide to send nothing more: refusal, withdrawal. None: it has not."""
    orders: Sequence[date] = ()
    """Days of orders under 特定電子メール法 7条 against the sender."""
    is_frozen: bool = False
    is_queued: bool = False
    hold: date | None = None
    """Last day of a legal hold; OPEN: without end."""


@dataclass(frozen=True, slots=True)
class Component:
    """One reason to keep, and the last day that it asks for."""

    rule: Rule
    counted_from: date | None
    until: date
    order: date | None = None


def keep_until(facts: Facts, margin_days: int = MARGIN_DAYS) -> date:
    """The last day on which the record must be there; OPEN while no end can be named. The margin is in it."""
    until = max(component.until for component in components(facts))
    return OPEN if until > OPEN - timedelta(margin_days) else until + timedelta(margin_days)


def components(facts: Facts) -> list[Component]:
    """Every reason that applies, without the margin, the one that asks for longest first; never empty."""
    found = [*_lawful(facts), *_practical(facts)]
    return sorted(found, key=lambda component: component.until, reverse=True)


def _lawful(facts: Facts) -> Iterator[Component]:
    sends = sorted({*facts.sends, *facts.mail_order})
    if not sends:
        if facts.decided is not None:
            yield Component(Rule.UNSENT, None, facts.decided)
        return
    yield Component(Rule.MONTH, sends[-1], end_counting(sends[-1], months=MONTHS))
    for order in facts.orders:
        yield from _under_order(order, sends if facts.is_complete else _presumed(order, sends, facts.since))
    if facts.mail_order:
        last = max(facts.mail_order)
        yield Component(Rule.MAIL_ORDER, last, end_after(last, MAIL_ORDER_YEARS))


def _presumed(order: date, sends: Sequence[date], since: date) -> list[date]:
    """With a send on the worst day for this order that may have had one: the last of its year, up to the last known."""
    worst = min(sends[-1], _window_end(order))
    return sorted({*sends, worst}) if since <= worst else list(sends)


def _under_order(order: date, sends: Sequence[date]) -> Iterator[Component]:
    """イ and ロ. The last send of each kind is enough: an earlier one asks for less."""
    within = [send for send in sends if order <= send <= _window_end(order)]
    if within:
        yield Component(Rule.ORDER_WITHIN, within[-1], end_counting(within[-1], months=12 * ORDER_YEARS), order)
    before = [send for send in sends if send <= order <= end_counting(send, months=MONTHS)]
    if before:
        yield Component(Rule.ORDER_SOON, before[-1], end_counting(before[-1], months=12 * ORDER_YEARS), order)


def _window_end(order: date) -> date:
    """命令を受けた日から一年: the wider of both ways to count it, since a day more only keeps more."""
    return end_after(order, ORDER_YEARS)


def _practical(facts: Facts) -> Iterator[Component]:
    if facts.decided is None:
        yield Component(Rule.IN_FORCE, None, OPEN)
    if facts.is_queued:
        yield Component(Rule.QUEUED, None, OPEN)
    if facts.is_frozen:
        yield Component(Rule.FROZEN, None, OPEN)
    if facts.hold is not None:
        yield Component(Rule.HOLD, None, facts.hold)


def end_counting(first: date, *, months: int) -> date:
    """Last day of a period that counts its first day (起算して): the day before the corresponding one, or the end of
    the month that has none (民法 143条2項).
    """
    year, month, length = _later(first, months)
    if year > OPEN.year:
        return OPEN
    if first.day > length:
        return date(year, month, length)
    return date(year, month, first.day) - timedelta(1)


def end_after(day: date, years: int) -> date:
    """Last day of a period that does not count the day it starts from (民法 140条): the corresponding day, or the end
    of the month that has none.
    """
    year, month, length = _later(day, 12 * years)
    return OPEN if year > OPEN.year else date(year, month, min(day.day, length))


def _later(day: date, months: int) -> tuple[int, int, int]:
    """Year, month, and how many days that month has."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return year, month + 1, calendar.monthrange(min(year, OPEN.year), month + 1)[1]
