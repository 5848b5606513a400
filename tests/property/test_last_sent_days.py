"""Whatever the receivers, limits and hours: at the moment of each DATA the day on disk is that day or a later one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.mail.envelope import Priority
from engine.policy.throttle import Rate
from suppression.day import begins, day_of
from tests.fakes.flow import LIMITS, Setting, Site, World
from tests.fakes.virtual import virtually

KINDS = ("ok-me", "ok-me", "ok-me", "defer-1-", "defer-3-", "dotdefer-1-", "drop-dot-1-", "drop-data-1-", "452-1-")


def watched(world: World, site: Site, seen: list[int]) -> Callable[..., None]:
    receive = site.receive

    def judged(recipient: bytes, message: bytes, *, answered: bool) -> None:
        noted = world.sent.noted["shop", False, recipient]
        seen.append(noted - day_of(world.clock()))
        receive(recipient, message, answered=answered)

    return judged


@pytest.mark.parametrize("seed", range(6))
def test_never_understated(seed: int) -> None:
    async def main() -> None:
        rate = (Rate(1, 120, 1), Rate(1, 5, 1), None)[seed % 3]
        limits = replace(LIMITS, max_message_rate=rate, max_ready=(5, 1024)[seed % 2], retry_interval=600.0)
        midnight = begins(19_700)
        world = World(Setting(limits, seed, begins=midnight - (1801, 60, 1200, 1900, 900, 2500)[seed]))
        seen: list[int] = []
        for name in ("d1", "d2"):
            site = world.site(name)
            site.receive = watched(world, site, seen)  # type: ignore[method-assign]
        world.start()
        for turn in range(2):
            await world.submit(
                [f"{world.random.choice(KINDS)}{turn}-{n}@d{n % 2 + 1}.example" for n in range(20)],
                mailing=f"m{turn}",
                priority=(Priority.BULK, Priority.TRANSACTIONAL)[turn % 2],
                category="AD",
            )
            await asyncio.sleep(world.random.uniform(0, 600))
        while world.open:
            await asyncio.sleep(60)
        world.check()
        assert set(seen) <= {0, 1}, "that day, or for the last minutes of it the next"
        assert len(seen) >= 40
        await world.end()

    virtually(main())
