"""The last-sent store's pages: the log merged into sorted arrays, and the days of an address found in both.

Twelve bytes an address: 100 million are 1.2 GB. A merge takes part of the log, some pages a transaction, so that notes
go in between; a crash in the middle merges the same part again, which changes nothing, because the later day wins.
What no rule can count from any more is dropped on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from suppression.recent import Keys
from suppression.sent import SentStore

Days = NDArray[np.uint16]

PAGE_KEYS: Final = 8192
"""About 96 KB a page."""
PORTION_KEYS: Final = 4_000_000
"""Of the log at once: some 100 MB of memory."""
PAGES_AT_ONCE: Final = 4
"""One transaction, some milliseconds."""
ROWS_AT_ONCE: Final = 500
KNOWN_DAYS: Final = 4 * 366
"""Three years after the last mail-order advertisement (特定商取引法施行規則 30条2項) is the longest that counts."""


class Last(NamedTuple):
    """Day numbers; 0: not known to have been sent."""

    day: int = 0
    mail_order_day: int = 0


class Part(NamedTuple):
    """Addresses of one sender, sorted by key, each once."""

    keys: Keys
    days: Days
    mail_order_days: Days

    def pick(self, where: slice | NDArray[Any]) -> Part:
        return Part(self.keys[where], self.days[where], self.mail_order_days[where])


NOTHING: Final = Part(np.zeros(0, np.int64), np.zeros(0, np.uint16), np.zeros(0, np.uint16))


def merge(store: SentStore, today: int, pause: Callable[[], None]) -> int:
    """Everything logged so far into the pages; how many addresses that were. Blocks: for a thread of its own, which
    `pause` lets rest between transactions. Raises LedgerFailed.
    """
    merged = 0
    end = store.read(lambda database: database.execute("SELECT coalesce(max(id), 0) FROM noted").get)
    while (found := store.read(partial(_logged, end))) is not None:
        sender, upto, part = found
        start = 0
        while start < len(part.keys):
            start = store.run(partial(_merge_pages, sender=sender, part=part, start=start, today=today)).result()
            pause()
        while store.run(partial(_drop, sender=sender, upto=upto)).result():
            pause()
        merged += len(part.keys)
    return merged


def last(database: apsw.Connection, sender: str, keys: Sequence[int]) -> list[Last]:
    """Pages and log together, in one view of the file; keys as signed numbers, in any order."""
    number = database.execute("SELECT id FROM sender WHERE name = ?", (sender,)).get
    if number is None or not keys:
        return [Last()] * len(keys)
    wanted = np.array(keys, np.int64)
    found = [_within(page, wanted) for page in pages_of(database, number, wanted)]
    rows = database.execute("SELECT day, mail_order, keys FROM noted WHERE sender = ?", (number,))
    found += [_within(_part_of([row]), wanted) for row in rows]
    whole = _reduced(found)
    at = np.searchsorted(whole.keys, wanted)
    return [
        Last(int(whole.days[i]), int(whole.mail_order_days[i]))
        if i < len(whole.keys) and whole.keys[i] == key
        else Last()
        for key, i in zip(keys, at.tolist(), strict=True)
    ]


def presumed(database: apsw.Connection) -> int:
    """The day up to which anybody may have been sent to without a note: a restored file, or one begun late."""
    return int(database.execute("SELECT value FROM meta WHERE name = 'presumed'").get)


def _logged(end: int, database: apsw.Connection) -> tuple[int, int, Part] | None:
    """Sender, last row, and what its rows up to there hold: the oldest part of the log."""
    sender = database.execute("SELECT sender FROM noted WHERE id <= ? ORDER BY id LIMIT 1", (end,)).get
    if sender is None:
        return None
    rows: list[Any] = []
    count = 0
    query = "SELECT id, day, mail_order, keys FROM noted WHERE sender = ? AND id <= ? ORDER BY id"
    for row in database.execute(query, (sender, end)):
        rows.append(row)
        count += len(row[-1]) // 8
        if count >= PORTION_KEYS:
            break
    return sender, rows[-1][0], _part_of([row[1:] for row in rows])


def _part_of(rows: Sequence[Sequence[Any]]) -> Part:
    """Rows of (day, mail_order, keys)."""
    keys: Keys = np.frombuffer(b"".join(row[2] for row in rows), "<i8")
    lengths = [len(row[2]) // 8 for row in rows]
    days = np.repeat(np.array([row[0] for row in rows], np.uint16), lengths)
    mail_order_days = np.repeat(np.array([row[0] * row[1] for row in rows], np.uint16), lengths)
    return _reduced([Part(keys, days, mail_order_days)])


def _reduced(parts: Sequence[Part]) -> Part:
    """Sorted, each key once, with its latest days."""
    if not sum(len(part.keys) for part in parts):
        return NOTHING
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    days, mail_order_days = (
        np.maximum.reduceat(np.concatenate(column)[order], starts)
        for column in ([part.days for part in parts], [part.mail_order_days for part in parts])
    )
    return Part(keys[starts], days, mail_order_days)


def _within(part: Part, wanted: Keys) -> Part:
    return part.pick(np.isin(part.keys, wanted))


def pages_of(database: apsw.Connection, sender: int, wanted: Keys) -> list[Part]:
    numbers = {
        database.execute(
            "SELECT id FROM page WHERE sender = ? AND first <= ? ORDER BY first DESC LIMIT 1", (sender, key)
        ).get
        for key in wanted.tolist()
    }
    return [_page(database, number) for number in numbers if number is not None]


def _page(database: apsw.Connection, number: int) -> Part:
    keys, days, mail_order_days = database.execute(
        "SELECT keys, days, mail_order_days FROM page WHERE id = ?", (number,)
    ).get
    return Part(np.frombuffer(keys, "<i8"), np.frombuffer(days, "<u2"), np.frombuffer(mail_order_days, "<u2"))


def _merge_pages(database: apsw.Connection, *, sender: int, part: Part, start: int, today: int) -> int:
    """Merges from `start` on; answers how far it came."""
    for _ in range(PAGES_AT_ONCE):
        if start == len(part.keys):
            break
        first = int(part.keys[start])
        page = database.execute(
            "SELECT id FROM page WHERE sender = ?1 AND first = coalesce("
            "(SELECT max(first) FROM page WHERE sender = ?1 AND first <= ?2),"
            "(SELECT min(first) FROM page WHERE sender = ?1))",
            (sender, first),
        ).get
        after = database.execute(
            "SELECT min(first) FROM page WHERE sender = ? AND first > ? AND id IS NOT ?", (sender, first, page)
        ).get
        end = len(part.keys) if after is None else int(np.searchsorted(part.keys, after))
        end = min(end, start + 4 * PAGE_KEYS)
        own = NOTHING if page is None else _page(database, page)
        whole = _reduced([own, part.pick(slice(start, end))])
        _write(database, sender, page, _known(whole, today))
        start = end
    return start


def _known(part: Part, today: int) -> Part:
    return part.pick(part.days >= max(0, today - KNOWN_DAYS))


def _write(database: apsw.Connection, sender: int, page: int | None, whole: Part) -> None:
    """In place of the page, as as many as it takes."""
    database.execute("DELETE FROM page WHERE id = ?", (page,))
    count = -(-len(whole.keys) // PAGE_KEYS)
    for columns in zip(*(np.array_split(column, count) for column in whole), strict=True) if count else ():
        keys, days, mail_order_days = (np.ascontiguousarray(column) for column in columns)
        database.execute(
            "INSERT INTO page (sender, first, keys, days, mail_order_days) VALUES (?, ?, ?, ?, ?)",
            (sender, int(keys[0]), keys.tobytes(), days.tobytes(), mail_order_days.tobytes()),
        )


def _drop(database: apsw.Connection, *, sender: int, upto: int) -> int:
    database.execute(
        "DELETE FROM noted WHERE id IN (SELECT id FROM noted WHERE sender = ? AND id <= ? LIMIT ?)",
        (sender, upto, ROWS_AT_ONCE),
    )
    return database.changes()
