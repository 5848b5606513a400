"""The cursor's promise, whatever the clock does: who waits is pulled once, by whoever follows the lane's cursor.

Random submits, pulls, deferrals, settlings and clock jumps of up to an hour either way; the spool in memory and the
one on disk must both keep it.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.mail.envelope import Priority
from engine.spool.port import Cursor, Deferred, Outcome, Settled
from engine.spool.sqlite import SpoolSettings, SqliteSpool, Tuning
from tests.fakes.spool import MemorySpool
from tests.unit.spool.contract import FAR, START, new, submission

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(1, 4), st.integers(-20, 50), st.sampled_from(list(Priority))),
        st.tuples(st.just("pull"), st.integers(1, 5)),
        st.tuples(st.just("defer"), st.integers(0, 9), st.integers(-4000, 4000)),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.just("sweep"), st.integers(1, 5)),
        st.tuples(st.just("jump"), st.sampled_from([-3600, -60, -1, 1, 60, 3600])),
    ),
    min_size=15,
    max_size=30,
)


class Play:
    """One spool, the cursors of its reader, and what each recipient's place must be."""

    def __init__(self):
        self.now = START
        self.spool = None
        self.cursors = {}
        self.waiting = set()
        self.held = {}
        self.count = 0

    async def run(self, steps):
        await self.spool.put_message(b"content")
        for name, *arguments in steps:
            await getattr(self, name)(*arguments)
        while self.waiting:
            before = len(self.waiting)
            await self.pull(5, FAR)
            assert len(self.waiting) < before, "somebody is left behind a cursor"
        await self.spool.close()

    async def submit(self, size, later, priority):
        self.count += 1
        recipients = [new(f"u@d{number % 2}.example", number) for number in range(size)]
        receipt = await self.spool.submit(
            submission(recipients, key=b"%d" % self.count, not_before=self.now + later, priority=priority)
        )
        self.waiting |= set(range(receipt.first, receipt.first + size))
        for lane in receipt.lanes:
            self.cursors.setdefault(lane, Cursor())

    async def pull(self, limit, until=None):
        for lane, cursor in self.cursors.items():
            found, self.cursors[lane], _ = await self.spool.pull(lane, cursor, until or self.now, limit)
            numbers = [recipient.id for recipient in found]
            assert self.waiting.issuperset(numbers)
            assert len(set(numbers)) == len(numbers)
            self.waiting -= set(numbers)
            self.held.update((recipient.id, recipient) for recipient in found)

    def pick(self, which):
        return self.held.pop(sorted(self.held)[which % len(self.held)]) if self.held else None

    async def defer(self, which, later):
        recipient = self.pick(which)
        if recipient is not None:
            await self.spool.settle([Deferred(recipient, self.now + later, True, False)])
            self.waiting.add(recipient.id)

    async def settle(self, which):
        recipient = self.pick(which)
        if recipient is not None:
            await self.spool.settle([Settled(recipient, Outcome.DELIVERED)])

    async def sweep(self, size):
        """Cancels some that wait and were not pulled, as cancelling a mailing does."""
        for _, recipient in await self.spool.sweep(self.count, 0, size):
            if recipient.id in self.waiting:
                self.waiting.remove(recipient.id)
                await self.spool.settle([Settled(recipient, Outcome.CANCELLED)])

    async def jump(self, seconds):
        self.now += seconds


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_whoever_waits_is_pulled_once(steps):
    async def run(folder):
        memory, disk = Play(), Play()
        memory.spool = MemorySpool(clock=lambda: memory.now)
        disk.spool = await SqliteSpool.open(
            SpoolSettings(Path(folder)),
            clock=lambda: disk.now,
            disk=lambda _: (9, 10),
            tuning=Tuning(clear_at=3, clear_portion=2),
        )
        await memory.run(steps)
        await disk.run(steps)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
