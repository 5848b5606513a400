"""The opt-out itself: a link's holder refuses, the ledger records it with its evidence, then the answer (3条3項).

Nothing is answered before the event is durable and in force. The same refusal once more finds itself in force and
writes nothing; twice at once shares one write; after a new consent it counts anew. What a link cannot say (a topic that
no event may carry) is taken as the wider refusal, never as none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.mail.envelope import recipient_text
from engine.web.views import Stopped
from engine.wire import Refusal
from suppression.decision import Category, Decision
from suppression.unsubscribe import Unsubscribe

ALL_REASONS = frozenset({"OPTOUT_ALL", "COMPLAINT"})
TOPIC_REASONS = frozenset({"OPTOUT_TOPIC"})
USER_AGENT_LIMIT = 256
LONGEST_USUAL = 0.25
"""Seconds that an unknown link may be made to wait, so that it answers as late as a known one."""


class Ledger(Protocol):
    async def opt_out(
        self, address: str, *, sender: str | None, topic: str | None, channel: str, now: float, evidence: str
    ) -> int:
        """Durable and in force. Raises Refusal, "unavailable" when the disk has failed."""
        ...


class Standings(Protocol):
    """What suppression answers, as far as an opt-out needs it."""

    @property
    def failure(self) -> str | None: ...

    def decide(self, sender: str, topic: str, category: str, addresses: list[str]) -> list[Decision]: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked, for the evidence."""

    request: str
    source: str
    user_agent: str


class OptOuts:
    def __init__(
        self,
        ledger: Ledger,
        standings: Standings,
        clock: Callable[[], float],
        fault: Callable[[str], None] = lambda _why: None,
    ) -> None:
        """`fault` is told when the ledger has failed: without it nothing may be sent either."""
        self._fault = fault
        self._ledger = ledger
        self._standings = standings
        self._clock = clock
        self._under_way: dict[tuple[Unsubscribe, Stopped], asyncio.Future[None]] = {}
        self.usual_seconds = 0.0
        """How long a record takes, lately."""
        self.recorded = 0
        self.repeated = 0

    def standing(self, wish: Unsubscribe) -> Stopped:
        """What is in force now. An address of another state (unknown user) hides it and reads as nothing."""
        reason = self._standings.decide(wish.sender, wish.topic, Category.AD, [wish.address])[0].reason
        if reason in ALL_REASONS:
            return Stopped.ALL
        return Stopped.TOPIC if wish.topic and reason in TOPIC_REASONS else Stopped.NOTHING

    async def stop(self, wish: Unsubscribe, reach: Stopped, channel: str, caller: Caller) -> None:
        """Raises Refusal "unavailable"; then nothing may be promised, and the engine stops."""
        if (why := self._standings.failure) is not None:
            self._fault(why)
            raise Refusal("unavailable", "", "", f"the suppression ledger has failed: {why}")
        if self.standing(wish).value >= reach.value:
            self.repeated += 1
            return
        same = wish, reach
        running = self._under_way.get(same)
        if running is None:
            running = asyncio.ensure_future(self._record(wish, reach, channel, caller))
            self._under_way[same] = running
            running.add_done_callback(lambda _: self._under_way.pop(same))
            self.recorded += 1
        else:
            self.repeated += 1
        # Whoever hangs up does not take the record with him.
        await asyncio.shield(running)

    async def _record(self, wish: Unsubscribe, reach: Stopped, channel: str, caller: Caller) -> None:
        started = self._clock()
        evidence = json.dumps(
            {
                "request": caller.request,
                "source": caller.source,
                "user_agent": caller.user_agent[:USER_AGENT_LIMIT],
                "mail": recipient_text(wish.recipient),
            },
            ensure_ascii=False,
        )
        topic = wish.topic if reach is Stopped.TOPIC else None
        try:
            await self._put(wish, topic, channel, started, evidence)
        except Refusal as refusal:
            if refusal.code == "unavailable":
                self._fault(self._standings.failure or refusal.text)
            if refusal.code == "unavailable" or topic is None:
                raise
            await self._put(wish, None, channel, started, evidence)
        took = min(max(0.0, self._clock() - started), LONGEST_USUAL)
        self.usual_seconds += (took - self.usual_seconds) / 8

    async def _put(self, wish: Unsubscribe, topic: str | None, channel: str, now: float, evidence: str) -> None:
        await self._ledger.opt_out(
            wish.address, sender=wish.sender, topic=topic, channel=channel, now=now, evidence=evidence
        )
