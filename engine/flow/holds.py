"""Legal holds as requests of the socket: what a proceeding needs stays until a named officer releases it.

In force when the answer comes, for the purge and for forgetting, also for a pass that has begun: the erasing asks again
inside its transaction. It stops no mail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from engine import wire
from engine.flow.requests import Answer
from engine.request import Hold
from engine.wire import Refusal
from suppression import EventError, LedgerFailed
from suppression.hold import HoldAct, HoldRow, HoldWish, check_hold, in_force
from suppression.recording import Act

log = logging.getLogger(__name__)

MOST_ROWS = 1000
MOST_EVIDENCE = 300
"""Characters of one evidence in an answer; the ledger has the whole."""


class History(Protocol):
    def holds(self) -> list[HoldRow]: ...


class Asked(Protocol):
    """Suppression as these requests use it."""

    @property
    def history(self) -> History: ...

    def identify(self, addresses: Sequence[str]) -> list[bytes]: ...

    async def perform(self, act: Act) -> int: ...


class Holds:
    def __init__(
        self, suppression: Asked, check_sender: Callable[[str, str | None], None], clock: Callable[[], float]
    ) -> None:
        self._suppression = suppression
        self._check_sender = check_sender
        self._clock = clock

    def answers(self) -> dict[type[wire.Request], Answer]:
        return {Hold: self.hold}

    async def hold(self, request: Hold) -> Mapping[str, object]:
        identity = self._identity(request.address)
        if request.action != "list":
            await self._record(request, identity)
        rows = await asyncio.to_thread(self._suppression.history.holds)
        wide = int.from_bytes(identity[8:], "little", signed=True) if identity else 0
        wanted = [
            row
            for row in rows
            if request.sender in ("", row.sender)
            and (not wide or row.wide == wide)
            and request.matter in ("", row.matter)
        ]
        return {
            "in_force": [_told(row) for row in in_force(wanted)[:MOST_ROWS]],
            "holds": [_told(row) for row in wanted[-MOST_ROWS:]],
            "truncated": len(wanted) > MOST_ROWS,
        }

    def _identity(self, address: str) -> bytes:
        if not address:
            return b""
        identity = self._suppression.identify([address])[0]
        if not identity:
            raise Refusal("bad_address", "address", wire.shown(address), "cannot be an address; correct it")
        return identity

    async def _record(self, request: Hold, identity: bytes) -> None:
        """Raises Refusal."""
        now = self._clock()
        if request.sender and request.action == "add":
            # A sender that is gone from the configuration may still be released.
            self._check_sender(request.sender, None)
        is_release = request.action == "release"
        wish = HoldWish(
            request.matter, request.sender, request.address, request.officer, now, request.evidence, is_release
        )
        act = HoldAct(wish, identity, now)
        try:
            check_hold(wish, now)
            await self._suppression.perform(act)
        except LedgerFailed as error:
            text = "the suppression ledger's disk failed and the engine stops: send it again when it is back"
            raise Refusal("unavailable", "", "", text) from error
        except EventError as error:
            raise _bad(str(error)) from None
        if act.fault:
            raise _bad(act.fault)
        who = identity.hex() if identity else ""
        log.warning(
            "legal hold %s matter=%a sender=%a who=%s officer=%a",
            request.action, request.matter, request.sender, who, request.officer,
        )  # fmt: skip


def _bad(fault: str) -> Refusal:
    return Refusal("bad_request", fault.partition(": ")[0], "", fault)


def _told(row: HoldRow) -> Mapping[str, object]:
    return {
        "matter": row.matter,
        "sender": row.sender,
        "address": row.address or "",
        "is_person": row.wide != 0,
        "what": "released" if row.released else "held",
        "at": row.at / 1e6,
        "officer": row.officer,
        "evidence": row.evidence[:MOST_EVIDENCE],
    }
