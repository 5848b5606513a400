"""What retention must know about the consents of a person: from the ledger, the orders, the last-sent store.

The consents of one address towards one sender are one record here: they are kept, and go, together. A record is relied
on as long as any of them still lets advertising go; then it has no end. Reads on a connection of its own, in the
caller's thread, so that nobody's refusal waits for it; it changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import apsw

from suppression.day import date_of, day_of_microseconds
from suppression.events import Covers
from suppression.hold import held_now
from suppression.pages import Last, last, presumed
from suppression.retention import MARGIN_DAYS, OPEN, Facts, keep_until
from suppression.sent import SentStore
from suppression.standing import EVERY, Fact, Kind, fold

ORDER7: Final = 1
"""特定電子メール法 7条: the only one that 施行規則 4条2項 counts from. Any order freezes."""
_REFUSALS: Final = (Kind.OPT_OUT, Kind.WITHDRAWAL, Kind.COMPLAINT)
_ROW: Final = "id, kind, wide, exact, sender, topic, at, detail, address"


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """[retention]"""

    margin_days: int = MARGIN_DAYS
    """Days that records are kept beyond the law."""
    hour: int = 4
    """Of the day in Japan, at which the daily pass begins."""
    hold: tuple[str, ...] = ()
    """Senders whose records are kept for a proceeding, whatever the days say."""


class Order(NamedTuple):
    kind: int
    day: int
    is_release: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """The consents of one exact address towards one sender."""

    sender: str
    exact: int
    wide: int
    events: tuple[int, ...]
    addresses: frozenset[str]
    """As they were told; empty once it is purged."""
    facts: Facts
    covers_mail_order: bool = False
    """Else no mail-order advertisement was ever allowed to go."""

    def until(self, margin_days: int) -> date:
        return keep_until(self.facts, margin_days)


class Keeping:
    """One reading of the ledger. Close it soon: an open one keeps SQLite's log from starting over."""

    def __init__(self, folder: Path, sent: SentStore, settings: RetentionSettings) -> None:
        self.database = apsw.Connection(str(folder / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        self.database.execute("BEGIN")
        self._sent = sent
        self._settings = settings
        self.senders: dict[int, str] = {}
        self.senders.update(self.database.execute("SELECT id, name FROM sender"))
        self.last_event = int(self.database.execute("SELECT coalesce(max(id), 0) FROM event").get)
        self.orders = orders_of(self.database)
        self._held = held_now(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def held(self, sender: int, wide: int) -> bool:
        """By an order that stands, or by a legal hold."""
        return is_frozen(self.orders.get(sender, ())) or self._on_hold(sender, wide)

    @property
    def spared(self) -> frozenset[int]:
        """Senders on hold by the settings."""
        return frozenset(number for number, name in self.senders.items() if name in self._settings.hold)

    def _on_hold(self, sender: int, wide: int) -> bool:
        return self.senders.get(sender) in self._settings.hold or self._held.holds(sender, wide)

    def records(self, wides: Iterable[int]) -> list[Kept]:
        """Without a look at the queue, which is not here: see `queued`."""
        return self.with_days([record for wide in wides for record in self._of_person(wide)])

    def with_days(self, records: Sequence[Kept]) -> list[Kept]:
        """With the days of the last sends as they are on disk now; also after closing."""
        by_sender: dict[str, list[Kept]] = defaultdict(list)
        for record in records:
            by_sender[record.sender].append(record)
        found: list[Kept] = []
        anybody = self._sent.read(presumed)
        for sender, own in by_sender.items():
            keys = [record.exact for record in own]
            days: list[Last] = self._sent.read(lambda database, s=sender, k=keys: last(database, s, k))  # type: ignore[misc]
            found += [_with_days(record, day, anybody) for record, day in zip(own, days, strict=True)]
        return found

    def _of_person(self, wide: int) -> list[Kept]:
        rows: list[Any] = self.database.execute(f"SELECT {_ROW} FROM event WHERE wide = ?", (wide,)).fetchall()  # noqa: S608 - constant
        people = fold([_fact(row) for row in rows]).people
        consents: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for row in rows:
            if row[1] == Kind.CONSENT:
                consents[row[4], row[3]].append(row)
        return [
            self._record(sender, exact, own, rows, is_relied=_has_ground(people, sender, exact))
            for (sender, exact), own in consents.items()
        ]

    def _record(self, sender: int, exact: int, own: Sequence[Any], rows: Sequence[Any], *, is_relied: bool) -> Kept:
        ends = [row[6] for row in rows if row[1] in _REFUSALS and row[4] in (sender, EVERY)]
        orders = self.orders.get(sender, ())
        name = self.senders[sender]
        facts = Facts(
            since=_day(min(row[6] for row in own)),
            decided=_day(max(ends)) if ends and not is_relied else None,
            orders=[date_of(order.day) for order in orders if order.kind == ORDER7 and not order.is_release],
            is_frozen=is_frozen(orders),
            hold=OPEN if self._on_hold(sender, own[0][2]) else None,
        )
        addresses = frozenset(row[8] for row in own if row[8] is not None)
        covers_mail_order = any(row[7] >> 8 & Covers.MAIL_ORDER for row in own)
        return Kept(name, exact, own[0][2], tuple(row[0] for row in own), addresses, facts, covers_mail_order)


def queued(records: Iterable[Kept], waiting: frozenset[str]) -> list[Kept]:
    """With the queue's word: `waiting` are those of the records' addresses that a message waits for."""
    return [
        replace(record, facts=replace(record.facts, is_queued=bool(record.addresses & waiting))) for record in records
    ]


def is_frozen(orders: Iterable[Order]) -> bool:
    """From the day an order arrives until it is released, for each kind of order by itself."""
    state: dict[int, bool] = {}
    for order in orders:
        state[order.kind] = not order.is_release
    return any(state.values())


def orders_of(database: apsw.Connection) -> dict[int, list[Order]]:
    """By sender, in the order they were recorded. A release of some topics only does not release."""
    if not database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'order_event'").get:
        return {}
    found: dict[int, list[Order]] = defaultdict(list)
    rows = database.execute("SELECT sender, kind, day, officer, scope FROM order_event ORDER BY id")
    for sender, kind, day, officer, scope in rows:
        if not officer or scope == "[]":
            found[sender].append(Order(kind, day, bool(officer)))
    return found


def _with_days(record: Kept, known: Last, anybody: int) -> Kept:
    if record.facts.since <= date_of(anybody):
        known = Last(max(known.day, anybody), max(known.mail_order_day, anybody * record.covers_mail_order))
    facts = replace(
        record.facts,
        sends=[date_of(known.day)] if known.day else [],
        mail_order=[date_of(known.mail_order_day)] if known.mail_order_day else [],
    )
    return replace(record, facts=facts)


def _has_ground(people: Any, sender: int, exact: int) -> bool:
    standing = people[sender, exact & 0xFFFF_FFFF_FFFF_FFFF]
    return bool(standing.elsewhere.grounds) or any(stand.grounds for _, stand in standing.topics)


def _fact(row: Sequence[Any]) -> Fact:
    _, kind, wide, exact, sender, topic, at, detail, _ = row
    return Fact(kind, wide & 0xFFFF_FFFF_FFFF_FFFF, exact & 0xFFFF_FFFF_FFFF_FFFF, sender, topic, at, detail)


def _day(at: int) -> date:
    return date_of(day_of_microseconds(at))
