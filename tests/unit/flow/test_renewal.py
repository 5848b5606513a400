"""The flow under another configuration: routes, limits, sources and senders change while mail waits, is made and is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.flow.letters import compile_for, name_of
from engine.flow.outlets import Outlets
from engine.net.pool import Pool
from engine.net.resolver import ResolveFailure, Route
from engine.policy.provider import Share
from engine.policy.shaping import Shaping
from engine.policy.source import Source, make_pool
from engine.policy.throttle import Rate
from engine.spool.port import Outcome
from tests.fakes.flow import LIMITS, REFUSED, Routes, Setting, World
from tests.fakes.virtual import virtually

SLOW = replace(LIMITS, max_message_rate=Rate(1, 1, 1))


class Moved(Routes):
    """Everything of d1 goes to d2 now."""

    def route(self, domain: str) -> Route | ResolveFailure | None:
        return super().route("d2.example" if domain == "d1.example" else domain)


def flowing(test: Callable[[World], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        world = World(setting)
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


def use(world: World, **words: Any) -> None:
    new: dict[str, Any] = {
        "shaping": Shaping(LIMITS), "resolver": world.routes, "outlets": Outlets(), "routes": (), **words
    }  # fmt: skip
    world.dispatch.use(**new)
    world.promote.unpark_all()


def three_hundred() -> list[str]:
    return [f"r{n}@d1.example" for n in range(300)]


def test_another_rate_is_in_force_for_what_waits() -> None:
    async def test(world: World) -> None:
        await world.submit(three_hundred())
        await asyncio.sleep(10.0)
        assert world.outcome(Outcome.DELIVERED) <= 11
        path = world.dispatch.paths["d1"]
        use(world)
        await world.settled(60)
        assert world.outcome(Outcome.DELIVERED) == 300
        assert world.dispatch.paths["d1"] is path, "what it has learnt stays"

    flowing(test, Setting(limits=SLOW))


def test_the_same_configuration_changes_nothing() -> None:
    async def test(world: World) -> None:
        await world.submit(three_hundred())
        await asyncio.sleep(10.0)
        path = world.dispatch.paths["d1"]
        before = path.throttle, path.pool.window, path.share, set(path.pool.connections), len(path.ready)
        for _ in range(20):
            use(world, shaping=Shaping(SLOW))
        assert before == (path.throttle, path.pool.window, path.share, set(path.pool.connections), len(path.ready))
        await asyncio.sleep(10.0)
        assert world.outcome(Outcome.DELIVERED) <= 21, "a reload is no way around a rate"
        await world.settled(400)

    flowing(test, Setting(limits=SLOW))


@pytest.mark.parametrize("when", ["ready", "being signed"])
def test_what_waits_goes_by_the_new_route(when: str) -> None:
    async def test(world: World) -> None:
        if when == "being signed":
            world.signer.hold = []
        await world.submit(three_hundred())
        await asyncio.sleep(3.0)
        use(world, resolver=Moved(), shaping=Shaping(LIMITS))
        if when == "being signed":
            world.signer.release()
        at_swap = len(world.site("d1").received)
        await world.settled(120)
        assert world.outcome(Outcome.DELIVERED) == 300
        assert len(world.site("d1").received) - at_swap <= 10, "what was on the wire"
        assert len(world.site("d2").received) > 280

    flowing(test, Setting(limits=SLOW))


def test_a_source_that_is_gone_sends_nothing_more_and_a_new_one_takes_its_place() -> None:
    both = {name: Source(name, f"192.0.2.{n}", f"{name}.example") for n, name in enumerate(("a", "b"), 1)}

    def outlets(*names: str) -> Outlets:
        return Outlets({name: both[name] for name in names}, {"default": make_pool("default", dict.fromkeys(names, 1))})

    async def test(world: World) -> None:
        await world.submit(three_hundred())
        await asyncio.sleep(5.0)
        at_swap = world.outcome(Outcome.DELIVERED)
        use(world, outlets=outlets("b"))
        await world.settled(120)
        counted = {name: path.counts.delivered for name, path in world.dispatch.paths._paths.items()}
        assert counted["a->d1"] <= at_swap + 4, "what was on the wire"
        assert sum(counted.values()) == 300

    flowing(test, Setting(limits=SLOW, outlets=outlets("a", "b")))


def test_letters_for_another_sender_are_made_anew_and_those_that_do_not_suit_wait() -> None:
    async def test(world: World) -> None:
        await world.submit(three_hundred())
        await asyncio.sleep(3.0)
        batches = {recipient.batch.id: recipient.batch for recipient in world.roster.values()}.values()
        (batch,) = batches
        before, name = batch.compiled, name_of(batch)
        identity = world.letters._senders["shop"].identity
        made = compile_for(name, await world.spool.content(name[0]), replace(identity, from_display="Other"))
        world.letters.adopt(world.signer, {"shop"}, {name: made}, batches)
        assert batch.compiled is made
        assert made is not before
        world.letters.adopt(world.signer, {"shop"}, {}, batches)
        assert batch.compiled is None
        use(world)
        await asyncio.sleep(5.0)
        assert world.outcome(Outcome.SUPPRESSED) == world.outcome(Outcome.BOUNCED) == 0
        await world.settled(1200)
        assert world.outcome(Outcome.DELIVERED) == 300, "looked at again, and it suits"

    flowing(test, Setting(limits=SLOW))


def test_a_share_follows_its_provider_and_counts_what_is_open() -> None:
    one, other = Share(2, None), Share(0, Rate(5, 1, 5))
    pool = Pool(LIMITS, one)
    count, _ = pool.assign(0.0, 20)
    assert (count, one.open) == (2, 2)
    called: list[bool] = []
    one.call_again(lambda: called.append(True))
    pool.adopt(replace(LIMITS, connection_limit=1, max_connection_rate=Rate(1, 1, 1)), other)
    assert (one.open, other.open, called) == (0, 2, [True])
    assert (pool.cap, pool.window.size) == (1, 1)
    pool.adopt(LIMITS, None)
    assert other.open == 0
    throttle = other.throttle
    other.adopt(3, Rate(5, 1, 5))
    assert (other.limit, other.throttle) == (3, throttle), "the same rate goes on where it is"
    other.adopt(3, None)
    assert other.throttle is None
    other.adopt(0, Rate(1, 1, 1))
    assert other.throttle is not None


def test_hosts_named_by_dns_are_reached_at_the_new_port_and_routes_of_the_operator_are_not() -> None:
    async def test(world: World) -> None:
        await world.submit([*three_hundred(), "a@d2.example"])
        await asyncio.sleep(3.0)
        first, second = world.dispatch.paths["d1"], world.dispatch.paths["d2"]
        first.route = replace(first.route, mx=(("mx.d1.example",),))
        was = second.route.port
        use(world, shaping=Shaping(SLOW), mx_port=2525)
        assert (first.route.port, second.route.port) == (2525, was)
        use(world, shaping=Shaping(SLOW), mx_port=None)
        assert first.route.port == 2525, "routes alone: what DNS named is asked for no more"

    flowing(test, Setting(limits=SLOW))


def test_a_source_that_is_taken_out_carries_nothing_more_and_comes_back() -> None:
    sources = {name: Source(name, f"192.0.2.{n}") for n, name in enumerate("ab", 1)}
    pools = {"two": make_pool("two", dict.fromkeys(sources, 1))}

    async def test(world: World) -> None:
        await world.submit(three_hundred())
        await asyncio.sleep(10.0)
        assert world.dispatch.ways.take_out("shop", ["b"])
        sent = len(world.journal)
        assert {record.egress_source for record in world.journal} == {"a", "b"}
        await asyncio.sleep(100.0)
        later = [record.egress_source for record in world.journal][sent:]
        assert later.count("b") <= 2, "what was in flight"
        assert later.count("a") > 50
        assert not world.dispatch.ways.take_out("shop", ["a", "b"])
        assert world.dispatch.ways.take_out("shop", [])
        await world.settled(3600)
        sent = len(world.journal)
        await world.submit([f"later{n}@d1.example" for n in range(60)])
        await world.settled(3600)
        assert [record.egress_source for record in world.journal][sent:].count("b") == 30

    flowing(test, Setting(limits=SLOW, outlets=Outlets(sources, pools, {"shop": ("two", "two")})))


def test_what_the_old_port_refused_is_not_held_against_the_new_one() -> None:
    async def test(world: World) -> None:
        site = world.site("d1")
        site.refusal = REFUSED
        await world.submit(["a@d1.example"])
        while "d1" not in world.dispatch.paths or not world.dispatch.paths["d1"].pool.failures:
            await asyncio.sleep(0.1)
        path = world.dispatch.paths["d1"]
        assert path.pool.paused_until > world.clock()
        site.refusal = None
        use(world, routes=[replace(path.route, tls=path.route.tls)])
        assert path.pool.paused_until, "the same server: a reload is no way around it"
        use(world, routes=[replace(path.route, port=path.route.port + 1)])
        assert not path.pool.paused_until
        assert not path.pool.failures

    flowing(test)


def test_sites_are_forgotten_with_their_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.flow.ways.MOST_SITES", 3)

    async def test(world: World) -> None:
        ways = world.dispatch.ways
        await world.submit(["a@d1.example"])
        await world.settled(60)
        for number in range(2, 20):
            assert ways.place(f"d{number}.example") is not None
            assert len(ways._provider_at) <= 3
        assert ways.knows_site("d1")
        assert not ways.knows_site("d2")

    flowing(test)
