"""What the flow reads: lanes at the start, due recipients, a batch's or an address's rows, totals.

Runs in the writer thread between commits, so nothing uncommitted is ever seen. Rows come as one aggregated row (see
store.py): numbers as text, addresses a line each, merge fields as one MessagePack stream.
"""

from __future__ import annotations

from typing import Any

import msgpack

from engine.mail.envelope import Priority, Recipient
from engine.spool.port import Cursor, Lane, LaneState, MailingTotals
from engine.spool.store import Store


def _gather(source: str, more: str = "") -> str:
    """`source`, a SELECT of recipient rows, as one row."""
    return (
        "SELECT group_concat(id || ',' || batch || ',' || (attempts << 1 | doubt)), group_concat(address, char(10)),"  # noqa: S608 - our own texts
        f" CAST(group_concat(CAST(fields AS TEXT), '') AS BLOB), max(due), count(*){more} FROM ({source})"
    )


# Two searches, because (due, id) > (?, ?) makes SQLite walk all rows of the same due; the second starts only when
# the first did not fill the limit.
_PULL = _gather(
    "SELECT * FROM (SELECT * FROM recipient WHERE lane = ?1 AND due = ?2 AND id > ?3 ORDER BY id LIMIT ?5)"
    " UNION ALL SELECT * FROM (SELECT * FROM recipient WHERE lane = ?1 AND due > ?2 AND due <= ?4"
    " ORDER BY due, id LIMIT ?5) LIMIT ?5"
)
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
    numbers, addresses, fields, due, count = store.execute(
        _PULL, (lane.id, after.due, after.id, max(until, after.due), limit)
    ).get
    cursor = after
    recipients: list[Recipient] = []
    if count:
        recipients = _recipients(store, numbers, addresses, fields)
        cursor = Cursor(due, recipients[-1].id)
        store.pulled_due[lane.id] = max(due, store.pulled_due.get(lane.id, due))
        store.latest_due = max(due, store.latest_due)
    return recipients, cursor, store.execute(_NEXT, (lane.id, cursor.due, cursor.id)).get


def _recipients(store: Store, numbers: str, addresses: str, fields: bytes) -> list[Recipient]:
    flat = list(map(int, numbers.split(",")))
    batches = store.batch_objects(flat[1::3])
    unpacker = msgpack.Unpacker(None, max_buffer_size=len(fields))
    unpacker.feed(fields)
    return [
        Recipient(number, batches[batch], address, own, state >> 1, state & 1 == 1)
        for number, batch, state, address, own in zip(
            flat[0::3], flat[1::3], flat[2::3], addresses.split("\n"), unpacker, strict=True
        )
    ]


def sweep(store: Store, batch: int, after: int, limit: int) -> list[tuple[Lane, Recipient]]:
    span = store.execute("SELECT first, first + count FROM batch WHERE id = ?", (batch,)).get
    if span is None:
        return []
    return _with_lanes(
        store,
        "SELECT * FROM recipient WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (max(span[0], after + 1), span[1], limit),
    )


def _with_lanes(store: Store, source: str, bindings: tuple[Any, ...]) -> list[tuple[Lane, Recipient]]:
    numbers, addresses, fields, _, count, lane_numbers = store.execute(
        _gather(source, ", group_concat(lane)"), bindings
    ).get
    if not count:
        return []
    of = list(map(int, lane_numbers.split(",")))
    known = {
        row[0]: Lane(row[0], row[1], Priority(row[2]))
        for row in store.rows(
            "id, domain, priority",
            "SELECT * FROM lane WHERE id IN (SELECT value FROM json_each(?))",
            (f"[{','.join(map(str, set(of)))}]",),
        )
    }
    return [
        (known[number], recipient)
        for number, recipient in zip(of, _recipients(store, numbers, addresses, fields), strict=True)
    ]


def open_batches(store: Store, sender: str, mailing: str) -> list[int]:
    rows = store.rows(
        "id",
        "SELECT batch.id FROM batch JOIN mailing ON mailing.id = mailing"
        " WHERE sender = ? AND name = ? AND remaining > 0 ORDER BY batch.id",
        (sender, mailing),
    )
    return [row[0] for row in rows]


def find_in_batch(store: Store, batch: int, address: str) -> list[tuple[Lane, Recipient]]:
    return _with_lanes(
        store,
        "SELECT recipient.* FROM batch JOIN recipient ON recipient.id >= first AND recipient.id < first + count"
        " WHERE batch.id = ? AND address = ? ORDER BY recipient.id",
        (batch, address),
    )


def totals(store: Store, sender: str | None, mailing: str | None) -> list[MailingTotals]:
    rows = store.rows(
        "sender, name, accepted, delivered, bounced, expired, suppressed, cancelled, first_accepted_at,"
        " last_change_at, cancelled_at",
        "SELECT * FROM mailing WHERE (?1 IS NULL OR sender = ?1) AND (?2 IS NULL OR name = ?2)"
        " ORDER BY first_accepted_at, id",
        (sender, mailing),
    )
    return [MailingTotals(*row) for row in rows]
