"""What travels through the engine: batches and their recipients.

A batch is one accepted submit. Everything that its recipients share stands there once; a recipient carries only
what is its own. One recipient is one transaction (RFC 5321 3.3): personalised mail has no second RCPT, and the
receivers' limits on recipients per message (docomo, au, SoftBank: 100) can never be met.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Priority(IntEnum):
    """Lower goes first, everywhere: in promote, ready and pool."""

    TRANSACTIONAL = 0
    BULK = 1


@dataclass(slots=True, weakref_slot=True, eq=False)
class Batch:
    """One accepted submit. Times are Unix seconds (UTC)."""

    id: int
    sender: str
    category: str
    topic: str
    mailing: str
    message: int
    """The spool's number of the content; the content itself is stored once."""
    priority: Priority
    accepted_at: float
    not_before: int
    expires: int
    closed: str | None = None
    """None, or why nothing of this batch may start any more: "cancelled" or "expired"."""
    compiled: object = None
    """The compiled content, once loaded; it lives as long as a batch that needs it is in memory."""


@dataclass(slots=True, eq=False)
class Recipient:
    """The unit of work and of outcome: exactly one place holds it at any time."""

    id: int
    """Unique across nodes and never used again: node << 48 | counter."""
    batch: Batch
    address: str
    fields: dict[str, str]
    attempts: int = 0
    """Attempts that counted, before this one."""
    in_doubt: bool = False
    """True when a crash or a lost connection left open whether an earlier attempt was received."""
    epoch: int = -1
    """Suppression epoch of the last decision."""
    who: bytes = b""
    """The suppression identity of the address (suppression.identify), made once."""
    strip: str = ""
    """Why only the variant without the advertisement may go (a reason code of the decision); empty: all of it may."""
    basis: str = ""
    """Legal basis of the last decision; it stands in the journal beside the delivery."""
    lane: Any = None
    """The spool's lane that it was pulled from; passed through."""
    cancelled: bool = False
    """This one recipient was cancelled while in memory."""

    @property
    def domain(self) -> str:
        return self.address[self.address.rfind("@") + 1 :]


def recipient_text(recipient_id: int) -> str:
    """The identifier as it stands in journal, Message-ID and VERP: 16 hexadecimal digits."""
    return f"{recipient_id:016x}"
