"""From waiting to ready: what is due is pulled from the spool, checked against suppression, and given to its path.

One task walks the due lanes, transactional ones first, and loads no more of a lane than its path has room for; a
lane without room is left alone until the path calls, one whose domain is not known until DNS has answered. What may
not be sent, and what no server takes, is settled here with its reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

from engine.flow.canary import Screen
from engine.flow.conclude import HOLD_SECONDS
from engine.flow.counts import Counts
from engine.flow.dispatch import Dispatch
from engine.flow.letters import Letters, UnknownSender
from engine.flow.settle import Settle
from engine.flow.ways import PULL, Gate
from engine.mail.envelope import Batch, Priority, Recipient
from engine.mail.message import MessageError
from engine.mail.stated import asked, stated
from engine.net.resolver import NO_ROUTE, ResolveFailure
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Lane, Spool
from suppression import Suppression
from suppression.decision import Verdict

log = logging.getLogger(__name__)


LANES_AT_ONCE = 50
MOST_UNRESOLVED = 10_000
"""Lanes whose trouble is kept for operators."""


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
        self._asking: dict[str, list[Lane]] = {}
        """Domain -> lanes that wait until DNS has told where it takes mail."""
        self._crowded: deque[Lane] = deque()
        """Lanes whose site has no path yet because there are too many."""
        self._unresolved: dict[Lane, ResolveFailure] = {}
        """What DNS could not tell, and why."""
        self.screen: Screen | None = None
        """Holds back all but a sample of whom a mailing would be the first to reach."""
        dispatch.on_drained = self.unpark
        dispatch.on_room = self._room
        dispatch.lookups.on_known = self._known

    def wake(self) -> None:
        """Something new is waiting, or due earlier than it was."""
        self._wake.set()

    def unpark(self, site: str) -> None:
        for lane in self._parked.pop(site, ()):
            self._timeline.unpark(lane)
        self._wake.set()

    def unpark_all(self) -> None:
        """After a reload every lane may have another way."""
        for site in list(self._parked):
            self.unpark(site)

    def held(self) -> int:
        """Recipients that wait only because their path has no room or is paused."""
        return self._timeline.held()

    def unresolved(self) -> Mapping[Lane, ResolveFailure]:
        """Lanes with mail that DNS put off, for operators; those that others emptied are dropped here."""
        for lane in [lane for lane in self._unresolved if self._timeline.waiting(lane) < 1]:
            del self._unresolved[lane]
        return self._unresolved

    def _known(self, domain: str) -> None:
        for lane in self._asking.pop(domain, ()):
            self._timeline.unpark(lane)
        self._wake.set()

    def _room(self, room: int) -> int:
        for _ in range(min(room, len(self._crowded))):
            self._timeline.unpark(self._crowded.popleft())
            self._wake.set()
        return len(self._crowded)

    def _park(self, lane: Lane, *, held: bool = True) -> None:
        self._timeline.park(lane, held=held)
        self._timeline.put_back(lane, int(self._clock()))

    async def run(self) -> None:
        while True:
            self._wake.clear()
            number = 0
            while not self._dispatch.closing and (lanes := self._timeline.pop_due(int(self._clock()), 1)):
                await self._promote(lanes[0])
                number += 1
                if not number % LANES_AT_ONCE:
                    # Lanes that cannot go are put aside without waiting for anything; others want to run too.
                    await asyncio.sleep(0)
            due = self._timeline.next_due()
            timer = None
            if due is not None:
                timer = self._loop.call_later(max(0.0, due - self._clock()) + 0.001, self._wake.set)
            await self._wake.wait()
            if timer:
                timer.cancel()

    async def _promote(self, lane: Lane) -> None:
        if self._settle.full:
            # Back-pressure from the disks: nothing more comes into memory until they have caught up.
            self._timeline.put_back(lane, int(self._clock()) + 1)
            return
        gate = self._dispatch.ways.gate(lane, self._clock())
        if gate.is_unknown:
            self._ask(lane)
        elif gate.is_crowded:
            self._crowded.append(lane)
            self._park(lane)
        elif gate.failure is None:
            self._unresolved.pop(lane, None)
            await self._fill(lane, gate)
        elif gate.failure.final or gate.failure is NO_ROUTE:
            now = self._clock()
            for recipient in self._checked(await self._pull(lane, PULL, now), now):
                self._dispatch.unroutable(recipient, gate.failure, now)
        else:
            self._put_off(lane, gate.failure)

    def _ask(self, lane: Lane) -> None:
        """The lane rests until the domain is looked up, once for all that wait for it."""
        self._asking.setdefault(lane.domain, []).append(lane)
        self._park(lane, held=False)
        self._dispatch.lookups.want(lane.domain, urgent=lane.priority is Priority.TRANSACTIONAL)

    def _put_off(self, lane: Lane, failure: ResolveFailure) -> None:
        """DNS does not know now: the whole lane waits, a million recipients at the price of one. It is no attempt."""
        if (
            lane in self._unresolved
            or len(self._unresolved) < MOST_UNRESOLVED
            or len(self.unresolved()) < MOST_UNRESOLVED
        ):
            self._unresolved[lane] = failure
        if failure.in_a_row == 1:
            log.warning("domain=%s put off: %s", lane.domain, failure.text)
        self._timeline.put_back(lane, self._dispatch.retry_at(lane.domain, failure))

    async def _fill(self, lane: Lane, gate: Gate) -> None:
        if gate.until:
            self._timeline.put_back(lane, int(gate.until) + 1)
            return
        if gate.parked or gate.room < 1:
            for path in gate.paths:
                path.want_more(lane.priority)
            self._parked[gate.parked or gate.paths[0].site].append(lane)
            self._park(lane)
            return
        now = self._clock()
        allowed = self._checked(await self._pull(lane, min(gate.room, PULL), now), now)
        if self.screen is not None:
            allowed = await self.screen.screened(lane.domain, allowed, now)
        allowed = await self._loaded(allowed)
        # Nothing is awaited from here on: an order, a cancel or a reload that comes later finds them in their path.
        for path, those in self._dispatch.ways.assign(lane, allowed, self._clock()):
            path.push(those)

    async def _pull(self, lane: Lane, most: int, now: float) -> list[Recipient]:
        cursor = self._timeline.cursor(lane)
        recipients, cursor, next_due = await self._spool.pull(lane, cursor, int(now), most)
        # A sweep may hold some of them already; it has taken them out of the timeline itself.
        fresh = [recipient for recipient in recipients if recipient.id not in self._roster]
        self._timeline.pulled(lane, len(fresh), cursor, next_due)
        for recipient in fresh:
            recipient.lane = lane
            self._roster[recipient.id] = recipient
        return fresh

    def _checked(self, recipients: Sequence[Recipient], now: float) -> list[Recipient]:
        """Those that may go, in their order; the others are settled or held."""
        groups: defaultdict[tuple[str, ...], list[Recipient]] = defaultdict(list)
        for recipient in recipients:
            batch = recipient.batch
            if batch.closed is not None or now >= batch.expires:
                self._dispatch.may_leave(recipient, now)
            else:
                groups[batch.sender, batch.topic, batch.category, stated(recipient.fields)].append(recipient)
        allowed: list[Recipient] = []
        for group in groups.values():
            allowed += self._decided(group[0].batch, group, now)
        return allowed

    def _decided(self, batch: Batch, group: Sequence[Recipient], now: float) -> list[Recipient]:
        suppression = self._suppression
        epoch = suppression.epoch
        identities = suppression.identify([recipient.address for recipient in group])
        terms = asked(group[0].fields)
        decisions = suppression.decide_identities(batch.sender, batch.topic, batch.category, identities, *terms)
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

    async def _loaded(self, recipients: Sequence[Recipient]) -> list[Recipient]:
        """Those that may go still when the content of all is in memory."""
        unfit: dict[int, Exception] = {}
        batches = {recipient.batch.id: recipient.batch for recipient in recipients}.values()
        for batch in batches:
            try:
                await self._letters.load(batch)  # from memory mostly; a reload may have made another one of it
            except (MessageError, UnknownSender) as error:
                unfit[batch.id] = error
        for batch_id, why in unfit.items():
            # Accept compiled it once, so the configuration has changed since: an operator may change it back.
            stuck = [recipient for recipient in recipients if recipient.batch.id == batch_id]
            self._dispatch.unsigned(stuck, why)
        now, has_variant, may_leave = self._clock(), self._dispatch.has_variant, self._dispatch.may_leave
        ready = [recipient for recipient in recipients if recipient.batch.id not in unfit]
        if any(batch.closed for batch in batches):
            ready = [recipient for recipient in ready if may_leave(recipient, now)]
        # Only the loaded content tells whether there is a variant without the advertisement.
        return [recipient for recipient in ready if not recipient.strip or has_variant(recipient, now)]
