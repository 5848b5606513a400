"""Whatever is decided while a mailing runs, in whatever order: no advertisement leaves after a decision against it, and
the journal says of every delivery which variant it was.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.policy.throttle import Rate
from suppression.decision import Decision
from tests.fakes.flow import LIMITS, OPTED_OUT, SEND, STRIPPED, Setting, World
from tests.fakes.virtual import virtually

PEOPLE = 12
BOTH = {"subject": "s", "text": "Receipt. BUY MORE\n", "without_ad": {"text": "Receipt.\n"}}
LATEST = 0.2
"""Seconds from MAIL FROM, where it is asked last, to the end of the transaction, with all its round trips."""
DECISIONS = st.sampled_from([SEND, STRIPPED, OPTED_OUT])
EVENTS = st.lists(st.tuples(st.floats(0.0, 0.4), st.integers(0, PEOPLE - 1), DECISIONS), max_size=25)


@settings(max_examples=15, deadline=None)
@given(EVENTS, st.integers(4, 40), st.booleans())
def test_no_advertisement_after_a_decision_against_it(
    events: list[tuple[float, int, Decision]], rate: int, has_variant: bool
) -> None:
    async def main() -> None:
        world = World(Setting(replace(LIMITS, max_message_rate=Rate(rate, 1, 1))))
        world.start()
        decided: dict[str, list[tuple[float, Decision]]] = {}
        message = BOTH if has_variant else {"subject": "s", "text": "BUY MORE\n"}
        names = [f"r{number}@d1.example" for number in range(PEOPLE)]
        await world.submit(names, message=message)
        for delay, number, decision in events:
            await asyncio.sleep(delay)
            world.suppression.opt_out(names[number], decision)
            decided.setdefault(names[number], []).append((world.clock(), decision))
        await world.settled()
        world.check()
        _look(world, decided)
        await world.end()

    virtually(main())


def _look(world: World, decided: dict[str, list[tuple[float, Decision]]]) -> None:
    ended = {record.recipient: record for record in world.journal}
    for name, message in world.site("d1").messages.items():
        record = ended[name]
        has_ad = b"BUY MORE" in message
        assert (record.type, record.variant) == ("Delivery", "" if has_ad else "without_ad")
        before = [decision for at, decision in decided.get(name, []) if at < record.timestamp - LATEST]
        last = before[-1] if before else SEND
        later = [decision for at, decision in decided.get(name, []) if at >= record.timestamp - LATEST]
        assert last is not OPTED_OUT or any(decision is not OPTED_OUT for decision in later)
        if has_ad:
            assert last is SEND or SEND in later
        else:
            assert record.reason == "OPTOUT_ALL"
