"""What promote and dispatch do with domains that have to be looked up, that DNS does not tell about, or that are many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.flow.path import Path
from engine.flow.paths import FORGET_AFTER
from engine.flow.ways import Place
from engine.mail.envelope import Priority
from engine.net.resolver import ResolveFailure
from engine.policy.throttle import Rate
from engine.spool.port import Outcome
from tests.fakes.flow import LIMITS, REFUSED, Setting, World
from tests.fakes.virtual import virtually

SERVFAIL = ResolveFailure(False, "SERVFAIL")
NULL_MX = ResolveFailure(True, "takes no mail (null MX)", 556, "5.1.10")


def flowing(test: Callable[[World], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        world = World(setting)
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


def pulls(world: World) -> list[str]:
    """Domain of each pull from here on."""
    seen: list[str] = []
    pull = world.core.pull

    async def watched(lane: Any, after: Any, until: int, limit: int) -> Any:
        seen.append(lane.domain)
        return await pull(lane, after, until, limit)

    world.core.pull = watched  # type: ignore[method-assign]
    return seen


def test_a_domain_is_looked_up_once_and_its_mail_waits_on_disk_meanwhile() -> None:
    async def test(world: World) -> None:
        seen = pulls(world)
        world.routes.seconds = 30.0
        await world.submit([f"r{n}@late1.example" for n in range(700)])
        await world.submit(["now@late1.example"], priority=Priority.TRANSACTIONAL)
        await world.submit([f"r{n}@d1.example" for n in range(100)])
        await asyncio.sleep(20.0)
        assert world.outcome(Outcome.DELIVERED) == 100, "nobody else waits for it"
        assert "late1.example" not in seen
        assert (world.status()["waiting"], world.status()["held"], len(world.roster)) == (701, 0, 0)
        await world.settled(60)
        assert world.routes.asked == {"late1.example": 1}
        assert world.sites["late1"].received[0] == "now@late1.example"

    flowing(test)


def test_what_is_known_for_a_moment_only_is_asked_for_again() -> None:
    async def test(world: World) -> None:
        world.routes.holds = 0.5
        await world.submit([f"r{n}@late1.example" for n in range(3000)])
        await world.settled()
        assert 1 < world.routes.asked["late1.example"] < 100

    flowing(test, Setting(replace(LIMITS, max_message_rate=Rate(100, 1, 1))))


def test_many_domains_at_once_are_asked_for_a_few_at_a_time() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r@late{n}.example" for n in range(1000)])
        await world.settled()
        assert (world.routes.most, sum(world.routes.asked.values())) == (200, 1000)

    flowing(test)


def test_what_dns_does_not_tell_puts_the_whole_lane_off_by_the_ladder() -> None:
    async def test(world: World) -> None:
        world.routes.failures["late1.example"] = SERVFAIL
        world.routes.holds = 30.0
        seen = pulls(world)
        await world.submit([f"r{n}@late1.example" for n in range(5000)])
        await asyncio.sleep(3600)
        assert seen == [], "nobody is pulled for nothing"
        assert not world.counts.deferrals
        assert 4 <= world.routes.asked["late1.example"] <= 12, "the waits double"
        (entry,) = world.status()["unresolved"]
        assert (entry["domain"], entry["waiting"], entry["error"]) == ("late1.example", 5000, "SERVFAIL")
        assert entry["failures"] == world.routes.asked["late1.example"]
        del world.routes.failures["late1.example"]
        await world.settled(4 * 3600)
        assert world.outcome(Outcome.DELIVERED) == 5000
        assert world.status()["unresolved"] == []

    flowing(test)


def test_new_mail_for_it_costs_one_question_each_half_minute_at_most() -> None:
    async def test(world: World) -> None:
        world.routes.failures["late1.example"] = SERVFAIL
        world.routes.holds = 30.0
        for n in range(200):
            await world.submit([f"r{n}@late1.example"])
            await asyncio.sleep(0.5)
        assert world.routes.asked["late1.example"] <= 5

    flowing(test)


def test_who_waits_for_dns_expires_in_time() -> None:
    async def test(world: World) -> None:
        world.routes.failures["late1.example"] = SERVFAIL
        first = await world.submit(["a@late1.example", "b@late1.example"], expires=900)
        await world.settled(920)
        assert world.outcome(Outcome.EXPIRED) == 2
        assert world.records(first) == ["Expiration"]

    flowing(test)


def test_who_waits_for_dns_can_be_cancelled() -> None:
    async def test(world: World) -> None:
        world.routes.failures["late1.example"] = SERVFAIL
        await world.submit([f"r{n}@late1.example" for n in range(300)])
        world.routes.seconds = 1e6
        await world.submit([f"r{n}@late2.example" for n in range(300)])
        await asyncio.sleep(5)
        await world.cancel()
        await world.settled(60)
        assert world.outcome(Outcome.CANCELLED) == 600
        assert world.status()["unresolved"] == []
        assert not world.promote.unresolved()

    flowing(test)


@pytest.mark.parametrize("domain", ["late1.example", "d1.example"])
def test_what_nobody_takes_bounces_at_once_with_its_code(domain: str) -> None:
    async def test(world: World) -> None:
        world.routes.failures[domain] = NULL_MX
        first = await world.submit([f"r{n}@{domain}" for n in range(600)])
        await world.settled(60)
        assert world.outcome(Outcome.BOUNCED) == 600
        (record,) = [record for record in world.journal if record.recipient == f"r0@{domain}"]
        assert world.records(first) == ["Bounce"]
        assert record.response is not None
        assert (record.response.code, record.response.content) == (556, "local: takes no mail (null MX)")
        assert record.bounce_classification == "unknown_host"
        assert world.bounced == [], "the address may be good once the domain is"

    flowing(test)


def test_suppression_is_asked_before_the_bounce() -> None:
    async def test(world: World) -> None:
        world.routes.failures["d1.example"] = NULL_MX
        world.suppression.opt_out("r0@d1.example")
        await world.submit(["r0@d1.example", "r1@d1.example"])
        await world.settled(60)
        assert (world.outcome(Outcome.SUPPRESSED), world.outcome(Outcome.BOUNCED)) == (1, 1)

    flowing(test)


def test_a_path_takes_what_dns_says_now() -> None:
    async def test(world: World) -> None:
        ways = world.dispatch.ways

        def path_to(domain: str) -> Path:
            place = ways.place(domain)
            assert isinstance(place, Place)
            return ways.path(place, next(iter(ways.outlets.sources.values())))

        path = path_to("d1.example")
        found = world.routes._found("d1.example")
        world.routes._found = lambda _domain: replace(found, port=26)  # type: ignore[arg-type, method-assign, type-var]
        assert path_to("d1.example") is path
        assert path.route.port == 26

    flowing(test)


# -- many paths ------------------------------------------------------------------------------------------------------


def test_a_path_that_rested_is_forgotten_and_what_it_counted_is_not() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r{n}@d{n % 5}.example" for n in range(50)])
        await world.settled()
        paths = world.dispatch.paths
        opened = sum(path.pool.opened_total for path in paths.values())
        assert (len(paths), len(list(paths))) == (5, 5)
        assert opened >= 5
        await asyncio.sleep(LIMITS.idle_timeout + FORGET_AFTER + 5)
        assert (len(paths), world.counts.connections_opened, len(world.dispatch._ladders)) == (0, opened, 0)
        await world.submit(["again@d1.example"])
        await world.settled()
        assert "d1" in paths

    flowing(test)


def test_a_path_with_a_debt_is_not_forgotten() -> None:
    """One message an hour: a new path would send the next at once."""

    async def test(world: World) -> None:
        await world.submit(["a@d1.example"])
        await world.settled()
        await asyncio.sleep(FORGET_AFTER * 3)
        assert "d1" in world.dispatch.paths
        await asyncio.sleep(3600)
        assert "d1" not in world.dispatch.paths

    flowing(test, Setting(replace(LIMITS, max_message_rate=Rate(1, 3600, 1))))


def test_a_path_that_is_refused_is_not_forgotten() -> None:
    async def test(world: World) -> None:
        world.site("d1").refusal = REFUSED
        await world.submit(["a@d1.example"], expires=1800)
        await world.settled()
        path = world.dispatch.paths["d1"]
        assert path.pool.failures
        await asyncio.sleep(10)
        assert "d1" in world.dispatch.paths

    flowing(test)


def test_more_sites_than_paths_may_be() -> None:
    async def test(world: World) -> None:
        world.dispatch.paths._most = 10
        addresses = [f"r{n}@d{n % 200}.example" for n in range(400)]
        await world.submit(addresses)
        await asyncio.sleep(0.5)
        assert len(world.dispatch.paths) == 10
        assert world.status()["held"] > 0
        await world.settled(600)
        assert len(world.dispatch.paths) <= 10
        assert world.outcome(Outcome.DELIVERED) == 400
        assert len(world.sites) == 200

    flowing(test)


def test_a_site_that_is_away_keeps_its_place_and_the_others_go_through_what_is_left() -> None:
    async def test(world: World) -> None:
        world.dispatch.paths._most = 4
        for name in ("d0", "d1"):
            world.site(name).refusal = REFUSED
        await world.submit(["r@d0.example", "r@d1.example"], expires=3600)
        await asyncio.sleep(1)
        await world.submit([f"r@d{n}.example" for n in range(2, 30)])
        await asyncio.sleep(120)
        assert world.outcome(Outcome.DELIVERED) == 28
        await world.settled(7200)

    flowing(test)
