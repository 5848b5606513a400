"""What is recorded of an opt-out, when, and how often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from engine.web.optout import Caller, OptOuts
from engine.web.views import Stopped
from engine.wire import Refusal
from suppression.unsubscribe import Unsubscribe
from tests.fakes.optout import MemoryLedger

WISH = Unsubscribe("shop", "news", "taro@example.jp", 0x4D)
CALLER = Caller("r1", "192.0.2.1", "Mozilla" + "x" * 1000)


def run(steps: Callable[[OptOuts, MemoryLedger, list[str]], Awaitable[None]], **words: object) -> MemoryLedger:
    ledger, faults, times = MemoryLedger(**words), list[str](), iter(range(1000, 9000))  # type: ignore[arg-type]
    asyncio.run(steps(OptOuts(ledger, ledger, lambda: float(next(times)), faults.append), ledger, faults))  # type: ignore[arg-type]
    return ledger


def test_an_event_has_its_channel_and_evidence() -> None:
    async def steps(opt_outs, ledger, faults) -> None:
        await opt_outs.stop(WISH, Stopped.TOPIC, "one-click", CALLER)
        assert opt_outs.standing(WISH) is Stopped.TOPIC
        await opt_outs.stop(WISH, Stopped.ALL, "web-page", CALLER)
        assert opt_outs.standing(WISH) is Stopped.ALL
        assert (opt_outs.recorded, opt_outs.repeated) == (2, 0)

    first, second = run(steps).events
    assert (first.address, first.sender, first.topic, first.channel, first.now) == (
        "taro@example.jp", "shop", "news", "one-click", 1000.0,
    )  # fmt: skip
    assert (second.topic, second.channel) == (None, "web-page")
    assert json.loads(first.evidence) == {
        "request": "r1",
        "source": "192.0.2.1",
        "user_agent": "Mozilla" + "x" * 249,
        "mail": "000000000000004d",
    }


def test_the_same_once_more_writes_nothing_but_a_new_consent_makes_it_count_again() -> None:
    async def steps(opt_outs, ledger, faults) -> None:
        for _ in range(100):
            await opt_outs.stop(WISH, Stopped.TOPIC, "one-click", CALLER)
        assert (opt_outs.recorded, opt_outs.repeated, len(ledger.events)) == (1, 99, 1)
        ledger.consented_at = 1
        await opt_outs.stop(WISH, Stopped.TOPIC, "one-click", CALLER)
        assert len(ledger.events) == 2
        await opt_outs.stop(WISH, Stopped.ALL, "one-click", CALLER)
        await opt_outs.stop(WISH, Stopped.TOPIC, "one-click", CALLER)
        assert len(ledger.events) == 3, "all covers the topic"

    run(steps)


def test_many_at_once_share_one_write_and_none_is_answered_before_it() -> None:
    async def steps(opt_outs, ledger, faults) -> None:
        ledger.gate = asyncio.Event()
        others = [Unsubscribe("shop", "news", f"a{number}@example.jp") for number in range(3)]
        wishes = [WISH] * 50 + others
        posts = [asyncio.ensure_future(opt_outs.stop(wish, Stopped.TOPIC, "one-click", CALLER)) for wish in wishes]
        while ledger.waiting < 4:
            await asyncio.sleep(0)
        assert not any(post.done() for post in posts)
        posts[0].cancel()
        ledger.gate.set()
        results = await asyncio.gather(*posts, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [None] * 52
        assert len(ledger.events) == 4, "whoever hangs up takes nothing with him"

    run(steps)


def test_a_topic_that_no_event_may_carry_refuses_everything_of_the_sender() -> None:
    async def steps(opt_outs, ledger, faults) -> None:
        await opt_outs.stop(WISH, Stopped.TOPIC, "one-click", CALLER)

    ledger = run(steps, refused_topics=frozenset({"news"}))
    assert [event.topic for event in ledger.events] == [None]


@pytest.mark.parametrize(
    ("reason", "topic", "expected"),
    [
        ("OPTOUT_ALL", "news", Stopped.ALL),
        ("OPTOUT_ALL", "", Stopped.ALL),
        ("COMPLAINT", "news", Stopped.ALL),
        ("OPTOUT_TOPIC", "news", Stopped.TOPIC),
        ("OPTOUT_TOPIC", "", Stopped.NOTHING),
        ("NO_CONSENT", "news", Stopped.NOTHING),
        ("ADDR_UNKNOWN", "news", Stopped.NOTHING),
        ("SUPPRESSION_UNAVAILABLE", "news", Stopped.NOTHING),
    ],
)
def test_standing(reason, topic, expected) -> None:
    async def steps(opt_outs, ledger, faults) -> None:
        assert opt_outs.standing(Unsubscribe("shop", topic, "a@b.jp")) is expected

    run(steps, reason=reason)


def test_a_failed_ledger_promises_nothing_and_is_told() -> None:
    async def before(opt_outs, ledger, faults) -> None:
        with pytest.raises(Refusal) as refused:
            await opt_outs.stop(WISH, Stopped.TOPIC, "one-click", CALLER)
        assert (refused.value.code, faults) == ("unavailable", ["No space left"])

    assert run(before, failure="No space left").events == []

    async def meanwhile(opt_outs, ledger, faults) -> None:
        ledger.gate = asyncio.Event()
        post = asyncio.ensure_future(opt_outs.stop(WISH, Stopped.TOPIC, "one-click", CALLER))
        while not ledger.waiting:
            await asyncio.sleep(0)
        ledger.failure = "I/O error"
        ledger.gate.set()
        with pytest.raises(Refusal):
            await post
        assert faults == ["I/O error"]

    assert run(meanwhile).events == []


def test_what_is_usual_follows_the_last_records_and_is_bounded() -> None:
    async def steps(opt_outs, ledger, faults) -> None:
        assert opt_outs.usual_seconds == 0.0
        for number in range(100):
            await opt_outs.stop(Unsubscribe("shop", "", f"a{number}@b.jp"), Stopped.ALL, "one-click", CALLER)
        assert 0.2 < opt_outs.usual_seconds <= 0.25

    run(steps)
