"""What came back, as values: a bounce, a delay, a delivery report, a complaint, a refusal by mail, an auto-reply.

Nothing here is proved: all of it was written by strangers. What may be believed is decided in engine/flow/feedback.py.
Addresses and texts are bounded and otherwise as they stood; escape them before showing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.policy.classify import Class

HARD = frozenset({Class.UNKNOWN_USER, Class.UNKNOWN_HOST, Class.OWNER_CHANGED})
"""Classes that say of an address that it is none, for good. A full or filtered mailbox is not among them."""


class How(StrEnum):
    """By which evidence it was recognised, the strongest first."""

    REPORT = "report"
    """Fields of a delivery status or feedback report (RFC 3464, RFC 5965)."""
    HEADER = "header"
    """Fields of the message's own header."""
    BODY = "body"
    """Words of its text."""


@dataclass(frozen=True, slots=True)
class Original:
    """What is left of the message that was sent. Unauthenticated, but a token in it proves itself."""

    message_id: str = ""
    recipients: tuple[str, ...] = ()
    """Of its To and of the fields in which mailbox providers put the envelope recipient."""
    return_paths: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    """What may be unsubscribe tokens, those of List-Unsubscribe first."""


@dataclass(frozen=True, slots=True)
class Bounce:
    """It did not arrive and will not."""

    recipient: str
    """Empty: the message names none."""
    bounce_class: Class
    hard: bool
    code: int
    """The SMTP reply's; 0: none is told."""
    status: str
    """RFC 3463; empty: none is told."""
    diagnostic: str
    how: How
    also: tuple[str, ...] = ()
    """Other addresses that the report gives for the same recipient, such as Original-Recipient."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """It has not arrived yet, and somebody goes on trying (Action: delayed)."""

    recipient: str
    bounce_class: Class
    status: str
    diagnostic: str
    how: How


@dataclass(frozen=True, slots=True)
class Delivered:
    """Action: delivered, relayed or expanded; or a notice that it was read (RFC 8098)."""

    recipient: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback report (RFC 5965)."""

    feedback_type: str
    """abuse, fraud, virus, other, not-spam, auth-failure (RFC 6591), opt-out, opt-out-list; lower case."""
    recipient: str
    """As reported; empty or without meaning when the reporter hides it (RFC 6590)."""
    user_agent: str = ""
    version: str = ""
    arrival: str = ""
    source_ip: str = ""
    incidents: int = 1
    original_mail_from: str = ""
    original_envelope_id: str = ""
    reported_domains: tuple[str, ...] = ()
    reporting_mta: str = ""
    how: How = How.REPORT

    @property
    def is_complaint(self) -> bool:
        """A person who does not want this mail. Failed authentication is a matter of ours, not-spam the contrary."""
        return self.feedback_type not in {"auth-failure", "not-spam", "dmarc"}


@dataclass(frozen=True, slots=True)
class OptOutMail:
    """A person wrote that no more mail is wanted, or wrote to the address that is for this."""

    address: str
    """From whom it says it is."""
    tokens: tuple[str, ...]
    words: str
    """What was found; empty: only the address it went to says so."""


@dataclass(frozen=True, slots=True)
class AutoReply:
    """A machine answered for a person: vacation, receipt confirmation. Says nothing about the address."""

    address: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """None of these."""


Return = Bounce | Delayed | Delivered | Feedback | OptOutMail | AutoReply | Unknown


@dataclass(frozen=True, slots=True)
class Returned:
    """One message that came back: what it says, one value a recipient, never empty; and of what it says it."""

    says: tuple[Return, ...]
    original: Original
    is_cut: bool = False
    """It was larger than what is read."""
