"""The rows of settled recipients: noted in a list at once, taken away in order and in bulk.

A commit that deletes 500 recipients of many domains rewrites some 500 pages (7 µs and 8 KiB of log for each
recipient); one that notes their ids writes two, and deleting 30,000 of them in id order touches each page once.
Until then the ids are in memory too and every read leaves them out; a crash finds them in the list. Deleting twice
does no harm, since an id is never used again.
"""

from __future__ import annotations

from array import array

import apsw

from engine.spool.database import Tuning
from engine.spool.store import Store, packed


class Clearing:
    """One round: the ids settled up to a place in the list, in order."""

    def __init__(self, store: Store, tuning: Tuning) -> None:
        self._store = store
        self._tuning = tuning
        self._ids: array[int] = packed(())
        self._done = 0
        self._last_note = 0

    def is_due(self, *, idle: bool) -> bool:
        return self._done < len(self._ids) or len(self._store.settled) >= (1 if idle else self._tuning.clear_at)

    def step(self) -> None:
        """One portion, in a transaction of its own. The list shrinks with the last portion of a round."""
        store = self._store
        if self._done == len(self._ids):
            self._ids, self._done = packed(sorted(store.settled)), 0
            self._last_note = store.execute("SELECT max(id) FROM settled").get or 0
        part = self._ids[self._done : self._done + self._tuning.clear_portion]
        store.begin()
        store.execute("DELETE FROM recipient WHERE id IN carray(?)", (apsw.carray(part),))
        if self._done + len(part) == len(self._ids):
            store.execute("DELETE FROM settled WHERE id <= ?", (self._last_note,))
        store.execute("COMMIT")
        self._done += len(part)
        store.settled.difference_update(part)

    def finish(self) -> None:
        while self.is_due(idle=True):
            self.step()


def recover_settled(store: Store) -> None:
    """At the start, in the caller's transaction: what the list names goes before anybody reads."""
    ids = sorted(number for _, ids in store.id_lists("settled") for number in ids)
    if ids:
        store.execute("DELETE FROM recipient WHERE id IN carray(?)", (apsw.carray(packed(ids)),))
        store.execute("DELETE FROM settled")
