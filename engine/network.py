"""The network as one: whom DNS, policies and certificates are asked of belongs together, and changes together.

Made from the settings at the start, and put under other ones by a reload: what is on the wire keeps what it has, the
next question, policy and connection go by the new word. Parts that a configuration turns off are kept, because their
counters never go back and work of theirs may be under way; what is not asked any more costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.config import Settings
from engine.flow.opening import Opening, OpeningSettings
from engine.net.dns import DnsClient
from engine.net.mx import MxResolver
from engine.net.negotiate import TlsContexts
from engine.net.resolver import Resolver, StaticRoutes
from engine.net.sts import StsPolicies
from engine.net.stsfetch import FetchSettings, PolicyFetcher
from engine.net.trust import Trust, Trusting

Clock = Callable[[], float]


@dataclass(slots=True)
class Network:
    """From a domain to an open connection."""

    dns: DnsClient
    mx: MxResolver | None
    sts: StsPolicies | None
    resolver: Resolver
    opening: Opening
    contexts: TlsContexts
    clock: Clock

    def adopt(self, old: Settings, new: Settings, contexts: TlsContexts) -> None:
        """Nothing is awaited here."""
        before, after = old.resolver.dns, new.resolver.dns
        self.dns.adopt(after)
        table = StaticRoutes(new.routes, self.dns)
        if self.mx:
            self.mx.use(table, new.resolver.mx, forget=before.trust_ad != after.trust_ad)
            if before != after:
                self.mx.forget_failures()
        elif new.resolver.mx:
            self.mx = MxResolver(table, self.dns, new.resolver.mx)
        if self.sts:
            self.sts.use(_fetcher(new, self.dns, contexts))
        elif new.resolver.mx and new.tls.mta_sts:
            self.sts = _make_sts(new, self.dns, contexts, self.clock)
        self.resolver = _resolver(new, table, self.mx, self.sts)
        self.opening.use(self.resolver, contexts, Trust(self.dns, dane=new.tls.dane))
        self.contexts = contexts

    async def close(self) -> None:
        if self.sts:
            self.sts.close()
        self.dns.close()


def make_network(settings: Settings, clock: Clock) -> Network:
    """The operator's routes, and DNS with policies for what they do not name. Raises OSError (ssl.SSLError too)."""
    dns = DnsClient(settings.resolver.dns)
    table = StaticRoutes(settings.routes, dns)
    mx = MxResolver(table, dns, settings.resolver.mx) if settings.resolver.mx else None
    contexts = load_contexts(settings)
    sts = _make_sts(settings, dns, contexts, clock) if mx and settings.tls.mta_sts else None
    resolver = _resolver(settings, table, mx, sts)
    own = OpeningSettings(settings.engine.ehlo_name, settings.engine.source_address or None)
    trust = Trust(dns, dane=settings.tls.dane)
    opening = Opening(own, resolver=resolver, contexts=contexts, clock=clock, trust=trust)
    return Network(dns, mx, sts, resolver, opening, contexts, clock)


def load_contexts(settings: Settings) -> TlsContexts:
    """The authorities, and our certificates for smart hosts. Tens of milliseconds for each. Raises OSError
    (ssl.SSLError too).
    """
    contexts = TlsContexts.load(str(settings.tls.ca_file) if settings.tls.ca_file else None)
    for client in {route.client for route in settings.routes.values() if route.client}:
        contexts.add_client(client)
    return contexts


def _resolver(settings: Settings, table: StaticRoutes, mx: MxResolver | None, sts: StsPolicies | None) -> Resolver:
    """`mx` and `sts` may be there from an earlier configuration."""
    if mx is None or settings.resolver.mx is None:
        return table
    return Trusting(mx, sts) if sts and settings.tls.mta_sts else mx


def _fetcher(settings: Settings, dns: DnsClient, contexts: TlsContexts) -> PolicyFetcher:
    allowed = settings.resolver.mx.allowed if settings.resolver.mx else ()
    fetch = FetchSettings(settings.tls.fetch_seconds, settings.tls.mta_sts_port, allowed)
    return PolicyFetcher(dns, lambda: contexts.verified, fetch)


def _make_sts(settings: Settings, dns: DnsClient, contexts: TlsContexts, clock: Clock) -> StsPolicies:
    """Reads the folder: some microseconds a policy."""
    return StsPolicies(dns, _fetcher(settings, dns, contexts), settings.engine.state / "sts", clock=clock)
