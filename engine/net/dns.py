"""The DNS client of the engine: cached, bounded questions to the configured resolvers. The home of dnspython.

RFC 1035 7, RFC 2308 (negative answers for as long as their SOA says), RFC 4035 3.2.3 (AD is believed only from a
resolver that the operator trusts), RFC 8914 (why a resolver failed). Every answer is a value, the failures too: they
name the server and the reason, escaped and cut. It does not recurse and does not validate: that is the resolver's
work. Nothing of dnspython or of the wire leaves this file.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import dns.exception
import dns.resolver

from engine.buckets import Buckets
from engine.net.answer import MAX_CHAIN, Kind, Mx, Response, Tlsa, Value, WireError, query, question, read_response
from engine.net.nameserver import Nameserver

__all__ = ["Answer", "Asker", "DnsClient", "DnsSettings", "Kind", "Mx", "Status", "Tlsa", "Value"]

MIN_TTL: Final = 5.0
MAX_TTL: Final = 3600.0
MAX_NEGATIVE_TTL: Final = 3600.0
"""RFC 2308 5 advises one to three hours at most."""
FAILURE_TTL: Final = 30.0
"""Seconds for which a failed question is not repeated (RFC 2308 7: at most five minutes)."""
ATTEMPTS: Final = 3
"""Questions for one answer, at least; each server is asked once in any case."""
SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Status(StrEnum):
    NOERROR = "noerror"
    NODATA = "nodata"
    """The name exists, without records of this type."""
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    BOGUS = "bogus"
    """The resolver says that DNSSEC proves it wrong."""
    REFUSED = "refused"
    """Any other rcode."""
    TIMEOUT = "timeout"
    """No server answered."""
    MALFORMED = "malformed"
    """What came is no answer, or the name none for DNS."""
    LOOP = "loop"
    """More CNAMEs than we follow."""

    @property
    def is_answer(self) -> bool:
        """Somebody who knows said so; anything else is to be asked again."""
        return self in (Status.NOERROR, Status.NODATA, Status.NXDOMAIN)


class Answer(NamedTuple):
    status: Status
    records: tuple[Value, ...] = ()
    """Filled with NOERROR only: str for A, AAAA, CNAME, NS, PTR; Mx; Tlsa; bytes for TXT."""
    ttl: float = 0.0
    """Seconds that it holds from when it was asked, bounded."""
    secure: bool = False
    """Validated by a resolver that we trust (trust_ad)."""
    name: str = ""
    """Where the CNAMEs led."""
    text: str = ""
    """Why there is no answer; safe to log."""


class Asker(Protocol):
    """What the others of this floor need of DnsClient."""

    async def query(self, name: str, kind: Kind) -> Answer: ...

    async def ask(self, name: str, kind: Kind) -> Answer:
        """Without the cache: for who remembers himself."""
        ...


@dataclass(frozen=True, slots=True)
class DnsSettings:
    servers: tuple[tuple[str, int], ...] = ()
    """Address and port; none: as /etc/resolv.conf says."""
    trust_ad: bool = False
    timeout: float = 3.0
    """Seconds for one question to one server."""
    deadline: float = 10.0
    """Seconds for an answer, with all repetitions."""
    concurrent: int = 500
    """Questions under way at once."""
    cache_entries: int = 20_000


@dataclass(slots=True)
class DnsCounts:
    queries: int = 0
    """Asked of servers, repetitions too."""
    cache_hits: int = 0
    under_way: int = 0
    failures: dict[str, int] = field(default_factory=lambda: {str(s): 0 for s in Status if not s.is_answer})
    seconds: Buckets = field(default_factory=lambda: Buckets(SECONDS))


class DnsClient:
    def __init__(self, settings: DnsSettings | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings or DnsSettings()
        self._clock = clock
        self._servers: Sequence[Nameserver] = [Nameserver(*place) for place in self._settings.servers]
        self._first = 0
        """The server that answered last: a dead one is not waited for each time."""
        self._cache: OrderedDict[tuple[str, Kind], tuple[Answer, float]] = OrderedDict()
        self._running: dict[tuple[str, Kind], asyncio.Task[Answer]] = {}
        self._places = asyncio.Semaphore(self._settings.concurrent)
        self._retired: list[Nameserver] = []
        self._retired_strays = 0
        self.counts = DnsCounts()

    def adopt(self, settings: DnsSettings) -> None:
        """From the next question on; what is under way is answered by whom it was asked of. Answers of other servers,
        or believed on other terms, are forgotten. Without servers, /etc/resolv.conf is read again.
        """
        old, self._settings = self._settings, settings
        if settings.concurrent != old.concurrent:
            self._places = asyncio.Semaphore(settings.concurrent)
        if settings.servers != old.servers or not settings.servers:
            self._retire(self._servers)
            self._servers = [Nameserver(*place) for place in settings.servers]
            self._first = 0
        if (settings.servers, settings.trust_ad) != (old.servers, old.trust_ad):
            self._cache.clear()

    def _retire(self, servers: Sequence[Nameserver]) -> None:
        for server in self._retired:
            server.close()
        for server in servers:
            server.retire()
            self._retired_strays += server.strays
        self._retired = list(servers)

    async def query(self, name: str, kind: Kind) -> Answer:
        """`name` without the dot at its end. Cancellation of one caller does not stop the question for the others."""
        key = name.lower(), kind
        known = self._cache.get(key)
        if known is not None and known[1] > self._clock():
            self.counts.cache_hits += 1
            self._cache.move_to_end(key)
            return known[0]
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(self._kept(key))
            running.add_done_callback(lambda _: self._running.pop(key))
        return await asyncio.shield(running)

    def forget(self, name: str, kind: Kind) -> None:
        """The next query asks again, as when a policy says that an answer is stale."""
        self._cache.pop((name.lower(), kind), None)

    @property
    def strays(self) -> int:
        return self._retired_strays + sum(server.strays for server in self._servers)

    def close(self) -> None:
        for running in self._running.values():
            running.cancel()
        for server in (*self._servers, *self._retired):
            server.close()

    async def _kept(self, key: tuple[str, Kind]) -> Answer:
        asked_as = self._settings
        answer = await self.ask(*key)
        if self._settings is not asked_as:
            return answer  # of another configuration: good for who waits, and not kept
        cache = self._cache
        cache[key] = answer, self._clock() + answer.ttl
        cache.move_to_end(key)
        while len(cache) > self._settings.cache_entries:
            cache.popitem(last=False)
        return answer

    async def ask(self, name: str, kind: Kind) -> Answer:
        """Neither from the cache nor into it; the bounds hold. Cancellation ends the question."""
        counts, clock, places = self.counts, self._clock, self._places
        await places.acquire()
        began = clock()
        counts.under_way += 1
        try:
            answer, aliases = await self._asked(name, kind, began + self._settings.deadline)
            if aliases:
                answer = await self._followed(name, kind, answer, aliases, began + self._settings.deadline)
        finally:
            counts.under_way -= 1
            places.release()
        counts.seconds.observe(clock() - began)
        if not answer.status.is_answer:
            counts.failures[answer.status] += 1
        return answer

    async def _followed(self, name: str, kind: Kind, answer: Answer, aliases: int, end: float) -> Answer:
        """Also where the server leaves the end of a chain of aliases to us."""
        first, ttl, secure, more = name, answer.ttl, answer.secure, aliases
        while aliases <= MAX_CHAIN and answer.status is Status.NODATA and more and answer.name != name:
            name = answer.name
            answer, more = await self._asked(name, kind, end)
            aliases, secure = aliases + more, secure and answer.secure
            if answer.status.is_answer or more:
                ttl = min(ttl, answer.ttl)
        if aliases > MAX_CHAIN:
            return _failed(Status.LOOP, f"more than {MAX_CHAIN} CNAMEs from {first[:80]!a}")
        return answer._replace(ttl=ttl, secure=secure) if answer.status.is_answer else answer

    async def _asked(self, name: str, kind: Kind, end: float) -> tuple[Answer, int]:
        """The answer of the first server that has one, and how many aliases are in it."""
        name = name.lower()
        try:
            asked = question(name, kind)
        except WireError as error:
            return _failed(Status.MALFORMED, str(error)), 0
        servers = self._servers or self._known_servers()
        worst: Answer | None = None
        useless: set[int] = set()
        for attempt in range(max(ATTEMPTS, len(servers))):
            place = (self._first + attempt) % len(servers) if servers else 0
            left = min(self._settings.timeout, end - self._clock())
            if left <= 0.0 or not servers or place in useless:
                break
            found = await self._exchanged(servers[place], name, asked, left)
            if isinstance(found, Response):
                answer = self._answer_of(found, kind, name, servers[place])
                if answer.status.is_answer or answer.status is Status.BOGUS:
                    self._first = place
                    return answer, found.aliases
                useless.add(place)
                worst = answer
            else:
                worst = _failed(found[0], f"{kind.name} of {name[:80]!a}: {found[1]}")
        return worst or _failed(Status.TIMEOUT, "no server was asked: no time left"), 0

    def _known_servers(self) -> Sequence[Nameserver]:
        if not self._servers:
            try:
                system = dns.resolver.Resolver()
            except (dns.exception.DNSException, OSError):
                return ()
            self._servers = [Nameserver(str(address), system.port) for address in system.nameservers]
        return self._servers

    async def _exchanged(
        self, server: Nameserver, name: str, asked: bytes, seconds: float, *, edns: bool = True
    ) -> Response | tuple[Status, str]:
        counts = self.counts
        message = query(0, asked, edns=edns, dnssec=self._settings.trust_ad)[2:]
        counts.queries += 1
        wire = await server.ask(asked, message, seconds)
        if isinstance(wire, bytes) and wire[2] & 2:
            counts.queries += 1
            wire = await server.ask_by_tcp(asked, message, seconds)
        if isinstance(wire, str):
            return Status.TIMEOUT, wire
        try:
            found = read_response(wire, asked, name)
        except WireError as error:
            return Status.MALFORMED, f"{server}: not a DNS message: {error}"
        if found.rcode == 1 and edns:
            # FORMERR: a server from before 1999 knows no EDNS (RFC 6891 7).
            return await self._exchanged(server, name, asked, seconds, edns=False)
        return found

    def _answer_of(self, response: Response, kind: Kind, name: str, server: Nameserver) -> Answer:
        secure = response.authentic and self._settings.trust_ad
        if response.rcode in (0, 3):
            status = Status.NXDOMAIN if response.rcode else Status.NOERROR if response.values else Status.NODATA
            longest = MAX_TTL if status is Status.NOERROR else MAX_NEGATIVE_TTL
            ttl = min(max(float(response.ttl), MIN_TTL), longest) if response.ttl >= 0 else FAILURE_TTL
            values = response.values if status is Status.NOERROR else ()
            return Answer(status, values, ttl, secure, response.name)
        where = f"{kind.name} of {name[:80]!a}: {server}"
        if response.bogus:
            return _failed(Status.BOGUS, f"{where}: DNSSEC does not hold")
        if response.rcode == 2:
            return _failed(Status.SERVFAIL, f"{where}: SERVFAIL")
        return _failed(Status.REFUSED, f"{where}: rcode {response.rcode}")


def _failed(status: Status, text: str) -> Answer:
    return Answer(status, ttl=FAILURE_TTL, text=ascii(text)[1:-1][:200])
