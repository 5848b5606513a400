"""A walk through everything that waits in the spool, in chunks, so that deliveries go on meanwhile.

For orders that concern mail wherever it stands: an administrative bounce, and the end of a suspension that had put
recipients back one by one. Who is in memory is passed over: steering has dealt with them already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.flow.settle import Settle
from engine.mail.envelope import Recipient
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Lane, Spool

CHUNK = 500


class Walk:
    """Implements steering's Walker."""

    def __init__(
        self, *, spool: Spool, timeline: Timeline[Lane, Cursor], settle: Settle, roster: dict[int, Recipient]
    ) -> None:
        self._spool = spool
        self._timeline = timeline
        self._settle = settle
        self._roster = roster

    async def over(
        self,
        sender: str,
        mailing: str,
        wanted: Callable[[Lane, Recipient], bool],
        act: Callable[[Recipient], None],
        batches: Iterable[int] | None = None,
    ) -> int:
        """Calls `act`, which must settle or defer, for each wanted recipient; how many. `batches`: only these; else
        all open ones of sender and mailing, of any where empty.
        """
        count = 0
        # Who was put back a moment ago is in memory until that is written, and would be passed over.
        await self._settle.drain()
        found = await self._spool.open_batches(sender or None, mailing or None) if batches is None else sorted(batches)
        for batch in found:
            after = -1
            while rows := await self._spool.sweep(batch, after, CHUNK):
                after = rows[-1][1].id
                count += self._taken(rows, wanted, act)
                await self._settle.drain()
        return count

    def _taken(
        self,
        rows: Iterable[tuple[Lane, Recipient]],
        wanted: Callable[[Lane, Recipient], bool],
        act: Callable[[Recipient], None],
    ) -> int:
        count = 0
        for lane, recipient in rows:
            if recipient.id in self._roster or not wanted(lane, recipient):
                continue
            # Into the roster first: promote must not meet them again.
            recipient.lane = lane
            self._roster[recipient.id] = recipient
            self._timeline.remove(lane, 1)
            act(recipient)
            count += 1
        return count
