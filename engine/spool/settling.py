"""How a recipient's stay ends or goes on: settle, defer, and the record of what may have been sent.

Runs inside the writer thread's transaction. Counts only what was really there, so that a recipient settled twice
(a cancel beside a delivery) is one outcome, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apsw

from engine.mail.envelope import Batch
from engine.spool.port import Deferred, Outcome, Settled
from engine.spool.store import OUTCOMES, Intent, Store, packed

CHUNK = 256
_PLACE = {outcome: place for place, outcome in enumerate(OUTCOMES)}


def settle(store: Store, changes: Sequence[Settled | Deferred]) -> None:
    ended: dict[int, Settled] = {}
    deferred: list[Deferred] = []
    for change in changes:
        if type(change) is Settled:
            ended.setdefault(change.recipient.id, change)
        else:
            assert type(change) is Deferred
            deferred.append(change)
    if ended:
        _end(store, ended)
    if deferred:
        _defer(store, deferred)
    if store.intents:
        store.left.update(change.recipient.id for change in changes)


def _end(store: Store, ended: dict[int, Settled]) -> None:
    gone = ended.keys() - store.settled - store.ended
    if not gone:
        return
    ids = apsw.carray(packed(gone))
    if store.execute("SELECT count(*) FROM recipient WHERE id IN carray(?)", (ids,)).get != len(gone):
        here = store.execute("SELECT group_concat(id) FROM recipient WHERE id IN carray(?)", (ids,)).get
        gone = {int(number) for number in (here or "").split(",") if number}
    store.ended |= gone
    counts: dict[tuple[Batch, Outcome], int] = {}
    for number in gone:
        change = ended[number]
        which = (change.recipient.batch, change.outcome)
        counts[which] = counts.get(which, 0) + 1
    for (batch, outcome), count in counts.items():
        store.remaining[batch.id] = store.remaining.get(batch.id, 0) + count
        sums = store.outcomes.setdefault((batch.sender, batch.mailing), [0] * len(OUTCOMES))
        sums[_PLACE[outcome]] += count


def _defer(store: Store, deferred: Sequence[Deferred]) -> None:
    """Behind every row that was pulled, also when the wall clock went back. A doubt once had stays."""
    earliest = store.latest_due + 1
    deferred = [c for c in deferred if c.recipient.id not in store.settled and c.recipient.id not in store.ended]
    for size, part in _parts(deferred):
        bindings: list[int] = []
        for change in part:
            bindings += (change.recipient.id, max(change.due, earliest), change.counted, change.in_doubt)
        store.execute(_UPDATES[size], bindings)


def _parts(deferred: Sequence[Deferred]) -> Iterator[tuple[int, Sequence[Deferred]]]:
    start = 0
    while start < len(deferred):
        size = min(CHUNK, 1 << ((len(deferred) - start).bit_length() - 1))
        yield size, deferred[start : start + size]
        start += size


def _update_text(size: int) -> str:
    values = ",".join(["(?,?,?,?)"] * size)
    return (
        f"WITH change (number, later, counted, open) AS (VALUES {values})"  # noqa: S608 - marks only
        " UPDATE recipient SET due = later, attempts = attempts + counted, doubt = doubt | open,"
        " cleared = (SELECT coalesce(max(id), 0) FROM intent)"
        " FROM change WHERE recipient.id = number"
    )


_UPDATES = {1 << bit: _update_text(1 << bit) for bit in range(CHUNK.bit_length())}


def intend(store: Store, recipients: Sequence[int]) -> None:
    ids = list(dict.fromkeys(recipients))
    if not ids:
        return
    row = store.execute("INSERT INTO intent (recipients) VALUES (?) RETURNING id", (packed(ids).tobytes(),)).get
    store.intended.append((Intent(row, len(ids)), ids))


def recover_intents(store: Store) -> None:
    """At the start: whoever was about to be sent, and of whose attempt nothing was written since, may have been
    received.
    """
    for row, ids in store.id_lists("intent"):
        store.execute("UPDATE recipient SET doubt = 1 WHERE id IN carray(?) AND cleared < ?", (apsw.carray(ids), row))
    store.execute("DELETE FROM intent")
