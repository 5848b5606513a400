from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from engine.flow.lookups import Lookups


class Resolver:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.under_way = self.most = 0

    async def look_up(self, domain: str) -> None:
        self.asked.append(domain)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if domain == "broken.example":
            raise RuntimeError(domain)


def play(scene: Callable[[Resolver, Lookups, list[str]], Awaitable[None]], most: int = 3) -> None:
    async def main() -> None:
        resolver, known = Resolver(), list[str]()
        lookups = Lookups(resolver.look_up, most=most)
        lookups.on_known = known.append
        await scene(resolver, lookups, known)
        lookups.close()
        await asyncio.sleep(0)

    asyncio.run(main())


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_many_domains_a_few_at_once_each_once() -> None:
    async def scene(resolver: Resolver, lookups: Lookups, known: list[str]) -> None:
        for _ in range(2):
            for n in range(1000):
                lookups.want(f"d{n}.example")
        await turns()
        lookups.want("d0.example", urgent=True)
        assert (lookups.under_way, lookups.waiting) == (3, 997)
        resolver.gate.set()
        await turns(5000)
        assert (resolver.most, lookups.under_way, lookups.waiting, lookups.done) == (3, 0, 0, 1000)
        assert sorted(resolver.asked) == sorted(known) == sorted(f"d{n}.example" for n in range(1000))
        lookups.want("d1.example")
        await turns()
        assert known[-1] == "d1.example", "asked again later"

    play(scene)


def test_transactional_mail_goes_first() -> None:
    async def scene(resolver: Resolver, lookups: Lookups, _: list[str]) -> None:
        for n in range(10):
            lookups.want(f"d{n}.example")
        await turns()
        lookups.want("urgent.example", urgent=True)
        lookups.want("d9.example", urgent=True)
        resolver.gate.set()
        await turns(200)
        assert resolver.asked[1:4] == ["d9.example", "urgent.example", "d1.example"]

    play(scene, most=1)


def test_a_fault_is_told_and_the_others_go_on() -> None:
    async def scene(resolver: Resolver, lookups: Lookups, known: list[str]) -> None:
        faults: list[BaseException] = []
        lookups.on_fault = faults.append
        resolver.gate.set()
        lookups.want("broken.example")
        lookups.want("good.example")
        await turns()
        assert [str(fault) for fault in faults] == ["broken.example"]
        assert known == ["good.example"]

    play(scene)


def test_closing_stops_them() -> None:
    async def scene(resolver: Resolver, lookups: Lookups, known: list[str]) -> None:
        for n in range(10):
            lookups.want(f"d{n}.example")
        await turns()
        lookups.close()
        await turns()
        assert (resolver.under_way, lookups.under_way, lookups.waiting, known) == (0, 0, 0, [])

    play(scene)
