"""STRIP: who may get everything but the advertisement gets that, never the advertisement, whenever it was decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from engine.policy.throttle import Rate
from engine.spool.port import Outcome
from tests.fakes.flow import HELD, LIMITS, OPTED_OUT, SEND, STRIPPED, Setting, World
from tests.fakes.virtual import virtually

BOTH = {
    "subject": "Receipt and sale",
    "text": "Your receipt. BUY MORE NOW\n",
    "without_ad": {"subject": "Receipt", "text": "Your receipt.\n"},
}
SLOW = Setting(replace(LIMITS, max_message_rate=Rate(1, 1, 1)))


def flowing(test: Callable[[World], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        world = World(setting)
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


def got(world: World, name: str) -> str:
    """What a recipient received: the advertisement, the variant, or nothing."""
    message = world.site("d1").messages.get(f"{name}@d1.example", b"")
    if not message:
        return "nothing"
    assert (b"Receipt and sale" in message) == (b"BUY MORE" in message)
    return "ad" if b"BUY MORE" in message else "variant"


def test_the_variant_goes_and_the_journal_says_which_and_why() -> None:
    async def test(world: World) -> None:
        world.suppression.opt_out("a@d1.example", STRIPPED)
        await world.submit(["a@d1.example", "b@d1.example"], message=BOTH)
        await world.settled()
        assert (got(world, "a"), got(world, "b")) == ("variant", "ad")
        told = {record.recipient: (record.type, record.variant, record.reason) for record in world.journal}
        assert told["a@d1.example"] == ("Delivery", "without_ad", "OPTOUT_ALL")
        assert told["b@d1.example"] == ("Delivery", "", "")

    flowing(test)


def test_without_a_variant_nobody_gets_anything() -> None:
    async def test(world: World) -> None:
        world.suppression.opt_out("a@d1.example", STRIPPED)
        first = await world.submit(["a@d1.example"])
        await world.settled()
        assert got(world, "a") == "nothing"
        (record,) = [record for record in world.journal if record.recipient == "a@d1.example"]
        assert (record.type, record.reason, record.variant) == ("Suppressed", "OPTOUT_ALL", "")
        assert world.records(first) == ["Suppressed"]
        assert world.counts.suppressed_by_reason == {"OPTOUT_ALL": 1}

    flowing(test)


@pytest.mark.parametrize(
    ("message", "expected", "outcome"),
    [
        (BOTH, "variant", Outcome.DELIVERED),
        ({"subject": "Receipt and sale", "text": "BUY MORE"}, "nothing", Outcome.SUPPRESSED),
    ],
)
def test_a_letter_made_with_the_advertisement_is_made_again_without_it(message, expected, outcome) -> None:
    """One message a second: letters wait, made and signed, while the opt-out comes."""

    async def test(world: World) -> None:
        names = [f"r{number}@d1.example" for number in range(6)]
        await world.submit(names, message=message)
        await world.until(lambda: len(world.site("d1").received) == 2, 10)
        assert world.dispatch.paths["d1"].prepared >= 3, "the others' letters are made"
        for name in names[2:]:
            world.suppression.opt_out(name, STRIPPED)
        await world.settled(60)
        assert [got(world, f"r{number}") for number in range(6)].count(expected) == 4
        assert got(world, "r5") == expected
        assert world.outcome(outcome) >= 4
        variants = {record.recipient: record.variant for record in world.journal if record.type == "Delivery"}
        assert sorted(variants.values()) == ["", "", *(["without_ad"] * 4 if expected == "variant" else [])]

    flowing(test, SLOW)


@pytest.mark.parametrize(
    ("later", "expected"), [(SEND, "ad"), (OPTED_OUT, "nothing"), (STRIPPED, "variant"), (HELD, "nothing")]
)
def test_the_last_answer_counts_for_a_variant_that_was_made(later, expected) -> None:
    async def test(world: World) -> None:
        world.suppression.opt_out("a@d1.example", STRIPPED)
        await world.submit(["x@d1.example", "y@d1.example", "a@d1.example"], message=BOTH)
        await world.until(lambda: len(world.site("d1").received) == 1, 10)
        assert got(world, "a") == "nothing"
        world.suppression.opt_out("a@d1.example", later)
        await asyncio.sleep(60)
        assert got(world, "a") == expected

    flowing(test, SLOW)


def test_a_deferred_variant_is_decided_again_at_its_next_attempt() -> None:
    async def test(world: World) -> None:
        world.suppression.opt_out("defer-a@d1.example", STRIPPED)
        await world.submit(["defer-a@d1.example"], message=BOTH)
        await world.until(lambda: bool(world.journal), 10)
        assert (world.journal[0].type, world.journal[0].variant) == ("TransientFailure", "without_ad")
        world.suppression.opt_out("defer-a@d1.example", OPTED_OUT)
        await world.settled(7200)
        assert world.journal[-1].type == "Suppressed"

    flowing(test)
