"""Settle: journal before spool, groups, who waits for the disk, and what a failure leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from engine.flow.counts import Counts
from engine.flow.report import record_of
from engine.flow.settle import Settle, SettleSettings
from engine.journal import JournalFailed, Record
from engine.mail.envelope import Batch, Priority, Recipient
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Deferred, Lane, Outcome, Settled, SpoolFailed
from tests.fakes.virtual import virtually

LANE = Lane(1, "d.example", Priority.BULK)


def recipient(number: int, batch: Batch | None = None) -> Recipient:
    batch = batch or Batch(1, "shop", "TX", "", "m", 1, Priority.BULK, 0.0, 0, 1 << 40)
    return Recipient(number, batch, f"r{number}@d.example", {}, lane=LANE)


class Disk:
    """Journal, spool and ledger in one, which remembers the order and takes `seconds` for each."""

    def __init__(self, settings: SettleSettings | None = None, seconds: float = 0.01) -> None:
        self.written: list[tuple[str, list[int | str]]] = []
        self.seconds = seconds
        self.failure: Exception | None = None
        self.on_settle: Callable[[], None] = lambda: None
        self.counts, self.roster = Counts(), {}
        self.timeline: Timeline[Lane, Cursor] = Timeline(Cursor())
        self.settle_ = Settle(
            settings or SettleSettings(),
            spool=self,  # type: ignore[arg-type]
            append=self.append,
            timeline=self.timeline,
            counts=self.counts,
            roster=self.roster,
            hard_bounce=self.hard_bounce,
        )

    async def append(self, records: Sequence[Record]) -> None:
        await self._sync("journal", [record.recipient for record in records])

    async def hard_bounce(self, bounced: Sequence[tuple[Recipient, str]]) -> None:
        await self._sync("ledger", [recipient.id for recipient, _ in bounced])

    async def settle(self, changes: Sequence[Settled | Deferred]) -> None:
        await self._sync("spool", [change.recipient.id for change in changes])
        self.on_settle()

    async def _sync(self, what: str, whom: list[int | str]) -> None:
        await asyncio.sleep(self.seconds)
        if self.failure:
            raise self.failure
        self.written.append((what, whom))

    def delivered(self, number: int) -> Recipient:
        one = self.roster[number] = recipient(number)
        self.settle_.settled(one, Outcome.DELIVERED, record_of("Delivery", one, now=1.0, node="n0"))
        return one

    def deferred(self, number: int, due: int = 5, *, tried: bool = False) -> Recipient:
        one = self.roster[number] = recipient(number)
        told = record_of("TransientFailure", one, now=1.0, node="n0") if tried else None
        self.settle_.deferred(one, due, counted=True, in_doubt=False, record=told)
        return one


def running(test: Callable[[Disk], Awaitable[None]], disk: Callable[[], Disk] = Disk) -> None:
    async def main() -> None:
        made = disk()
        run = asyncio.create_task(made.settle_.run())
        try:
            await asyncio.wait_for(test(made), 1000)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    virtually(main())


def test_the_journal_is_synced_before_the_spool_and_the_ledger_between() -> None:
    async def test(disk: Disk) -> None:
        one = disk.delivered(1)
        disk.settle_.suppress_bounced(one, "UNKNOWN_USER")
        await disk.settle_.drain()
        assert disk.written == [("journal", ["r1@d.example"]), ("ledger", [1]), ("spool", [1])]
        assert disk.counts.outcomes[Outcome.DELIVERED] == 1
        assert not disk.roster

    running(test)


def test_nothing_counts_and_nobody_leaves_memory_before_the_commit() -> None:
    async def test(disk: Disk) -> None:
        disk.delivered(1)
        disk.deferred(2, tried=True)
        disk.on_settle = lambda: seen.append((dict(disk.roster).keys(), disk.timeline.total()))
        seen: list[object] = []
        await disk.settle_.drain()
        assert seen == [({1, 2}, 0)]
        assert (disk.timeline.total(), disk.counts.deferrals) == (1, 1)
        disk.deferred(3)
        await disk.settle_.drain()
        assert (disk.timeline.total(), disk.counts.deferrals) == (2, 1), "put back: nobody has said later"

    running(test)


def test_a_deferral_is_due_again_and_promote_is_told() -> None:
    async def test(disk: Disk) -> None:
        told: list[int | None] = []
        disk.settle_.on_deferred = lambda: told.append(disk.timeline.next_due())
        disk.deferred(2, due=7)
        await disk.settle_.drain()
        assert told == [7]

    running(test)


def test_outcomes_wait_for_company_but_not_when_somebody_waits_for_them() -> None:
    async def test(disk: Disk) -> None:
        loop = asyncio.get_running_loop()
        disk.delivered(1)
        began = loop.time()
        while not disk.written:
            disk.seconds = 0.0
            await asyncio.sleep(0.001)
        assert loop.time() - began >= 5.0
        began = loop.time()
        disk.delivered(2)
        await disk.settle_.drain()
        assert loop.time() - began < 5.0

    running(test, lambda: Disk(SettleSettings(linger_seconds=5.0)))


def test_many_are_written_in_groups() -> None:
    async def test(disk: Disk) -> None:
        for number in range(25):
            disk.delivered(number)
        await disk.settle_.drain()
        assert [len(whom) for what, whom in disk.written if what == "spool"] == [10, 10, 5]

    running(test, lambda: Disk(SettleSettings(group=10)))


def test_waiting_for_the_disk_ends_although_more_comes_in_all_the_time() -> None:
    """Under load the list is never empty."""

    async def test(disk: Disk) -> None:
        async def load() -> None:
            for number in range(100, 100_000):
                disk.delivered(number)
                await asyncio.sleep(0.001)

        loading = asyncio.create_task(load())
        await asyncio.sleep(0.1)
        disk.delivered(1)
        await asyncio.wait_for(disk.settle_.drain(), 2.0)
        assert 1 not in disk.roster
        loading.cancel()

    running(test)


def test_drain_covers_what_was_noted_while_a_round_was_under_way() -> None:
    async def test(disk: Disk) -> None:
        disk.delivered(1)
        await asyncio.sleep(0.025)
        disk.delivered(2)
        await disk.settle_.drain()
        assert not disk.roster
        await disk.settle_.drain()

    running(test)


def test_a_record_alone_is_written_too() -> None:
    async def test(disk: Disk) -> None:
        disk.settle_.note(record_of("Reception", recipient(1), now=1.0, node="n0"))
        await disk.settle_.drain()
        assert disk.written == [("journal", ["r1@d.example"])]

    running(test)


@pytest.mark.parametrize("failure", [SpoolFailed("disk"), JournalFailed("disk")])
def test_who_waits_for_a_disk_that_fails_is_told(failure: Exception) -> None:
    async def main() -> None:
        disk = Disk()
        disk.failure = failure
        run = asyncio.create_task(disk.settle_.run())
        disk.delivered(1)
        first = asyncio.create_task(disk.settle_.drain())
        await asyncio.sleep(0.005)
        disk.delivered(2)
        later = asyncio.create_task(disk.settle_.drain())
        for waiting in (first, later):
            with pytest.raises(SpoolFailed, match="not written any more: disk"):
                await waiting
        with pytest.raises(type(failure)):
            await run
        with pytest.raises(SpoolFailed):
            await disk.settle_.drain()
        assert disk.roster.keys() == {1, 2}, "what is not on disk stays ours"

    virtually(main())


def test_backlog_and_full_tell_how_much_is_unwritten() -> None:
    async def main() -> None:
        disk = Disk(SettleSettings(backlog=3))
        for number in range(3):
            assert not disk.settle_.full
            disk.delivered(number)
        assert disk.settle_.full
        assert disk.settle_.backlog == 3

    virtually(main())


@pytest.mark.parametrize("closed", ["cancelled", "batch"])
def test_who_is_cancelled_while_its_deferral_is_on_its_way_to_disk_is_not_forgotten(closed: str) -> None:
    async def test(disk: Disk) -> None:
        told: list[Recipient] = []
        disk.settle_.on_closed = told.append
        one, other = disk.deferred(1), disk.deferred(2)

        def close() -> None:
            if closed == "cancelled":
                one.cancelled = True
            else:
                one.batch.closed = "expired"

        disk.on_settle = close
        await disk.settle_.drain()
        assert told == [one]
        assert disk.roster == {1: one}, "until its end is written it stays in memory"
        assert disk.timeline.total() == 1
        assert other.id == 2

    running(test)


def test_last_words_are_journalled_although_the_spool_is_gone() -> None:
    async def main() -> None:
        disk = Disk()
        disk.delivered(1)
        await disk.settle_.last_words()
        await disk.settle_.last_words()
        assert disk.written == [("journal", ["r1@d.example"])]

    virtually(main())
