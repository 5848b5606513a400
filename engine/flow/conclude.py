"""The end of a recipient's stay, or of an attempt: facts and ruling become a journal record and a change for settle.

May this recipient leave now? is asked here in the last moment before MAIL FROM: cancelled, expired, or suppressed
since it was promoted ends the stay without an attempt (特定電子メール法 3条3項 knows no grace period). Everything that
ends goes through one of the methods of this file, each exactly once for a recipient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from engine.flow.counts import Counts
from engine.flow.letters import Letter
from engine.flow.path import Path
from engine.flow.report import NO_WIRE, Wire, end_of, record_of, response_of, wire_of
from engine.flow.settle import RECORD_TYPES, Settle
from engine.mail.compose import Compiled
from engine.mail.envelope import Recipient
from engine.mail.stated import asked
from engine.net.connection import Connection
from engine.policy.outcome import Kind, Ruling
from engine.smtp.reply import Reply
from engine.spool.port import Outcome
from suppression import LedgerFailed, Suppression
from suppression.decision import Verdict

OUTCOMES = {Kind.DELIVERED: Outcome.DELIVERED, Kind.BOUNCED: Outcome.BOUNCED, Kind.EXPIRED: Outcome.EXPIRED}
HOLD_SECONDS = 3600
"""When a held recipient is looked at again."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are on the wire and in the journal."""

    node: str
    source: str
    """Name of the egress source."""


class Conclude:
    def __init__(
        self,
        *,
        identity: Identity,
        settle: Settle,
        suppression: Suppression,
        counts: Counts,
        clock: Callable[[], float],
        fault: Callable[[BaseException], None],
    ) -> None:
        self._identity = identity
        self._settle = settle
        self._suppression = suppression
        self._counts = counts
        self._clock = clock
        self._fault = fault
        self._wires: WeakKeyDictionary[Connection, Wire] = WeakKeyDictionary()
        settle.on_closed = self._closed_meanwhile

    def may_leave(self, recipient: Recipient, now: float) -> bool:
        batch = recipient.batch
        if batch.closed or recipient.cancelled:
            self.close_recipient(recipient, end_of(recipient), now)
            return False
        if now >= batch.expires:
            self.close_recipient(recipient, Outcome.EXPIRED, now)
            return False
        if recipient.epoch != self._suppression.epoch_at(now):
            return self._still_allowed(recipient, now)
        return True

    def _still_allowed(self, recipient: Recipient, now: float) -> bool:
        batch = recipient.batch
        epoch = self._suppression.epoch
        decision = self._suppression.decide_one(
            batch.sender, batch.topic, batch.category, recipient.who, *asked(recipient.fields)
        )
        self._counts.rechecked += 1
        if decision.verdict is Verdict.SEND or decision.verdict is Verdict.STRIP:
            # A letter that was made for another answer is made again: see Path.next_transaction.
            recipient.epoch, recipient.basis = epoch, decision.basis
            recipient.strip = (decision.reason or "STRIP") if decision.verdict is Verdict.STRIP else ""
            return self.has_variant(recipient, now)
        if decision.verdict is Verdict.HOLD:
            self.put_back(recipient, int(now) + HOLD_SECONDS)
        else:
            self.suppress(recipient, decision.reason, now)
        return False

    def has_variant(self, recipient: Recipient, now: float) -> bool:
        """Who may get everything but the advertisement is suppressed where the sender gave no message without it."""
        reason = recipient.strip
        compiled = recipient.batch.compiled
        if not reason or not isinstance(compiled, Compiled) or compiled.without_ad:
            return True  # what is not compiled, for now, is nothing to end a recipient's stay by
        recipient.strip = ""
        self.suppress(recipient, reason, now)
        return False

    def suppress(self, recipient: Recipient, reason: str, now: float) -> None:
        """Settled as suppressed; but a ledger that failed says nothing about a person, it stops us."""
        if self._suppression.failure is not None:
            self.put_back(recipient, int(now) + HOLD_SECONDS)
            self._fault(LedgerFailed(self._suppression.failure))
            return
        recipient.epoch = self._suppression.epoch
        counts = self._counts.suppressed_by_reason
        counts[reason] = counts.get(reason, 0) + 1
        record = record_of("Suppressed", recipient, now, self._identity.node, reason=reason)
        self._settle.settled(recipient, Outcome.SUPPRESSED, record)

    def close_recipient(self, recipient: Recipient, outcome: Outcome, now: float) -> None:
        """Cancelled or expired without a further attempt."""
        record = record_of(RECORD_TYPES[outcome], recipient, now, self._identity.node)
        self._settle.settled(recipient, outcome, record)

    def bounce_by_order(self, recipient: Recipient, reason: str, now: float) -> None:
        """An operator's word; the receiver was not asked."""
        record = record_of("AdminBounce", recipient, now, self._identity.node, reason=reason)
        self._settle.settled(recipient, Outcome.BOUNCED, record)

    def delivered(self, path: Path, connection: Connection, letter: Letter, reply: Reply | None, now: float) -> None:
        """What _heed and _conclude do, for the ruling that nearly all messages get."""
        recipient = letter.recipient
        size = len(letter.payload)
        self._counts.bytes_sent += size
        self._counts.resent_in_doubt += recipient.in_doubt
        path.counts.note(Outcome.DELIVERED)
        path.pool.window.success(len(path.pool.connections))
        if path.brake.changes and path.brake.success(now):
            path.rein()
        record = record_of(
            "Delivery",
            recipient,
            now,
            self._identity.node,
            path.site,
            letter.envelope_from,
            response_of(reply, "DOT") if reply else None,
            self._wire_of(connection),
            path.egress or self._identity.source,
            size=size,
            in_doubt=recipient.in_doubt,
        )
        self._settle.settled(recipient, Outcome.DELIVERED, record)

    def _wire_of(self, connection: Connection) -> Wire:
        """Made once per connection, for all its records."""
        wire = self._wires.get(connection)
        if wire is None:
            wire = self._wires[connection] = wire_of(connection.peer, connection.tls, connection.session_id)
        return wire

    def attempt(
        self,
        recipient: Recipient,
        ruling: Ruling,
        now: float,
        *,
        reply: Reply | None,
        phase: str,
        path: Path | None = None,
        letter: Letter | None = None,
        connection: Connection | None = None,
    ) -> None:
        bounce_class = "" if ruling.bounce_class is None else str(ruling.bounce_class)
        kind = ruling.kind
        outcome = OUTCOMES.get(kind)
        if outcome is None and (recipient.cancelled or recipient.batch.closed):
            # It was cancelled or expired while on the wire, and did not arrive: no further attempt.
            outcome = end_of(recipient)
        record = record_of(
            RECORD_TYPES[outcome] if outcome else "TransientFailure",
            recipient,
            now,
            self._identity.node,
            path.site if path else "",
            letter.envelope_from if letter else "",
            response_of(reply, phase) if reply else None,
            self._wire_of(connection) if connection else NO_WIRE,
            (path.egress if path else "") or self._identity.source,
            size=len(letter.payload) if letter else 0,
            bounce_class=bounce_class,
            in_doubt=ruling.in_doubt,
        )
        counts = self._counts
        if bounce_class:
            counts.replies_by_class[bounce_class] = counts.replies_by_class.get(bounce_class, 0) + 1
        if ruling.in_doubt:
            counts.in_doubt += 1
        if path is not None:
            path.counts.note(outcome)
        if reply is not None and kind is not Kind.DELIVERED:
            said = str(reply) if reply.code else reply.text
            counts.remarks.note(path.site if path else recipient.domain, bounce_class or phase, said, now)
        if outcome is not None:
            self._settle.settled(recipient, outcome, record)
        else:
            self._settle.deferred(
                recipient,
                ruling.due,
                counted=ruling.counted,
                in_doubt=ruling.in_doubt or recipient.in_doubt,
                record=record,
            )
        if ruling.suppress:
            self._settle.suppress_bounced(recipient, ruling.suppress)

    def put_back(self, recipient: Recipient, due: int) -> None:
        """Nothing was tried. Who was cancelled meanwhile does not wait for another time."""
        if recipient.cancelled or recipient.batch.closed is not None:
            self._closed_meanwhile(recipient)
        else:
            self._settle.deferred(recipient, due, counted=False, in_doubt=recipient.in_doubt, record=None)

    def _closed_meanwhile(self, recipient: Recipient) -> None:
        self.close_recipient(recipient, end_of(recipient), self._clock())
