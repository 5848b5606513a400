"""Intents that wait for company: together, in time, and never forgotten when the spool is lost."""

from __future__ import annotations

import asyncio

import pytest

from engine.spool.intents import Intents
from engine.spool.port import SpoolFailed
from tests.fakes.virtual import virtually


class Recorded:
    def __init__(self) -> None:
        self.writes: list[tuple[float, list[int], asyncio.Future[None]]] = []
        self.failure: Exception | None = None

    def __call__(self, ids: list[int]) -> asyncio.Future[None]:
        if self.failure:
            raise self.failure
        loop = asyncio.get_running_loop()
        self.writes.append((loop.time(), ids, loop.create_future()))
        return self.writes[-1][2]


def test_those_that_come_in_time_share_one_write() -> None:
    async def main() -> None:
        recorded = Recorded()
        intents = Intents(recorded)
        began = asyncio.get_running_loop().time()
        first = intents.add([1, 2], 0.02)
        await asyncio.sleep(0.01)
        second = intents.add([3], 0.02)
        await asyncio.sleep(0.05)
        ((when, ids, written),) = recorded.writes
        assert (round(when - began, 3), ids) == (0.02, [1, 2, 3])
        assert not first.done()
        written.set_result(None)
        await asyncio.gather(first, second)

    virtually(main())


def test_another_write_takes_them_along() -> None:
    async def main() -> None:
        recorded = Recorded()
        intents = Intents(recorded)
        intents.flush()
        first = intents.add([1], 10.0)
        intents.flush()
        recorded.writes[0][2].set_result(None)
        await first
        await asyncio.sleep(20)
        assert len(recorded.writes) == 1

    virtually(main())


def test_a_lost_spool_is_told_to_each() -> None:
    async def main() -> None:
        recorded = Recorded()
        intents = Intents(recorded)
        begun = [intents.add([1], 1.0), intents.add([2], 1.0)]
        begun[1].cancel()
        intents.flush()
        recorded.writes[0][2].set_exception(SpoolFailed("gone"))
        with pytest.raises(SpoolFailed):
            await begun[0]
        recorded.failure = SpoolFailed("gone")
        late = intents.add([3], 0.01)
        with pytest.raises(SpoolFailed):
            await late
        done = intents.add([4], 0.01)
        done.cancel()
        intents.flush()

    virtually(main())


def test_one_who_gave_up_does_not_spoil_the_others() -> None:
    async def main() -> None:
        recorded = Recorded()
        intents = Intents(recorded)
        gone, stays = intents.add([1], 1.0), intents.add([2], 1.0)
        gone.cancel()
        intents.flush()
        recorded.writes[0][2].set_result(None)
        await stays

    virtually(main())
