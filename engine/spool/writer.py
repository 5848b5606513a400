"""THE writer: one thread, one connection, one commit for everything that came in meanwhile.

Urgent work (settling, single mails) and reads overtake bulk submits, of which a bounded number of rows has a commit
of its own. Reads run between commits. A failed sync or a damaged file ends it for good: this call and all later
ones raise SpoolFailed and nothing is retried, since fsync may have dropped the pages and would answer "done" the
second time. A full disk is different, nothing had been written: the submits of that commit are refused, the rest is
tried again, and once more without the reserve; when even that finds no room, outcomes cannot be recorded and going
on would send the same mails again after a start.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from engine.buckets import SYNC_BOUNDS, Buckets
from engine.spool.clearing import Clearing
from engine.spool.database import Tuning
from engine.spool.port import KeyReused, SpoolFailed, SpoolFull
from engine.spool.reserve import Reserve
from engine.spool.store import Store

T = TypeVar("T")
OWN_ERRORS = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.SQLError, apsw.BindingsError)
"""One call's error. Every other apsw.Error is the disk's."""
REFUSALS = (KeyReused, SpoolFull)
"""Raised before anything was written: the transaction goes on."""


class Operation:
    __slots__ = ("error", "future", "grows", "result", "rows", "run")

    def __init__(self, run: Callable[[], Any], future: asyncio.Future[Any], *, grows: bool, rows: int) -> None:
        self.run = run
        self.future = future
        self.grows = grows
        self.rows = rows
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    def __init__(
        self,
        store: Store,
        reserve: Reserve,
        *,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        tuning: Tuning,
    ) -> None:
        self.failed: asyncio.Future[SpoolFailed] = loop.create_future()
        self.commits = 0
        self.commit_seconds = Buckets(SYNC_BOUNDS)
        self.clearing = Clearing(store, tuning)
        self._tuning = tuning
        self._store = store
        self._reserve = reserve
        self._clock = clock
        self._loop = loop
        self._failure: SpoolFailed | None = None
        self._closing = False
        self._wal_pages = 0
        self._wake = threading.Condition()
        self._urgent: deque[Operation] = deque()
        self._bulk: deque[Operation] = deque()
        self._reads: deque[Operation] = deque()
        store.connection.set_wal_hook(self._note_wal)
        self._thread = threading.Thread(target=self._main, name="spool", daemon=True)
        self._thread.start()

    def write(
        self, run: Callable[[], T], *, grows: bool = False, bulk: bool = False, rows: int = 1
    ) -> asyncio.Future[T]:
        """`run` is called inside a transaction, perhaps twice; what it changes in memory must follow the commit.
        `grows`: refused on a full disk.
        """
        return self._queue(self._bulk if bulk else self._urgent, run, grows=grows, rows=rows)

    def read(self, run: Callable[[], T]) -> asyncio.Future[T]:
        return self._queue(self._reads, run, grows=False, rows=1)

    def _queue(self, where: deque[Operation], run: Callable[[], T], *, grows: bool, rows: int) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            if self._failure is not None:
                raise self._failure
            if self._closing:
                raise SpoolFailed("the spool is closed")
            where.append(Operation(run, future, grows=grows, rows=rows))
            self._wake.notify()
        return future

    async def close(self) -> None:
        """Everything queued is done first."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _main(self) -> None:
        while self._failure is None:
            work = self._take()
            if work is None:
                break
            urgent, reads, bulk = work
            self._commit(urgent)
            self._read(reads)
            self._commit(bulk)
            self._maintain(idle=not (urgent or reads or bulk))
        if self._failure is None:
            self._maintenance(self.clearing.finish)

    def _take(self) -> tuple[list[Operation], list[Operation], list[Operation]] | None:
        """Urgent writes, reads, a portion of bulk. None: closing, and all done. Nothing in any: quiet for a while."""
        with self._wake:
            while not (self._urgent or self._bulk or self._reads):
                if self._closing:
                    return None
                if not self._wake.wait(self._tuning.quiet_seconds if self._store.settled else None):
                    break
            urgent, reads, bulk = list(self._urgent), list(self._reads), []
            self._urgent.clear()
            self._reads.clear()
            rows = 0
            while self._bulk and (rows == 0 or rows + self._bulk[0].rows <= self._tuning.bulk_rows):
                rows += self._bulk[0].rows
                bulk.append(self._bulk.popleft())
        return urgent, reads, bulk

    def _commit(self, operations: list[Operation]) -> None:
        started = time.monotonic()
        waiting = operations if self._failure is None else []
        try:
            while waiting:
                try:
                    waiting = self._attempt(waiting)
                except apsw.FullError as error:
                    waiting = self._without_growth(waiting, error)
        except Exception as error:  # noqa: BLE001 - whatever it is: nobody may wait for a thread that is dead
            self._fail(_named(error))
        if operations:
            self.commit_seconds.observe(time.monotonic() - started)
        self._answer(operations)

    def _attempt(self, operations: list[Operation]) -> list[Operation]:
        """One transaction. Answers what is to be tried again, without the one that spoilt it."""
        store = self._store
        store.begin()
        for operation in operations:
            try:
                operation.result = operation.run()
            except apsw.Error as error:
                if not isinstance(error, OWN_ERRORS):
                    raise
                return self._retry_without(operation, error, operations)
            except Exception as error:  # noqa: BLE001 - the caller's: a refusal, or our bug, and it gets it
                if not isinstance(error, REFUSALS):
                    return self._retry_without(operation, error, operations)
                operation.error = error
        store.commit(self._clock())
        self.commits += 1
        return []

    def _retry_without(self, spoilt: Operation, error: Exception, operations: list[Operation]) -> list[Operation]:
        self._store.roll_back()
        spoilt.error = error
        return [operation for operation in operations if operation is not spoilt and operation.error is None]

    def _without_growth(self, operations: list[Operation], error: apsw.FullError) -> list[Operation]:
        self._store.roll_back()
        growing = [operation for operation in operations if operation.grows]
        if not growing and self._reserve.give_up():
            return operations
        if not growing:
            raise apsw.FullError(f"{error}: outcomes cannot be recorded, going on would send mails twice") from error
        for operation in growing:
            operation.error = SpoolFull(f"no space left for the spool: {error}; free disk space")
        return [operation for operation in operations if operation.error is None]

    def _read(self, reads: list[Operation]) -> None:
        for operation in reads:
            if self._failure is not None:
                break
            try:
                operation.result = operation.run()
            except OWN_ERRORS as error:
                operation.error = error
            except apsw.Error as error:
                self._fail(_named(error))
            except Exception as error:  # noqa: BLE001 - as above
                operation.error = error
        self._answer(reads)

    def _note_wal(self, _: apsw.Connection, __: str, pages: int) -> int:
        """Set in place of SQLite's own checkpoint, which runs inside the commit that others wait for."""
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _maintain(self, *, idle: bool) -> None:
        """After the answers, so that nobody waits but what came in meanwhile."""
        if self._failure is None and self.clearing.is_due(idle=idle):
            self._maintenance(self.clearing.step)
        if self._failure is None and self._wal_pages >= self._tuning.checkpoint_pages:
            self._maintenance(self._checkpoint)

    def _maintenance(self, work: Callable[[], None]) -> None:
        """A full disk only puts it off: the list and the log keep what was not done."""
        try:
            work()
        except apsw.FullError:
            self._store.roll_back()
        except Exception as error:  # noqa: BLE001 - as in _commit
            self._fail(f"{work.__name__}: {_named(error)}")

    def _checkpoint(self) -> None:
        self._wal_pages = 0
        self._store.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _fail(self, why: str) -> None:
        failure = SpoolFailed(f"spool lost: {why}; the engine must stop: check the disk, then start it again")
        with self._wake:
            self._failure = failure
            left = [*self._urgent, *self._bulk, *self._reads]
            for queued in (self._urgent, self._bulk, self._reads):
                queued.clear()
        # Closing would checkpoint, and that would sync again.
        self._store.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._answer(left)
        self._call(self._tell_failure, failure)

    def _tell_failure(self, failure: SpoolFailed) -> None:
        if not self.failed.done():
            self.failed.set_result(failure)

    def _answer(self, operations: list[Operation]) -> None:
        if self._failure is not None:
            for operation in operations:
                operation.error = self._failure
        if operations:
            self._call(_resolve, operations)

    def _call(self, function: Callable[[Any], None], argument: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, argument)


def _named(error: Exception) -> str:
    """With SQLite's own word, such as SQLITE_IOERR_FSYNC, which says what the disk refused."""
    word = apsw.mapping_extended_result_codes.get(getattr(error, "extendedresult", -1))
    return f"{word or type(error).__name__}: {error}"


def _resolve(operations: list[Operation]) -> None:
    """In the loop. A caller that stopped waiting does not undo what was committed."""
    for operation in operations:
        if operation.future.done():
            continue
        if operation.error is None:
            operation.future.set_result(operation.result)
        else:
            operation.future.set_exception(operation.error)
