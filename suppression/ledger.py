"""The ledger: every event on disk, append-only, in SQLite (WAL, synchronous=FULL), written by one thread.

特定電子メール法 3条2項, 施行規則4条; retention is retention.py's. What the writer has been given meanwhile goes into
one transaction, one sync. After the commit the writer tells `installed`, so an event is durable
first and then in force, and only then acknowledged. One error of the store and it has failed for good: what an fsync
lost is not written by repeating it.
"""

from __future__ import annotations

import os
import struct
import threading
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import apsw

from suppression.database import LedgerRefused, lock, open_database
from suppression.recording import Act, Batch, Bulk, Entry
from suppression.standing import AGEING, EVERY, Fact, Kind

_KEY_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_ROWS_PER_STATEMENT: Final = 100
"""Many rows a step: each step gives the interpreter to whoever waits, and gets it back late from a busy loop."""
_MAX_GROUP: Final = 1000
_REPLAY_ROWS: Final = 500_000
_MAX_TEXTS: Final = 10_000
_REMEMBERED_TEXT: Final = 1_000
"""Texts seen lately and their numbers: what repeats is stored once, and 10 MB bound what is remembered."""

_INSERT: Final = (
    "INSERT INTO event (kind, wide, exact, sender, topic, at, detail, recorded, source, evidence, address) VALUES "
)
_VALUES: Final = "(?,?,?,?,?,?,?,?,?,?,?)"
_SAME: Final = 7
"""Parameters of a bulk that all its rows share; then four for each row."""
_PAIR: Final = struct.Struct("<qq")
_ALIKE: Final = (
    f"SELECT kind, sender, topic, CASE WHEN kind = {Kind.CONSENT} AND detail & 255 IN "  # noqa: S608 - our numbers
    f"({', '.join(str(int(basis)) for basis in sorted(AGEING))}) AND detail < 65536 "
    "THEN (at + 32400000000) / 86400000000 * 86400000000 ELSE 0 END, "
    "detail, exact, wide FROM event WHERE id > ? ORDER BY id"
)
"""The time of what ages is rounded down to its day in Japan; day_of_microseconds takes that for the same day."""
_FACT: Final = "kind, wide, exact, sender, topic, at, detail"

Row = tuple[int, int, int, int, int, int, int, int, int, int, str]


class LedgerFailed(Exception):  # noqa: N818 - the ledger's state, not one call's error
    """The store cannot be read or written: from now on nothing may be sent that it would have to allow."""


_Waiting = tuple[Batch | Bulk | Act, Future[int]]

Written = tuple[Batch | Bulk | Act, Sequence[Fact]]
"""With the facts as recorded; those of a bulk have placeholders for keys and time."""

Installed = Callable[[Sequence[Written], int], None]
"""Called by the writer thread when these are durable, with the number of the last event."""


class Ledger:
    def __init__(self, folder: Path, installed: Installed) -> None:
        """Opens or makes the ledger in this folder and locks it against a second writer. Raises LedgerRefused."""
        self._installed = installed
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._closing = threading.Lock()
        self._lock = lock(folder)
        self.failure: str | None = None
        try:
            self._database = open_database(folder / "ledger.sqlite")
            self.number = str(self._value("SELECT value FROM meta WHERE name = 'ledger'"))
            self.senders = dict(self._pairs("sender"))
            self.topics = dict(self._pairs("topic"))
        except apsw.Error as error:
            os.close(self._lock)
            raise LedgerRefused(f"ledger {folder}: {error}; restore it from the backup") from error
        except LedgerRefused:
            os.close(self._lock)
            raise
        self._texts: dict[str, int] = {}
        self._closed = False

    def start(self) -> None:
        self._writer = threading.Thread(target=self._write_loop, name="suppression-ledger", daemon=True)
        self._writer.start()

    def put(self, batch: Batch | Bulk | Act) -> Future[int]:
        """The answer comes when the batch is durable and in force. Fails with LedgerFailed."""
        answer: Future[int] = Future()
        with self._closing:
            if self.failure is None and self._writer is not None:
                self._queue.put((batch, answer))
                return answer
        answer.set_exception(LedgerFailed(self.failure or "the ledger is closed"))
        return answer

    def stop(self) -> None:
        """What was put before is written before; what comes after is refused."""
        with self._closing:
            writer, self._writer = self._writer, None
            if writer is not None:
                self._queue.put(None)
        if writer is not None:
            writer.join()

    def close(self) -> None:
        """Again is harmless."""
        self.stop()
        self._database.close()
        if not self._closed:
            self._closed = True
            os.close(self._lock)

    def fingerprint(self, ours: str) -> str:
        """The secret's fingerprint that this ledger was begun with: ours, if it has none yet."""
        self._database.execute("INSERT OR IGNORE INTO meta VALUES ('fingerprint', ?)", (ours,))
        return str(self._value("SELECT value FROM meta WHERE name = 'fingerprint'"))

    def has_fingerprint(self) -> bool:
        return bool(self._value("SELECT count(*) FROM meta WHERE name = 'fingerprint'"))

    def last_event(self) -> int:
        return int(self._value("SELECT coalesce(max(id), 0) FROM event"))

    def last_recorded(self) -> int:
        """Microseconds UTC of the last event; 0 when there is none."""
        return int(self._value("SELECT coalesce((SELECT recorded FROM event ORDER BY id DESC LIMIT 1), 0)"))

    def facts(self, wide: int) -> list[Fact]:
        """All that is recorded under one wide key. Only for the writer thread, and before start."""
        rows = self._database.execute(f"SELECT {_FACT} FROM event WHERE wide = ?", (_signed(wide),))  # noqa: S608 - constants
        return [_fact(row) for row in rows]

    def alike_after(self, event: int) -> Iterator[tuple[Fact, bytes]]:
        """All later facts, those that are equal but for address and time together: one of them, and the identities.
        What ages is grouped by its day. Only before start.
        """
        groups: dict[tuple[int, int, int, int, int], array[int]] = defaultdict(lambda: array("q"))
        rows = self._database.execute(_ALIKE, (event,))
        for number, (kind, sender, topic, at, detail, exact, wide) in enumerate(rows, 1):
            groups[kind, sender, topic, at, detail].extend((exact, wide))
            if number % _REPLAY_ROWS == 0:
                yield from _alike(groups)
                groups.clear()
        yield from _alike(groups)

    def _value(self, query: str) -> Any:
        return self._database.execute(query).get

    def _pairs(self, table: str) -> list[Any]:
        return self._database.execute(f"SELECT name, id FROM {table}").fetchall()  # noqa: S608 - our own two names

    def _write_loop(self) -> None:
        """Ends at close, or at the first failure, with everybody answered."""
        while True:
            group, more = self._group()
            try:
                if group:
                    self._write(group)
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer from now on is no
                self._fail(group, error)
                return
            if not more:
                return

    def _group(self) -> tuple[list[_Waiting], bool]:
        """What waits now; whether to go on afterwards. Drops what nobody waits for any more."""
        group: list[_Waiting] = []
        waiting = self._queue.get()
        while waiting is not None:
            if waiting[1].set_running_or_notify_cancel():
                group.append(waiting)
            if len(group) >= _MAX_GROUP:
                return group, True
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _write(self, group: list[_Waiting]) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            written = [(batch, self._insert(batch)) for batch, _ in group]
            last = self.last_event()
        except BaseException:
            if database.in_transaction:  # SQLite has rolled back by itself when the disk is full
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        self._installed(written, last)
        for _, answer in group:
            answer.set_result(last)

    def _insert(self, batch: Batch | Bulk | Act) -> list[Fact]:
        entries = batch.entries if isinstance(batch, Batch | Bulk) else batch.perform(self)
        recorded = [self._row(entry, batch.recorded) for entry in entries]
        for row in recorded:
            if isinstance(batch, Bulk):
                self._insert_bulk(batch, row)
            else:
                self._database.execute(_INSERT + _VALUES, row)
        return [_fact(row) for row in recorded]

    def _insert_bulk(self, bulk: Bulk, row: Row) -> None:
        """Sorted by the wide key: neighbours in the index on it are written together."""
        kind, _, _, sender, topic, _, detail, recorded, source, evidence, _ = row
        same = (kind, sender, topic, detail, recorded, source, evidence)
        keys = array("q", b"".join(bulk.identities))
        exacts, wides = keys[0::2], keys[1::2]
        columns: tuple[Sequence[Any], ...] = (wides, exacts, bulk.ats, bulk.addresses)
        order = sorted(range(len(wides)), key=wides.__getitem__)
        execute = self._database.execute
        for start in range(0, len(order), _ROWS_PER_STATEMENT):
            part = order[start : start + _ROWS_PER_STATEMENT]
            own = zip(*(map(column.__getitem__, part) for column in columns), strict=True)
            execute(_bulk_statement(len(part)), (*same, *chain.from_iterable(own)))

    def _row(self, entry: Entry, recorded: int) -> Row:
        kind, identity, sender, topic, at, detail, source, evidence, address = entry
        exact, wide = _PAIR.unpack(identity)
        return (
            kind,
            wide,
            exact,
            self.sender(sender),
            self.topic(topic),
            at,
            detail,
            recorded,
            self.text(source),
            self.text(evidence),
            address,
        )

    @property
    def database(self) -> apsw.Connection:
        """For acts, in the writer's thread; before start for whoever opens the ledger."""
        return self._database

    def sender(self, name: str) -> int:
        return self._named("sender", self.senders, name) if name else EVERY

    def topic(self, name: str) -> int:
        return self._named("topic", self.topics, name) if name else EVERY

    def _named(self, table: str, known: dict[str, int], name: str) -> int:
        number = known.get(name)
        if number is None:
            self._database.execute(f"INSERT INTO {table} (name) VALUES (?)", (name,))  # noqa: S608 - our own two names
            number = known[name] = self._database.last_insert_rowid()
        return number

    def text(self, content: str) -> int:
        number = self._texts.get(content)
        if number is None:
            self._database.execute("INSERT INTO text (content) VALUES (?)", (content,))
            number = self._database.last_insert_rowid()
            if len(content) <= _REMEMBERED_TEXT:
                if len(self._texts) >= _MAX_TEXTS:
                    self._texts.clear()
                self._texts[content] = number
        return number

    def forget_texts(self) -> None:
        """For acts that may take texts away: what is recorded from here on is stored anew."""
        self._texts.clear()

    def _fail(self, group: list[_Waiting], error: BaseException) -> None:
        with self._closing:
            why = f"{type(error).__name__}: {error}"
            self.failure = f"suppression ledger: {why}; check its disk for room and faults, then start again"
        answers = [answer for _, answer in group if not answer.done()]
        while True:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is not None and waiting[1].set_running_or_notify_cancel():
                answers.append(waiting[1])
        for answer in answers:
            answer.set_exception(LedgerFailed(self.failure))


def _alike(groups: dict[tuple[int, int, int, int, int], array[int]]) -> Iterator[tuple[Fact, bytes]]:
    for (kind, sender, topic, at, detail), keys in groups.items():
        yield Fact(kind, 0, 0, sender, topic, at, detail), keys.tobytes()


@lru_cache(maxsize=2)
def _bulk_statement(rows: int) -> str:
    def values(n: int) -> str:
        return f"(?1,?{n},?{n + 1},?2,?3,?{n + 2},?4,?5,?6,?7,?{n + 3})"

    return _INSERT + ",".join(values(_SAME + 1 + 4 * row) for row in range(rows))


def _fact(row: Sequence[object]) -> Fact:
    kind, wide, exact, sender, topic, at, detail = row[:7]
    assert isinstance(wide, int)
    assert isinstance(exact, int)
    return Fact(kind, wide & _KEY_MASK, exact & _KEY_MASK, sender, topic, at, detail)  # type: ignore[arg-type]


def _signed(key: int) -> int:
    return key - (1 << 64) if key >> 63 else key
