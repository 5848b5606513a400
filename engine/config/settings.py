"""The tables that are nobody's but the file's, what all of them become, and the bounds of every number.

A number that is not named in BOUNDS may be anything from zero up; a test sees to it that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine import wire
from engine.flow.accept import AcceptSettings
from engine.flow.display import LintMode, Selling
from engine.flow.door import DoorSettings
from engine.flow.fitness import PreflightSettings
from engine.flow.settle import SettleSettings
from engine.journal import JournalSettings
from engine.mail.identity import SenderIdentity
from engine.net.dns import DnsSettings
from engine.net.mx import Family, MxSettings
from engine.net.resolver import Route, TlsMode
from engine.page.settings import AdminSettings
from engine.policy.guard import GuardSettings
from engine.policy.shaping import Shaping
from engine.policy.source import Pool, Source
from engine.signer.settings import SignerSettings
from engine.spool.database import SpoolSettings
from engine.tables import LARGEST, Bounds
from engine.web.settings import UnsubscribeSettings
from suppression import SuppressionSettings
from suppression.confirm import ConfirmSettings
from suppression.decision import Category
from suppression.keeping import RetentionSettings

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """[engine]"""

    state: Path
    """Folder of everything durable: spool, ledger, journal, secrets."""
    node: int = 0
    """This machine's number, 0 to 32767, different on each: identifiers are unique across nodes by it."""
    ehlo_name: str = "localhost"
    """The name that we greet with; forward and reverse DNS should agree on it."""
    source_address: str = ""
    """Local address to send from; empty: as the system routes."""
    max_recipients: int = 20_000_000
    """Recipients that may wait in the spool; credit goes to zero there."""
    backups: Path = Path("backups")
    """Folder of the backups, relative to state; better on another disk."""
    stop_seconds: float = 25.0
    """How long a graceful stop waits for transactions on the wire."""
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class SubmissionTable:
    """[submission]: without the table there is no SMTP submission. Paths only; `open_submission` opens them."""

    users: Path
    """The logins, as engine/flow/users.py reads them."""
    listen: str = "127.0.0.1:2587"
    certificate: Path | None = None
    """PEM, with the chain; with it passwords are taken under TLS only. Needed on any other host than loopback."""
    key: Path | None = None
    """The certificate's private key."""
    implicit_tls: bool = False
    """TLS from the first byte (RFC 8314) instead of STARTTLS."""
    hostname: str = ""
    """The name in the greeting; default: engine.ehlo_name."""
    size_limit: int = 10 * 1024 * 1024
    """Bytes of one mail."""
    connections: int = 100
    timeout: float = 300.0
    """Seconds that a silent client is kept (RFC 5321 4.5.3.2.7)."""


@dataclass(frozen=True, slots=True)
class ReturnPathTable:
    """[return_path]: without the table nothing is listened to. Bounces come to the senders' return_path_domain."""

    listen: str = "127.0.0.1:2525"
    hostname: str = ""
    """The name in the greeting; default: engine.ehlo_name."""
    optout_addresses: tuple[str, ...] = ()
    """Addresses to which people write to refuse; whose they are says their domain."""
    addresses: tuple[str, ...] = ()
    """Addresses that feedback loops report to."""
    certificate: Path | None = None
    """PEM, with the chain: STARTTLS is offered."""
    key: Path | None = None
    size_limit: int = 4 * 1024 * 1024
    """Bytes of one mail."""
    connections: int = 50
    """At once; one client may have a fourth of them."""
    max_client_rate: str = "600/min"
    """Mails of one client."""
    timeout: float = 60.0
    """Seconds that a silent client is kept."""


@dataclass(frozen=True, slots=True)
class SenderTable:
    """[senders.NAME]"""

    legal_name: str
    """Registered name of the 送信者 (特定電子メール法 4条1号)."""
    address: str
    """The From address, alone or with a display name."""
    domain: str = ""
    """d= of the signatures; default: the domain of the address."""
    return_path_domain: str = ""
    """Domain of the envelope sender (VERP); default: the domain."""
    message_id_domain: str = ""
    unsubscribe_url: str = ""
    confirm_url: str = ""
    """Where a sign-up is confirmed: https, with {token}; empty: consent_request answers the token alone."""
    unsubscribe_mailto: str = ""
    feedback_id: tuple[str, ...] = ()
    categories: tuple[Category, ...] = tuple(Category)
    """What this sender may send."""
    mail_order: bool = True
    """Whether advertisements inside its other mail may be for mail order."""
    regions: tuple[str, ...] = ("JP",)
    """Whose law applies to its recipients (suppression/rules/regions.toml)."""
    client: str = ""
    """The 委託者 whose business it advertises, if several senders mail for one."""
    agency: str = ""
    """The 送信者 that mails for it: an agency refused without a word about whom is refused for all its clients."""
    lint: LintMode = LintMode.AUTO
    """What becomes of a message whose display is wrong."""
    tx_that_sells: Selling = Selling.REFUSE
    """What becomes of a TX message that reads like an advertisement, where lint is "auto"."""
    pool: str = "default"
    """Pool of sources that its bulk mail leaves from."""
    pool_transactional: str = ""
    """The same for transactional priority; default: the pool."""


@dataclass(frozen=True, slots=True)
class KeyTable:
    """[[senders.NAME.dkim]]"""

    selector: str
    key: Path


@dataclass(frozen=True, slots=True)
class RouteTable:
    """[routes] with a table for one domain"""

    to: str
    tls: TlsMode = TlsMode.OPPORTUNISTIC
    username: str = ""
    """Login at a smart host (RFC 4954); only under TLS, or on loopback."""
    password_file: Path | None = None
    """Mode 0600, the password as one line."""
    client_certificate: Path | None = None
    """PEM, with the chain: shown to a smart host that asks for it."""
    client_key: Path | None = None
    """Its private key; default: in the same file."""


@dataclass(frozen=True, slots=True)
class TlsTable:
    """[tls]: what is believed of receivers' certificates and policies."""

    ca_file: Path | None = None
    """PEM file of the authorities to trust; none: those of the system."""
    dane: bool = True
    """TLSA records (RFC 7672), where resolver.trust_ad lets DNSSEC count."""
    mta_sts: bool = True
    """Policies of domains (RFC 8461), fetched over HTTPS."""
    fetch_seconds: float = 10.0
    """For one policy."""
    mta_sts_port: int = 443


@dataclass(frozen=True, slots=True)
class TlsReportTable:
    """[tlsrpt]: without the table nothing is reported (RFC 8460)."""

    sender: str
    """Of [senders]: whose mail the reports are."""
    organization: str = ""
    """Who reports; default: the sender's legal name."""


@dataclass(frozen=True, slots=True)
class ResolverTable:
    """[resolver]"""

    mx: bool = True
    """Whether domains without a route go where their MX records say."""
    servers: tuple[str, ...] = ()
    """Resolvers; none: as /etc/resolv.conf says."""
    trust_ad: bool = False
    """Whether the resolver validates, and the way to it is safe: then DNSSEC counts."""
    timeout: float = 3.0
    """Seconds for one question to one server."""
    deadline: float = 10.0
    """Seconds for an answer."""
    queries: int = 500
    """Questions under way at once."""
    lookups: int = 200
    """Domains looked up at once."""
    cache_entries: int = 20_000
    port: int = 25
    addresses: Family = Family.IPV4_FIRST
    own_names: tuple[str, ...] = ()
    """Our names in other people's MX records, beside engine.ehlo_name."""
    own_addresses: tuple[str, ...] = ()
    """Addresses that lead to us, beside those of this machine's interfaces."""
    allow_networks: tuple[str, ...] = ()
    """Networks that MX records may lead into although nobody's mail server is there: tests."""


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    dns: DnsSettings
    mx: MxSettings | None
    """None: routes only."""
    lookups: int


@dataclass(frozen=True, slots=True)
class SenderSettings:
    identity: SenderIdentity
    legal_name: str
    categories: frozenset[str]
    confirm_url: str = ""
    mail_order: bool = True
    regions: tuple[str, ...] = ("JP",)
    lint: LintMode = LintMode.AUTO
    pool: str = "default"
    pool_transactional: str = "default"
    client: str = ""
    agency: str = ""
    selling: Selling = Selling.REFUSE


@dataclass(frozen=True, slots=True)
class Settings:
    file: Path
    engine: EngineSettings
    accept: AcceptSettings
    door: DoorSettings
    submission: SubmissionTable | None
    return_path: ReturnPathTable | None
    spool: SpoolSettings
    settle: SettleSettings
    journal: JournalSettings
    suppression: SuppressionSettings
    retention: RetentionSettings
    confirm: ConfirmSettings
    signer: SignerSettings
    admin: AdminSettings
    senders: Mapping[str, SenderSettings]
    routes: Mapping[str, Route]
    resolver: ResolverSettings
    tls: TlsTable
    tlsrpt: TlsReportTable | None
    shaping: Shaping
    sources: Mapping[str, Source]
    pools: Mapping[str, Pool]
    guard: GuardSettings
    preflight: PreflightSettings
    unsubscribe: UnsubscribeSettings | None = None


MINUTE, DAY = 60.0, 86400.0
ID_LARGEST = 2**32 - 2
"""Of a user or group: -1 means "leave it" to chown(2)."""

BOUNDS: Mapping[str, Mapping[str, Bounds]] = {
    "engine": {
        "node": Bounds(0, 32767),
        "max_recipients": Bounds(1, 1_000_000_000),
        "stop_seconds": Bounds(0, 10 * MINUTE, seconds=True),
    },
    "accept": {
        "max_age": Bounds(MINUTE, 30 * DAY, seconds=True),
        "horizon": Bounds(MINUTE, 366 * DAY, seconds=True),
    },
    "socket": {
        "uids": Bounds(0, ID_LARGEST),
        "gids": Bounds(0, ID_LARGEST),
        "group": Bounds(0, ID_LARGEST),
        "connections": Bounds(1, 10_000),
        "outstanding": Bounds(1, 1000),
        "frame_limit": Bounds(64 * 1024, wire.FRAME_LIMIT),
        "memory": Bounds(64 * 1024, 2**40),
    },
    "submission": {
        "size_limit": Bounds(64 * 1024, wire.FRAME_LIMIT),
        "connections": Bounds(1, 10_000),
        "timeout": Bounds(1, 60 * MINUTE, seconds=True),
    },
    "return_path": {
        "size_limit": Bounds(64 * 1024, wire.FRAME_LIMIT),
        "connections": Bounds(1, 10_000),
        "timeout": Bounds(1, 60 * MINUTE, seconds=True),
    },
    "spool": {
        "disk_floor": Bounds(0, 0.9),
        "reserve_bytes": Bounds(0, 2**30),
        "key_seconds": Bounds(60 * MINUTE, 30 * DAY, seconds=True),
        "content_grace_seconds": Bounds(MINUTE, 30 * DAY, seconds=True),
        "totals_seconds": Bounds(60 * MINUTE, LARGEST, seconds=True),
    },
    "settle": {
        "linger_seconds": Bounds(0, 1, seconds=True),
        "group": Bounds(1, 100_000),
        "backlog": Bounds(1, 1_000_000),
    },
    "journal": {
        "max_segment_bytes": Bounds(64 * 1024, 2**40),
        "max_segment_seconds": Bounds(1, DAY, seconds=True),
        "compression_level": Bounds(1, 19),
        "keep_seconds": Bounds(0, LARGEST, seconds=True),
    },
    "suppression": {},
    "retention": {"margin_days": Bounds(0, 3660), "hour": Bounds(0, 23)},
    "guard": {
        "unknown_sample": Bounds(20, 1_000_000),
        "unknown_warn": Bounds(0.0001, 1),
        "unknown_pause": Bounds(0.0001, 1),
        "unknown_abort": Bounds(0.0001, 1),
        "canary": Bounds(0, 100_000),
        "canary_good": Bounds(0.0001, 0.5),
        "canary_bad": Bounds(0.0001, 0.5),
        "complaint_sample": Bounds(1, 1_000_000_000),
        "complaint_least": Bounds(1, 1_000_000),
        "complaint_warn": Bounds(0.00001, 1),
        "complaint_pause": Bounds(0.00001, 1),
        "optout_sample": Bounds(1, 1_000_000_000),
        "optout_share": Bounds(0, 1),
        "optout_seconds": Bounds(1, DAY, seconds=True),
    },
    "preflight": {"max_age": Bounds(60 * MINUTE, 30 * DAY, seconds=True)},
    "confirm": {
        "per_day": Bounds(1, 100),
        "per_month": Bounds(1, 1000),
        "valid_seconds": Bounds(60 * MINUTE, 366 * DAY, seconds=True),
    },
    "signer": {
        "workers": Bounds(0, 256),
        "nice": Bounds(0, 19),
        "start_seconds": Bounds(1, 10 * MINUTE, seconds=True),
        "restart_wait": Bounds(0.01, MINUTE, seconds=True),
        "stall_seconds": Bounds(1, 10 * MINUTE, seconds=True),
    },
    "admin": {},
    "unsubscribe": {
        "connections": Bounds(1, 100_000),
        "timeout": Bounds(1, 10 * MINUTE, seconds=True),
        "unknown_rate": Bounds(0.01, 1_000_000),
        "unknown_burst": Bounds(1, 1_000_000),
    },
    "tlsrpt": {},
    "tls": {"fetch_seconds": Bounds(1, MINUTE, seconds=True), "mta_sts_port": Bounds(1, 65535)},
    "resolver": {
        "timeout": Bounds(0.1, MINUTE, seconds=True),
        "deadline": Bounds(0.1, 5 * MINUTE, seconds=True),
        "queries": Bounds(1, 10_000),
        "lookups": Bounds(1, 10_000),
        "cache_entries": Bounds(100, 10_000_000),
        "port": Bounds(1, 65535),
    },
}
