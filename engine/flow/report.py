"""Journal records of what happened to a recipient, in the words that KumoMTA's users know.

Building a record is on the path of every message: facts that many share (names of sender, mailing, site) are not
copied, only referred to; the journal encodes them in its own thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.journal import Peer, Record, Response, enhanced_code
from engine.mail.envelope import Recipient, recipient_text
from engine.smtp.reply import Reply
from engine.spool.port import Outcome, Receipt, Submission

COMMANDS = {"MAIL": "MAIL FROM", "RCPT": "RCPT TO", "DOT": "."}
"""Phases that KumoMTA's log names otherwise."""


def end_of(recipient: Recipient) -> Outcome:
    """How one ends that was cancelled itself, or whose batch is closed, without a further attempt."""
    cancelled = recipient.cancelled or recipient.batch.closed != "expired"
    return Outcome.CANCELLED if cancelled else Outcome.EXPIRED


def response_of(reply: Reply, command: str) -> Response:
    return Response(reply.code, enhanced_code(reply.enhanced), reply.text, COMMANDS.get(command, command))


@dataclass(frozen=True, slots=True)
class Wire:
    """What all records of one connection share."""

    peer: Peer | None = None
    session_id: str = ""
    tls_cipher: str = ""
    tls_protocol_version: str = ""


NO_WIRE = Wire()


def wire_of(peer: tuple[str, str], tls: str, session_id: str) -> Wire:
    """`tls` as a connection names it: version/cipher, or empty."""
    version, _, cipher = tls.partition("/")
    return Wire(Peer(*peer), session_id, cipher, version)


def record_of(
    kind: str,
    recipient: Recipient,
    now: float,
    node: str,
    site: str = "",
    envelope_from: str = "",
    response: Response | None = None,
    wire: Wire = NO_WIRE,
    source: str = "",
    *,
    bounce_class: str = "",
    reason: str = "",
    size: int = 0,
    in_doubt: bool = False,
) -> Record:
    """`size` in bytes on the wire, before the final dot; `in_doubt`: the receiver may have it all the same."""
    batch = recipient.batch
    address = recipient.address
    strip = recipient.strip if site else ""  # only what left has a variant
    return Record(
        kind,
        recipient_text(recipient.id),
        now,
        envelope_from,
        address,
        f"{batch.mailing}:{batch.sender}{address[address.rfind('@') :]}",
        site,
        size,
        response,
        wire.peer,
        batch.accepted_at,
        recipient.attempts,
        bounce_class,
        source,
        node,
        wire.session_id,
        wire.tls_cipher,
        wire.tls_protocol_version,
        in_doubt,
        batch.sender,
        batch.category,
        batch.topic,
        batch.mailing,
        recipient.basis,
        reason or strip,
        recipient.epoch,
        0,
        "without_ad" if strip else "",
    )


def reception_of(receipt: Receipt, submission: Submission, now: float, node: str) -> Record:
    """One record for all recipients of a submit: their ids run from `id` on, `count` of them."""
    return Record(
        "Reception",
        recipient_text(receipt.first),
        now,
        queue=f"{submission.mailing}:{submission.sender}",
        created=now,
        nodeid=node,
        legal_sender=submission.sender,
        category=submission.category,
        topic=submission.topic,
        mailing=submission.mailing,
        count=receipt.accepted,
    )
