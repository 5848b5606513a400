"""What closes and what goes: cancelled mailings, expired batches, old keys, contents, totals.

Runs inside the writer thread's transaction, in small portions, so that no commit behind it waits long.
"""

from __future__ import annotations

from engine.spool.store import Store

PORTION = 1000


def close_mailing(store: Store, sender: str, mailing: str, now: float) -> list[int]:
    """Remembered also when nothing of it has come yet: later submits are cancelled at once."""
    number = store.execute(
        "INSERT INTO mailing (sender, name, first_accepted_at, last_change_at, cancelled_at)"
        " VALUES (?1, ?2, ?3, ?3, ?3)"
        " ON CONFLICT DO UPDATE SET cancelled_at = coalesce(cancelled_at, excluded.cancelled_at) RETURNING id",
        (sender, mailing, now),
    ).get
    store.execute(
        "UPDATE batch SET closed = 'cancelled' WHERE mailing = ? AND remaining > 0 AND closed IS NULL", (number,)
    )
    rows = store.rows(
        "id",
        "SELECT id FROM batch WHERE mailing = ? AND remaining > 0 AND closed = 'cancelled' ORDER BY id",
        (number,),
    )
    batches = [row[0] for row in rows]
    store.closing += [(batch, "cancelled") for batch in batches]
    return batches


def expired_batches(store: Store, now: float, limit: int) -> list[int]:
    """After a start first those that were closed before it and not swept to the end."""
    batches = store.unswept[store.offered : store.offered + limit]
    store.offered += len(batches)
    rows = store.rows(
        "id",
        "SELECT id FROM batch WHERE remaining > 0 AND closed IS NULL AND expires <= ? ORDER BY expires LIMIT ?",
        (now, limit - len(batches)),
    )
    for (batch,) in rows:
        store.execute("UPDATE batch SET closed = 'expired' WHERE id = ?", (batch,))
        store.closing.append((batch, "expired"))
        batches.append(batch)
    return batches


def unswept_batches(store: Store) -> list[int]:
    rows = store.rows("id", "SELECT id FROM batch WHERE remaining > 0 AND closed IS NOT NULL ORDER BY id", ())
    return [row[0] for row in rows]


def drop_old_keys(store: Store, before: float) -> bool:
    """A settled batch lives as long as its key; an open one outlives it. Answers whether there may be more."""
    store.execute(
        "DELETE FROM batch WHERE id IN (SELECT id FROM batch WHERE remaining = 0 AND accepted_at < ? LIMIT ?)",
        (before, PORTION),
    )
    more = store.connection.changes() == PORTION
    return _free_keys(store, before) or more


def _free_keys(store: Store, before: float) -> bool:
    """Of open batches. Their numbers are in the order of their coming, so that each is looked at once in a process, up
    to the first that is too young: millions of single mails, looked at each minute, would keep the writer for seconds.
    """
    count, last, young = store.execute(
        "SELECT count(*), max(id), min(CASE WHEN accepted_at >= ? THEN id END) FROM"
        " (SELECT id, accepted_at FROM batch WHERE id > ? ORDER BY id LIMIT ?)",
        (before, store.keyless, PORTION),
    ).get
    if not count:
        return False
    upto = last if young is None else young - 1
    store.execute(
        "UPDATE batch SET key = NULL WHERE id > ? AND id <= ? AND remaining > 0 AND key IS NOT NULL",
        (store.keyless, upto),
    )
    store.freed = upto
    return young is None and count == PORTION


def drop_contents(store: Store, untouched_since: float, after: int) -> int | None:
    """Of the next contents behind `after`; where to go on, None: those were all."""
    count, last = store.execute(
        "SELECT count(*), max(id) FROM (SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?)",
        (after, PORTION // 10),
    ).get
    store.execute(
        "DELETE FROM message WHERE id > ? AND id <= ? AND touched < ?"
        " AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.message = message.id AND remaining > 0)",
        (after, last, untouched_since),
    )
    return last if count == PORTION // 10 else None


def drop_totals(store: Store, unchanged_since: float) -> bool:
    store.execute(
        "DELETE FROM mailing WHERE id IN (SELECT id FROM mailing WHERE last_change_at < ?"
        " AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.mailing = mailing.id) LIMIT ?)",
        (unchanged_since, PORTION),
    )
    return store.connection.changes() == PORTION
