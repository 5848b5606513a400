"""What the flow reads: lanes at the start, due recipients, a batch's or an address's rows, totals.

Runs in the writer thread between commits, so nothing uncommitted is ever seen. Rows come as one aggregated row (see
store.py): numbers as text, addresses a line each, merge fields as one MessagePack stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgpack

from engine.mail.envelope import Priority, Recipient
from engine.spool.port import Cursor, Lane, LaneState, MailingTotals
from engine.spool.store import Store, packed


def _gather(source: str, more: str = "") -> str:
    """`source`, a SELECT of recipient rows, as one row."""
    return (
        "SELECT count(*), max(due), max(attempts | doubt), group_concat(id), group_concat(batch),"  # noqa: S608 - our own texts
        " group_concat(attempts << 1 | doubt), group_concat(address, char(10)),"
        f" CAST(group_concat(CAST(fields AS TEXT), '') AS BLOB){more} FROM ({source})"
    )


# Two searches, because (due, id) > (?, ?) makes SQLite walk all rows of the same due.
_SAME_DUE = _gather("SELECT * FROM recipient WHERE lane = ?1 AND due = ?2 AND id > ?3 ORDER BY id LIMIT ?5")
_LATER = _gather("SELECT * FROM recipient WHERE lane = ?1 AND due > ?2 AND due <= ?4 ORDER BY due, id LIMIT ?5")
_NEXT = (
    "SELECT min(due) FROM (SELECT min(due) AS due FROM recipient WHERE lane = ?1 AND due = ?2 AND id > ?3"
    " UNION ALL SELECT min(due) FROM recipient WHERE lane = ?1 AND due > ?2)"
)


def lanes(store: Store) -> list[LaneState]:
    rows = store.rows(
        "lane, domain, priority, waiting, next",
        "SELECT lane, domain, priority, waiting, next FROM"
        " (SELECT lane, count(*) AS waiting, min(due) AS next FROM recipient GROUP BY lane)"
        " JOIN lane ON lane.id = lane",
        (),
    )
    return [LaneState(Lane(number, domain, Priority(rank)), count, due) for number, domain, rank, count, due in rows]


def pull(store: Store, lane: Lane, after: Cursor, until: int, limit: int) -> tuple[list[Recipient], Cursor, int | None]:
    """Rows settled without having been pulled (after a cancel) are passed over; next due may be one of theirs."""
    recipients: list[Recipient] = []
    cursor = after
    wanted = limit
    while wanted:
        found, cursor = _behind(store, lane, cursor, max(until, after.due), wanted)
        recipients += _unsettled(store, found)
        wanted = limit - len(recipients) if len(found) == wanted else 0
    if cursor is not after:
        store.pulled_due[lane.id] = max(cursor.due, store.pulled_due.get(lane.id, cursor.due))
        store.latest_due = max(cursor.due, store.latest_due)
    return recipients, cursor, store.execute(_NEXT, (lane.id, cursor.due, cursor.id)).get


def _behind(store: Store, lane: Lane, cursor: Cursor, until: int, limit: int) -> tuple[list[Recipient], Cursor]:
    found: list[Recipient] = []
    for search in (_SAME_DUE, _LATER):
        count, due, *columns = store.execute(search, (lane.id, cursor.due, cursor.id, until, limit - len(found))).get
        if count:
            found += _recipients(store, count, columns)
            cursor = Cursor(due, found[-1].id)
        if len(found) == limit:
            break
    return found, cursor


def _unsettled(store: Store, recipients: list[Recipient]) -> list[Recipient]:
    if not store.settled:
        return recipients
    return [recipient for recipient in recipients if recipient.id not in store.settled]


def _recipients(store: Store, count: int, columns: list[Any]) -> list[Recipient]:
    """`tried` is 0 when no attempt counted and no doubt is among them, which saves reading `states`."""
    tried, ids, batches, states, addresses, fields = columns
    numbers = _numbers(batches)
    objects = store.batch_objects(numbers)
    shared = [objects[number] for number in numbers]
    own = msgpack.unpackb(b"\xdd" + count.to_bytes(4, "big") + fields)
    where = addresses.split("\n")
    if not tried:
        return list(map(Recipient, _numbers(ids), shared, where, own))
    state = _numbers(states)
    attempts = [number >> 1 for number in state]
    doubts = [number & 1 == 1 for number in state]
    return list(map(Recipient, _numbers(ids), shared, where, own, attempts, doubts))


def _numbers(text: str) -> list[int]:
    return list(map(int, text.split(",")))


def sweep(store: Store, batch: int, after: int, limit: int) -> list[tuple[Lane, Recipient]]:
    span = store.execute("SELECT first, first + count FROM batch WHERE id = ?", (batch,)).get
    if span is None:
        return []
    found: list[tuple[Lane, Recipient]] = []
    start, end = max(span[0], after + 1), span[1]
    while len(found) < limit:
        wanted = limit - len(found)
        rows = _with_lanes(
            store, "SELECT * FROM recipient WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", (start, end, wanted)
        )
        found += [row for row in rows if row[1].id not in store.settled]
        if len(rows) < wanted:
            break
        start = rows[-1][1].id + 1
    return found


def _with_lanes(store: Store, source: str, bindings: tuple[Any, ...]) -> list[tuple[Lane, Recipient]]:
    count, _, *columns, lane_text = store.execute(_gather(source, ", group_concat(lane)"), bindings).get
    if not count:
        return []
    of = _numbers(lane_text)
    known = {
        number: Lane(number, domain, Priority(rank))
        for number, domain, rank in store.rows(
            "id, domain, priority", "SELECT * FROM lane WHERE id IN carray(?)", (apsw.carray(packed(set(of))),)
        )
    }
    return [
        (known[number], recipient) for number, recipient in zip(of, _recipients(store, count, columns), strict=True)
    ]


def doubtful(store: Store) -> list[Recipient]:
    rows = _with_lanes(store, "SELECT * FROM recipient WHERE doubt = 1", ())
    return [recipient for _, recipient in rows if recipient.id not in store.settled]


def those(store: Store, ids: Sequence[int]) -> list[Recipient]:
    if not ids:
        return []
    rows = _with_lanes(store, "SELECT * FROM recipient WHERE id IN carray(?)", (apsw.carray(packed(set(ids))),))
    return [recipient for _, recipient in rows if recipient.id not in store.settled]


def _which(sender: str | None, mailing: str | None) -> tuple[str, tuple[str, ...]]:
    """Only what was named, so that SQLite finds it by its index: a scan would keep everybody's commits waiting."""
    named = [(column, value) for column, value in (("sender", sender), ("name", mailing)) if value is not None]
    return " AND ".join(["1", *(f"{column} = ?" for column, _ in named)]), tuple(value for _, value in named)


def open_batches(store: Store, sender: str | None, mailing: str | None) -> list[int]:
    where, named = _which(sender, mailing)
    rows = store.rows(
        "id",
        f"SELECT batch.id FROM batch JOIN mailing ON mailing.id = mailing WHERE {where} AND remaining > 0"  # noqa: S608 - two columns
        " ORDER BY batch.id",
        named,
    )
    return [row[0] for row in rows]


def find_in_batch(store: Store, batch: int, who: str | int) -> list[tuple[Lane, Recipient]]:
    rows = _with_lanes(
        store,
        "SELECT recipient.* FROM batch JOIN recipient ON recipient.id >= first AND recipient.id < first + count"
        " WHERE batch.id = ?1 AND (address = ?2 OR recipient.id = ?2) ORDER BY recipient.id",
        (batch, who),
    )
    return [row for row in rows if row[1].id not in store.settled]


_TOTALS = (
    "sender, name, accepted, delivered, bounced, expired, suppressed, cancelled, first_accepted_at,"
    " last_change_at, cancelled_at"
)


def newest_totals(store: Store, most: int) -> list[MailingTotals]:
    """Those that have somebody open first, then by their last change."""
    rows = store.rows(
        _TOTALS,
        "SELECT * FROM mailing ORDER BY accepted > delivered + bounced + expired + suppressed + cancelled DESC,"
        " last_change_at DESC, id DESC LIMIT ?",
        (most,),
    )
    return [MailingTotals(*row) for row in rows]


def totals(store: Store, sender: str | None, mailing: str | None) -> list[MailingTotals]:
    where, named = _which(sender, mailing)
    rows = store.rows(_TOTALS, f"SELECT * FROM mailing WHERE {where} ORDER BY first_accepted_at, id", named)  # noqa: S608 - two columns
    return [MailingTotals(*row) for row in rows]
