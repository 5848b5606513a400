"""From a domain to the addresses to connect to: the port, its values, and the operator's own table of routes.

The port is `Resolver`; mx.py implements it for everything that the table does not name. The table is domain ->
host:port as in smart hosts, relays and tests ("*" for the rest). Host names are looked up as AAAA and A (RFC 5321 5.1);
address literals and hosts-file names need no query. Failures are values, and none of the table is final: a wrong name
in the operator's own table must not bounce mail.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from engine.net.dns import Answer, Asker, Kind

MAX_ADDRESSES = 20
"""Kept of one host name."""
MAX_HOSTS_FILE = 1 << 20
HOSTS = Path("/etc/hosts")


class TlsMode(StrEnum):
    """KumoMTA's words (enable_tls). A certificate is verified in Required only: where plain text would do as well,
    refusing a bad certificate would protect nobody.
    """

    OPPORTUNISTIC = "Opportunistic"
    """STARTTLS if offered. After a failed handshake the caller may connect again with DISABLED."""
    OPPORTUNISTIC_INSECURE = "OpportunisticInsecure"
    """The same here; the word is kept for configurations that come from KumoMTA."""
    REQUIRED = "Required"
    """STARTTLS with a certificate valid for the host, or nothing is sent."""
    REQUIRED_INSECURE = "RequiredInsecure"
    """STARTTLS with any certificate, or nothing is sent."""
    DISABLED = "Disabled"

    @property
    def is_required(self) -> bool:
        return self in (TlsMode.REQUIRED, TlsMode.REQUIRED_INSECURE)


@dataclass(frozen=True, slots=True)
class Credentials:
    """For smart hosts (RFC 4954). Only used when the server offers AUTH; never written to a log."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, ...)"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What we show a smart host that asks for it: PEM files, checked at start."""

    certificate: str
    key: str = ""
    """Empty: in the same file."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a domain under MTA-STS asks of every host of its route (RFC 8461)."""

    enforce: bool
    """False: it is tried and reported, and nothing depends on it."""
    mx: tuple[str, ...]
    """Patterns of the hosts that may have its mail."""
    signed: bool
    """Its MX records are validated (DNSSEC), so that DANE alone can vouch for a host of it (RFC 7672 2.2.1)."""

    @property
    def label(self) -> str:
        """For the names of paths: different ones for what must not share a connection, empty where nothing depends."""
        if not self.enforce:
            return ""
        hosts = " ".join(self.mx)
        shown = hosts if len(hosts) <= 120 else hashlib.sha256(hosts.encode()).hexdigest()
        return f"MTA-STS{'+DNSSEC' if self.signed else ''} {shown}"


@dataclass(frozen=True, slots=True)
class Route:
    site: str
    """Name of the receiver as a whole: what is shaped, counted and suspended."""
    host: str
    """Of a route of the table; empty when the MX records say it."""
    port: int
    tls: TlsMode
    credentials: Credentials | None = field(default=None, repr=False)
    mx: tuple[tuple[str, ...], ...] = ()
    """MX hosts in the order to try, those of equal preference together; sorted, so that equal sets are equal."""
    standing: Standing | None = None
    """Set by trust.py where the domain has a policy."""
    client: ClientCertificate | None = None

    @property
    def mx_hosts(self) -> tuple[str, ...]:
        return tuple(host for hosts in self.mx for host in hosts)


@dataclass(frozen=True, slots=True)
class Target:
    """One address to connect to, in the order to try."""

    host: str
    port: int
    address: str
    """IPv4 or IPv6, without brackets."""
    tls: TlsMode
    credentials: Credentials | None = field(default=None, repr=False)
    secure: bool = False
    """Its addresses were validated (DNSSEC), so that TLSA records may speak of this host (RFC 7672 2.2). Whether the MX
    records were, too, is no matter of the host: domains with and without share one site.
    """
    client: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class ResolveFailure:
    final: bool
    """Who knows has said that nobody takes mail there; asking again will not help."""
    text: str
    code: int = 451
    """What we would say in SMTP, with the enhanced code of RFC 3463."""
    status: str = "4.4.3"
    in_a_row: int = 1
    """Look-ups of the domain that have failed one after the other."""


NO_ROUTE: Final = ResolveFailure(False, "no route for this domain", status="4.4.4")


class Resolver(Protocol):
    def route(self, domain: str) -> Route | ResolveFailure | None:
        """From memory. None: not known now, look_up first."""
        ...

    async def look_up(self, domain: str) -> None:
        """Brings the domain into memory, for a while at least."""
        ...

    async def targets(self, route: Route) -> list[Target] | ResolveFailure:
        """Never empty. Cancellation of one caller does not stop the lookup for the others."""
        ...


class RouteError(ValueError):
    """A line of the route table makes no sense."""


def parse_route(
    domain: str,
    place: str,
    tls: TlsMode = TlsMode.OPPORTUNISTIC,
    credentials: Credentials | None = None,
    client: ClientCertificate | None = None,
) -> Route:
    """`place` is host, host:port, an IPv4 address with or without port, or [IPv6]:port. Raises RouteError."""
    wrong = f"routes: {domain[:80]!a} = {place[:80]!a}: expected host:port or [IPv6 address]:port"
    host, _, port_text = place.rpartition(":")
    if not host or place.endswith("]"):
        host, port_text = place, "25"
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise RouteError(wrong)
    is_number = port_text.isascii() and port_text.isdigit() and len(port_text) <= 5
    if not is_number or not 0 < int(port_text) < 65536 or not is_host(host):
        raise RouteError(wrong)
    host = host.lower().rstrip(".")
    shown = f"[{host}]" if ":" in host else host
    return Route(f"{shown}:{int(port_text)}", host, int(port_text), tls, credentials, client=client)


def is_host(text: str) -> bool:
    """A host name or an address."""
    if is_address(text):
        return True
    labels = text.rstrip(".").split(".")
    return len(text) <= 253 and all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
        for label in labels
    )


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class StaticRoutes:
    """Routes by domain, "*" for all others. Matching is by the whole domain, in lower case."""

    def __init__(self, routes: Mapping[str, Route], asker: Asker, *, hosts: Path = HOSTS) -> None:
        self._routes = {domain.lower(): route for domain, route in routes.items()}
        self._rest = self._routes.pop("*", None)
        self._asker = asker
        self._hosts = read_hosts(hosts)

    def route(self, domain: str) -> Route | ResolveFailure:
        return self._routes.get(domain.lower(), self._rest) or NO_ROUTE

    async def look_up(self, domain: str) -> None:
        """Everything is in memory."""

    async def targets(self, route: Route) -> list[Target] | ResolveFailure:
        found = await self._addresses(route.host)
        if isinstance(found, ResolveFailure):
            return found
        return [
            Target(route.host, route.port, address, route.tls, route.credentials, client=route.client)
            for address in found
        ]

    async def _addresses(self, host: str) -> tuple[str, ...] | ResolveFailure:
        if is_address(host):
            return (host,)
        if host in self._hosts:
            return self._hosts[host]
        answers = await asyncio.gather(*(self._asker.query(host, kind) for kind in (Kind.A, Kind.AAAA)))
        found = addresses_of(*answers)
        return found or ResolveFailure(False, _why_none(host, *answers))


def addresses_of(*answers: Answer) -> tuple[str, ...]:
    return tuple(record for answer in answers for record in answer.records if isinstance(record, str))[:MAX_ADDRESSES]


def _why_none(host: str, *answers: Answer) -> str:
    texts = [answer.text for answer in answers if not answer.status.is_answer]
    return f"host name {host[:80]!a}: {texts[0]}" if texts else f"host name {host[:80]!a} has no address in DNS"


def read_hosts(path: Path) -> dict[str, tuple[str, ...]]:
    """Name -> addresses as in hosts(5). "localhost" is always there (RFC 6761 6.3). A missing file is an empty one."""
    found: dict[str, tuple[str, ...]] = {}
    text = path.read_bytes()[:MAX_HOSTS_FILE].decode("utf-8", "replace") if path.exists() else ""
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if is_address(address):
            for name in names:
                found[name.lower()] = (*found.get(name.lower(), ()), address)[:MAX_ADDRESSES]
    return {"localhost": ("127.0.0.1", "::1"), **found}
