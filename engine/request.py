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
Evidence = Annotated[str, Meta(max_length=4096)]
Reference = Annotated[str, Meta(max_length=2048)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A template or raw RFC 5322 bytes; which of them may stand together is engine/mail's to say."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] | None = None
    charset: str | None = None
    without_ad: dict[str, str] | None = None
    """Subject, text and html of the variant for those who may get everything but the advertisement."""
    raw: bytes | None = None

    def parts(self) -> dict[str, object]:
        """Those that were given."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: part for name, part in given.items() if part is not None}


class Stated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one recipient beside merge fields."""

    region: Annotated[str, Meta(max_length=64)] = ""
    """Whose law applies to them, as the decision tables name it: EU, US, ..."""


NOTHING_STATED = Stated()


class Recipient(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """[address, {field: text}] or [address, {field: text}, {"region": text}]"""

    address: str
    fields: dict[str, str]
    stated: Stated = NOTHING_STATED


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
    """Of Recipient, each decoded by itself."""
    not_before: Seconds | None = None
    expires: Seconds | None = None
    priority: Literal["transactional", "bulk"] = "bulk"
    override: Literal["", "UNKNOWN_USER", "FICT_SUSPECT"] = ""
    """TX only: the state of a mailbox in spite of which it is to go."""


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
    agency: Name | None = None
    """Refused without a word about whose mail: all clients of this one."""
    topic: Name | None = None
    channel: Name = "client"
    evidence: Evidence = ""
    message_id: Reference = ""
    """The mail that triggered it."""
    until: Annotated[str, Meta(max_length=10)] = ""
    """Of a refusal for a period (施行規則5条): its last day in Japan, 2027-01-31."""


class OptOutRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One refusal of a list: an address, or the SHA-256 or HMAC-SHA256 of one."""

    address: Address | None = None
    sha256: Digest | None = None
    hmac_sha256: Digest | None = None
    at: Seconds | None = None
    """When the person said so; without it, now."""
    topic: Name | None = None
    channel: Name | None = None
    evidence: Evidence = ""
    message_id: Reference = ""


class SuppressMany(Request, frozen=True, kw_only=True, tag="suppress_many"):
    sender: Name | None = None
    """None: every sender."""
    channel: Name = "import"
    match: bool = True
    """Whether hashes are compared with the consents that there are: once, in the last request of a long list."""
    hmac_key: Annotated[bytes, Meta(min_length=16, max_length=4096)] | None = None
    """Of the records' hmac_sha256: the secret of whoever made the list."""
    records: Annotated[list[OptOutRecord], Meta(min_length=1, max_length=CONSENTS_LIMIT)]


class ConsentRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One recorded consent (特定電子メール法 3条2項): who, when, how."""

    address: Address
    at: Seconds
    source: Name
    basis: Name = "OPTIN_REC"
    covers: Annotated[list[Name], Meta(max_length=8)] = []
    """None given: advertising only."""
    topics: Annotated[list[Name], Meta(max_length=64)] = []
    until: Annotated[str, Meta(max_length=10)] = ""
    """Last day in Japan on which it holds, such as the end of the contract, 2027-01-31."""
    evidence: Evidence = ""
    method: Annotated[str, Meta(max_length=16)] = ""
    form: Digest | None = None
    """SHA-256 of a form that put_form stored."""
    url: Reference = ""
    ip: Annotated[str, Meta(max_length=64)] = ""
    user_agent: Annotated[str, Meta(max_length=1024)] = ""
    checkbox_default: Annotated[str, Meta(max_length=16)] = ""
    displayed_sender: OptionalName = ""
    privacy_policy_url: Reference = ""
    acquired_url: Reference = ""
    third_parties: Annotated[list[Name], Meta(max_length=64)] = []
    evidence_ref: Reference = ""
    doi_sent_at: Seconds = 0
    """Of a double opt-in that somebody else did: when the mail went, when its link was used."""
    doi_clicked_at: Seconds = 0


class Consent(Request, frozen=True, kw_only=True, tag="consent"):
    sender: Name
    incomplete: Literal["refuse", "norec"] = "refuse"
    """What becomes of a record that lacks something: refused, or kept as OPTIN_NOREC."""
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


class PutForm(Request, frozen=True, kw_only=True, tag="put_form"):
    sender: Name
    kind: Literal["paper", "mail", "web"]
    content: Annotated[bytes, Meta(min_length=1, max_length=1 << 20)]
    displayed_sender: Name
    statement: Annotated[str, Meta(min_length=1, max_length=4096)]
    shown_from: Seconds
    shown_to: Seconds | None = None
    language: Annotated[str, Meta(min_length=1, max_length=35)] = "ja"
    privacy_policy_url: Reference = ""
    acquired_url: Reference = ""
    covers: Annotated[list[Name], Meta(max_length=8)] = []
    auto_compiled: bool = False


class RetireForm(Request, frozen=True, kw_only=True, tag="retire_form"):
    sender: Name
    form: Digest
    shown_to: Seconds


class ConsentRequest(Request, frozen=True, kw_only=True, tag="consent_request"):
    """The first half of a double opt-in: somebody typed an address into a form."""

    sender: Name
    address: Address
    at: Seconds
    source: Name = "web"
    basis: Literal["ADDR_GIVEN", "OPTIN_NOREC", "BIZREL", "CARD", "PUBLISHED"] = "ADDR_GIVEN"
    topics: Annotated[list[Name], Meta(max_length=64)] = []
    covers: Annotated[list[Name], Meta(max_length=8)] = []
    form: Digest | None = None
    url: Reference = ""
    ip: Annotated[str, Meta(max_length=64)] = ""
    user_agent: Annotated[str, Meta(max_length=1024)] = ""
    checkbox_default: Annotated[str, Meta(max_length=16)] = ""
    evidence: Evidence = ""


class ConsentConfirm(Request, frozen=True, kw_only=True, tag="consent_confirm"):
    """The second half: the link of the CONFIRM mail was used."""

    token: Annotated[str, Meta(max_length=1400)]
    ip: Annotated[str, Meta(max_length=64)] = ""
    user_agent: Annotated[str, Meta(max_length=1024)] = ""


class WhyNot(Request, frozen=True, kw_only=True, tag="why_not"):
    address: Address
    sender: Name
    category: Name
    topic: OptionalName = ""
    region: Annotated[str, Meta(max_length=8)] = ""
    """Of the recipient, such as EU; empty: what the sender is set to."""
    override: Literal["", "UNKNOWN_USER", "FICT_SUSPECT"] = ""
    """As a submit of TX to one person may state it."""


class Hold(Request, frozen=True, kw_only=True, tag="hold"):
    """A legal hold on the evidence of a sender, a person, or a person towards a sender: placed, released, listed."""

    action: Literal["add", "release", "list"]
    matter: OptionalName = ""
    """The proceeding; needed but for a list."""
    sender: OptionalName = ""
    address: Annotated[str, Meta(max_length=320)] = ""
    officer: OptionalName = ""
    """Who answers for it; needed but for a list."""
    evidence: Evidence = ""


class Order(Request, frozen=True, kw_only=True, tag="order"):
    """An order of the authorities against a sender: received, released by an officer, or all of them listed."""

    action: Literal["add", "release", "list"]
    sender: OptionalName = ""
    kind: Literal["ORDER7", "INSTR14", "SUSP15"] | None = None
    day: Annotated[str, Meta(max_length=10)] = ""
    """Date of the order, 2027-01-31."""
    scope: Annotated[list[Name], Meta(max_length=64)] = []
    """Topics; none given: everything of the sender."""
    officer: OptionalName = ""
    evidence: Annotated[str, Meta(max_length=4096)] = ""


class Scoped(Request, frozen=True, kw_only=True):
    """What an order names: all of it must agree. Nothing named: any."""

    domain: Name | None = None
    provider: Name | None = None
    site: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    source: Name | None = None
    sender: Name | None = None
    mailing: Name | None = None


class Steer(Scoped, frozen=True, kw_only=True, tag="steer"):
    verb: Literal["suspend", "bounce", "reroute"]
    seconds: Annotated[int, Meta(ge=1, le=366 * 86400)] | None = None
    """None: until resumed; of a bounce: once."""
    reason: Annotated[str, Meta(max_length=200)] = ""
    pool: Name | None = None
    to: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    known: bool = False
    """Refused if domain, site or mailing are such that nothing is known of: a person's slip of the pen."""


class Resume(Scoped, frozen=True, kw_only=True, tag="resume"):
    number: Annotated[int, Meta(ge=1)] | None = None
    everything: bool = False


class Why(Request, frozen=True, kw_only=True, tag="why"):
    domain: Annotated[str, Meta(min_length=1, max_length=253)]


class Reload(Request, frozen=True, kw_only=True, tag="reload"):
    """Reads the configuration again; all of it is taken, or none."""


class Drain(Request, frozen=True, kw_only=True, tag="drain"):
    """No new submits; what is there is delivered. None: only asks."""

    on: bool | None = None


class Trace(Request, frozen=True, kw_only=True, tag="trace"):
    """The next sessions with a site: begun by `target`, asked again by `number`."""

    target: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    sessions: Annotated[int, Meta(ge=1, le=20)] = 1
    number: Annotated[int, Meta(ge=1)] | None = None
    after: Annotated[int, Meta(ge=0)] = 0
    """Only lines behind this one."""
    stop: bool = False


AnyRequest = (
    Backup
    | Trace
    | Reload
    | Drain
    | RestoreAddress
    | Ping
    | PutMessage
    | Submit
    | Cancel
    | Status
    | Suppress
    | SuppressMany
    | Consent
    | PutForm
    | RetireForm
    | ConsentRequest
    | ConsentConfirm
    | Retention
    | Purge
    | Forget
    | WhyNot
    | Hold
    | Order
    | Steer
    | Resume
    | Why
)
