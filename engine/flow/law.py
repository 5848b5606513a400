"""Requests of the compliance officer: why an address gets no mail, and orders of the authorities.

特定電子メール法 7条, 28条; 特定商取引法 14条, 15条. `why_not` answers the decision of this moment, the words and the
article for it, and what the ledger holds of the address towards this sender; other senders' records stay out. `order`
takes effect with its answer. The ledger is read beside its writer, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Protocol

from engine import wire
from engine.flow.requests import Answer
from engine.flow.validate import check_override
from engine.wire import Refusal
from suppression import EventError, LedgerFailed, OrderKind, OrderReceived, OrderReleased
from suppression.day import date_of
from suppression.history import Recorded
from suppression.order import OrderEvent, OrderRow, order_state
from suppression.policy import Finding
from suppression.reasons import entry
from suppression.tables import Table

MOST_EVENTS = 100
MOST_EVIDENCE = 300
"""Characters of one evidence in an answer; the ledger has the whole."""


class History(Protocol):
    def events(self, exact: int, wide: int) -> list[Recorded]: ...

    def orders(self) -> list[OrderRow]: ...


class Asked(Protocol):
    """Suppression as these requests use it."""

    @property
    def epoch(self) -> int: ...

    @property
    def history(self) -> History: ...

    @property
    def tables(self) -> Sequence[Table]: ...

    def identify(self, addresses: Sequence[str]) -> list[bytes]: ...

    def explain(
        self,
        sender: str,
        topic: str,
        category: str,
        identity: bytes,
        display: str = "",
        region: str = "",
        override: str = "",
    ) -> Finding: ...

    async def apply_order(self, event: OrderEvent) -> int: ...


class Law:
    def __init__(
        self, suppression: Asked, check_sender: Callable[[str, str | None], None], clock: Callable[[], float]
    ) -> None:
        self._suppression = suppression
        self._check_sender = check_sender
        self._clock = clock

    def answers(self) -> dict[type[wire.Request], Answer]:
        return {wire.WhyNot: self.why_not, wire.Order: self.order}

    async def why_not(self, request: wire.WhyNot) -> Mapping[str, object]:
        self._check_sender(request.sender, None)
        check_override(request.override, request.category, 1)
        suppression = self._suppression
        identity = suppression.identify([request.address])[0]
        found = suppression.explain(
            request.sender,
            request.topic,
            request.category,
            identity,
            region=request.region,
            override=request.override,
        )
        decision = found.decision
        words = entry(decision.reason or decision.basis, suppression.tables)
        events, orders = await asyncio.to_thread(self._recorded, identity, request.sender)
        return {
            "verdict": str(decision.verdict),
            "reason": decision.reason,
            "basis": decision.basis,
            "texts": {"ja": words.ja, "en": words.en},
            "row": found.row,
            "article": found.article or words.article,
            "at": self._clock(),
            "epoch": suppression.epoch,
            "events": [_event(event) for event in events[:MOST_EVENTS]],
            "orders": [_order(row) for row in orders],
            "truncated": len(events) > MOST_EVENTS,
        }

    def _recorded(self, identity: bytes, sender: str) -> tuple[list[Recorded], list[OrderRow]]:
        history = self._suppression.history
        orders = [row for row in history.orders() if row.sender == sender]
        if not identity:
            return [], orders
        exact, wide = int.from_bytes(identity[:8], "little"), int.from_bytes(identity[8:], "little")
        return [event for event in history.events(exact, wide) if event.sender in ("", sender)], orders

    async def order(self, request: wire.Order) -> Mapping[str, object]:
        if request.action != "list":
            self._check_sender(request.sender, None)
            try:
                await self._suppression.apply_order(await self._order_event(request))
            except LedgerFailed as error:
                text = "the suppression ledger's disk failed and the engine stops: send it again when it is back"
                raise Refusal("unavailable", "", "", text) from error
            except EventError as error:
                field, _, text = str(error).partition(": ")
                raise Refusal("bad_request", field, "", text) from None
        rows = await asyncio.to_thread(self._suppression.history.orders)
        rows = [row for row in rows if request.sender in ("", row.sender)]
        return {"epoch": self._suppression.epoch, "in_force": _in_force(rows), "orders": [_order(row) for row in rows]}

    async def _order_event(self, request: wire.Order) -> OrderEvent:
        if request.kind is None:
            raise Refusal("bad_request", "kind", "", f"missing: one of {', '.join(OrderKind.__members__)}")
        kind, scope, now = OrderKind[request.kind], tuple(request.scope), self._clock()
        if request.action == "add":
            return OrderReceived(request.sender, kind, now, _day(request.day), scope, request.evidence)
        rows = [
            row for row in await asyncio.to_thread(self._suppression.history.orders) if row.sender == request.sender
        ]
        if not any(kind in order_state(rows, topic).held for topic in (scope or ("", *_topics(rows)))):
            text = "no such order is in force: `order` with action list shows what is"
            raise Refusal("bad_request", "kind", request.kind, text)
        return OrderReleased(request.sender, kind, now, request.officer, scope, request.evidence)


def _day(given: str) -> date:
    try:
        return date.fromisoformat(given)
    except ValueError:
        text = "no date: the day on the order, as 2027-01-31 (retention of consents depends on it)"
        raise Refusal("bad_request", "day", wire.shown(given), text) from None


def _topics(rows: Sequence[OrderRow]) -> list[str]:
    return sorted({topic for row in rows for topic in row.scope})


def _in_force(rows: Sequence[OrderRow]) -> list[Mapping[str, object]]:
    """By sender and topic; topic "" is everything that is not named."""
    found: list[Mapping[str, object]] = []
    for sender in sorted({row.sender for row in rows}):
        own = [row for row in rows if row.sender == sender]
        for topic in ("", *_topics(own)):
            now = order_state(own, topic)
            states = [(kind, "held") for kind in now.held] + [(kind, "released") for kind in now.released]
            for kind, state in sorted(states):
                found.append({"sender": sender, "topic": topic, "kind": kind.name, "state": state})
    return found


def _order(row: OrderRow) -> Mapping[str, object]:
    return {
        "sender": row.sender,
        "kind": OrderKind(row.kind).name,
        "what": "released" if row.officer else "received",
        "at": row.at / 1e6,
        "day": date_of(row.day).isoformat(),
        "scope": list(row.scope),
        "officer": row.officer,
        "evidence": row.evidence[:MOST_EVIDENCE],
    }


def _event(event: Recorded) -> Mapping[str, object]:
    return {
        "what": event.what,
        "sender": event.sender,
        "topic": event.topic,
        "at": event.at / 1e6,
        "recorded": event.recorded / 1e6,
        "basis": event.basis,
        "covers": event.covers,
        "state": event.state,
        "until": event.until.isoformat() if event.until else "",
        "source": event.source,
        "evidence": event.evidence[:MOST_EVIDENCE],
        "address": event.address,
        "same_spelling": event.same_spelling,
    }
