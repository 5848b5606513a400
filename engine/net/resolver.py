"""From a domain to the addresses to connect to. The running engine's one home of dnspython.

The port is `Resolver`. `StaticRoutes` is its form without MX: a table of domain -> host:port as in smart hosts,
relays and tests ("*" for the rest). Host names are looked up as AAAA and A (RFC 5321 5.1), kept for their TTL within
bounds, one query at a time for each name; address literals and hosts-file names need no query. Failures are values,
and none is final here: a wrong name in the operator's own table must not bounce mail.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver

MAX_ADDRESSES = 20
"""Kept of one host name."""
MAX_NAMES = 10_000
"""In the cache; then it is emptied."""
MIN_TTL = 5.0
MAX_TTL = 3600.0
NEGATIVE_TTL = 30.0
"""Seconds for which a failed lookup is not repeated."""
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
class Route:
    site: str
    """Name of the receiver as a whole: what is shaped, counted and suspended."""
    host: str
    port: int
    tls: TlsMode


@dataclass(frozen=True, slots=True)
class Target:
    """One address to connect to, in the order to try."""

    host: str
    port: int
    address: str
    """IPv4 or IPv6, without brackets."""
    tls: TlsMode


@dataclass(frozen=True, slots=True)
class ResolveFailure:
    final: bool
    """The name does not exist; asking again will not help."""
    text: str


class Resolver(Protocol):
    def route(self, domain: str) -> Route | None:
        """From memory. None: nobody takes mail for this domain."""
        ...

    async def targets(self, route: Route) -> list[Target] | ResolveFailure:
        """Never empty. Cancellation of one caller does not stop the lookup for the others."""
        ...


class RouteError(ValueError):
    """A line of the route table makes no sense."""


def parse_route(domain: str, place: str, tls: TlsMode = TlsMode.OPPORTUNISTIC) -> Route:
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
    if not is_number or not 0 < int(port_text) < 65536 or not _is_host(host):
        raise RouteError(wrong)
    host = host.lower().rstrip(".")
    shown = f"[{host}]" if ":" in host else host
    return Route(f"{shown}:{int(port_text)}", host, int(port_text), tls)


def _is_host(text: str) -> bool:
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


@dataclass(frozen=True, slots=True)
class _Known:
    found: tuple[str, ...] | ResolveFailure
    until: float


class StaticRoutes:
    """Routes by domain, "*" for all others. Matching is by the whole domain, in lower case."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        resolver: dns.asyncresolver.Resolver | None = None,
        hosts: Path = HOSTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resolver` None: as /etc/resolv.conf says, read at the first lookup."""
        self._routes = {domain.lower(): route for domain, route in routes.items()}
        self._rest = self._routes.pop("*", None)
        self._resolver = resolver
        self._hosts = read_hosts(hosts)
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._running: dict[str, asyncio.Task[_Known]] = {}

    def route(self, domain: str) -> Route | None:
        return self._routes.get(domain.lower(), self._rest)

    async def targets(self, route: Route) -> list[Target] | ResolveFailure:
        found = await self._addresses(route.host)
        if isinstance(found, ResolveFailure):
            return found
        return [Target(route.host, route.port, address, route.tls) for address in found]

    async def _addresses(self, host: str) -> tuple[str, ...] | ResolveFailure:
        if is_address(host):
            return (host,)
        if host in self._hosts:
            return self._hosts[host]
        known = self._known.get(host)
        if known is None or known.until <= self._clock():
            known = await asyncio.shield(self._lookup_once(host))
        return known.found

    def _lookup_once(self, host: str) -> asyncio.Task[_Known]:
        """Single flight: whoever asks meanwhile waits for the same answer."""
        running = self._running.get(host)
        if running is None:
            running = self._running[host] = asyncio.create_task(self._lookup(host), name=f"resolve {host}")
            running.add_done_callback(lambda _: self._running.pop(host))
        return running

    async def _lookup(self, host: str) -> _Known:
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver()
        answers = await asyncio.gather(*(_ask(self._resolver, host, kind) for kind in ("A", "AAAA")))
        found = [answer for answer in answers if isinstance(answer, _Answer)]
        addresses = tuple(address for answer in found for address in answer.addresses)[:MAX_ADDRESSES]
        if addresses:
            known = _Known(addresses, self._clock() + min(answer.ttl for answer in found))
        else:
            why = next((answer for answer in answers if isinstance(answer, ResolveFailure)), None)
            failure = why or ResolveFailure(final=False, text=f"host name {host!a} has no address in DNS")
            known = _Known(failure, self._clock() + NEGATIVE_TTL)
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[host] = known
        return known


@dataclass(frozen=True, slots=True)
class _Answer:
    addresses: tuple[str, ...]
    ttl: float
    """Seconds; infinite when there was no such record."""


async def _ask(resolver: dns.asyncresolver.Resolver, host: str, kind: str) -> _Answer | ResolveFailure:
    try:
        # The dot at the end: no search list (RFC 5321 5.1).
        answer = await resolver.resolve(host + ".", kind)
    except dns.resolver.NoAnswer:
        return _Answer((), math.inf)
    except (dns.exception.DNSException, OSError) as error:
        return ResolveFailure(final=False, text=f"{kind} of host name {host!a}: {str(error)[:200] or repr(error)}")
    ttl = answer.rrset.ttl if answer.rrset is not None else 0
    return _Answer(tuple(str(record) for record in answer), min(max(ttl, MIN_TTL), MAX_TTL))


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
