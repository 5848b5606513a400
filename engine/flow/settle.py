"""The end of an attempt: outcome -> journal, spool, timeline, suppression, counts. The only writer of state.

Outcomes are gathered for a moment (`linger_seconds`) and written as one group: first the journal, synced, then the
spool, synced. In this order a crash in between leaves a delivery that is proved but still queued; the start finds
it in the journal's tail and settles it instead of sending it again. What a crash leaves in doubt is therefore
bounded by the transactions on the wire plus one unwritten group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from engine.flow.counts import Counts
from engine.journal import Record
from engine.mail.envelope import Recipient
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Deferred, Lane, Outcome, Settled, Spool, SpoolFailed

log = logging.getLogger(__name__)

RECORD_TYPES = {
    Outcome.DELIVERED: "Delivery",
    Outcome.BOUNCED: "Bounce",
    Outcome.EXPIRED: "Expiration",
    Outcome.SUPPRESSED: "Suppressed",
    Outcome.CANCELLED: "Cancelled",
}


@dataclass(frozen=True, slots=True)
class SettleSettings:
    linger_seconds: float = 0.02
    """How long outcomes wait for company before they are synced; bounds the duplicates of a crash."""
    group: int = 1000
    """Most outcomes in one commit."""
    backlog: int = 20_000
    """Unwritten outcomes at which dispatch pauses: back-pressure instead of loss."""


class Settle:
    """One task (`run`) writes; everybody else calls the sync methods. Nothing is lost by cancelling `run` after
    `drain`.
    """

    def __init__(
        self,
        settings: SettleSettings,
        *,
        spool: Spool,
        append: Callable[[Sequence[Record]], Awaitable[None]],
        timeline: Timeline[Lane, Cursor],
        counts: Counts,
        roster: dict[int, Recipient],
        hard_bounce: Callable[[Sequence[tuple[Recipient, str]]], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._append = append
        self._timeline = timeline
        self._counts = counts
        self._roster = roster
        self._hard_bounce = hard_bounce
        self._changes: list[Settled | Deferred] = []
        self._records: list[Record] = []
        self._bounced: list[tuple[Recipient, str]] = []
        self._wake = asyncio.Event()
        self._writing = False
        self._waiting: list[asyncio.Future[None]] = []
        """Who waits for a round that begins later, and `_called`, for the one that runs."""
        self._called: list[asyncio.Future[None]] = []
        self._failure: SpoolFailed | None = None
        self.on_deferred: Callable[[], None] = lambda: None
        self.on_closed: Callable[[Recipient], None] = lambda _recipient: None
        """It was cancelled or has expired while its deferral was on its way to disk: it is to be settled."""
        self.on_drained: Callable[[], None] = lambda: None

    @property
    def backlog(self) -> int:
        return len(self._changes)

    @property
    def full(self) -> bool:
        return len(self._changes) >= self._settings.backlog

    def settled(self, recipient: Recipient, outcome: Outcome, record: Record) -> None:
        self._changes.append(Settled(recipient, outcome))
        batch, counts = recipient.batch, self._counts
        since = batch.accepted_at
        if batch.not_before > since:  # noqa: PLR1730 - max() costs as much as all the rest
            since = batch.not_before
        stay = counts.stay_delivered if outcome is Outcome.DELIVERED else counts.stay[outcome]
        stay.observe(record.timestamp - since)
        self._note(record)

    def deferred(self, recipient: Recipient, due: int, *, counted: bool, in_doubt: bool, record: Record | None) -> None:
        """`due` in Unix seconds. Without a record nothing was tried (put back, held), which is no deferral."""
        self._changes.append(Deferred(recipient, due, counted, in_doubt, record is not None))
        self._note(record)

    def note(self, record: Record) -> None:
        """A journal record that changes nobody's state (Reception)."""
        self._note(record)

    def suppress_bounced(self, recipient: Recipient, reason: str) -> None:
        """The receiver says that nobody has this address: nothing more goes there."""
        self._bounced.append((recipient, reason))

    def _note(self, record: Record | None) -> None:
        if record is not None:
            self._records.append(record)
        self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                if len(self._changes) < self._settings.group and not self._waiting:
                    await asyncio.sleep(self._settings.linger_seconds)
                self._wake.clear()
                await self._round()
                self.on_drained()
        except BaseException as error:
            self._failure = SpoolFailed(f"outcomes are not written any more: {error}")
            _call(self._waiting + self._called, self._failure)
            raise

    async def drain(self) -> None:
        """Returns when everything noted so far is on disk. Raises SpoolFailed when it never will be."""
        if self._failure is not None:
            raise self._failure
        if self._changes or self._records or self._writing:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            self._wake.set()
            await waiting

    async def _round(self) -> None:
        """What was noted before it, in groups. Under load there is always more, so that nobody may wait for an end."""
        self._called, self._waiting = self._waiting, []
        self._writing = True
        for _ in range(max(1, -(-len(self._changes) // self._settings.group))):
            await self._write()
        self._writing = False
        _call(self._called, None)

    async def _write(self) -> None:
        most = self._settings.group
        changes, self._changes = self._changes[:most], self._changes[most:]
        records, self._records = self._records, []
        bounced, self._bounced = self._bounced, []
        if records:
            await self._append(records)
        if bounced:
            await self._hard_bounce(bounced)
        if changes:
            await self._spool.settle(changes)
            self._committed(changes)

    async def last_words(self) -> None:
        """After a fault: what happened and is not on disk yet goes into the journal at least, so that the next start
        can settle it instead of sending it again.
        """
        records, self._records = self._records, []
        if records:
            await self._append(records)

    def _committed(self, changes: Sequence[Settled | Deferred]) -> None:
        counts, roster = self._counts, self._roster
        later = False
        for change in changes:
            recipient = change.recipient
            if isinstance(change, Settled):
                roster.pop(recipient.id, None)
                counts.outcomes[change.outcome] += 1
                continue
            counts.deferrals += change.tried
            if recipient.cancelled or recipient.batch.closed is not None:
                self.on_closed(recipient)
                continue
            later = True
            roster.pop(recipient.id, None)
            self._timeline.add(recipient.lane, 1, change.due)
        if later:
            self.on_deferred()


def _call(waiting: Sequence[asyncio.Future[None]], failure: SpoolFailed | None) -> None:
    for future in waiting:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
