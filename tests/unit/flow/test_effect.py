"""How soon a refusal takes effect: what is observed, what does not count, what must never be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.flow.effect import LOOK_SECONDS, MOST_WATCHED, WATCH_SECONDS, OptOutEffect
from engine.mail.envelope import Batch, Priority, Recipient
from suppression.decision import Decision, Verdict
from tests.fakes.virtual import virtually

SEND, BLOCK = Decision(Verdict.SEND, "", "NOT_SPECIFIED"), Decision(Verdict.BLOCK, "OPTOUT_ALL", "")


class Refusals:
    """Suppression, as far as the measurement asks it: advertising is forbidden to who refused, TX is not."""

    def __init__(self) -> None:
        self.asked = 0

    def identify(self, addresses: list[str]) -> list[bytes]:
        return [who(address) for address in addresses]

    def decide_one(
        self, sender: str, topic: str, category: str, identity: bytes, display: str, region: str, override: str
    ) -> Decision:
        self.asked += 1
        assert (display, region, override) == ("", "", "")
        return SEND if category == "TX" else BLOCK


def who(address: str) -> bytes:
    """Exact and wide: spellings with a + share the wide half."""
    plain = address.replace("+", "")
    return address.encode().ljust(8)[:8] + plain.encode().ljust(8)[:8]


def recipient(address: str, category: str = "AD") -> Recipient:
    batch = Batch(1, "shop", category, "", "m", 1, Priority.BULK, 0.0, 0, 1000)
    return Recipient(1, batch, address, {}, who=who(address))


class Story:
    def __init__(self) -> None:
        self.refusals = Refusals()
        self.wire: list[Recipient] = []
        self.effect = OptOutEffect(self.refusals, lambda: self.wire)  # type: ignore[arg-type]

    def end(self, one: Recipient, now: float) -> None:
        self.wire.remove(one)
        if self.effect.pending:
            self.effect.finished(one, now)

    @property
    def seen(self) -> tuple[int, float]:
        return self.effect.seconds.count, self.effect.seconds.total


def play(steps: Callable[[Story], object]) -> None:
    async def run() -> None:
        await steps(Story())  # type: ignore[misc]

    virtually(run())


async def looked() -> None:
    await asyncio.sleep(2 * LOOK_SECONDS)


def test_nothing_on_the_wire_is_zero() -> None:
    async def steps(story: Story) -> None:
        story.wire = [recipient("other")]
        story.effect.acknowledged("taro", 100.0)
        story.effect.acknowledged("hana", 100.0)
        assert story.seen == (0, 0.0)
        await looked()
        assert story.seen == (2, 0.0)
        assert not story.effect.pending
        assert story.refusals.asked == 0

    play(steps)


def test_what_was_on_the_wire_counts_to_the_end_of_the_last_of_it() -> None:
    async def steps(story: Story) -> None:
        first, second = recipient("taro"), recipient("ta+ro")
        story.wire = [first, second, recipient("other")]
        story.effect.acknowledged("taro", 100.0)
        story.end(first, 100.5)
        await looked()
        assert story.seen == (0, 0.0), "one is still there"
        story.end(second, 102.5)
        await looked()
        assert story.seen == (1, 2.5)
        assert story.effect.late == 0

    play(steps)


def test_one_that_ends_before_the_first_look_is_not_missed() -> None:
    async def steps(story: Story) -> None:
        only = recipient("taro")
        story.wire = [only]
        story.effect.acknowledged("taro", 100.0)
        story.end(only, 100.03)
        await looked()
        assert story.effect.seconds.count == 1
        assert 0.02 < story.effect.seconds.total < 0.04

    play(steps)


def test_what_the_refusal_does_not_forbid_does_not_count() -> None:
    async def steps(story: Story) -> None:
        contract = recipient("taro", "TX")
        story.wire = [contract]
        story.effect.acknowledged("taro", 100.0)
        story.effect.started(contract, 101.0)
        await looked()
        story.end(contract, 105.0)
        assert story.seen == (1, 0.0)
        assert story.effect.late == 0

    play(steps)


def test_one_that_goes_back_unsent_is_zero() -> None:
    async def steps(story: Story) -> None:
        story.wire = [recipient("taro")]
        story.effect.acknowledged("taro", 100.0)
        await looked()
        story.wire.clear()
        await looked()
        assert story.seen == (1, 0.0)

    play(steps)


def test_a_mail_that_begins_after_the_refusal_is_late() -> None:
    async def steps(story: Story) -> None:
        story.effect.acknowledged("taro", 100.0)
        await looked()
        story.effect.started(recipient("other"), 107.0)
        assert story.effect.late == 0
        story.effect.started(recipient("ta+ro"), 107.0)
        assert (story.effect.late, story.seen) == (1, (2, 7.0))

    play(steps)


def test_a_second_refusal_is_one_observation_from_the_first() -> None:
    async def steps(story: Story) -> None:
        only = recipient("taro")
        story.wire = [only]
        story.effect.acknowledged("taro", 100.0)
        story.effect.acknowledged("taro", 101.0)
        story.end(only, 103.0)
        await looked()
        assert story.seen == (1, 3.0)

    play(steps)


def test_memory_is_bounded_in_time_and_number() -> None:
    async def steps(story: Story) -> None:
        effect = story.effect
        effect.acknowledged("taro", 100.0)
        effect.acknowledged("hana", 100.0 + WATCH_SECONDS)
        assert len(effect.recent) == 2
        effect.acknowledged("jiro", 101.0 + WATCH_SECONDS)
        assert len(effect.recent) == 2
        for number in range(MOST_WATCHED):
            effect.acknowledged(f"{number}", 101.0 + WATCH_SECONDS)
        assert (len(effect.recent), effect.unwatched) == (MOST_WATCHED, 2)
        await looked()
        assert not effect.pending

    play(steps)
