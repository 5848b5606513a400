"""check_host: may this address send for this domain? (RFC 7208 4 to 6)

Ten terms that ask DNS, two answers without records, ten exchangers, ten reverse names: the limits of 4.6.4 keep a
stranger's record from turning us into a storm of questions. It says what a receiver would say; the explanation (exp=)
is not fetched, because nobody here reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final

from engine.net.answer import WireError, question
from engine.net.dns import Answer, Asker, Kind, Mx, Status
from engine.policy.spf import Address, Facts, Record, SpfError, Term, chosen, expand, is_domain, names_validated, parse

MOST_LOOKUPS: Final = 10
MOST_VOID: Final = 2
MOST_NAMES: Final = 10


class Spf(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIED: Final = {"+": Spf.PASS, "-": Spf.FAIL, "~": Spf.SOFTFAIL, "?": Spf.NEUTRAL}


@dataclass(frozen=True, slots=True)
class SpfResult:
    verdict: Spf
    text: str = ""
    """Why; safe to show."""


class _Trouble(Exception):  # noqa: N818 - DNS did not answer
    pass


async def check_host(asker: Asker, address: Address, domain: str, sender: str, helo: str) -> SpfResult:
    """`sender` is MAIL FROM, local@domain. Names with bytes that our DNS client does not ask for do not exist."""
    address = getattr(address, "ipv4_mapped", None) or address  # RFC 7208 5: mapped ones are IPv4
    local, _, at = sender.rpartition("@")
    facts = Facts(address, f"{local or 'postmaster'}@{at}", helo, domain.lower().removesuffix("."))
    try:
        return await _Check(asker).host(facts)
    except SpfError as error:
        return SpfResult(Spf.PERMERROR, str(error)[:200])
    except _Trouble as error:
        return SpfResult(Spf.TEMPERROR, str(error)[:200])


@dataclass(slots=True)
class _Check:
    """One evaluation with what it has used up."""

    asker: Asker
    lookups: int = 0
    void: int = 0
    validated: dict[str, list[str]] = field(default_factory=dict)

    async def host(self, facts: Facts) -> SpfResult:
        """Raises SpfError, _Trouble."""
        if not is_domain(facts.domain):
            return SpfResult(Spf.NONE, f"{facts.domain[:80]!a} is no domain")
        texts = await self._ask(facts.domain, Kind.TXT, counts=False)
        text = chosen(value for value in texts if isinstance(value, bytes))
        if text is None:
            return SpfResult(Spf.NONE, f"{facts.domain} has no SPF record")
        record = parse(text)
        for term in record.terms:
            if await self._matches(term, facts):
                return SpfResult(_QUALIFIED[term.qualifier], f"{facts.domain}: {term.qualifier}{term.name}")
        return await self._redirected(record, facts)

    async def _redirected(self, record: Record, facts: Facts) -> SpfResult:
        if not record.redirect:
            return SpfResult(Spf.NEUTRAL, f"{facts.domain}: no term fits")
        self._count()
        found = await self.host(replace(facts, domain=(await self._expanded(record.redirect, facts)).lower()))
        if found.verdict is Spf.NONE:
            raise SpfError(f"{facts.domain}: redirect to a domain without a record")
        return found

    async def _matches(self, term: Term, facts: Facts) -> bool:  # noqa: PLR0911 - one return a mechanism
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                assert term.network is not None
                return facts.address in term.network
        self._count()
        domain = await self._expanded(term.domain, facts) if term.domain else facts.domain
        match term.name:
            case "include":
                return await self._included(domain, facts)
            case "a":
                return _within(await self._addresses(domain, facts), term, facts)
            case "mx":
                return await self._is_exchanger(domain, term, facts)
            case "ptr":
                names = await self._names(facts)
                return any(name == domain.lower() or name.endswith("." + domain.lower()) for name in names)
        return bool(await self._ask(domain, Kind.A))  # exists

    async def _included(self, domain: str, facts: Facts) -> bool:
        found = await self.host(replace(facts, domain=domain.lower()))
        if found.verdict is Spf.NONE:
            raise SpfError(f"{facts.domain}: include of {domain[:80]!a}, which has no record")
        return found.verdict is Spf.PASS

    async def _is_exchanger(self, domain: str, term: Term, facts: Facts) -> bool:
        exchangers = [one.host for one in await self._ask(domain, Kind.MX) if isinstance(one, Mx)]
        if len(exchangers) > MOST_NAMES:
            raise SpfError(f"{domain[:80]!a} has more than {MOST_NAMES} exchangers")
        for host in exchangers:
            if host and _within(await self._addresses(host, facts), term, facts):
                return True
        return False

    async def _addresses(self, name: str, facts: Facts) -> list[str]:
        kind = Kind.A if facts.address.version == 4 else Kind.AAAA
        return [value for value in await self._ask(name, kind) if isinstance(value, str)]

    async def _names(self, facts: Facts) -> list[str]:
        """The reverse names that lead back to the address (5.5). DNS trouble there is no trouble."""
        reverse = facts.address.reverse_pointer
        if reverse in self.validated:
            return self.validated[reverse]
        found: list[str] = []
        try:
            names = await self._ask(reverse, Kind.PTR)
        except _Trouble:
            names = ()
        for name in names[:MOST_NAMES]:
            try:
                addresses = await self._addresses(str(name), facts)
            except _Trouble:
                continue
            if str(facts.address) in addresses:
                found.append(str(name).lower())
        self.validated[reverse] = found
        return found

    async def _expanded(self, spec: str, facts: Facts) -> str:
        if names_validated(spec):
            names = await self._names(facts)
            best = [name for name in names if name == facts.domain] or [
                name for name in names if name.endswith("." + facts.domain)
            ]
            facts = replace(facts, validated=next(iter(best + names), "unknown"))
        return expand(spec, facts)

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            raise SpfError(f"more than {MOST_LOOKUPS} terms that ask DNS")

    async def _ask(self, name: str, kind: Kind, *, counts: bool = True) -> tuple[object, ...]:
        """Raises _Trouble, and SpfError when too many answers were empty."""
        answer = await self.asker.query(name, kind) if _is_name(name, kind) else Answer(Status.NXDOMAIN)
        if not answer.status.is_answer:
            raise _Trouble(answer.text or f"{kind.name} of {name[:80]!a}: {answer.status}")
        if not answer.records and counts:
            self.void += 1
            if self.void > MOST_VOID:
                raise SpfError(f"more than {MOST_VOID} questions without an answer")
        return answer.records


def _within(addresses: Iterable[str], term: Term, facts: Facts) -> bool:
    prefix = term.prefix4 if facts.address.version == 4 else term.prefix6
    return any(facts.address in ip_network((ip_address(one), prefix), strict=False) for one in addresses)


def _is_name(name: str, kind: Kind) -> bool:
    """Macros make any text; what cannot be asked does not exist."""
    try:
        question(name, kind)
    except WireError:
        return False
    return True
