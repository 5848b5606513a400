"""An opt-out listener on a real port, with a ledger in memory that a test can look into, slow down and break."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.flow.tokens import TokenRing
from engine.web.confirm import Asked, Confirmation, Confirmed
from engine.web.displayed import SenderDisplay
from engine.web.listener import OptOutListener
from engine.web.optout import OptOuts
from engine.web.settings import UnsubscribeSettings
from engine.wire import Refusal
from suppression.decision import Decision, Verdict
from suppression.unsubscribe import TokenKey, token_of

OLD, NEW = TokenKey(0, b"o" * 32), TokenKey(1, b"n" * 32)
SHOP = SenderDisplay(
    "株式会社れい",
    "〒100-0001 東京都千代田区千代田1-1-1 れいビル5階",
    ("03-1234-5678", "support@news.example.jp", "https://news.example.jp/contact"),
    "news@news.example.jp",
)
HOSTILE = SenderDisplay(
    '<script>alert(1)</script>"&$title {sender} \u202eevil', "$lang <b>", ("javascript:alert(1)", 'a@b.jp"><img src=x>')
)
SEND = Decision(Verdict.SEND, "", "C1_OPTIN")


@dataclass(frozen=True)
class Event:
    address: str
    sender: str | None
    topic: str | None
    channel: str
    now: float
    evidence: str


@dataclass
class MemoryLedger:
    """Ledger and standings in one."""

    events: list[Event] = field(default_factory=list)
    failure: str | None = None
    reason: str = ""
    """What is answered for everybody, whatever was recorded."""
    gate: asyncio.Event | None = None
    """Records wait for it."""
    refused_topics: frozenset[str] = frozenset()
    consented_at: int = 0
    """Events before this number have been overtaken by a consent."""
    waiting: int = 0

    async def opt_out(
        self, address: str, *, sender: str | None, topic: str | None, channel: str, now: float, evidence: str
    ) -> int:
        if self.gate:
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1
        if self.failure:
            raise Refusal("unavailable", "", "", self.failure)
        if topic in self.refused_topics:
            raise Refusal("bad_request", "topic", "", "not printable")
        self.events.append(Event(address, sender, topic, channel, now, evidence))
        return len(self.events)

    def decide(self, sender: str, topic: str, category: str, addresses: Sequence[str]) -> list[Decision]:
        assert category == "AD"
        return [self._decide(sender, topic, address) for address in addresses]

    def _decide(self, sender: str, topic: str, address: str) -> Decision:
        if self.reason:
            return Decision(Verdict.BLOCK, self.reason, "")
        topics = {
            event.topic
            for event in self.events[self.consented_at :]
            if (event.address, event.sender) == (address, sender)
        }
        if None in topics:
            return Decision(Verdict.BLOCK, "OPTOUT_ALL", "")
        return Decision(Verdict.BLOCK, "OPTOUT_TOPIC", "") if topic and topic in topics else SEND


@dataclass
class FakeConfirmations:
    """`known` links can be confirmed once, `expired` ones not any more."""

    known: dict[str, Asked] = field(default_factory=dict)
    expired: dict[str, Asked] = field(default_factory=dict)
    confirmed: list[tuple[str, str, str]] = field(default_factory=list)
    failure: str | None = None

    async def asked(self, token: str, now: float) -> Asked | None:
        return self.known.get(token) or self.expired.get(token)

    async def confirm(self, token: str, *, source: str, user_agent: str, now: float) -> Confirmation:
        if self.failure:
            raise Refusal("unavailable", "", "", self.failure)
        if token in self.expired:
            return Confirmation(Confirmed.EXPIRED, self.expired[token])
        if token not in self.known:
            return Confirmation(Confirmed.UNKNOWN)
        seen = any(token == done for done, _, _ in self.confirmed)
        self.confirmed.append((token, source, user_agent))
        return Confirmation(Confirmed.BEFORE if seen else Confirmed.NOW, self.known[token])


@dataclass
class Site:
    listener: OptOutListener
    ledger: MemoryLedger
    confirmations: FakeConfirmations
    faults: list[str]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}"

    def link(self, address: str = "taro@example.jp", topic: str = "秋の感謝祭ニュース", sender: str = "shop") -> str:
        return f"{self.base}/u/{token(address, topic, sender)}"


def token(
    address: str = "taro@example.jp", topic: str = "秋の感謝祭ニュース", sender: str = "shop", key: TokenKey = NEW
) -> str:
    return token_of(sender, topic, address, 77, key)


@asynccontextmanager
async def site(ledger: MemoryLedger | None = None, **words: object) -> AsyncIterator[Site]:
    """`words`: of UnsubscribeSettings."""
    ledger = ledger or MemoryLedger()
    confirmations, faults = FakeConfirmations(), list[str]()
    listener = OptOutListener(
        UnsubscribeSettings(**{"listen": "127.0.0.1:0", **words}),  # type: ignore[arg-type]
        ring=TokenRing({0: OLD, 1: NEW}),
        opt_outs=OptOuts(ledger, ledger, time.time, faults.append),
        confirmations=confirmations,
        senders={"shop": SHOP, "hostile": HOSTILE},
        clock=time.time,
    )
    uncaught: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: uncaught.append(repr(context)))
    await listener.start()
    try:
        yield Site(listener, ledger, confirmations, faults)
    finally:
        await listener.close()
    # In the engine, what nobody catches stops the process.
    assert uncaught == []
