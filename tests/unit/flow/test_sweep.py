"""Cancel and expiry in every state: waiting, ready, at the signer, made letter, on the wire, deferred."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engine.spool.port import Lane, Outcome
from tests.fakes.flow import REFUSED, Setting, World
from tests.fakes.virtual import virtually

STATES = ("waiting", "ready", "signing", "letter", "wire", "deferred", "deferring")


def flowing(test: Callable[[World], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        world = World(setting)
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


async def bring(world: World, state: str, expires: float = 5 * 86400) -> int:
    """One recipient, and it is in that state now."""
    site = world.site("d1")
    local = {"wire": "stall-1-", "deferred": "defer-1-", "deferring": "defer-1-"}.get(state, "x")
    if state in {"ready", "letter"}:
        site.refusal = REFUSED
    if state == "letter":
        site.rtt = 30.0
    if state == "signing":
        world.signer.hold = []
    first = await world.submit([f"{local}@d1.example"], not_before=900 if state == "waiting" else 0, expires=expires)
    await world.until(lambda: is_there(world, first, state), 10)
    return first


def is_there(world: World, first: int, state: str) -> bool:  # noqa: PLR0911 - one per state
    path = world.dispatch.paths.get("d1")
    match state:
        case "waiting":
            return not world.roster
        case "ready":
            return path is not None and len(path.ready) == 1 and path.pool.failures > 0
        case "signing":
            return bool(world.signer.hold)
        case "letter":
            return path is not None and path.prepared == 1
        case "wire":
            return world.site("d1").events["fault stall"] == 1
        case "deferred":
            return world.counts.deferrals == 1
        case _:
            return world.settle.backlog == 1 or any(record.type == "TransientFailure" for record in world.journal)


def put_right(world: World) -> None:
    world.site("d1").refusal = None
    world.site("d1").rtt = 0.002
    if world.signer.hold:
        world.signer.release()


@pytest.mark.parametrize("whom", ["mailing", "recipient"])
@pytest.mark.parametrize("state", STATES)
def test_a_cancel_is_the_end_in_every_state(state: str, whom: str) -> None:
    async def test(world: World) -> None:
        first = await bring(world, state)
        if whom == "mailing":
            await world.cancel()
        else:
            address = "stall-1-@d1.example" if state == "wire" else world.core.rows[first].address
            taken = await world.cancel_one(address)
            assert taken == (0 if state in {"wire", "signing", "deferring"} else 1)
        await asyncio.sleep(0.2)
        if state in {"ready", "letter", "waiting", "deferred", "deferring"}:
            assert world.open == 0, "within moments"
        put_right(world)
        await world.settled(700)
        assert world.records(first)[-1] == "Cancelled"
        assert (world.outcome(Outcome.CANCELLED), world.site("d1").received) == (1, [])

    flowing(test)


@pytest.mark.parametrize("state", STATES)
def test_expiry_is_the_end_in_every_state(state: str) -> None:
    async def test(world: World) -> None:
        first = await bring(world, state, expires=20)
        await asyncio.sleep(23)
        if state in {"ready", "waiting", "deferred", "deferring"}:
            assert world.open == 0
        put_right(world)
        await world.settled(700)
        assert world.records(first)[-1] == "Expiration"
        assert (world.outcome(Outcome.EXPIRED), world.site("d1").received) == (1, [])

    flowing(test)


def test_what_is_on_the_wire_and_arrives_is_delivered() -> None:
    async def test(world: World) -> None:
        world.site("d1").rtt = 10.0
        first = await world.submit(["x@d1.example"])
        await world.until(lambda: world.counts.attempts == 1, 60)
        await world.cancel()
        await world.settled(100)
        assert world.records(first) == ["Delivery"]
        assert world.outcome(Outcome.DELIVERED) == 1

    flowing(test)


def test_a_large_mailing_is_swept_under_load() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r{n}@d{n % 9}.example" for n in range(1500)], not_before=5000, mailing="gone")
        await world.submit([f"s{n}@d{n % 9}.example" for n in range(3000)])
        await asyncio.sleep(0.05)
        await world.cancel("gone")
        await world.until(lambda: world.outcome(Outcome.CANCELLED) == 1500, 20)
        await world.settled(100)
        assert world.outcome(Outcome.DELIVERED) == 3000

    flowing(test)


def test_one_recipient_of_many_is_taken_out_and_the_others_go() -> None:
    async def test(world: World) -> None:
        await world.submit(["a@d1.example", "b@d1.example", "a@d2.example"], not_before=50)
        assert await world.cancel_one("a@d1.example") == 1
        assert await world.cancel_one("a@d1.example") == 0
        assert await world.cancel_one("nobody@d1.example") == 0
        await world.settled(100)
        assert world.site("d1").received == ["b@d1.example"]

    flowing(test)


def test_rows_found_a_while_ago_are_looked_at_again() -> None:
    """Between the search of many batches and the cancel, one was delivered, one cancelled and one deferred."""

    async def test(world: World) -> None:
        addresses = ["a@d1.example", "defer-1-b@d1.example", "c@d1.example"]
        await world.submit(addresses)
        found: list[tuple[Lane, object]] = []
        for address in addresses:
            found += await world.spool.find("shop", "m", address)
        await world.until(lambda: world.outcome(Outcome.DELIVERED) == 2 and world.counts.deferrals == 1, 10)
        assert await world.sweep.cancel_recipients(found) == 1
        assert world.open == 0
        assert (world.outcome(Outcome.CANCELLED), world.outcome(Outcome.DELIVERED)) == (1, 2)

    flowing(test)


def test_a_batch_that_a_start_finds_half_swept_is_swept_to_its_own_end() -> None:
    async def main() -> None:
        before = World()
        await before.submit(["a@d1.example"], not_before=5000, mailing="cancelled")
        await before.submit(["b@d1.example"], expires=10, not_before=8, mailing="expired")
        await before.core.close_mailing("shop", "cancelled", before.clock())
        await before.core.expired_batches(before.clock() + 20, 10)
        world = World(core=before.core.crash())
        for state in await world.core.lanes():
            world.timeline.add(state.lane, state.waiting, state.next_due)
            world.counts.recovered += state.waiting
        world.start()
        await world.settled(10)
        assert (world.outcome(Outcome.CANCELLED), world.outcome(Outcome.EXPIRED)) == (1, 1)
        await world.end()

    virtually(main())


def test_who_was_in_promotes_hands_does_not_wait_for_a_site_that_rests() -> None:
    async def test(world: World) -> None:
        world.site("d1").refusal = REFUSED
        await world.submit(["a@d1.example"], mailing="other")
        await world.until(lambda: world.site("d1").attempts > 5, 1000)
        asked, go, content = asyncio.Event(), asyncio.Event(), world.spool.content

        async def slowly(number: int) -> bytes:
            asked.set()
            await go.wait()
            return await content(number)

        world.spool.content = slowly
        await world.submit(["b@d1.example"], message={"subject": "Autumn", "text": "Leaves\n"})
        await asked.wait()
        await world.cancel()
        await asyncio.sleep(1)
        go.set()
        await asyncio.sleep(1)
        assert world.outcome(Outcome.CANCELLED) == 1

    flowing(test)


def test_who_comes_back_from_the_signer_to_a_site_that_rests_is_not_forgotten() -> None:
    async def test(world: World) -> None:
        await bring(world, "signing")
        world.dispatch.paths["d1"].pool.pause(world.clock(), 7200.0)
        await world.cancel()
        await asyncio.sleep(0.1)
        world.signer.release()
        await asyncio.sleep(3)
        assert world.outcome(Outcome.CANCELLED) == 1

    flowing(test)


def test_a_long_sweep_leaves_time_for_what_is_done_each_second() -> None:
    async def test(world: World) -> None:
        looks: list[float] = []
        tidy = world.dispatch.tidy

        def watched() -> None:
            looks.append(world.clock())
            tidy()

        world.dispatch.tidy = watched  # type: ignore[method-assign]
        world.sweep.cancel_batches(range(1_000_000, 1_005_000))
        await world.submit(["late@d1.example"], not_before=5, expires=4)
        began = world.clock()
        await asyncio.sleep(10)
        assert not world.sweep._closed.empty(), "it still sweeps"
        assert len([at for at in looks if at >= began]) >= 8
        world.sweep._closed = asyncio.Queue()

    flowing(test)


def test_the_spool_is_tidied_now_and_then() -> None:
    async def test(world: World) -> None:
        tidied: list[float] = []

        async def tidy(now: float) -> None:
            tidied.append(now)

        world.core.tidy = tidy  # type: ignore[method-assign]
        await asyncio.sleep(400)
        assert 5 <= len(tidied) <= 8

    flowing(test)
