"""What becomes of mail that came back: a line in the journal, and what is proved also an event in the ledger.

A hard bounce is an address that does not exist, a complaint (RFC 5965) and an opt-out mail are refusals
(特定電子メール法 3条3項). Soft bounces are written down only; delays, delivery reports and auto-replies are counted
only. `take` returns when both are on disk, and only then may the client have its 250: what dies before is sent again
and at worst written down twice. Nothing is ever answered by mail.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from engine.flow.proof import Proven, Witness, is_about
from engine.journal import FeedbackReport, Peer, Record, Response, enhanced_code
from engine.mail.envelope import recipient_text
from engine.mail.verp import Verp
from engine.policy.classify import Class
from engine.returns import (
    AutoReply,
    Bounce,
    Delayed,
    Delivered,
    Feedback,
    OptOutMail,
    Reader,
    Return,
    Returned,
    Unknown,
    read_returned,
)
from suppression import Complaint, Event, EventError, HardBounce, OptOut, Scope

log = logging.getLogger(__name__)

KINDS = {
    Bounce: "bounce",
    Delayed: "delayed",
    Delivered: "delivered",
    Feedback: "feedback",
    OptOutMail: "opt_out",
    AutoReply: "auto_reply",
    Unknown: "unknown",
}
SUPPRESSED = frozenset({Class.UNKNOWN_USER, Class.OWNER_CHANGED})
"""Hard bounces that are about the mailbox. A domain that is gone may be gone for an hour."""
MAX_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Arrival:
    """How it came: the envelope, as far as we believe it."""

    recipient: str
    """The address of ours that it was sent to."""
    senders: tuple[str, ...]
    """Who uses this address or its domain; empty for one that all may use."""
    verp: Verp | None = None
    is_optout_address: bool = False
    peer: str = ""


class Counts:
    __slots__ = ("classes", "kinds", "malformed", "suppressed", "unproven")

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.suppressed: Counter[str] = Counter()
        """Events, by kind of what made them."""
        self.unproven = 0
        self.malformed = 0


class Returns:
    """`note` and `drain` are settle's: the record joins the next group of the journal."""

    def __init__(
        self,
        reader: Reader,
        witness: Witness,
        *,
        note: Callable[[Record], None],
        drain: Callable[[], Awaitable[None]],
        apply: Callable[[Sequence[Event]], Awaitable[int]],
        clock: Callable[[], float],
        node: str,
    ) -> None:
        self.counts = Counts()
        self._reader = reader
        self._witness = witness
        self._note = note
        self._drain = drain
        self._apply = apply
        self._clock = clock
        self._node = node
        self._told: set[tuple[str, str]] = set()
        self.on_event: Callable[[Event], None] = lambda _event: None
        """Told each event when it is in force."""

    async def take(self, arrival: Arrival, raw: bytes) -> None:
        """Raises SpoolFailed, LedgerFailed: nothing may be promised then."""
        returned = await asyncio.to_thread(
            read_returned, raw, self._reader, is_optout_address=arrival.is_optout_address
        )
        records, events = self._judged(returned, arrival)
        for record in records:
            self._note(record)
        if records:
            await self._drain()
        if events:
            await self._suppress(events)

    def _judged(self, returned: Returned, arrival: Arrival) -> tuple[list[Record], list[Event]]:
        proven = self._witness.prove(returned, arrival.verp, arrival.senders)
        records: list[Record] = []
        events: dict[Event, None] = {}
        for told in returned.says:
            kind = KINDS[type(told)]
            self.counts.kinds[kind] += 1
            made, reason = self._events(told, proven, arrival)
            events.update(dict.fromkeys(made))
            if isinstance(told, Bounce | Feedback | OptOutMail):
                records.append(self._record(told, proven, arrival, reason))
            if isinstance(told, Bounce | Delayed):
                self.counts.classes[str(told.bounce_class)] += 1
            if isinstance(told, Unknown) or reason == "UNPROVEN":
                self._say_once(kind, reason or "NOT_UNDERSTOOD", arrival)
        return records, list(events)[:MAX_EVENTS]

    def _events(self, told: Return, proven: Proven | None, arrival: Arrival) -> tuple[Sequence[Event], str]:
        """And why it suppresses, or why it does not; empty: it would not anyway."""
        match told:
            case Bounce() if told.hard and told.bounce_class in SUPPRESSED:
                return self._bounced(told, proven, arrival)
            case Feedback() if told.is_complaint:
                return self._complained(told, proven, arrival)
            case OptOutMail():
                return self._refused(told, proven, arrival)
        return (), ""

    def _bounced(self, told: Bounce, proven: Proven | None, arrival: Arrival) -> tuple[Sequence[Event], str]:
        if proven is None:
            return (), "UNPROVEN"
        if not is_about(told, proven.address):
            return (), "FORWARDED"
        evidence = _evidence(arrival, f"{told.code or ''} {told.status} {told.diagnostic}")
        return [HardBounce(proven.address, self._clock(), "oob", evidence=evidence)], "UNKNOWN_USER"

    def _complained(self, told: Feedback, proven: Proven | None, arrival: Arrival) -> tuple[Sequence[Event], str]:
        if proven is None:
            return (), "UNPROVEN"
        evidence = _evidence(arrival, f"{told.feedback_type} by {told.user_agent}, received {told.arrival}")
        now = self._clock()
        return [Complaint(proven.address, now, "arf", sender, evidence) for sender in proven.senders], "COMPLAINT"

    def _refused(self, told: OptOutMail, proven: Proven | None, arrival: Arrival) -> tuple[Sequence[Event], str]:
        """By token for its topic, as a click would; by words for all of the sender's. Without proof the address that
        the mail is from is believed: a refusal is not lightly turned down, and it reaches no other address.
        """
        evidence, now = _evidence(arrival, told.words), self._clock()
        if proven is None and not (told.address and arrival.senders):
            return (), "UNPROVEN"
        address = proven.address if proven else told.address
        senders = proven.senders if proven else arrival.senders
        topic = proven.topic if proven and arrival.is_optout_address else ""
        scope = Scope.TOPIC if topic else Scope.SENDER
        return [OptOut(address, now, "mail", scope, sender, topic, evidence) for sender in senders], "OPTOUT"

    def _record(
        self, told: Bounce | Feedback | OptOutMail, proven: Proven | None, arrival: Arrival, reason: str
    ) -> Record:
        known = proven.recipient_id if proven else arrival.verp.recipient_id if arrival.verp else 0
        named = told.address if isinstance(told, OptOutMail) else told.recipient
        senders = proven.senders if proven else arrival.senders
        record = Record(
            {"bounce": "OOB", "feedback": "Feedback", "opt_out": "OptOut"}[KINDS[type(told)]],
            recipient_text(known) if known else "",
            self._clock(),
            arrival.recipient,
            proven.address if proven else named,
            peer_address=Peer("", arrival.peer),
            nodeid=self._node,
            legal_sender=senders[0] if len(senders) == 1 else "",
            topic=proven.topic if proven else "",
            reason=reason,
        )
        if isinstance(told, Bounce):
            record.response = Response(told.code, enhanced_code(told.status), told.diagnostic, "")
            record.bounce_classification = str(told.bounce_class)
        if isinstance(told, Feedback):
            record.feedback_report = _report(told)
        return record

    async def _suppress(self, events: Sequence[Event]) -> None:
        try:
            await self._apply(events)
        except EventError as error:
            # A stranger's address that no ledger can hold: the journal has it, and nobody is written to there.
            self.counts.malformed += 1
            self._say_once("malformed", str(error), None)
            return
        for event in events:
            self.counts.suppressed[_EVENTS[type(event)]] += 1
            self.on_event(event)

    def _say_once(self, kind: str, reason: str, arrival: Arrival | None) -> None:
        """One line a kind: the rest is in the counters."""
        if reason == "UNPROVEN":
            self.counts.unproven += 1
        if (kind, reason) not in self._told and len(self._told) < 100:
            self._told.add((kind, reason))
            whence = f" from {arrival.peer} to {arrival.recipient[:80]!a}" if arrival else ""
            log.warning("returned mail%s: %s, %s; further ones are counted only", whence, kind, reason[:200])


_EVENTS: dict[type, str] = {HardBounce: "bounce", Complaint: "feedback", OptOut: "opt_out"}


def _evidence(arrival: Arrival, text: str) -> str:
    return f"mail to {arrival.recipient} from {arrival.peer}: {text}"[:2000]


def _report(told: Feedback) -> FeedbackReport:
    return FeedbackReport(
        told.feedback_type,
        told.user_agent,
        told.version,
        told.arrival,
        told.incidents,
        told.original_envelope_id,
        told.original_mail_from,
        told.reporting_mta,
        told.source_ip,
        (told.recipient,) if told.recipient else (),
        told.reported_domains,
    )
