"""Where a stranger's domain takes mail: its MX records, their hosts, the addresses of these (RFC 5321 5.1).

Implements the port `Resolver`; the operator's own routes go first. Equal preferences are shuffled for each connection,
a domain without MX is its own host, a null MX (RFC 7505) and a name that does not exist are final, whatever could not
be found out is not. From our own host on a list is cut: mail must not loop. The memory holds one entry a domain and
one a receiver, both bounded; addresses that nobody must connect to are dropped here (address.py) and never come back.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, groupby, zip_longest
from typing import Final, NamedTuple

from engine.net.address import Network, why_never
from engine.net.dns import Answer, Asker, Kind, Mx, Status, Value
from engine.net.resolver import ResolveFailure, Route, StaticRoutes, Target, TlsMode, addresses_of
from engine.net.sites import site_of

MAX_MX: Final = 20
ADDRESSES_TRIED: Final = 5
"""For one connection."""
FAILURE_SECONDS: Final = 30.0
STALE_SECONDS: Final = 3600.0
"""So long what was known serves on while DNS cannot be asked: a resolver that restarts parks nobody's mail."""


class Family(StrEnum):
    """Which addresses are used; the two kinds are tried in turn."""

    IPV4_FIRST = "ipv4_first"
    IPV6_FIRST = "ipv6_first"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


@dataclass(frozen=True, slots=True)
class MxSettings:
    port: int = 25
    family: Family = Family.IPV4_FIRST
    own_names: frozenset[str] = frozenset()
    """Host names under which others know us."""
    own_addresses: frozenset[str] = frozenset()
    """Beside those of this machine's interfaces."""
    allowed: tuple[Network, ...] = ()
    """Networks that may be connected to although they are nobody's: tests."""
    domains: int = 200_000
    """Domains remembered."""
    receivers: int = 20_000


class _Known(NamedTuple):
    found: Route | ResolveFailure
    until: float
    told: float
    """Until when DNS itself said so."""
    signed: bool = False
    """The MX records were validated."""


@dataclass(frozen=True, slots=True)
class _Host:
    name: str
    addresses: tuple[str, ...]
    """In the order to try."""
    secure: bool


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a route's hosts are reached by: hosts of equal preference together."""

    groups: tuple[tuple[_Host, ...], ...]
    until: float


@dataclass(slots=True)
class MxCounts:
    refused_addresses: int = 0
    """Addresses in strangers' DNS that nobody connects to."""
    stale: int = 0
    """Routes that served on because DNS could not be asked."""


class MxResolver:
    def __init__(
        self,
        table: StaticRoutes,
        asker: Asker,
        settings: MxSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        shuffle: Callable[[list[_Host]], None] = random.shuffle,
        is_local: Callable[[str], bool] | None = None,
    ) -> None:
        """`is_local`: whether an address is one of this machine's interfaces."""
        self._table = table
        self._asker = asker
        self._settings = settings or MxSettings()
        self._clock = clock
        self._shuffle = shuffle
        self._is_local = is_local or is_local_address
        self._domains: dict[str, _Known] = {}
        self._routes: dict[tuple[tuple[str, ...], ...], Route] = {}
        self._answered: dict[tuple[Value, ...], Route] = {}
        """MX records as they came: who is behind a receiver that is known is found without sorting them again."""
        self._reach: dict[Route, _Reach] = {}
        self.counts = MxCounts()

    def use(self, table: StaticRoutes, settings: MxSettings | None = None, *, forget: bool = False) -> None:
        """Other routes of the operator. What DNS said stays known, unless it is used otherwise now, or `forget` says
        that it was believed on other terms.
        """
        self._table = table
        if forget or (settings is not None and settings != self._settings):
            self._settings = replace(settings or self._settings)
            self._domains.clear()
            self._routes.clear()
            self._answered.clear()
            self._reach.clear()

    def forget_failures(self) -> None:
        """Others are asked now. Milliseconds for the largest memory."""
        self._domains = {domain: known for domain, known in self._domains.items() if isinstance(known.found, Route)}

    # -- the port ------------------------------------------------------------------------------------------

    def route(self, domain: str) -> Route | ResolveFailure | None:
        own = self._table.route(domain)
        if isinstance(own, Route):
            return own
        known = self._domains.get(domain)
        return known.found if known is not None and known.until > self._clock() else None

    async def look_up(self, domain: str) -> None:
        while True:
            asked_as = self._settings
            found, seconds, signed = await self._find(domain)
            if self._settings is asked_as:
                break  # else it was read by the rules of before
        now = self._clock()
        before = self._domains.pop(domain, None)
        if isinstance(found, ResolveFailure) and not found.final and before is not None:
            if isinstance(before.found, Route) and now < before.told + STALE_SECONDS:
                self.counts.stale += 1
                self._domains[domain] = before._replace(until=now + FAILURE_SECONDS)
                return
            if isinstance(before.found, ResolveFailure):
                found = replace(found, in_a_row=before.found.in_a_row + 1)
        while len(self._domains) >= self._settings.domains:
            del self._domains[next(iter(self._domains))]
        self._domains[domain] = _Known(found, now + seconds, now + seconds, signed)

    def is_signed(self, domain: str) -> bool:
        """Whether DNSSEC vouches for its MX records, as far as they are in memory."""
        known = self._domains.get(domain)
        return known is not None and known.signed

    async def targets(self, route: Route) -> list[Target] | ResolveFailure:
        if not route.mx:
            return await self._table.targets(route)
        reach = self._reach.get(route)
        if reach is None or reach.until <= self._clock():
            found = await self._reached(route)
            if isinstance(found, _Reach):
                reach = found
            elif found.final or reach is None or self._clock() > reach.until + STALE_SECONDS:
                return found
        return self._ordered(route, reach)

    # -- MX ------------------------------------------------------------------------------------------------

    async def _find(self, domain: str) -> tuple[Route | ResolveFailure, float, bool]:
        """And for how many seconds it holds, and whether DNSSEC vouches for the MX records."""
        answer = await self._asker.ask(domain, Kind.MX)
        route = self._answered.get(answer.records)
        if route is None:
            groups = self._groups(domain, answer)
            if isinstance(groups, ResolveFailure):
                return groups, max(answer.ttl, FAILURE_SECONDS), answer.secure
            route = self._interned(groups)
            if 0 < len(answer.records) <= MAX_MX:
                if len(self._answered) >= self._settings.receivers:
                    self._answered.clear()
                self._answered[answer.records] = route
        reach = self._reach.get(route)
        if reach is not None and reach.until > self._clock():
            return route, answer.ttl, answer.secure
        found = await self._reached(route, implicit=answer.status is Status.NODATA)
        if isinstance(found, ResolveFailure):
            return found, FAILURE_SECONDS, answer.secure
        return route, answer.ttl, answer.secure

    def _groups(self, domain: str, answer: Answer) -> tuple[tuple[str, ...], ...] | ResolveFailure:
        """The hosts by preference, or why there are none."""
        if answer.status is Status.NXDOMAIN:
            return ResolveFailure(True, f"domain {domain!a} does not exist", 550, "5.1.2")
        if answer.status is Status.NODATA:
            return ((domain,),)
        if answer.status is not Status.NOERROR:
            return ResolveFailure(False, answer.text)
        records = sorted(record for record in answer.records if isinstance(record, Mx))
        if [record.host for record in records] == [""]:
            return ResolveFailure(True, f"domain {domain!a} takes no mail (null MX)", 556, "5.1.10")
        usable = [record for record in records if _is_mail_host(record.host)]
        if not usable:
            shown = ", ".join(f"{record.host[:60]!a}" for record in records[:3])
            return ResolveFailure(False, f"MX of {domain!a}: no host name: {shown}", status="4.4.4")
        groups = tuple(
            tuple(sorted({record.host for record in group}))
            for _, group in groupby(usable[:MAX_MX], key=lambda record: record.preference)
        )
        return self._cut(domain, groups)

    def _cut(self, domain: str, groups: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...] | ResolveFailure:
        """Without our own preference and those behind it (RFC 5321 5.1)."""
        own = self._settings.own_names
        for number, hosts in enumerate(groups):
            if not own.isdisjoint(hosts):
                return groups[:number] or _loops(domain)
        return groups

    def _interned(self, groups: tuple[tuple[str, ...], ...]) -> Route:
        route = self._routes.get(groups)
        if route is None:
            if len(self._routes) >= self._settings.receivers:
                self._routes.clear()
                self._answered.clear()
            site = site_of(chain.from_iterable(groups))
            route = Route(site, "", self._settings.port, TlsMode.OPPORTUNISTIC, None, groups)
            self._routes[groups] = route
        return route

    # -- addresses -----------------------------------------------------------------------------------------

    async def _reached(self, route: Route, *, implicit: bool = False) -> _Reach | ResolveFailure:
        """Asks for the hosts group by group until there are enough addresses. `implicit`: there is no MX record."""
        kept: list[tuple[_Host, ...]] = []
        until, troubles, looped, missing = self._clock() + 86_400.0, list[str](), False, False
        for hosts in route.mx:
            answers = await asyncio.gather(*(self._addresses(host) for host in hosts))
            found = [self._checked(*each) for each in zip(hosts, answers, strict=True)]
            if any(self._is_own(address) for host, _ in found for address in host.addresses):
                looped = True
                break
            missing = missing or (implicit and _is_missing(answers[0]))
            troubles += [trouble for _, trouble in found if trouble]
            until = min(until, self._clock() + min(answer.ttl for pair in answers for answer in pair))
            group = tuple(host for host, _ in found if host.addresses)
            if group:
                kept.append(group)
            if sum(len(host.addresses) for group in kept for host in group) > ADDRESSES_TRIED and len(kept) > 1:
                break
        if not kept:
            return self._why_none(route, troubles, looped=looped, missing=missing)
        reach = _Reach(tuple(kept), until)
        while len(self._reach) >= self._settings.receivers:
            del self._reach[next(iter(self._reach))]
        self._reach[route] = reach
        return reach

    async def _addresses(self, host: str) -> tuple[Answer, ...]:
        """IPv4 first where both are asked for."""
        kinds = {Family.IPV4: (Kind.A,), Family.IPV6: (Kind.AAAA,)}.get(self._settings.family, (Kind.A, Kind.AAAA))
        return tuple(await asyncio.gather(*(self._asker.query(host, kind) for kind in kinds)))

    def _checked(self, name: str, answers: Sequence[Answer]) -> tuple[_Host, str]:
        by_family = [addresses_of(answer) for answer in answers]
        if self._settings.family is Family.IPV6_FIRST:
            by_family.reverse()
        addresses = [address for pair in zip_longest(*by_family) for address in pair if address]
        refused = {address: why for address in addresses if (why := why_never(address, self._settings.allowed))}
        self.counts.refused_addresses += len(refused)
        host = _Host(
            name,
            tuple(address for address in addresses if address not in refused),
            all(answer.secure for answer in answers),
        )
        if host.addresses:
            return host, ""
        failed = [answer.text for answer in answers if not answer.status.is_answer]
        if failed:
            return host, failed[0]
        if refused:
            address, why = next(iter(refused.items()))
            return host, f"{name[:80]!a} is {address}, where we never connect to ({why})"
        return host, f"{name[:80]!a} has no address"

    def _why_none(self, route: Route, troubles: Sequence[str], *, looped: bool, missing: bool) -> ResolveFailure:
        if looped:
            return _loops(route.site)
        if missing:
            return ResolveFailure(True, f"domain {route.site!a} has neither MX nor address", 550, "5.1.2")
        return ResolveFailure(
            False, f"no mail server of {route.site!a}: {'; '.join(troubles[:3])}"[:300], status="4.4.4"
        )

    def _is_own(self, address: str) -> bool:
        if address in self._settings.own_addresses:
            return True
        # Loopback is this machine's own too, and got here as a test network only.
        return not why_never(address) and self._is_local(address)

    def _ordered(self, route: Route, reach: _Reach) -> list[Target]:
        """Each host's first address before any host's second; the last try is left to the next preference."""
        found: list[Target] = []
        for number, group in enumerate(reach.groups):
            hosts = list(group)
            self._shuffle(hosts)
            columns = zip_longest(*([(host, address) for address in host.addresses] for host in hosts))
            most = ADDRESSES_TRIED - len(found) - (number == 0 and len(reach.groups) > 1)
            found += [
                Target(host.name, route.port, address, route.tls, None, host.secure)
                for host, address in [pair for column in columns for pair in column if pair][:most]
            ]
            if len(found) >= ADDRESSES_TRIED:
                break
        return found


def _is_mail_host(name: str) -> bool:
    """Not the root, no odd bytes (escaped by then), no address in place of a name."""
    return bool(name) and "\\" not in name and not name.rpartition(".")[2].isdigit()


def _is_missing(answers: Sequence[Answer]) -> bool:
    """Both kinds were asked for, and there is neither."""
    return len(answers) == 2 and all(answer.status in (Status.NODATA, Status.NXDOMAIN) for answer in answers)


def _loops(name: str) -> ResolveFailure:
    return ResolveFailure(True, f"mail for {name!a} loops back to us", 554, "5.4.6")


def is_local_address(address: str) -> bool:
    """Only an address of this machine can be bound to. Some microseconds; nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True
