"""Retention and forgetting, as the engine does them: the daily purge, and three requests of the socket.

特定電子メール法施行規則 4条2項, 特定商取引法施行規則 30条2項, 個人情報保護法 22条. Only the engine changes the ledger
while it runs. The work is done in a thread of its own, in portions with a rest between them; it ends early when the
engine stops, and nothing is then half done. One at a time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine import request as requests
from engine.flow.requests import Answer
from engine.spool.queued import plain
from engine.wire import Refusal
from suppression import EventError, LedgerFailed, Suppression
from suppression.address import forms
from suppression.day import date_of, day_of
from suppression.forget import Forget, identity_of
from suppression.keeping import Keeping, Kept, RetentionSettings, queued
from suppression.pages import last, presumed
from suppression.purge import Purge, Purged
from suppression.retention import OPEN, components
from suppression.sent import SentStore

T = TypeVar("T")

log = logging.getLogger(__name__)

REST_SECONDS = 0.02
"""After each portion, so that the pass takes a fraction of a core and of the disk."""
LOOK_SECONDS = 60.0
"""Between two looks at the clock for the daily pass."""
LEAP_DAYS = 40
"""Since the last pass: after more of them the clock is not believed at once."""
BELIEVED_AFTER = 86400.0
"""Seconds that the engine has to run with it until it is."""
ORDER_NAMES = {1: "ORDER7", 2: "INSTR14", 3: "SUSP15"}


class Queue(Protocol):
    """The spool, as retention asks it."""

    async def queued(self, wanted: Sequence[str]) -> list[str]:
        """Addresses of waiting messages that are one of these plain forms, or not ASCII."""
        ...


def is_believed(today: int, last: int, seconds_up: float) -> bool:
    """Whether a pass may delete what is past its day. A machine that starts with a clock years ahead would lose
    evidence that nothing brings back; one that was off for so long loses nothing by another day. `last`: 0 for never.
    """
    return not last or today - last <= LEAP_DAYS or seconds_up >= BELIEVED_AFTER


class Stopped(Exception):  # noqa: N818 - the engine's state
    """The engine stops: the pass goes on tomorrow."""


@dataclass(slots=True)
class RetentionCounts:
    passes: int = 0
    purged: int = 0
    forgotten: int = 0


class Retention:
    def __init__(
        self,
        settings: RetentionSettings,
        folder: Path,
        *,
        suppression: Suppression,
        sent: SentStore,
        queue: Queue,
        clock: Callable[[], float],
    ) -> None:
        """`folder`: of the ledger."""
        self._settings = settings
        self._folder = folder
        self._suppression = suppression
        self._sent = sent
        self._queue = queue
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "retention")
        self._stopping = threading.Event()
        parts: dict[str, Any] = {"clock": clock, "waiting": self._waiting}
        self._purge = Purge(folder, suppression, sent, settings, **parts)
        self._forget = Forget(folder, suppression, sent, settings, **parts)
        self.counts = RetentionCounts()

    # -- the daily pass ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Once a day, at the hour of the settings or as soon after it as the engine runs."""
        began, is_told = self._loop.time(), False
        while True:
            today = day_of(self._clock() - 3600 * self._settings.hour)
            last_pass = await self._work(lambda: self._sent.read(_last_pass))
            if is_believed(today, last_pass, self._loop.time() - began):
                if today > last_pass:
                    await self._work(partial(self._pass, today))
            elif not is_told:
                is_told = True
                log.warning(
                    "retention: the last pass was on %s, %d days ago; nothing is deleted until the engine has run for "
                    "a day with this clock; see that it is right (`sokutatsu retention purge` does not wait)",
                    _day(last_pass),
                    today - last_pass,
                )
            await asyncio.sleep(LOOK_SECONDS)

    def _pass(self, day: int) -> None:
        try:
            self._count(self._purge.run(self._rest))
        except Stopped:
            return
        # A day that was not stored would be passed again at once: the store has told the engine by then, which stops.
        self._sent.run(
            lambda database: database.execute("INSERT OR REPLACE INTO meta VALUES ('pass', ?)", (day,)).get
        ).result()

    def _count(self, purged: Purged) -> None:
        self.counts.passes += 1
        self.counts.purged += purged.purged

    async def close(self) -> None:
        """Ends a pass at its next rest. Again is harmless."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.shutdown)

    # -- requests ------------------------------------------------------------------------------------------

    def answers(self) -> dict[type[requests.Request], Answer]:
        return {
            requests.Retention: self.show,
            requests.Purge: self.purge,
            requests.Forget: self.forget,
        }

    async def show(self, request: requests.Retention) -> Mapping[str, object]:
        return await self._answered(partial(self._show, request.address, request.sender))

    async def purge(self, request: requests.Purge) -> Mapping[str, object]:
        purged = await self._answered(partial(self._purge.run, self._rest, is_rehearsal=request.dry_run))
        if not request.dry_run:
            self._count(purged)
        return {
            "dry_run": request.dry_run,
            "examined": purged.examined,
            "purged": purged.purged,
            "kept": dict(purged.kept),
            "texts": purged.texts,
        }

    async def forget(self, request: requests.Forget) -> Mapping[str, object]:
        forgotten = await self._answered(partial(self._forget.run, request.address, withdraw=request.withdraw))
        self.counts.forgotten += 1
        # Evidence that others may share is looked for in all events: the answer does not wait for that.
        sweeping = self._work(self._sweep)
        sweeping.add_done_callback(_heard)
        return {
            "events": forgotten.known,
            "erased": forgotten.erased,
            "kept": [[left.sender, _text(left.until), str(left.rule)] for left in forgotten.remaining],
        }

    def _sweep(self) -> None:
        try:
            self._purge.sweep(self._rest)
        except Stopped:
            return

    def _show(self, address: str, sender: str) -> Mapping[str, object]:
        exact, wide = identity_of(self._suppression, address)
        with Keeping(self._folder, self._sent, self._settings) as keeping:
            records = [record for record in keeping.records([wide]) if record.sender == sender]
            orders = {name: keeping.orders.get(number, []) for number, name in keeping.senders.items()}
        records = queued(records, self._waiting(frozenset[str]().union(*(r.addresses for r in records))))
        (days,), anybody = self._sent.read(lambda database: (last(database, sender, [exact]), presumed(database)))
        return {
            "sender": sender,
            "last_sent": _day(days.day),
            "last_mail_order": _day(days.mail_order_day),
            "presumed": _day(anybody),
            "orders": [
                [ORDER_NAMES.get(order.kind, str(order.kind)), _day(order.day), order.is_release]
                for order in orders.get(sender, [])
            ],
            "margin_days": self._settings.margin_days,
            "today": _day(day_of(self._clock())),
            "records": [self._told(record, exact) for record in records],
        }

    def _told(self, record: Kept, exact: int) -> dict[str, object]:
        return {
            "is_this_spelling": record.exact == exact,
            "since": record.facts.since.isoformat(),
            "is_purged": not record.addresses,
            "keep_until": _text(record.until(self._settings.margin_days)),
            "reasons": [
                [
                    str(reason.rule),
                    reason.counted_from and reason.counted_from.isoformat(),
                    _text(reason.until),
                    reason.order and reason.order.isoformat(),
                ]
                for reason in components(record.facts)
            ],
        }

    # -- the thread ----------------------------------------------------------------------------------------

    def _work(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return self._loop.run_in_executor(self._thread, work)

    async def _answered(self, work: Callable[[], T]) -> T:
        """Raises Refusal for what a client may hear. A failed ledger stops the engine by itself."""
        try:
            return await self._work(work)
        except EventError as error:
            field, _, text = str(error).partition(": ")
            raise Refusal("bad_request", field, "", text) from None
        except (LedgerFailed, Stopped, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not self._stopping.is_set():
                raise
            text = "the engine stops, or its ledger has failed: ask again when it is back"
            raise Refusal("unavailable", "", "", text) from error

    def _rest(self) -> None:
        if self._stopping.wait(REST_SECONDS):
            raise Stopped

    def _waiting(self, addresses: frozenset[str]) -> frozenset[str]:
        """Called in the thread; the spool answers in the loop."""
        by_form: dict[str, set[str]] = {}
        for address in addresses:
            found = forms(address)
            assert found is not None, "the ledger records nothing else"
            by_form.setdefault(found.exact, set()).add(address)
        if not by_form:
            return frozenset()
        wanted = {plain(exact): exact for exact in by_form}
        asked = asyncio.run_coroutine_threadsafe(self._queue.queued(tuple(wanted)), self._loop)
        waiting = {other.exact for address in asked.result() if (other := forms(address))}
        return frozenset[str]().union(*(by_form[exact] for exact in waiting & by_form.keys()))


def _heard(sweeping: asyncio.Future[None]) -> None:
    """A ledger that failed meanwhile has told the engine by itself; any other error is ours and stops the engine."""
    if not sweeping.cancelled() and (error := sweeping.exception()) and not isinstance(error, LedgerFailed):
        raise error


def _last_pass(database: Any) -> int:
    return int(database.execute("SELECT coalesce(max(value), 0) FROM meta WHERE name = 'pass'").get)


def _day(number: int) -> str | None:
    return date_of(number).isoformat() if number else None


def _text(until: Any) -> str | None:
    """None: no end can be named."""
    return None if until == OPEN else until.isoformat()
