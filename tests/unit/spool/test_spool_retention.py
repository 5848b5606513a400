"""What tidying costs: no more with every mail that waits or has left its key, and the writer is never kept for long."""

from __future__ import annotations

import asyncio

import pytest

from engine.spool import retention
from engine.spool.port import Cursor, Outcome, Settled
from engine.spool.sqlite import SpoolSettings, SqliteSpool
from tests.unit.spool.contract import new, submission

DAY = 86_400.0


class Watched:
    """A spool whose clock is ours, and how much SQLite had to do for the calls since."""

    def __init__(self, spool, clock):
        self.spool = spool
        self.clock = clock
        self.steps = 0
        self.longest = 0
        spool._store.connection.set_progress_handler(self._step, 100)
        commit = spool._store.commit

        def committed(now):
            commit(now)
            self.longest, self._began = max(self.longest, self.steps - self._began), self.steps

        self._began = 0
        spool._store.commit = committed

    def _step(self):
        self.steps += 1
        return False

    async def tidy(self):
        """Hundreds of steps in all, and most in one transaction."""
        self.steps = self.longest = self._began = 0
        await self.spool.tidy(self.clock[0])
        return self.steps, self.longest

    async def submit(self, first, count):
        for start in range(first, first + count, 500):
            numbers = range(start, min(start + 500, first + count))
            contents = [b"content %d" % number for number in numbers]
            await asyncio.gather(*(self.spool.put_message(content) for content in contents))
            await asyncio.gather(
                *(
                    self.spool.submit(submission([new("u@a.example")], key=b"%d" % number, content=content))
                    for number, content in zip(numbers, contents, strict=True)
                )
            )

    async def keys(self):
        read = self.spool._writer.read
        return await read(lambda: self.spool._store.execute("SELECT count(*) FROM batch WHERE key IS NOT NULL").get)

    async def messages(self):
        return await self.spool._writer.read(lambda: self.spool._store.execute("SELECT count(*) FROM message").get)


def watched(tmp_path, test):
    async def main():
        clock = [2_000_000_000.0]
        spool = await SqliteSpool.open(SpoolSettings(tmp_path), clock=lambda: clock[0], disk=lambda _: (9, 10))
        try:
            await test(Watched(spool, clock))
        finally:
            await spool.close()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(retention, "PORTION", 200)


def test_looking_for_old_keys_does_not_cost_more_with_every_mail_that_waits(tmp_path):
    async def test(world):
        await world.submit(0, 500)
        world.clock[0] += DAY
        await world.tidy()
        few, _ = await world.tidy()
        await world.submit(500, 2000)
        world.clock[0] += 3600.0
        many, longest = await world.tidy()
        contents = 2000 // 20 * 5
        assert many - few < contents + 100, "the contents are walked through, the batches are not"
        assert longest < 40, "and not in one go"

    watched(tmp_path, test)


def test_who_is_looked_for_in_one_mailing_costs_nothing_of_the_others(tmp_path):
    """Cancelling one recipient, and the canary's question how large its mailing is."""

    async def test(world):
        spool = world.spool
        await spool.put_message(b"content")
        await spool.submit(submission([new("a@a.example")], key=b"one", mailing="small"))

        async def asked():
            world.steps = 0
            ((_, found),) = await spool.find("shop", "small", "a@a.example")
            (totals,) = await spool.totals("shop", "small")
            assert (found.address, totals.accepted) == ("a@a.example", 1)
            return world.steps

        before = await asked()
        await world.submit(0, 3000)
        assert await asked() <= before + 5

    watched(tmp_path, test)


def test_the_keys_of_open_batches_go_at_their_time_and_once(tmp_path):
    async def test(world):
        await world.submit(0, 450)
        world.clock[0] += DAY
        await world.submit(450, 50)
        world.clock[0] += 2 * DAY - 1.0
        await world.tidy()
        assert await world.keys() == 500
        world.clock[0] += 2.0
        await world.tidy()
        assert (await world.keys(), world.spool._store.keyless) == (50, 450)
        world.clock[0] += DAY
        await world.tidy()
        assert (await world.keys(), await world.messages()) == (0, 500)

    watched(tmp_path, test)


def test_a_portion_that_is_rolled_back_is_done_again(tmp_path):
    async def test(world):
        await world.submit(0, 10)
        world.clock[0] += 4 * DAY
        spool = world.spool

        def spoilt():
            retention.drop_old_keys(spool._store, world.clock[0] - 3 * DAY)
            raise RuntimeError("after it, in the same transaction")

        with pytest.raises(RuntimeError):
            await spool._writer.write(spoilt)
        assert (await world.keys(), spool._store.keyless) == (10, 0)
        await world.tidy()
        assert await world.keys() == 0

    watched(tmp_path, test)


def test_contents_go_wherever_they_stand_among_those_that_are_needed(tmp_path):
    async def test(world):
        await world.submit(0, 100)
        (state,) = await world.spool.lanes()
        found, _, _ = await world.spool.pull(state.lane, Cursor(), 4_000_000_000, 1000)
        gone = [one for one in found if one.id % 3]
        await world.spool.settle([Settled(one, Outcome.DELIVERED) for one in gone])
        world.clock[0] += DAY
        await world.tidy()
        assert await world.messages() == 100 - len(gone)

    watched(tmp_path, test)


def test_an_intent_whose_recipients_are_all_intended_anew_leaves_nothing_behind(tmp_path):
    """Letters that a pause gave back are made again."""

    async def test(world):
        spool = world.spool

        async def rows():
            return await spool._writer.read(lambda: spool._store.execute("SELECT count(*) FROM intent").get)

        await spool.intend([1, 2, 3])
        await spool.settle([])
        for _ in range(10):
            await spool.intend([1, 2])
            await spool.intend([3])
        await spool.settle([])
        assert await rows() == 2

    watched(tmp_path, test)
