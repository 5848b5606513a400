"""Journal records of what happened to a recipient, in the words that KumoMTA's users know.

Building a record is on the path of every message: facts that many share (names of sender, mailing, site) are not
copied, only referred to; the journal encodes them in its own thread.
"""

from __future__ import annotations

from engine.journal import Peer, Record, Response, enhanced_code
from engine.mail.envelope import Recipient, recipient_text
from engine.smtp.reply import Reply
from engine.spool.port import Outcome

WITHOUT_PEER = Peer("", "")
COMMANDS = {"MAIL": "MAIL FROM", "RCPT": "RCPT TO", "DOT": "."}
"""Phases that KumoMTA's log names otherwise."""


def end_of(recipient: Recipient) -> Outcome:
    """How one ends that was cancelled itself, or whose batch is closed, without a further attempt."""
    cancelled = recipient.cancelled or recipient.batch.closed != "expired"
    return Outcome.CANCELLED if cancelled else Outcome.EXPIRED


def response_of(reply: Reply, command: str) -> Response:
    return Response(reply.code, enhanced_code(reply.enhanced), reply.text, COMMANDS.get(command, command))


def record_of(
    kind: str,
    recipient: Recipient,
    *,
    now: float,
    node: str,
    site: str = "",
    envelope_from: str = "",
    response: Response | None = None,
    peer: Peer = WITHOUT_PEER,
    source: str = "",
    bounce_class: str = "",
    reason: str = "",
    session_id: str = "",
    tls: str = "",
    size: int = 0,
    in_doubt: bool = False,
) -> Record:
    """`size` in bytes on the wire, before the final dot; `in_doubt`: the receiver may have it all the same."""
    batch = recipient.batch
    version, _, cipher = tls.partition("/")
    return Record(
        type=kind,
        id=recipient_text(recipient.id),
        sender=envelope_from,
        recipient=recipient.address,
        queue=f"{batch.mailing}:{batch.sender}@{recipient.domain}",
        site=site,
        size=size,
        response=response,
        peer_address=peer,
        timestamp=now,
        created=batch.accepted_at,
        num_attempts=recipient.attempts,
        bounce_classification=bounce_class,
        egress_source=source,
        nodeid=node,
        session_id=session_id,
        tls_cipher=cipher,
        tls_protocol_version=version,
        in_doubt=in_doubt,
        legal_sender=batch.sender,
        category=batch.category,
        topic=batch.topic,
        mailing=batch.mailing,
        basis=recipient.basis,
        reason=reason,
        epoch=recipient.epoch,
    )
