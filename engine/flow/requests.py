"""Every request of the socket and who answers it: what is not a submit stands here, small and complete.

Cancel closes a mailing in the spool before it says so; suppress and consent answer after the ledger's sync. All of
these go on while the engine drains: an opt-out is taken until the last moment.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any, Protocol

from engine import wire
from engine.flow.accept import Accept, Engine
from engine.flow.validate import Reading, read_address
from engine.spool.port import Spool, SpoolFailed, SpoolFull
from engine.wire import Refusal
from suppression.parties import AGENCY

MAILINGS_IN_STATUS = 1000


class Ledger(Protocol):
    """The suppression face as requests use it. Answers come after the sync. Raise Refusal."""

    async def opt_out(
        self,
        address: str,
        *,
        sender: str | None,
        topic: str | None,
        channel: str,
        now: float,
        evidence: str,
        message_id: str,
        until: date | None,
    ) -> int: ...

    async def consent(
        self, request: wire.Consent, refused: list[wire.Refused], reading: Reading, *, now: float
    ) -> tuple[int, int]:
        """How many were recorded, and the epoch; what is not taken goes into refused."""
        ...

    async def restored(self, address: str, *, evidence: str, now: float) -> int: ...


Answer = Callable[[Any], Awaitable[Mapping[str, object]]]
"""Answers one type of request. Raises Refusal."""


class Requests:
    def __init__(
        self,
        accept: Accept,
        spool: Spool,
        ledger: Ledger,
        engine: Engine,
        reading: Reading,
        *,
        clock: Callable[[], float] = time.time,
        others: Mapping[type[wire.Request], Answer] | None = None,
    ) -> None:
        """`others`: who answers the requests that do not stand here."""
        self.opt_outs = 0
        self._others = dict(others or {})
        self._accept = accept
        self._spool = spool
        self._ledger = ledger
        self._engine = engine
        self._reading = reading
        self._clock = clock

    async def answer(self, request: wire.AnyRequest) -> Mapping[str, object]:
        """What goes into the answer beside id and ok. Raises Refusal."""
        try:
            return await self._answer(request)
        except SpoolFull:
            text = "free disk is below the floor: resubmit the same key when deliveries have made room"
            raise Refusal("spool_full", "", "", text) from None
        except SpoolFailed as error:
            self._engine.on_spool_failed(error)
            text = "the spool's disk failed and the engine stops: resubmit the same key when it is back"
            raise Refusal("unavailable", "", "", text) from None

    async def _answer(self, request: wire.AnyRequest) -> Mapping[str, object]:  # noqa: PLR0911 - one per request
        match request:
            case wire.Submit():
                return await self._accept.submit(request)
            case wire.PutMessage():
                return await self._accept.put_message(request)
            case wire.Cancel():
                return await self._cancel(request)
            case wire.Status():
                return await self._status(request)
            case wire.Suppress():
                return await self._suppress(request)
            case wire.Consent():
                return await self._consent(request)
            case wire.RestoreAddress():
                address = read_address(request.address, self._reading)
                return {"epoch": await self._ledger.restored(address, evidence=request.evidence, now=self._clock())}
            case wire.Ping():
                return {"draining": self._engine.draining, "credit": self._accept.credit()}
            case _:
                return await self._others[type(request)](request)

    async def _cancel(self, request: wire.Cancel) -> Mapping[str, object]:
        self._accept.check_sender(request.sender, None)
        if request.address is not None and request.recipient is not None:
            text = "name the recipient or its address, not both"
            raise Refusal("bad_request", "recipient", request.recipient, text)
        if request.address is None and request.recipient is None:
            batches = await self._spool.close_mailing(request.sender, request.mailing, self._clock())
            self._engine.on_cancel(batches)
            return {"batches": len(batches)}
        if request.address is not None:
            who: str | int = read_address(request.address, self._reading)
        else:
            who = int(request.recipient or "", 16)
        found = await self._spool.find(request.sender, request.mailing, who)
        cancelled = await self._engine.cancel_recipients(found) if found else 0
        return {"found": len(found), "cancelled": cancelled}

    async def _status(self, request: wire.Status) -> Mapping[str, object]:
        totals = await self._spool.totals(request.sender, request.mailing)
        if request.sender is not None and not totals:
            # one that was taken out of the configuration is known as long as its mailings are
            self._accept.check_sender(request.sender, None)
        return {
            "engine": self._engine.status(),
            "draining": self._engine.draining,
            "credit": self._accept.credit(),
            "mailings": [{**asdict(mailing), "open": mailing.open} for mailing in totals[:MAILINGS_IN_STATUS]],
            "truncated": len(totals) > MAILINGS_IN_STATUS,
        }

    async def _suppress(self, request: wire.Suppress) -> Mapping[str, object]:
        sender = request.sender
        if request.agency is not None:
            sender = _agency(request)
        elif request.sender is not None:
            # a misspelt sender would make an opt-out that stops nothing
            self._accept.check_sender(request.sender, None)
        elif request.topic is not None:
            text = "a topic belongs to a sender: name the sender, or leave the topic out"
            raise Refusal("bad_request", "topic", wire.shown(request.topic), text)
        address = read_address(request.address, self._reading)
        epoch = await self._ledger.opt_out(
            address,
            sender=sender,
            topic=request.topic,
            channel=request.channel,
            now=self._clock(),
            evidence=request.evidence,
            message_id=request.message_id,
            until=_last_day(request),
        )
        self.opt_outs += 1
        return {"epoch": epoch}

    async def _consent(self, request: wire.Consent) -> Mapping[str, object]:
        self._accept.check_sender(request.sender, None)
        refused: list[wire.Refused] = []
        recorded, epoch = await self._ledger.consent(request, refused, self._reading, now=self._clock())
        return {"recorded": recorded, "refused": refused, "epoch": epoch}


def _agency(request: wire.Suppress) -> str:
    """The name in place of a sender's."""
    if request.sender is not None or request.topic is not None:
        text = "a refusal told to an agency names no sender and no topic: leave them out, or leave the agency out"
        raise Refusal("bad_request", "agency", wire.shown(request.agency), text)
    return f"{AGENCY}{request.agency}"


def _last_day(request: wire.Suppress) -> date | None:
    if not request.until:
        return None
    if request.sender is None and request.agency is None:
        text = "a period belongs to a sender: name the sender, or leave the period out"
        raise Refusal("bad_request", "until", wire.shown(request.until), text)
    try:
        return date.fromisoformat(request.until)
    except ValueError:
        text = "no date: the last day of the period, as 2027-01-31"
        raise Refusal("bad_request", "until", wire.shown(request.until), text) from None
