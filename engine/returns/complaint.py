"""Complaints: feedback reports (RFC 5965) and what mailbox providers send in their place.

Microsoft's junk mail reports (JMRP) attach the mail with X-HmXmrOriginalRecipient and no report at all; drafts before
the RFC had `Feedback-Type: opt-out` with a Removal-Recipient. A report of failed authentication (RFC 6591) is no
complaint. Reporters may hide the recipient (RFC 6590): then the mail that they attach has to say who it was.
"""

from __future__ import annotations

import re
from typing import Final

from engine.returns.mime import Fields, Mail
from engine.returns.shape import Shape
from engine.returns.value import Feedback, How
from engine.returns.words import address_of, addresses

MAX_RECIPIENTS: Final = 100
_RECIPIENT_FIELDS: Final = ("original-rcpt-to", "removal-recipient", "redacted-address", "original-recipient")
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_JMRP: Final = re.compile(r"complaint about message from|junk mail report", re.IGNORECASE)


def read_feedback(shape: Shape, mail: Mail) -> list[Feedback]:
    """One a recipient that is reported; one without when none is; empty when it is no feedback."""
    fields = shape.feedback
    if fields is not None and (fields.first("feedback-type") or shape.report_type == "feedback-report"):
        return _from_report(fields, shape)
    if _JMRP.search(shape.fields.first("subject")[:300]) or _has_jmrp_field(mail):
        hidden = [value for part in mail.parts for value in part.fields.every("x-hmxmroriginalrecipient")]
        known = [address for value in hidden for address in addresses(value)] or list(shape.original.recipients[:1])
        return [Feedback("abuse", address, user_agent="JMRP", how=How.HEADER) for address in known or [""]]
    return []


def _has_jmrp_field(mail: Mail) -> bool:
    return any(part.depth > 0 and part.fields.first("x-hmxmroriginalrecipient") for part in mail.parts)


def _from_report(fields: Fields, shape: Shape) -> list[Feedback]:
    named = [address for name in _RECIPIENT_FIELDS for value in fields.every(name) for address in addresses(value)]
    recipients = list(dict.fromkeys(named)) or list(shape.original.recipients[:1]) or [""]
    given = fields.first("feedback-type").split(";")[0].strip().lower()
    incidents = fields.first("incidents")
    return [
        Feedback(
            feedback_type=given if _TYPE.fullmatch(given) else "other",
            recipient=recipient,
            user_agent=fields.first("user-agent")[:200],
            version=fields.first("version")[:20],
            arrival=fields.first("arrival-date", "received-date")[:100],
            source_ip=fields.first("source-ip")[:64],
            incidents=int(incidents) if re.fullmatch(r"[0-9]{1,9}", incidents) else 1,
            original_mail_from=address_of(fields.first("original-mail-from")),
            original_envelope_id=fields.first("original-envelope-id")[:200],
            reported_domains=tuple(value[:255] for value in fields.every("reported-domain")[:20]),
            reporting_mta=fields.first("reporting-mta")[:255],
        )
        for recipient in recipients[:MAX_RECIPIENTS]
    ]
