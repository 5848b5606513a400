"""The walk over lanes: sums by site, the largest domains, and others work meanwhile."""

from __future__ import annotations

import asyncio

from engine.page.survey import MOST_DOMAINS, Lanes, survey


def lanes(waiting: dict[tuple[str, int], int], sites: dict[str, str]) -> Lanes[tuple[str, int]]:
    return Lanes(
        lambda: waiting, lambda lane: waiting[lane], lambda lane: lane[0], lambda domain: sites.get(domain, "")
    )


def test_sums_by_site_and_by_domain() -> None:
    waiting = {("a.example", 0): 5, ("a.example", 1): 2, ("b.example", 1): 4, ("c.example", 1): 1, ("d.example", 1): -1}
    found = asyncio.run(survey(lanes(waiting, {"a.example": "mx", "b.example": "mx"})))
    assert found.by_site == {"mx": 11, "": 1}
    assert (found.domains, found.domains_total) == ((("a.example", 7), ("b.example", 4), ("c.example", 1)), 3)


def test_a_hundred_thousand_domains_let_others_work() -> None:
    waiting = {(f"d{number}.example", 1): number for number in range(1, 100_001)}
    turns = 0

    async def run() -> None:
        nonlocal turns
        walking = asyncio.create_task(survey(lanes(waiting, {})))
        while not walking.done():
            turns += 1
            await asyncio.sleep(0)
        found = walking.result()
        assert found.domains_total == 100_000
        assert len(found.domains) == MOST_DOMAINS
        assert found.domains[0] == ("d100000.example", 100_000)

    asyncio.run(run())
    assert turns >= 400
