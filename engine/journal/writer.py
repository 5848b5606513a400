"""The journal's thread: groups of records come in, and are on disk when `append` returns.

A crash tears at most the last segment's end: readers stop at the last whole line, and the next start opens a new
segment instead of writing behind the tear. A failed write or sync is final (JournalFailed): nothing more is written,
every later group is answered with the same failure, and the process must stop.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from engine.buckets import SYNC_BOUNDS, Buckets
from engine.journal.record import Record
from engine.journal.segment import Files, JournalSettings, Segment, SystemFiles, expired, prepare_folder

log = logging.getLogger(__name__)

RETENTION_INTERVAL = 3600.0


class JournalFailed(Exception):  # noqa: N818 - the journal's state, not one call's error
    """Disk lost: stop sending, say so, exit non-zero."""


_Group = tuple[Sequence[Record], asyncio.Future[None]]


class Journal:
    """Owns the folder's newest segment and one thread that encodes, compresses, writes and syncs."""

    def __init__(self, settings: JournalSettings, files: Files | None = None) -> None:
        """Raises OSError when the folder cannot be used."""
        self._settings = settings
        self._files = files or SystemFiles()
        prepare_folder(settings.folder, self._files)
        self._loop = asyncio.get_running_loop()
        self._groups: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._encoder = msgspec.json.Encoder()
        self._error: JournalFailed | None = None
        self._closed = False
        self._retained_at = -RETENTION_INTERVAL
        self.records = 0
        self.bytes_written = 0
        self.sync_seconds = Buckets(SYNC_BOUNDS)
        self.syncs = 0
        self._segment: Segment | None = None
        self._thread = threading.Thread(target=self._write_groups, name="journal", daemon=True)
        self._thread.start()

    async def append(self, records: Sequence[Record]) -> None:
        """Returns after the sync. Raises JournalFailed, also for everything that comes after a failure. Cancelled: the
        group is written all the same.
        """
        if self._error:
            raise self._error
        if self._closed:
            raise JournalFailed(f"journal {self._settings.folder}: closed; nothing may be noted behind its end")
        future: asyncio.Future[None] = self._loop.create_future()
        self._groups.put((records, future))
        await future

    async def close(self) -> None:
        """Ends the last segment. Whatever fails here was synced before: it is logged, not raised."""
        self._closed = True
        self._groups.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _write_groups(self) -> None:
        while True:
            try:
                group = self._groups.get(timeout=self._patience())
            except queue.Empty:
                self._guarded(self._end_segment)
                continue
            if group is None:
                break
            records, future = group
            self._guarded(partial(self._write, records))
            self._loop.call_soon_threadsafe(_answer, future, self._error)
        self._guarded(self._end_segment)
        if self._segment:
            self._segment.abandon()

    def _patience(self) -> float | None:
        """Seconds until an idle segment is closed by its age; None: there is none."""
        return max(0.0, self._segment.seconds_left()) if self._segment and not self._error else None

    def _guarded(self, step: Callable[[], None]) -> None:
        """The first failure of any kind is the last step that is taken: a thread that died silently would leave its
        callers waiting for ever.
        """
        if self._error:
            return
        try:
            step()
        except Exception as error:  # noqa: BLE001 - told to every caller, and fatal
            reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
            self._error = JournalFailed(
                f"journal {self._settings.folder}: {reason}; what was acknowledged is safe: free space or replace the "
                "disk, then start again"
            )
            log.critical("%s", self._error)

    def _write(self, records: Sequence[Record]) -> None:
        segment = self._segment
        if segment is not None and segment.seconds_left() <= 0.0:
            self._end_segment()
            segment = None
        if segment is None:
            self._delete_expired()
            segment = self._segment = Segment(self._settings, self._files, self._encoder)
        before = segment.size
        segment.append(records)
        started = time.monotonic()
        segment.sync()
        self.sync_seconds.observe(time.monotonic() - started)
        self.syncs += 1
        self.records += len(records)
        self.bytes_written += segment.size - before

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment:
            segment.finish()

    def _delete_expired(self) -> None:
        """Retention. A segment that cannot be deleted is no lost mail: it is logged and tried again later."""
        if time.monotonic() < self._retained_at + RETENTION_INTERVAL:
            return
        self._retained_at = time.monotonic()
        try:
            for path in expired(self._settings.folder, self._settings.keep_seconds, time.time()):
                path.unlink()
                log.info("journal segment %s deleted: older than journal.keep_seconds", path.name)
        except OSError as error:
            log.warning("journal %s: a segment past its time cannot be deleted: %s", self._settings.folder, error)


def _answer(future: asyncio.Future[None], error: JournalFailed | None) -> None:
    if future.done():
        return  # cancelled by its caller
    if error:
        future.set_exception(error)
    else:
        future.set_result(None)
