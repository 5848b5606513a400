"""Cancel and expiry, in every state.

Both are one mechanism: the batch is marked closed, in the spool and in memory; what is in memory is recalled from
its path; what waits in the spool is swept away in id order. What is on the wire ends by itself and is not tried
again. A second look each second finds the batches whose expiry has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.flow.dispatch import Dispatch
from engine.flow.report import end_of
from engine.flow.settle import Settle
from engine.mail.envelope import Recipient
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Lane, Spool

CHUNK = 500
EXPIRED_AT_ONCE = 100
LOOK_SECONDS = 1.0
LOOKS_AFTER = 5
"""Looks at the paths after a sweep: who was at the signer when it began comes back later, perhaps to one that rests."""
TIDY_SECONDS = 60.0


class Sweep:
    def __init__(
        self,
        *,
        spool: Spool,
        timeline: Timeline[Lane, Cursor],
        dispatch: Dispatch,
        settle: Settle,
        roster: dict[int, Recipient],
        clock: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._timeline = timeline
        self._dispatch = dispatch
        self._settle = settle
        self._roster = roster
        self._clock = clock
        self._closed: asyncio.Queue[int] = asyncio.Queue()
        self._looks_left = 0
        self._looked = self._tidied = 0.0

    def cancel_batches(self, batches: Sequence[int]) -> None:
        """The spool has closed them, durably: from here on nothing of them starts. The recipients' records follow
        within moments.
        """
        self._dispatch.recall_closed(self._clock())
        for batch in batches:
            self._closed.put_nowait(batch)

    async def cancel_recipients(self, found: Sequence[tuple[Lane, Recipient]]) -> int:
        """How many were taken out; those on the wire are not among them. Returns after the sync."""
        count = 0
        for _, recipient in found:
            # It was found a while ago, and may have left since.
            rows = await self._spool.sweep(recipient.batch.id, recipient.id - 1, 1)
            in_memory = self._roster.get(recipient.id)
            if in_memory is not None:
                in_memory.cancelled = True
            else:
                count += self._settle_waiting([row for row in rows if row[1].id == recipient.id])
        count += self._dispatch.recall_closed(self._clock())
        await self._settle.drain()
        # Whose deferral was written just now is settled by the next round.
        await self._settle.drain()
        return count

    async def run(self) -> None:
        """Sweeps what was closed, and looks for expired batches each second, however much there is to sweep."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    batch = await self._closed.get()
            except TimeoutError:
                await self._look(self._clock())
                continue
            await self._sweep(batch)
            await self._look_in_time()

    async def _look_in_time(self) -> None:
        if (now := self._clock()) - self._looked >= LOOK_SECONDS:
            await self._look(now)

    async def _look(self, now: float) -> None:
        self._looked = now
        for batch in await self._spool.expired_batches(now, EXPIRED_AT_ONCE):
            self._closed.put_nowait(batch)
        if self._looks_left or not self._closed.empty():
            self._looks_left = max(0, self._looks_left - 1)
            self._dispatch.recall_closed(now)
        self._dispatch.tidy()
        if now - self._tidied > TIDY_SECONDS:
            self._tidied = now
            await self._spool.tidy(now)

    async def _sweep(self, batch: int) -> None:
        self._looks_left = LOOKS_AFTER
        after = -1
        while found := await self._spool.sweep(batch, after, CHUNK):
            after = found[-1][1].id
            self._settle_waiting(found)
            await self._settle.drain()
            await self._look_in_time()

    def _settle_waiting(self, found: Sequence[tuple[Lane, Recipient]]) -> int:
        """Those that only the spool holds. They enter the roster first: promote must not meet them again."""
        now = self._clock()
        count = 0
        for lane, recipient in found:
            if recipient.id in self._roster:
                continue
            recipient.lane = lane
            self._roster[recipient.id] = recipient
            self._timeline.remove(lane, 1)
            self._dispatch.close_recipient(recipient, end_of(recipient), now)
            count += 1
        return count
