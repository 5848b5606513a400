"""Opens a connection for a path: addresses in their order, TLS as DANE, MTA-STS or the limits ask (net/trust.py).

Opportunistic TLS that breaks is remembered for a while, so that not every connection fails first. A required one is
never replaced by plain text (RFC 7672 2.1, RFC 8461 5). A policy in testing is tried first, and nothing depends on it.
What each try came to is counted by whose word it followed, and told to who reports it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engine.flow.path import ONLY_SOURCE, Path
from engine.net.answer import Tlsa
from engine.net.connection import Connection, Timeouts
from engine.net.dane import mismatch
from engine.net.negotiate import Check, Durations, Refused, TlsContexts, open_connection
from engine.net.resolver import ResolveFailure, Resolver, Target, TlsMode
from engine.net.trace import Note
from engine.net.trust import Demand, PolicyKind, Trust, Unfit, names_host
from engine.policy.shaping import Limits
from engine.smtp.event import Phase

ADDRESSES_TRIED = 5
REMEMBER_BROKEN_TLS = 3600.0
MOST_REMEMBERED = 10_000
OUTCOMES = ("verified", "encrypted", "plain", "failed")


@dataclass(frozen=True, slots=True)
class OpeningSettings:
    ehlo_name: str
    source_address: str | None


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one host's TLS."""

    path: Path
    target: Target
    kind: PolicyKind
    outcome: str
    """verified, encrypted, plain or failed."""
    result: str = ""
    """Of a failure, and of plain text that nobody chose: RFC 8460 4.3."""
    text: str = ""
    tlsa: tuple[Tlsa, ...] = ()


class Opening:
    """Implements dispatch.Opener."""

    def __init__(
        self,
        settings: OpeningSettings,
        *,
        resolver: Resolver,
        contexts: TlsContexts,
        clock: Callable[[], float],
        trust: Trust | None = None,
    ) -> None:
        """`clock` in Unix seconds."""
        self._settings = settings
        self._resolver = resolver
        self._contexts = contexts
        self._clock = clock
        self._trust = trust
        self._broken_tls: dict[str, float] = {}
        self._untrusted: dict[str, float] = {}
        """Addresses that failed a policy in testing."""
        self.tls_fallbacks = 0
        self.trace: Callable[[Path], Note | None] = lambda _path: None
        self.durations = Durations()
        self.outcomes = {f"{kind} {outcome}": 0 for kind in PolicyKind for outcome in OUTCOMES}
        self.on_tried: Callable[[Tried], None] = lambda _tried: None

    def use(self, resolver: Resolver, contexts: TlsContexts, trust: Trust | None) -> None:
        """From the next connection on. Sessions are not taken up again over the change, and hosts that failed a policy
        are tried again: other authorities may be trusted now.
        """
        contexts.inherit(self._contexts)
        self._resolver, self._contexts, self._trust = resolver, contexts, trust
        self._untrusted.clear()

    async def __call__(self, path: Path) -> Connection | Refused:
        targets = await self._resolver.targets(path.route)
        if isinstance(targets, ResolveFailure):
            return Refused(Phase.CONNECT, None, targets.text)
        result: Connection | Refused = Refused(Phase.CONNECT, None, "no address to connect to")
        for target in targets[:ADDRESSES_TRIED]:
            demand = await self._demand(target, path)
            if isinstance(demand, Unfit):
                result = Refused(Phase.STARTTLS, None, demand.text, tls_failed=True, tls_result=demand.result)
                self._tell(Tried(path, target, demand.kind, "failed", demand.result, demand.text))
                continue
            result = await self._try(target, path, demand)
            if isinstance(result, Connection) or result.is_local:
                return result
        return result

    async def _demand(self, target: Target, path: Path) -> Demand | Unfit:
        """A route of the operator keeps to its own word."""
        mode = self._mode(target, path.limits)
        if self._trust is None or not path.route.mx:
            return Demand(PolicyKind.LIMITS, mode)
        return await self._trust.demand(target, path.route.standing, mode)

    async def _try(self, target: Target, path: Path, demand: Demand) -> Connection | Refused:
        if demand.kind is PolicyKind.TESTING and self._untrusted.get(target.address, 0.0) <= self._clock():
            result = await self._tested(target, path, demand)
            if isinstance(result, Connection) or not result.tls_failed:
                return result
            # Not as the policy's any more: what is done now is what would have been done without it.
            demand = replace(demand, kind=PolicyKind.LIMITS)
        mode = demand.mode
        if mode.is_required or mode is TlsMode.DISABLED:
            return await self._tried(target, path, demand)
        if self._broken_tls.get(target.address, 0.0) > self._clock():
            return await self._tried(target, path, replace(demand, mode=TlsMode.DISABLED))
        result = await self._tried(target, path, demand)
        if isinstance(result, Connection) or not result.tls_failed:
            return result
        self.tls_fallbacks += 1
        _remember(self._broken_tls, target, self._clock())
        return await self._tried(target, path, replace(demand, mode=TlsMode.DISABLED))

    async def _tested(self, target: Target, path: Path, demand: Demand) -> Connection | Refused:
        """As if the policy were enforced (RFC 8461 5)."""
        standing = path.route.standing
        if standing is not None and not names_host(standing, target.host):
            text = f"MTA-STS (testing): no mx of the policy names {target.host[:80]!a}"
            self._tell(Tried(path, target, demand.kind, "failed", "validation-failure", text))
            result: Connection | Refused = Refused(Phase.STARTTLS, None, text, tls_failed=True)
        else:
            result = await self._tried(target, path, replace(demand, mode=TlsMode.REQUIRED))
        if isinstance(result, Refused) and result.tls_failed:
            _remember(self._untrusted, target, self._clock())
        return result

    async def _tried(self, target: Target, path: Path, demand: Demand) -> Connection | Refused:
        result = await self._open(target, path, demand)
        if isinstance(result, Refused):
            if result.tls_failed:
                text = result.error or (str(result.reply) if result.reply else "")
                self._tell(Tried(path, target, demand.kind, "failed", result.tls_result, text, demand.tlsa))
            return result
        if result.tls:
            is_verified = demand.mode is TlsMode.REQUIRED or bool(demand.tlsa)
            self._tell(Tried(path, target, demand.kind, "verified" if is_verified else "encrypted", tlsa=demand.tlsa))
        else:
            chosen = demand.mode is TlsMode.DISABLED
            self._tell(Tried(path, target, demand.kind, "plain", "" if chosen else "starttls-not-supported"))
        return result

    def _tell(self, tried: Tried) -> None:
        self.outcomes[f"{tried.kind} {tried.outcome}"] += 1
        self.on_tried(tried)

    def _mode(self, target: Target, limits: Limits) -> TlsMode:
        """The route's word and the limits' word: the stricter one."""
        shaped = TlsMode(limits.enable_tls)
        return target.tls if target.tls.is_required or shaped is TlsMode.OPPORTUNISTIC else shaped

    def _check(self, demand: Demand) -> Check | None:
        if not demand.tlsa:
            return None
        now = datetime.fromtimestamp(self._clock(), UTC)
        return lambda chain: mismatch(demand.tlsa, chain, demand.names, now)

    async def _open(self, target: Target, path: Path, demand: Demand) -> Connection | Refused:
        if demand.tlsa:
            # A session taken up again has no chain to look at.
            self._contexts.forget(target, demand.mode)
        result = await self._open_once(target, path, demand)
        if isinstance(result, Refused) and result.tls_failed and self._contexts.forget(target, demand.mode):
            # A session taken up again may be what failed: no reason for plain text, nor for a report.
            return await self._open_once(target, path, demand)
        return result

    async def _open_once(self, target: Target, path: Path, demand: Demand) -> Connection | Refused:
        limits, source = path.limits, path.source
        own = self._settings if source is ONLY_SOURCE else OpeningSettings(source.ehlo_name, source.address or None)
        return await open_connection(
            target,
            ehlo_name=own.ehlo_name,
            tls=demand.mode,
            contexts=self._contexts,
            credentials=target.credentials,
            timeouts=timeouts_of(limits),
            source_address=own.source_address,
            pipelining=limits.enable_pipelining,
            trace=self.trace(path),
            durations=self.durations,
            check=self._check(demand),
        )


def _remember(memory: dict[str, float], target: Target, now: float) -> None:
    if len(memory) >= MOST_REMEMBERED:
        memory.clear()
    memory[target.address] = now + REMEMBER_BROKEN_TLS


def timeouts_of(limits: Limits) -> Timeouts:
    return Timeouts(
        connect=limits.connect_timeout,
        banner=limits.banner_timeout,
        ehlo=limits.ehlo_timeout,
        starttls=limits.starttls_timeout,
        auth=limits.auth_timeout,
        mail_from=limits.mail_from_timeout,
        rcpt_to=limits.rcpt_to_timeout,
        data=limits.data_timeout,
        data_dot=limits.data_dot_timeout,
        rset=limits.rset_timeout,
        quit=limits.rset_timeout,
    )
