"""Intents that can wait a moment travel with the next commit instead of causing one of their own.

A sheet of bulk letters is signed for some tens of milliseconds anyway; as long as that takes, its intent may wait for
the outcomes of others, which are synced every few. Lives on the event loop, beside the writer thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence


class Intents:
    def __init__(self, record: Callable[[list[int]], asyncio.Future[None]]) -> None:
        """`record` queues one write for all these ids; its future tells the sync."""
        self._record = record
        self._loop = asyncio.get_running_loop()
        self._ids: list[int] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, recipients: Sequence[int], patience: float) -> asyncio.Future[None]:
        """Done after the sync, at most `patience` seconds plus a commit later."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._ids += recipients
        self._waiting.append(future)
        if self._timer is None:
            self._timer = self._loop.call_later(patience, self.flush)
        return future

    def flush(self) -> None:
        """Queues what waits; to be called just before another write is queued, so that both share its commit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        waiting, ids = self._waiting, self._ids
        self._waiting, self._ids = [], []
        try:
            written = self._record(ids)
        except Exception as error:  # noqa: BLE001 - the spool is lost or closed: each caller gets to know
            for future in waiting:
                _fail(future, error)
            return
        written.add_done_callback(lambda done: _tell(waiting, done))


def _tell(waiting: Sequence[asyncio.Future[None]], done: asyncio.Future[None]) -> None:
    error = done.exception()
    for future in waiting:
        if error is not None:
            _fail(future, error)
        elif not future.done():
            future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
