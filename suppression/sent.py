"""The last day on which each sender mailed advertising to each address, durable before it is sent.

特定電子メール法施行規則 4条2項 counts from it; 特定商取引法施行規則 30条2項 from the last mail-order advertisement, so
there are two days. They may be later than the truth and never earlier. Addresses stand here as their exact keys only.
What is noted goes as one block a commit into a log, in SQLite (WAL, synchronous=FULL), by one writer thread; pages.py
merges the log into sorted pages later. One error of the store and it has failed for good, as the ledger does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

import apsw
import numpy as np

from suppression.database import OLDEST_SQLITE, LedgerRefused
from suppression.ledger import LedgerFailed
from suppression.recent import Keys, Recent

T = TypeVar("T")

FILE: Final = "sent.sqlite"
_MAX_GROUP: Final = 4096
_APPLICATION: Final = 0x534B_534C
_LAYOUT: Final = 1
_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sender (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE noted (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sender INTEGER NOT NULL REFERENCES sender,
    day INTEGER NOT NULL,         -- calendar day in Japan since 1970-01-01
    mail_order INTEGER NOT NULL,  -- 1: mail-order advertising, which is advertising too
    keys BLOB NOT NULL            -- exact keys, eight bytes each
) STRICT;
CREATE TABLE page (
    id INTEGER PRIMARY KEY,
    sender INTEGER NOT NULL REFERENCES sender,
    first INTEGER NOT NULL,       -- its smallest key
    keys BLOB NOT NULL,           -- sorted as signed numbers
    days BLOB NOT NULL,           -- of any advertising, two bytes each
    mail_order_days BLOB NOT NULL -- 0: none
) STRICT;
CREATE UNIQUE INDEX page_first ON page (sender, first);
"""


class _Note(NamedTuple):
    sender: str
    day: int
    mail_order: bool
    keys: bytes
    done: asyncio.Future[None]


class _Upkeep(NamedTuple):
    run: Callable[[apsw.Connection], Any]
    answer: Future[Any]


class SentStore:
    """`note` is for the event loop that opened it; all else may be called from any thread."""

    def __init__(self, folder: Path, presumed: int = 0) -> None:
        """`presumed`: for a new file, the day up to which everybody may have been sent to; 0 when nobody was. Raises
        LedgerRefused. The ledger's lock protects the folder: open the ledger first.
        """
        self._path = str(folder / FILE)
        self._database = _open(Path(self._path), presumed)
        self._senders: dict[str, int] = dict(self._database.execute("SELECT name, id FROM sender"))
        self._loop = asyncio.get_running_loop()
        self._recent = Recent()
        self._queue: SimpleQueue[_Note | _Upkeep | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self.failure: str | None = None
        self.failed: asyncio.Future[LedgerFailed] = self._loop.create_future()
        """Done when the disk is lost: the engine watches it and stops."""
        self.notes = 0
        """Addresses written; those that were written today already are not among them."""
        self.commits = 0
        self._writer = threading.Thread(target=self._write_loop, name="last-sent", daemon=True)
        self._writer.start()

    def note(
        self, sender: str, day: int, identities: Sequence[bytes], *, mail_order: bool
    ) -> asyncio.Future[None] | None:
        """These will have been sent to on this day. None: it is on disk already. Else done after the sync. Raises
        LedgerFailed, and so does the future.
        """
        keys = exact_keys(identities)
        new = self._recent.unknown(sender, day, mail_order, keys)
        if not len(new):
            self._check()
            return None
        done: asyncio.Future[None] = self._loop.create_future()
        with self._closing:
            self._check()
            self._queue.put(_Note(sender, day, mail_order, new.tobytes(), done))
        return done

    def run(self, work: Callable[[apsw.Connection], T]) -> Future[T]:
        """In the writer thread, in a transaction of its own. For work of some milliseconds. Raises LedgerFailed."""
        answer: Future[T] = Future()
        with self._closing:
            self._check()
            self._queue.put(_Upkeep(work, answer))
        return answer

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """In the caller's thread, on a connection of its own and without keeping the writer waiting."""
        database = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.execute("BEGIN")  # one view of the file
            return work(database)
        finally:
            database.close()

    def close(self) -> None:
        """What was given before is written before. Again is harmless."""
        with self._closing:
            first, self._closed = not self._closed, True
            if first:
                self._queue.put(None)
        self._writer.join()
        if first:
            self._database.close()

    def _check(self) -> None:
        if self.failure is not None or self._closed:
            raise LedgerFailed(self.failure or "the last-sent store is closed")

    # -- the writer thread ---------------------------------------------------------------------------------

    def _write_loop(self) -> None:
        while True:
            notes, upkeep, more = self._take()
            try:
                if notes:
                    self._commit(lambda _, notes=notes: self._insert(notes))  # type: ignore[misc]
                    self._call(self._noted, notes)
                for work in upkeep:
                    work.answer.set_result(self._commit(work.run))
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for a thread that is dead
                self._fail(error, notes, upkeep)
                return
            if not more:
                return

    def _take(self) -> tuple[list[_Note], list[_Upkeep], bool]:
        """All that waits now; whether to go on afterwards."""
        notes: list[_Note] = []
        upkeep: list[_Upkeep] = []
        waiting = self._queue.get()
        while waiting is not None:
            if isinstance(waiting, _Note):
                notes.append(waiting)
            elif waiting.answer.set_running_or_notify_cancel():
                upkeep.append(waiting)
            if len(notes) >= _MAX_GROUP:
                return notes, upkeep, True
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return notes, upkeep, True
        return notes, upkeep, False

    def _commit(self, work: Callable[[apsw.Connection], T]) -> T:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            result = work(database)
        except BaseException:
            if database.in_transaction:  # SQLite has rolled back by itself when the disk is full
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        self.commits += 1
        return result

    def _insert(self, notes: Sequence[_Note]) -> None:
        """One row for all of the same sender, day and kind."""
        alike: dict[tuple[str, int, bool], list[bytes]] = {}
        for note in notes:
            alike.setdefault(note[:3], []).append(note.keys)
        for (sender, day, mail_order), keys in alike.items():
            self._database.execute(
                "INSERT INTO noted (sender, day, mail_order, keys) VALUES (?, ?, ?, ?)",
                (self._sender(sender), day, int(mail_order), b"".join(keys)),
            )

    def _sender(self, name: str) -> int:
        number = self._senders.get(name)
        if number is None:
            self._database.execute("INSERT INTO sender (name) VALUES (?)", (name,))
            number = self._senders[name] = self._database.last_insert_rowid()
        return number

    def _fail(self, error: Exception, notes: Sequence[_Note], upkeep: Sequence[_Upkeep]) -> None:
        with self._closing:
            why = f"{type(error).__name__}: {error}"
            self.failure = f"last-sent store: {why}; check its disk for room and faults, then start again"
        failure = LedgerFailed(self.failure)
        left, right = list(notes), [work for work in upkeep if not work.answer.done()]
        for waiting in self._left():
            if isinstance(waiting, _Note):
                left.append(waiting)
            elif waiting.answer.set_running_or_notify_cancel():
                right.append(waiting)
        for work in right:
            work.answer.set_exception(failure)
        self._call(self._refuse, left)

    def _left(self) -> Iterator[_Note | _Upkeep]:
        while True:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return
            if waiting is not None:
                yield waiting

    # -- the event loop ------------------------------------------------------------------------------------

    def _call(self, function: Callable[[Sequence[_Note]], None], notes: Sequence[_Note]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, notes)

    def _noted(self, notes: Sequence[_Note]) -> None:
        """On disk now, so that it may be remembered."""
        for note in notes:
            keys = np.frombuffer(note.keys, "<i8")
            self._recent.remember(note.sender, note.day, note.mail_order, keys)
            self.notes += len(keys)
            if not note.done.done():
                note.done.set_result(None)

    def _refuse(self, notes: Sequence[_Note]) -> None:
        failure = LedgerFailed(self.failure or "")
        for note in notes:
            if not note.done.done():
                note.done.set_exception(failure)
        if not self.failed.done():
            self.failed.set_result(failure)


def exact_keys(identities: Sequence[bytes]) -> Keys:
    """The exact keys of identities as Keyring makes them."""
    joined: Keys = np.frombuffer(b"".join(identities), "<i8")
    if len(joined) != 2 * len(identities):
        raise ValueError("an identity without keys: such mail is blocked, nothing of it is sent")
    return joined[0::2]


def presume(folder: Path, day: int) -> None:
    """After a restore: what was sent since the backup is not in the file, so anybody may have been sent to on this day.
    Makes the file if the backup had none. Raises LedgerRefused.
    """
    database = _open(folder / FILE, day)
    try:
        database.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'presumed'", (day,))
    finally:
        database.close()


def _open(path: Path, presumed: int) -> apsw.Connection:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        raise LedgerRefused(f"SQLite {apsw.sqlite_lib_version()} may lose commits; install apsw >= 3.51.3")
    try:
        database = apsw.Connection(str(path))
        path.chmod(0o600)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "temp_store = MEMORY",
            "cache_size = -16384",
            "journal_size_limit = 67108864",
        ):
            database.execute(f"PRAGMA {pragma}")
        _lay_out(database, path, presumed)
    except (apsw.Error, OSError) as error:
        raise LedgerRefused(f"last-sent store {path}: {error}; restore it from the backup") from error
    return database


def _lay_out(database: apsw.Connection, path: Path, presumed: int) -> None:
    layout, application = database.pragma("user_version"), database.pragma("application_id")
    if layout == _LAYOUT and application == _APPLICATION:
        return
    if layout or application:
        raise LedgerRefused(f"{path}: not a last-sent store of layout {_LAYOUT}; run the version that wrote it")
    with database:
        database.execute(_TABLES)
        database.execute("INSERT INTO meta VALUES ('presumed', ?)", (presumed,))
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {_LAYOUT}")
