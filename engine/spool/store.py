"""What the writer thread holds: the connection, the lanes and live batches, and one commit's sums.

Only that thread touches it. Every statement here is ONE sqlite3_step: apsw gives the interpreter lock back for each
step, and under a busy event loop every way back costs up to a switch interval (500 rows fetched one by one took
0.6 s beside a busy loop, as one row 20 ms). So reads aggregate into one row and writes take many rows at once.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakValueDictionary

import apsw
import msgpack

from engine.mail.envelope import Batch, Priority
from engine.spool.port import Lane, Outcome

OUTCOMES = tuple(Outcome)


class Intent:
    """One call of intend(): its row, and how many of its recipients are still out."""

    __slots__ = ("left", "row")

    def __init__(self, row: int, left: int) -> None:
        self.row = row
        self.left = left


def packed(ids: Iterable[int]) -> array[int]:
    return array("q", ids)


class Store:
    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.pack = msgpack.Packer().pack
        self.lanes: dict[tuple[str, int], Lane] = {}
        self.batches: WeakValueDictionary[int, Batch] = WeakValueDictionary()
        self.pulled_due: dict[int, int] = {}
        """Lane -> due of the last recipient pulled: whatever is written now must sort behind it."""
        self.latest_due = -1
        """The greatest of them."""
        self.intents: dict[int, Intent] = {}
        self.settled: set[int] = set()
        """Ids settled whose rows are still in the table (see clearing.py)."""
        self.unswept: list[int] = []
        """Batches closed before this start whose recipients are still here."""
        self.keyless = 0
        """The batch up to which the keys of open ones have been dropped."""
        self.stale: list[int] = []
        """Rows of intents whose last recipient was intended anew: to go with the next commit."""
        self._begin()

    def _begin(self) -> None:
        self.remaining: dict[int, int] = {}
        self.outcomes: dict[tuple[str, str], list[int]] = {}
        self.ended: set[int] = set()
        self.left: set[int] = set()
        self.intended: list[tuple[Intent, Iterable[int]]] = []
        self.closing: list[tuple[int, str]] = []
        self.offered = 0
        self.freed = self.keyless

    def begin(self) -> None:
        self._begin()
        self.execute("BEGIN IMMEDIATE")

    def roll_back(self) -> None:
        """Memory follows the file: lanes read again, the commit's sums forgotten."""
        if self.connection.in_transaction:
            self.execute("ROLLBACK")
        self.lanes.clear()
        self._begin()

    def commit(self, now: float) -> None:
        self._write_sums(now)
        if self.ended:
            self.execute("INSERT INTO settled (recipients) VALUES (?)", (packed(self.ended).tobytes(),))
        finished = self._finished_intents() + self.stale
        if finished:
            self.execute("DELETE FROM intent WHERE id IN carray(?)", (apsw.carray(packed(finished)),))
        self.execute("COMMIT")
        self._remember()

    def _write_sums(self, now: float) -> None:
        """Once per batch and per mailing, however many of their recipients were settled in this commit."""
        for batch, count in self.remaining.items():
            self.execute("UPDATE batch SET remaining = remaining - ? WHERE id = ?", (count, batch))
        for (sender, mailing), counts in self.outcomes.items():
            self.execute(
                "UPDATE mailing SET delivered = delivered + ?, bounced = bounced + ?, expired = expired + ?,"
                " suppressed = suppressed + ?, cancelled = cancelled + ?, last_change_at = ?"
                " WHERE sender = ? AND name = ?",
                (*counts, now, sender, mailing),
            )

    def _finished_intents(self) -> list[int]:
        gone: dict[Intent, int] = {}
        for recipient in self.left:
            intent = self.intents.get(recipient)
            if intent is not None:
                gone[intent] = gone.get(intent, 0) + 1
        return [intent.row for intent, count in gone.items() if intent.left == count]

    def _remember(self) -> None:
        """After the commit only: what is in memory was true on disk first."""
        self.settled |= self.ended
        self._leave(self.left)
        self.keyless = self.freed
        self.stale = []
        for intent, recipients in self.intended:
            self.stale += self._leave(recipients)  # intended twice: the later record is the one that counts
            self.intents.update(dict.fromkeys(recipients, intent))
        del self.unswept[: self.offered]
        for batch, why in self.closing:
            live = self.batches.get(batch)
            if live is not None:
                live.closed = why

    def _leave(self, recipients: Iterable[int]) -> list[int]:
        """Rows of the intents in which nobody is left."""
        empty: list[int] = []
        for recipient in recipients:
            intent = self.intents.pop(recipient, None)
            if intent is not None:
                intent.left -= 1
                if not intent.left:
                    empty.append(intent.row)
        return empty

    def id_lists(self, table: str) -> Iterator[tuple[int, array[int]]]:
        """The rows of `intent` or `settled`, one at a time."""
        row = 0
        while True:
            found = self.execute(f"SELECT id, recipients FROM {table} WHERE id > ? ORDER BY id LIMIT 1", (row,)).get  # noqa: S608 - two names
            if found is None:
                return
            row = found[0]
            yield row, array("q", found[1])

    def rows(self, columns: str, source: str, bindings: tuple[Any, ...]) -> list[list[Any]]:
        """All rows of a SELECT in one step; numbers and text only."""
        text = self.execute(f"SELECT json_group_array(json_array({columns})) FROM ({source})", bindings).get  # noqa: S608 - our own texts
        found: list[list[Any]] = json.loads(text)
        return found

    def lane(self, domain: str, priority: Priority) -> Lane:
        known = self.lanes.get((domain, priority))
        if known is None:
            number = self.execute(
                "INSERT INTO lane (domain, priority) VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET domain = domain RETURNING id",
                (domain, int(priority)),
            ).get
            known = self.lanes[domain, priority] = Lane(number, domain, priority)
        return known

    def batch_objects(self, numbers: Iterable[int]) -> dict[int, Batch]:
        """The live objects, those not in memory read together. The answer keeps them alive."""
        found: dict[int, Batch] = {}
        missing = []
        for number in set(numbers):
            live = self.batches.get(number)
            if live is None:
                missing.append(number)
            else:
                found[number] = live
        if missing:
            for batch in self._read_batches(missing):
                found[batch.id] = self.batches[batch.id] = batch
        return found

    def _read_batches(self, numbers: list[int]) -> list[Batch]:
        rows = self.rows(
            "id, sender, category, topic, name, message, priority, accepted_at, not_before, expires, closed",
            "SELECT batch.*, sender, name FROM batch JOIN mailing ON mailing.id = batch.mailing"
            " WHERE batch.id IN carray(?)",
            (apsw.carray(packed(numbers)),),
        )
        return [
            Batch(number, sender, category, topic, name, message, Priority(rank), *own)
            for number, sender, category, topic, name, message, rank, *own in rows
        ]
