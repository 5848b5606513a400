"""From waiting to ready: what is due is pulled from the spool, checked against suppression, and given to its path.

One task walks the due lanes, transactional ones first, and loads no more of a lane than its path has room for; a
lane without room is left alone until the path calls. What may not be sent is settled here with its reason.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from engine.flow.conclude import HOLD_SECONDS
from engine.flow.counts import Counts
from engine.flow.dispatch import Dispatch
from engine.flow.letters import Letters, UnknownSender
from engine.flow.path import Path
from engine.flow.settle import Settle
from engine.mail.envelope import Batch, Recipient
from engine.mail.message import MessageError
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Lane, Spool
from suppression import Suppression
from suppression.decision import Verdict

PULL = 256
"""Recipients of one pull: a transactional mail waits for at most one of them."""


class Promote:
    def __init__(
        self,
        *,
        spool: Spool,
        timeline: Timeline[Lane, Cursor],
        suppression: Suppression,
        dispatch: Dispatch,
        letters: Letters,
        settle: Settle,
        counts: Counts,
        roster: dict[int, Recipient],
        clock: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._timeline = timeline
        self._suppression = suppression
        self._dispatch = dispatch
        self._letters = letters
        self._settle = settle
        self._counts = counts
        self._roster = roster
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._parked: defaultdict[str, list[Lane]] = defaultdict(list)
        """Site -> lanes whose recipients found no room there."""
        dispatch.on_drained = self.unpark

    def wake(self) -> None:
        """Something new is waiting, or due earlier than it was."""
        self._wake.set()

    def unpark(self, site: str) -> None:
        for lane in self._parked.pop(site, ()):
            self._timeline.unpark(lane)
        self._wake.set()

    def held(self) -> int:
        """Recipients that wait only because their path has no room or is paused."""
        return sum(self._timeline.waiting(lane) for lanes in self._parked.values() for lane in lanes)

    async def run(self) -> None:
        while True:
            self._wake.clear()
            while not self._dispatch.closing and (lanes := self._timeline.pop_due(int(self._clock()), 1)):
                await self._promote(lanes[0])
            due = self._timeline.next_due()
            timer = None
            if due is not None:
                timer = self._loop.call_later(max(0.0, due - self._clock()) + 0.001, self._wake.set)
            await self._wake.wait()
            if timer:
                timer.cancel()

    async def _promote(self, lane: Lane) -> None:
        path = self._dispatch.path_to(lane.domain)
        room = PULL if path is None else path.ready.space(lane.priority)
        if self._settle.full:
            # Back-pressure from the disks: nothing more comes into memory until they have caught up.
            self._timeline.put_back(lane, int(self._clock()) + 1)
            return
        if path is not None and room < 1:
            path.want_more(lane.priority)
            self._parked[path.site].append(lane)
            self._timeline.park(lane)
            self._timeline.put_back(lane, int(self._clock()))
            return
        now = self._clock()
        cursor = self._timeline.cursor(lane)
        recipients, cursor, next_due = await self._spool.pull(lane, cursor, int(now), min(room, PULL))
        # A sweep may hold some of them already; it has taken them out of the timeline itself.
        fresh = [recipient for recipient in recipients if recipient.id not in self._roster]
        self._timeline.pulled(lane, len(fresh), cursor, next_due)
        for recipient in fresh:
            recipient.lane = lane
            self._roster[recipient.id] = recipient
        allowed = self._checked(fresh, now)
        if path is None:
            for recipient in allowed:
                self._dispatch.unroutable(recipient, now)
            return
        await self._ready(path, allowed)

    def _checked(self, recipients: Sequence[Recipient], now: float) -> list[Recipient]:
        """Those that may go, in their order; the others are settled or held."""
        groups: defaultdict[int, list[Recipient]] = defaultdict(list)
        for recipient in recipients:
            if recipient.batch.closed is not None or now >= recipient.batch.expires:
                self._dispatch.may_leave(recipient, now)
            else:
                groups[recipient.batch.id].append(recipient)
        allowed: list[Recipient] = []
        for group in groups.values():
            allowed += self._decided(group[0].batch, group, now)
        return allowed

    def _decided(self, batch: Batch, group: Sequence[Recipient], now: float) -> list[Recipient]:
        suppression = self._suppression
        epoch = suppression.epoch
        identities = suppression.identify([recipient.address for recipient in group])
        decisions = suppression.decide_identities(batch.sender, batch.topic, batch.category, identities)
        allowed = []
        for recipient, identity, decision in zip(group, identities, decisions, strict=True):
            recipient.who, recipient.epoch, recipient.basis = identity, epoch, decision.basis
            recipient.strip = (decision.reason or "STRIP") if decision.verdict is Verdict.STRIP else ""
            if decision.verdict is Verdict.SEND or recipient.strip:
                allowed.append(recipient)
            elif decision.verdict is Verdict.HOLD:
                later = int(now) + HOLD_SECONDS
                self._settle.deferred(recipient, later, counted=False, in_doubt=recipient.in_doubt, record=None)
            else:
                self._dispatch.suppress(recipient, decision.reason, now)
        return allowed

    async def _ready(self, path: Path, recipients: Sequence[Recipient]) -> None:
        unfit: dict[int, Exception] = {}
        for batch in {recipient.batch.id: recipient.batch for recipient in recipients}.values():
            if batch.compiled is None:
                try:
                    await self._letters.load(batch)
                except (MessageError, UnknownSender) as error:
                    unfit[batch.id] = error
        for batch_id, why in unfit.items():
            # Accept compiled it once, so the configuration has changed since: an operator may change it back.
            stuck = [recipient for recipient in recipients if recipient.batch.id == batch_id]
            self._dispatch.unsigned(stuck, why)
        ready = [recipient for recipient in recipients if recipient.batch.id not in unfit]
        # Only the loaded content tells whether there is a variant without the advertisement.
        path.push([recipient for recipient in ready if self._dispatch.has_variant(recipient, self._clock())])
