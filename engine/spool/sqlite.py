"""The spool on SQLite: the port's methods, each one function run by the writer thread.

Durable when a call returns: write-ahead log, synchronous=FULL, one commit for all that came in meanwhile.

Order (what a lane's cursor relies on). A lane's rows are pulled in (due, id) order and pulled rows live in memory
until they are settled or deferred, so no row may ever appear in front of a cursor. New rows get a due not before
the last one pulled from their lane, and ids only grow; deferred rows get a due after every due pulled so far.
Both hold whatever the wall clock does: when it goes back, new mail goes on at once and retries wait until it has
caught up; nothing is lost or pulled twice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import apsw

from engine.buckets import Buckets
from engine.mail.envelope import Priority, Recipient
from engine.spool import intake, queued, reading, retention, settling
from engine.spool.clearing import recover_settled
from engine.spool.copying import copy_spool
from engine.spool.database import SpoolSettings, Tuning, lock_folder, open_database
from engine.spool.intents import Intents
from engine.spool.layout import SpoolUnusable
from engine.spool.port import (
    Cursor,
    Deferred,
    Lane,
    LaneState,
    MailingTotals,
    Receipt,
    Settled,
    SpoolFailed,
    SpoolFull,
    Submission,
)
from engine.spool.reserve import Reserve
from engine.spool.store import Store
from engine.spool.writer import Writer

__all__ = ["SpoolSettings", "SpoolUnusable", "SqliteSpool", "Tuning"]

FEW = 16
"""A bulk submit of so few recipients is not worth waiting behind the large ones."""


def disk_space(folder: Path) -> tuple[int, int]:
    """Bytes free for us, and in all."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


class SqliteSpool:
    def __init__(
        self,
        settings: SpoolSettings,
        store: Store,
        lock: int,
        *,
        clock: Callable[[], float],
        disk: Callable[[Path], tuple[int, int]],
        tuning: Tuning,
    ) -> None:
        self._settings = settings
        self._store = store
        self._lock = lock
        self._clock = clock
        self._disk = disk
        self._reserve = Reserve(settings.folder / "reserve", settings.reserve_bytes)
        self._refill()
        self._writer = Writer(store, self._reserve, clock=clock, loop=asyncio.get_running_loop(), tuning=tuning)
        self._intents = Intents(self._record_intent)

    @classmethod
    async def open(
        cls,
        settings: SpoolSettings,
        *,
        clock: Callable[[], float] = time.time,
        disk: Callable[[Path], tuple[int, int]] = disk_space,
        vfs: str = "",
        tuning: Tuning = Tuning(),  # noqa: B008 - frozen
    ) -> SqliteSpool:
        """Raises SpoolUnusable with the remedy. What a crash left half done is put in order first."""
        lock = lock_folder(settings.folder)
        try:
            store = await asyncio.to_thread(_open_store, settings, clock(), vfs)
        except BaseException:
            os.close(lock)
            raise
        return cls(settings, store, lock, clock=clock, disk=disk, tuning=tuning)

    @property
    def failed(self) -> asyncio.Future[SpoolFailed]:
        """Done when the disk is lost: the engine watches it and stops."""
        return self._writer.failed

    @property
    def commits(self) -> int:
        return self._writer.commits

    @property
    def commit_seconds(self) -> Buckets:
        """Durations of transactions, the sync included."""
        return self._writer.commit_seconds

    @property
    def reserve_whole(self) -> bool:
        """False: the disk was full and the reserve for outcomes is spent, or never had room."""
        return self._reserve.whole

    async def put_message(self, content: bytes) -> bytes:
        def run() -> bytes:
            self._check_floor()
            return intake.put_message(self._store, content, self._clock(), self._settings.content_grace_seconds)

        return await self._writer.write(run, grows=True)

    async def message_number(self, sha256: bytes) -> int | None:
        return await self._writer.read(lambda: intake.message_number(self._store, sha256))

    async def content(self, number: int) -> bytes:
        return await self._writer.read(lambda: intake.content(self._store, number))

    async def known(self, key: bytes, digest: bytes) -> Receipt | None:
        return await self._writer.read(lambda: intake.known(self._store, key, digest))

    async def submit(self, submission: Submission) -> Receipt:
        def run() -> Receipt:
            grace = self._settings.content_grace_seconds
            return intake.submit(self._store, submission, self._clock(), grace, self._check_floor)

        rows = len(submission.recipients)
        bulk = submission.priority is Priority.BULK and rows > FEW
        return await self._writer.write(run, grows=True, bulk=bulk, rows=rows)

    async def lanes(self) -> list[LaneState]:
        def run() -> list[LaneState]:
            self._writer.clearing.finish()
            return reading.lanes(self._store)

        return await self._writer.read(run)

    async def pull(
        self, lane: Lane, after: Cursor, until: int, limit: int
    ) -> tuple[list[Recipient], Cursor, int | None]:
        return await self._writer.read(lambda: reading.pull(self._store, lane, after, until, limit))

    async def sweep(self, batch_id: int, after_id: int, limit: int) -> list[tuple[Lane, Recipient]]:
        return await self._writer.read(lambda: reading.sweep(self._store, batch_id, after_id, limit))

    async def settle(self, changes: Sequence[Settled | Deferred]) -> None:
        self._intents.flush()
        await self._writer.write(lambda: settling.settle(self._store, changes), rows=len(changes))

    async def intend(self, recipients: Sequence[int], patience: float = 0.0) -> None:
        if patience:
            await self._intents.add(recipients, patience)
        else:
            await self._record_intent(recipients)

    def _record_intent(self, recipients: Sequence[int]) -> asyncio.Future[None]:
        return self._writer.write(lambda: settling.intend(self._store, recipients))

    async def doubtful(self) -> list[Recipient]:
        return await self._writer.read(lambda: reading.doubtful(self._store))

    async def find(self, sender: str, mailing: str, who: str | int) -> list[tuple[Lane, Recipient]]:
        """One batch at a time, so that commits go on meanwhile."""
        found: list[tuple[Lane, Recipient]] = []
        for batch in await self._writer.read(lambda: reading.open_batches(self._store, sender, mailing)):
            found += await self._writer.read(partial(reading.find_in_batch, self._store, batch, who))
        return found

    async def those(self, ids: Sequence[int]) -> list[Recipient]:
        """The unsettled ones among these."""
        return await self._writer.read(lambda: reading.those(self._store, ids))

    async def copy(self, path: Path) -> None:
        """As of the end of the call, while commits go on. Raises OSError."""
        await copy_spool(self._writer, self._store.connection, path)

    async def queued(self, wanted: Sequence[str]) -> list[str]:
        """Addresses of waiting recipients that are one of these plain forms, or not ASCII (see queued.py). One portion
        at a time, so that commits go on meanwhile.
        """
        found: list[str] = []
        after: int | None = -1
        while after is not None:
            more, after = await self._writer.read(partial(queued.look, self._store, tuple(wanted), after))
            found += more
        return found

    async def open_batches(self, sender: str | None, mailing: str | None) -> list[int]:
        return await self._writer.read(lambda: reading.open_batches(self._store, sender, mailing))

    async def close_mailing(self, sender: str, mailing: str, now: float) -> list[int]:
        return await self._writer.write(lambda: retention.close_mailing(self._store, sender, mailing, now))

    async def expired_batches(self, now: float, limit: int) -> list[int]:
        """After a start also the batches closed before it whose recipients were not all settled: sweep them again."""
        return await self._writer.write(lambda: retention.expired_batches(self._store, now, limit))

    async def totals(self, sender: str | None, mailing: str | None) -> list[MailingTotals]:
        return await self._writer.read(lambda: reading.totals(self._store, sender, mailing))

    async def newest_totals(self, most: int) -> list[MailingTotals]:
        return await self._writer.read(lambda: reading.newest_totals(self._store, most))

    async def tidy(self, now: float) -> None:
        """Also fills the reserve again when the disk has room."""
        settings = self._settings
        await self._writer.read(self._refill)
        for drop, before in (
            (retention.drop_old_keys, now - settings.key_seconds),
            (retention.drop_totals, now - settings.totals_seconds),
        ):
            while await self._writer.write(partial(drop, self._store, before)):
                pass
        after: int | None = 0
        while after is not None:
            drop_some = partial(retention.drop_contents, self._store, now - settings.content_grace_seconds, after)
            after = await self._writer.write(drop_some)

    async def close(self) -> None:
        self._intents.flush()
        await self._writer.close()
        await asyncio.to_thread(self._store.connection.close)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _refill(self) -> None:
        free, size = self._disk(self._settings.folder)
        if free >= int(size * self._settings.disk_floor) + self._settings.reserve_bytes:
            self._reserve.fill()

    def _check_floor(self) -> None:
        free, size = self._disk(self._settings.folder)
        floor = int(size * self._settings.disk_floor)
        if free < floor:
            connection = self._store.connection
            free += connection.pragma("freelist_count") * connection.pragma("page_size")
        if free < floor:
            raise SpoolFull(
                f"{free >> 20} MiB free for the spool in {str(self._settings.folder)!r}, floor {floor >> 20} MiB"
                f" ({self._settings.disk_floor:.0%} of the disk): free disk space or lower the floor"
            )


def _open_store(settings: SpoolSettings, now: float, vfs: str) -> Store:
    connection = open_database(settings, now=now, vfs=vfs)
    try:
        return _recover(Store(connection))
    except apsw.Error as error:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close(True)
        raise SpoolUnusable(
            f"spool {str(settings.folder)!r} cannot be put in order: {error}; check the disk"
        ) from error


def _recover(store: Store) -> Store:
    store.begin()
    recover_settled(store)
    settling.recover_intents(store)
    store.execute("DELETE FROM lane WHERE NOT EXISTS (SELECT 1 FROM recipient WHERE lane = lane.id)")
    store.commit(0.0)
    store.unswept = retention.unswept_batches(store)
    return store
