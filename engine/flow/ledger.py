"""Suppression as the doors and settle use it: requests and bounces become ledger events.

An event is in force when its call returns; Refusal carries what the ledger would not take.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date

from engine import wire
from engine.flow.records import record_consents
from engine.flow.validate import Reading
from engine.mail.envelope import Recipient
from engine.wire import Refusal, Refused
from suppression import Event, EventError, HardBounce, LedgerFailed, OptOut, Restored, Scope, Suppression
from suppression.consents import Record, encode_record

log = logging.getLogger(__name__)


class SuppressionLedger:
    def __init__(self, suppression: Suppression, clock: Callable[[], float]) -> None:
        self._suppression = suppression
        self._clock = clock
        self.on_opt_out: Callable[[str, float], None] = lambda _address, _now: None
        """Told address and time when a refusal is in force, before it is acknowledged."""
        self.on_event: Callable[[Event], None] = lambda _event: None
        """Told the refusal itself, as well."""

    async def opt_out(
        self,
        address: str,
        *,
        sender: str | None,
        topic: str | None,
        channel: str,
        now: float,
        evidence: str = "",
        message_id: str = "",
        until: date | None = None,
    ) -> int:
        scope = Scope.GLOBAL if sender is None else Scope.TOPIC if topic else Scope.SENDER
        if until is not None:
            scope = Scope.PERIOD
        proof = encode_record(Record(evidence=evidence, message_id=message_id))
        event = OptOut(address, now, channel or "socket", scope, sender or "", topic or "", proof, until)
        epoch = await self._apply([event])
        self.on_opt_out(address, self._clock())
        self.on_event(event)
        # The audit line has the keyed hash: a log is copied further than the ledger.
        who = self._suppression.identify([address])[0].hex()
        log.info(
            "opt-out who=%s scope=%s sender=%a topic=%a channel=%a epoch=%d",
            who, scope, event.sender, event.topic, event.source, epoch,
        )  # fmt: skip
        return epoch

    async def consent(
        self, request: wire.Consent, refused: list[Refused], reading: Reading, *, now: float
    ) -> tuple[int, int]:
        """Recorded, epoch; adds to refused."""
        return await record_consents(self._suppression, request, refused, reading, now)

    async def restored(self, address: str, *, evidence: str, now: float) -> int:
        """A hard bounce was wrong, or the mailbox is there again."""
        return await self._apply([Restored(address, now, "manual", evidence)])

    async def hard_bounced(self, bounced: Sequence[tuple[Recipient, str]]) -> None:
        """The receiver says for good that the mailbox does not exist."""
        now = self._clock()
        await self._suppression.apply(
            [HardBounce(recipient.address, now, "smtp", evidence=reason) for recipient, reason in bounced]
        )

    async def _apply(self, events: Sequence[OptOut | Restored]) -> int:
        try:
            return await self._suppression.apply(events)
        except LedgerFailed as error:
            text = "the suppression ledger's disk failed and the engine stops: send it again when it is back"
            raise Refusal("unavailable", "", "", text) from error
        except EventError as error:
            field, _, text = str(error).partition(": ")
            raise Refusal("bad_request", field, "", text) from None
