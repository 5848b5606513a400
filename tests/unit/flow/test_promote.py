"""Promote: what is pulled, when, how much of it, and what never becomes ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.flow.conclude import HOLD_SECONDS
from engine.flow.settle import SettleSettings
from engine.mail.envelope import Priority
from engine.policy.throttle import Rate
from engine.spool.port import Outcome
from suppression.decision import Decision, Verdict
from tests.fakes.flow import HELD, LIMITS, REFUSED, SEND, Setting, World
from tests.fakes.virtual import virtually

REFUSED_THERE = Decision(Verdict.BLOCK, "REGION_EU", "")


def flowing(test: Callable[[World], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        world = World(setting)
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


def pulls(world: World) -> list[tuple[str, int]]:
    """(domain, limit) of each pull from here on."""
    seen: list[tuple[str, int]] = []
    pull = world.core.pull

    async def watched(lane: Any, after: Any, until: int, limit: int) -> Any:
        seen.append((lane.domain, limit))
        return await pull(lane, after, until, limit)

    world.core.pull = watched  # type: ignore[method-assign]
    return seen


def test_no_more_is_loaded_than_the_path_has_room_for() -> None:
    async def test(world: World) -> None:
        world.site("d1").refusal = REFUSED
        seen = pulls(world)
        await world.submit([f"r{n}@d1.example" for n in range(500)])
        await asyncio.sleep(4.0)
        assert len(world.roster) <= 100 + 5 * 8, "ready is full, and some letters were made for the connections to come"
        assert (world.status()["held"], world.status()["waiting"]) == (500 - len(world.roster), 0)
        before = len(seen)
        await asyncio.sleep(3600)
        assert len(seen) == before, "a lane without room is left alone"
        world.site("d1").refusal = None
        await world.settled(7200)
        assert world.outcome(Outcome.DELIVERED) == 500

    flowing(test, Setting(replace(LIMITS, max_ready=100)))


def test_nobody_is_looked_at_before_the_time_and_soon_after_it() -> None:
    async def test(world: World) -> None:
        seen = pulls(world)
        first = await world.submit(["a@d1.example"], not_before=7200)
        await asyncio.sleep(7198)
        assert seen == []
        await world.settled(5)
        assert world.records(first) == ["Delivery"]

    flowing(test)


def test_an_idle_engine_does_nothing_at_all() -> None:
    async def test(world: World) -> None:
        seen = pulls(world)
        await world.submit(["a@d1.example"])
        await world.settled()
        before = len(seen)
        await asyncio.sleep(10_000)
        assert len(seen) == before

    flowing(test)


@pytest.mark.parametrize("decision", ["blocked", "strip"])
def test_who_may_not_get_it_is_settled_without_a_path(decision: str) -> None:
    async def test(world: World) -> None:
        if decision == "blocked":
            world.suppression.opt_out("a@d1.example")
        else:
            verdict = replace(HELD, verdict=type(HELD.verdict).STRIP, reason="AD_WITHOUT_CONSENT")
            world.suppression.opt_out("a@d1.example", verdict)
        first = await world.submit(["a@d1.example", "b@d1.example"])
        await world.settled()
        assert world.records(first) == ["Suppressed"]
        assert world.site("d1").received == ["b@d1.example"]

    flowing(test)


def test_a_held_recipient_is_looked_at_again_after_its_time() -> None:
    async def test(world: World) -> None:
        world.suppression.opt_out("a@d1.example", HELD)
        await world.submit(["a@d1.example"])
        await asyncio.sleep(HOLD_SECONDS - 10)
        assert (world.open, world.suppression.asked) == (1, 1)
        del world.suppression.decisions["a@d1.example"]
        await world.settled(30)
        assert world.outcome(Outcome.DELIVERED) == 1

    flowing(test)


def test_transactional_lanes_go_first_and_are_never_parked_by_bulk() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(1000)])
        await asyncio.sleep(5.0)
        assert world.status()["held"] > 500
        for number in range(30):
            began = world.clock()
            await world.submit([f"now{number}@d1.example"], priority=Priority.TRANSACTIONAL)
            await world.until(lambda n=number: f"now{n}@d1.example" in world.site("d1").received, 60)
            assert world.clock() - began < 0.5

    flowing(test, Setting(replace(LIMITS, max_ready=20, max_message_rate=Rate(20, 1, 1))))


def test_transactional_mail_parked_by_its_own_number_does_not_wait_for_the_bulk_queue() -> None:
    """At ten messages a second the bulk queue of 100 would take ten seconds to shrink to half."""

    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(1000)])
        await asyncio.sleep(5.0)
        began = world.clock()
        await world.submit([f"now{n}@d1.example" for n in range(210)], priority=Priority.TRANSACTIONAL)
        last = "now209@d1.example"
        await world.until(lambda: last in world.site("d1").received, 60)
        assert world.clock() - began < 23

    flowing(test, Setting(replace(LIMITS, max_ready=100, max_message_rate=Rate(10, 1, 1))))


def test_a_disk_that_does_not_keep_up_stops_the_pulling() -> None:
    async def test(world: World) -> None:
        world._append = world.settle._append = _slowly  # type: ignore[assignment,method-assign]
        await world.submit([f"r{n}@d1.example" for n in range(2000)])
        most = 0

        def reached() -> bool:
            nonlocal most
            most = max(most, world.settle.backlog)
            return not world.open

        await world.until(reached, 3600)
        assert most <= 50 + LIMITS.max_ready + 256, "what was in memory before"

    async def _slowly(records: Any) -> None:
        await asyncio.sleep(2.0)

    flowing(test, Setting(settle=SettleSettings(backlog=50, group=10)))


def test_a_sender_that_left_the_configuration_holds_up_nobody_else() -> None:
    async def test(world: World) -> None:
        await world.submit(["a@d1.example"], sender="gone", expires=1000)
        await world.submit(["b@d1.example"])
        await world.until(lambda: world.site("d1").received == ["b@d1.example"], 10)
        await world.settled(1200)
        assert (world.outcome(Outcome.EXPIRED), world.counts.attempts) == (1, 1)

    flowing(test)


def test_a_later_submit_to_a_cancelled_mailing_is_cancelled_at_once() -> None:
    async def test(world: World) -> None:
        await world.cancel("m")
        await world.submit(["a@d1.example"], not_before=5000)
        await world.settled(10)
        assert (world.outcome(Outcome.CANCELLED), world.site("d1").received) == (1, [])

    flowing(test)


def test_who_expired_while_the_engine_was_away_is_not_sent() -> None:
    async def main() -> None:
        before = World()
        await before.submit(["a@d1.example"], expires=60)
        await asyncio.sleep(100)
        world = World(core=before.core.crash())
        (lane,) = await world.core.lanes()
        world.timeline.add(lane.lane, lane.waiting, lane.next_due)
        world.counts.recovered = 1
        world.start()
        await world.settled(10)
        assert (world.outcome(Outcome.EXPIRED), world.site("d1").received) == (1, [])
        await world.end()

    virtually(main())


def test_who_lives_elsewhere_is_asked_about_by_region_at_promote_and_before_mail() -> None:
    async def test(world: World) -> None:
        world.suppression.abroad["a@d1.example", "EU"] = REFUSED_THERE
        world.suppression.abroad["b@d1.example", "EU"] = SEND
        await world.submit(["a@d1.example", "b@d1.example"], region="EU")
        await world.submit(["a@d1.example"], mailing="n")
        await world.settled()
        ends = sorted((record.recipient, record.mailing, record.type, record.reason) for record in world.journal)
        assert ends == [
            ("a@d1.example", "m", "Suppressed", "REGION_EU"),
            ("a@d1.example", "n", "Delivery", ""),
            ("b@d1.example", "m", "Delivery", ""),
        ]

    flowing(test)


def test_a_region_that_forbids_it_meanwhile_stops_what_is_queued() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r{number}@d1.example" for number in range(20)], region="EU")
        await asyncio.sleep(3)
        for number in range(20):
            world.suppression.abroad[f"r{number}@d1.example", "EU"] = REFUSED_THERE
        world.suppression.epoch += 1
        await world.settled()
        assert world.outcome(Outcome.SUPPRESSED) > 0
        assert world.outcome(Outcome.DELIVERED) > 0

    flowing(test, Setting(replace(LIMITS, max_message_rate=Rate(1, 1, 1))))


def test_an_override_reaches_suppression_at_promote_and_its_basis_the_journal() -> None:
    async def test(world: World) -> None:
        world.suppression.opt_out("a@d1.example", Decision(Verdict.BLOCK, "ADDR_UNKNOWN", ""))
        world.suppression.abroad["a@d1.example", "UNKNOWN_USER"] = Decision(Verdict.SEND, "", "TX_UNKNOWN")
        await world.submit(["a@d1.example"])
        await world.submit(["a@d1.example"], mailing="n", override="UNKNOWN_USER")
        await world.settled()
        told = {record.mailing: (record.type, record.reason, record.basis) for record in world.journal}
        assert told == {"m": ("Suppressed", "ADDR_UNKNOWN", ""), "n": ("Delivery", "", "TX_UNKNOWN")}

    flowing(test)
