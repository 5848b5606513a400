"""The spool as the flow sees it: what is asked of durable storage, and what it promises.

Every coroutine that changes something returns after its data is synced to disk (group commit), never before.
A failed sync raises SpoolFailed, and from then on every call does: the process must stop (an fsync that failed
once must not be repeated, its pages are gone). Reads may see what is committed only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from engine.mail.envelope import Priority, Recipient


class SpoolFailed(Exception):  # noqa: N818 - the spool's state, not one call's error
    """Disk lost: stop accepting, say so, exit non-zero."""


class SpoolFull(Exception):  # noqa: N818 - an expected answer
    """Free disk below the floor: this submit is refused, deliveries and settling go on."""


class KeyReused(Exception):  # noqa: N818 - an expected answer
    """The idempotency key is known with other bytes."""


class Outcome(StrEnum):
    """How a recipient's stay ended; the conservation law adds these up."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Lane:
    """Where waiting recipients queue: one domain at one priority. `id` is the spool's number for it."""

    id: int
    domain: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class NewRecipient:
    index: int
    """Position in the client's submit."""
    address: str
    domain: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Submission:
    key: bytes
    """Idempotency key, 1 to 64 bytes, within one client's namespace."""
    digest: bytes
    """SHA-256 of the submit's own bytes, to tell a repeat from a reuse."""
    sender: str
    category: str
    topic: str
    mailing: str
    message: bytes
    """SHA-256 of the content, put before."""
    priority: Priority
    not_before: int
    expires: int
    recipients: Sequence[NewRecipient]
    refused: bytes
    """The refusals, encoded: stored with the key so that a repeat gets the same answer."""


@dataclass(frozen=True, slots=True)
class Receipt:
    first: int
    """Identifier of the first accepted recipient; the accepted ones are numbered on from it."""
    accepted: int
    refused: bytes
    repeated: bool
    lanes: Mapping[Lane, tuple[int, int]] = field(default_factory=dict)
    """What waits newly: lane -> (count, earliest due). Empty for a repeat."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything of a lane up to (due, id) has been pulled into memory and is not to be pulled again."""

    due: int = -1
    id: int = -1


@dataclass(slots=True)  # not frozen: one is made for every recipient, and frozen ones cost three times as much
class Settled:
    """The recipient's stay is over: its row goes, the mailing's total counts it."""

    recipient: Recipient
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Deferred:
    """Another attempt at `due`; `counted` adds one to the attempts."""

    recipient: Recipient
    due: int
    counted: bool
    in_doubt: bool
    tried: bool = True
    """False: put back or held, which is nobody's reply. Of no meaning to the spool."""


@dataclass(frozen=True, slots=True)
class LaneState:
    lane: Lane
    waiting: int
    next_due: int


@dataclass(frozen=True, slots=True)
class MailingTotals:
    sender: str
    mailing: str
    accepted: int
    delivered: int
    bounced: int
    expired: int
    suppressed: int
    cancelled: int
    first_accepted_at: float
    last_change_at: float
    cancelled_at: float | None

    @property
    def open(self) -> int:
        """Recipients that have no outcome yet."""
        return self.accepted - (self.delivered + self.bounced + self.expired + self.suppressed + self.cancelled)


class Spool(Protocol):
    """The port. One implementation today (engine/spool/sqlite.py); a stream store may follow."""

    async def put_message(self, content: bytes) -> bytes:
        """Stores content once, by SHA-256, which is the answer. Repeats are free. Raises SpoolFull."""
        ...

    async def message_number(self, sha256: bytes) -> int | None: ...

    async def content(self, number: int) -> bytes: ...

    async def known(self, key: bytes, digest: bytes) -> Receipt | None:
        """The stored answer of an earlier submit with this key and these bytes. Raises KeyReused."""
        ...

    async def submit(self, submission: Submission) -> Receipt:
        """Raises KeyReused, SpoolFull, KeyError (unknown message)."""
        ...

    async def lanes(self) -> list[LaneState]:
        """All waiting recipients by lane, for the start. Reads the index only."""
        ...

    async def pull(
        self, lane: Lane, after: Cursor, until: int, limit: int
    ) -> tuple[list[Recipient], Cursor, int | None]:
        """Up to `limit` recipients with due <= until behind the cursor, in (due, id) order; the new cursor; and
        the next due behind it (None: nothing). Recipients of one batch share one Batch object, also with those
        pulled earlier as long as they live.
        """
        ...

    async def sweep(self, batch_id: int, after_id: int, limit: int) -> list[tuple[Lane, Recipient]]:
        """The batch's unsettled recipients in id order, in whatever state, for cancel and expiry."""
        ...

    async def settle(self, changes: Sequence[Settled | Deferred]) -> None:
        """All of it or nothing, in one commit. A recipient that is not there any more is counted by nobody."""
        ...

    async def intend(self, recipients: Sequence[int], patience: float = 0.0) -> None:
        """Records that these may be about to be sent; may wait up to `patience` seconds for another commit to share.
        What a crash leaves here, unsettled, comes back from pull with `in_doubt`. The record goes when its last
        recipient is settled or deferred.
        """
        ...

    async def doubtful(self) -> list[Recipient]:
        """Recipients that an earlier attempt may have reached; asked once, at the start, to settle what is proved."""
        ...

    async def find(self, sender: str, mailing: str, who: str | int) -> list[tuple[Lane, Recipient]]:
        """The unsettled recipients of one address in a mailing (walks the mailing's rows), or the one of this id."""
        ...

    async def open_batches(self, sender: str | None, mailing: str | None) -> list[int]:
        """Batches with unsettled recipients, of this sender and mailing, or of any."""
        ...

    async def close_mailing(self, sender: str, mailing: str, now: float) -> list[int]:
        """Marks the mailing cancelled, later submits to it included; its open batches' ids."""
        ...

    async def expired_batches(self, now: float, limit: int) -> list[int]:
        """Open batches whose `expires` has passed, marked so."""
        ...

    async def totals(self, sender: str | None, mailing: str | None) -> list[MailingTotals]: ...

    async def tidy(self, now: float) -> None:
        """Retention: keys older than their window, contents without recipients, mailings long settled."""
        ...

    async def close(self) -> None: ...
