"""What TLS a connection must have, decided before it is opened: DANE, then MTA-STS, then what the site's limits say.

RFC 7672 (DANE), RFC 8461 (MTA-STS), RFC 8460 4.3 (the words for results). `Trusting` stands before the resolver and
gives each domain under MTA-STS a route that carries its policy, so that it has a path of its own to its site; TLSA
records speak of hosts and need none. A host whose records cannot be told is not connected to. It opens nothing and
never chooses plain text: that is left to the limits where no policy speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from engine.net.answer import Tlsa
from engine.net.dane import usable
from engine.net.dns import Answer, Asker, Kind, Status
from engine.net.resolver import ResolveFailure, Resolver, Route, Standing, Target, TlsMode
from engine.net.sts import Mode, Policy, StsPolicies

MOST_ROUTES: Final = 20_000


class PolicyKind(StrEnum):
    """Whose word a connection followed; a label of the metrics."""

    DANE = "dane"
    STS = "mta_sts"
    TESTING = "mta_sts_testing"
    LIMITS = "limits"
    """Shaping's enable_tls or a route's tls."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a connection has to be."""

    kind: PolicyKind
    mode: TlsMode
    tlsa: tuple[Tlsa, ...] = ()
    """The certificates must be what these say, beside what the mode asks."""
    names: tuple[str, ...] = ()
    """Whom a certificate may be for, with DANE-TA."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A host that is not to be connected to now."""

    kind: PolicyKind
    result: str
    """RFC 8460 4.3."""
    text: str


class SignedResolver(Resolver, Protocol):
    def is_signed(self, domain: str) -> bool:
        """DNSSEC vouches for the domain's MX records as they are in memory."""
        ...


class Trusting:
    """Implements Resolver: `inner` with MTA-STS, where the configuration wants it."""

    def __init__(self, inner: SignedResolver, sts: StsPolicies) -> None:
        self._inner = inner
        self._sts = sts
        self._routes: dict[tuple[Route, Standing], Route] = {}

    def route(self, domain: str) -> Route | ResolveFailure | None:
        found = self._inner.route(domain)
        kept = self._sts.of(domain) if isinstance(found, Route) and found.mx else None
        if not isinstance(found, Route) or kept is None or kept.policy.mode is Mode.NONE:
            return found
        policy = kept.policy
        standing = Standing(policy.mode is Mode.ENFORCE, policy.mx, self._inner.is_signed(domain))
        key = found, standing
        known = self._routes.get(key)
        if known is None:
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            known = self._routes[key] = replace(found, standing=standing)
        return known

    async def look_up(self, domain: str) -> None:
        """The policy first: a route that is known is used at once."""
        if not isinstance(self._inner.route(domain), Route):
            await self._sts.look_up(domain)
        await self._inner.look_up(domain)

    async def targets(self, route: Route) -> list[Target] | ResolveFailure:
        return await self._inner.targets(replace(route, standing=None) if route.standing else route)


class Trust:
    """Asked for each host before it is connected to."""

    def __init__(self, asker: Asker, *, dane: bool) -> None:
        self._asker = asker
        self._dane = dane

    async def demand(self, target: Target, standing: Standing | None, limits: TlsMode) -> Demand | Unfit:
        """`limits`: the word of route and shaping, which counts where no policy speaks and may ask for more."""
        found = await self._tlsa(target) if self._dane and target.secure else None
        if isinstance(found, Unfit):
            return found
        dane = found if found and found.tlsa else None
        if standing is not None and standing.enforce and not (dane and standing.signed):
            return _enforced(target.host, standing, dane)
        if dane:
            return dane
        mode = stricter(limits, found.mode) if found else limits
        if standing is not None and not standing.enforce and limits not in (TlsMode.REQUIRED, TlsMode.DISABLED):
            return Demand(PolicyKind.TESTING, mode)
        return Demand(PolicyKind.DANE if found else PolicyKind.LIMITS, mode)

    async def _tlsa(self, target: Target) -> Demand | Unfit | None:
        """None: the host has no TLSA records, or none that DNSSEC vouches for."""
        for base in await self._bases(target.host):
            answer = await self._asker.query(f"_{target.port}._tcp.{base}", Kind.TLSA)
            if not answer.status.is_answer:
                return Unfit(PolicyKind.DANE, _why(answer), f"DANE: {answer.text}")
            if answer.status is Status.NOERROR and answer.secure:
                # Records of which none is usable still demand TLS, with whatever certificate (RFC 7672 2.2).
                return Demand(
                    PolicyKind.DANE,
                    TlsMode.REQUIRED_INSECURE,
                    usable(answer.records),
                    tuple(dict.fromkeys((base, target.host))),
                )
        return None

    async def _bases(self, host: str) -> tuple[str, ...]:
        """Where the records may stand: at the end of the host's aliases first (RFC 7672 2.2.2)."""
        answer = await self._asker.query(host, Kind.A)
        return (answer.name, host) if answer.secure and answer.name not in ("", host) else (host,)


def _enforced(host: str, standing: Standing, dane: Demand | None) -> Demand | Unfit:
    """`dane`: without DNSSEC for the MX records it says that the host is itself, and not that it is the domain's; so
    it is asked for beside the policy (RFC 8461 2).
    """
    if not names_host(standing, host):
        text = f"MTA-STS: no mx of the policy ({', '.join(standing.mx)[:120]}) names {host[:80]!a}"
        return Unfit(PolicyKind.STS, "validation-failure", text)
    return Demand(PolicyKind.STS, TlsMode.REQUIRED, dane.tlsa if dane else (), dane.names if dane else ())


def names_host(standing: Standing, host: str) -> bool:
    return Policy(Mode.ENFORCE, standing.mx, 0).names(host)


def stricter(limits: TlsMode, policy: TlsMode) -> TlsMode:
    return limits if limits.is_required else policy


def _why(answer: Answer) -> str:
    return "dnssec-invalid" if answer.status is Status.BOGUS else "tlsa-invalid"
