"""What a client may ask for: one typed, closed struct per request of docs/protocol.md.

An unknown field or a wrong type never gets further than decoding. Bounds stand in the types; what needs the
configuration or a clock is checked by whoever answers. Message and recipients stay raw: they may be large.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

CONSENTS_LIMIT = 10_000

Id = int | Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
OptionalName = Annotated[str, Meta(max_length=128)]
Key = Annotated[str, Meta(min_length=1, max_length=64)]
Address = Annotated[str, Meta(min_length=1, max_length=320)]
Seconds = Annotated[int, Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A template or raw RFC 5322 bytes; which of them may stand together is engine/mail's to say."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] | None = None
    raw: bytes | None = None

    def parts(self) -> dict[str, object]:
        """Those that were given."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: part for name, part in given.items() if part is not None}


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    id: Id


class Ping(Request, frozen=True, kw_only=True, tag="ping"):
    pass


class PutMessage(Request, frozen=True, kw_only=True, tag="put_message"):
    message: Raw


class Submit(Request, frozen=True, kw_only=True, tag="submit"):
    key: Key
    sender: Name
    category: Name
    topic: OptionalName = ""
    mailing: Name
    message: Raw
    """The SHA-256 that put_message answered, or a message map."""
    recipients: Raw
    """[[address, {field: text}], ...]"""
    not_before: Seconds | None = None
    expires: Seconds | None = None
    priority: Literal["transactional", "bulk"] = "bulk"


class Cancel(Request, frozen=True, kw_only=True, tag="cancel"):
    sender: Name
    mailing: Name
    address: Address | None = None
    recipient: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")] | None = None
    """Identifier as in the journal and the Message-ID."""


class Status(Request, frozen=True, kw_only=True, tag="status"):
    sender: Name | None = None
    mailing: Name | None = None


class Suppress(Request, frozen=True, kw_only=True, tag="suppress"):
    address: Address
    sender: Name | None = None
    topic: Name | None = None
    channel: Name = "client"


class ConsentRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One recorded consent (特定電子メール法 3条2項): who, when, how."""

    address: Address
    at: Seconds
    source: Name
    basis: Name = "OPTIN_REC"
    covers: Annotated[list[Name], Meta(max_length=8)] = []
    """None given: advertising only."""
    topics: Annotated[list[Name], Meta(max_length=64)] = []
    evidence: Annotated[str, Meta(max_length=4096)] = ""


class Consent(Request, frozen=True, kw_only=True, tag="consent"):
    sender: Name
    records: Annotated[list[ConsentRecord], Meta(min_length=1, max_length=CONSENTS_LIMIT)]


class RestoreAddress(Request, frozen=True, kw_only=True, tag="restore_address"):
    """Somebody vouches that the mailbox exists again: lifts a hard bounce, and no refusal."""

    address: Address
    evidence: Annotated[str, Meta(min_length=1, max_length=4096)]
    """Who says so, and how it is known."""


class Backup(Request, frozen=True, kw_only=True, tag="backup"):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] | None = None
    """Of the folder; the time, if none is given."""


class Retention(Request, frozen=True, kw_only=True, tag="retention"):
    address: Address
    sender: Name


class Purge(Request, frozen=True, kw_only=True, tag="purge"):
    dry_run: bool


class Forget(Request, frozen=True, kw_only=True, tag="forget"):
    address: Address
    withdraw: bool = False
    """Consents in force end first."""


AnyRequest = (
    Backup | RestoreAddress | Ping | PutMessage | Submit | Cancel | Status | Suppress | Consent
    | Retention | Purge | Forget
)  # fmt: skip
