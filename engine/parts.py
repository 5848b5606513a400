"""Parts of the engine made from its settings: what needs no more than a few lines each, kept out of the wiring.

Nothing here starts anything or keeps anything; engine.py decides what is made, in which order, and who knows whom.
The network is made as one: whom DNS, policies and certificates are asked of belongs together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine import __version__
from engine.config import Settings
from engine.flow.accept import Accept
from engine.flow.backup import Backups
from engine.flow.counts import Counts
from engine.flow.law import Law
from engine.flow.ledger import SuppressionLedger
from engine.flow.opening import Opening, OpeningSettings
from engine.flow.records import Desk, Records
from engine.flow.reportposts import ReportPosts
from engine.flow.retention import Retention
from engine.flow.senders import ConfiguredSender, confirm_urls
from engine.flow.settle import Settle
from engine.flow.tlsreports import TlsReports
from engine.flow.tokens import TokenRing, open_ring
from engine.flow.validate import Reading
from engine.journal import Journal
from engine.mail.envelope import Recipient
from engine.net.dns import DnsClient
from engine.net.fetch import ReportPoster
from engine.net.mx import MxResolver
from engine.net.negotiate import TlsContexts
from engine.net.resolver import Resolver, StaticRoutes
from engine.net.sts import StsPolicies
from engine.net.stsfetch import FetchSettings, PolicyFetcher
from engine.net.tlsrpt import Reporter
from engine.net.trust import Trust, Trusting
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Lane
from engine.spool.sqlite import SqliteSpool
from suppression import SenderState, Suppression
from suppression.parties import Parties, Party
from suppression.sent import SentStore

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Network:
    """From a domain to an open connection."""

    dns: DnsClient
    mx: MxResolver | None
    sts: StsPolicies | None
    resolver: Resolver
    opening: Opening
    contexts: TlsContexts

    async def close(self) -> None:
        if self.sts:
            self.sts.close()
        self.dns.close()


def make_network(settings: Settings, clock: Clock) -> Network:
    """The operator's routes, and DNS with policies for what they do not name. Raises OSError (ssl.SSLError too)."""
    dns = DnsClient(settings.resolver.dns)
    table = StaticRoutes(settings.routes, dns)
    mx = MxResolver(table, dns, settings.resolver.mx) if settings.resolver.mx else None
    contexts = TlsContexts.load(str(settings.tls.ca_file) if settings.tls.ca_file else None)
    sts = _make_sts(settings, dns, contexts, clock) if mx and settings.tls.mta_sts else None
    resolver = Trusting(mx, sts) if mx and sts else mx or table
    own = OpeningSettings(settings.engine.ehlo_name, settings.engine.source_address or None)
    trust = Trust(dns, dane=settings.tls.dane)
    opening = Opening(own, resolver=resolver, contexts=contexts, clock=clock, trust=trust)
    opening.present(route.client for route in settings.routes.values() if route.client)
    return Network(dns, mx, sts, resolver, opening, contexts)


def _make_sts(settings: Settings, dns: DnsClient, contexts: TlsContexts, clock: Clock) -> StsPolicies:
    allowed = settings.resolver.mx.allowed if settings.resolver.mx else ()
    fetch = FetchSettings(settings.tls.fetch_seconds, settings.tls.mta_sts_port, allowed)
    fetcher = PolicyFetcher(dns, lambda: contexts.verified, fetch)
    return StsPolicies(dns, fetcher, settings.engine.state / "sts", clock=clock)


def make_tls_reports(
    settings: Settings, network: Network, accept: Accept, leads: Mapping[str, str], clock: Clock
) -> TlsReports | None:
    """`leads`: path -> whose mail it was last used for."""
    if settings.tlsrpt is None:
        return None
    sender = settings.senders[settings.tlsrpt.sender]
    contact = sender.identity.from_address
    name = settings.tlsrpt.organization or sender.legal_name
    folder = settings.engine.state / "tlsrpt"
    allowed = settings.resolver.mx.allowed if settings.resolver.mx else ()
    poster = ReportPoster(network.dns, lambda: network.contexts.verified, allowed=allowed)
    reports = TlsReports(
        folder,
        settings.tlsrpt.sender,
        Reporter(name, contact, contact.rpartition("@")[2], settings.engine.source_address),
        asker=network.dns,
        sts=network.sts,
        submit=accept.submit,
        domain_of=lambda path: leads.get(path, ""),
        clock=clock,
        posts=ReportPosts(folder, poster, clock=clock),
    )
    network.opening.on_tried = reports.tried
    if network.sts:
        network.sts.on_trouble = reports.policy_failed
    return reports


def make_senders(settings: Settings) -> tuple[TokenRing, dict[str, ConfiguredSender]]:
    """Raises SecretError."""
    ring = open_ring(settings.engine.state)
    for number in ring.missing:
        log.error("key %d of unsubscribe links is missing: links made with it are dead, restore its file", number)
    return ring, configured(settings, ring)


def configured(settings: Settings, ring: TokenRing) -> dict[str, ConfiguredSender]:
    return {
        name: ConfiguredSender(own.identity, own.legal_name, own.categories, ring.newest, own.lint, own.regions)
        for name, own in settings.senders.items()
    }


def parties_of(settings: Settings) -> Parties:
    return Parties({name: Party(sender.client, sender.agency) for name, sender in settings.senders.items()})


def tell_senders(settings: Settings, suppression: Suppression) -> None:
    suppression.parties = parties_of(settings)
    for name, sender in settings.senders.items():
        suppression.set_sender(name, SenderState(mail_order=sender.mail_order, regions=sender.regions))


def make_backups(settings: Settings, spool: SqliteSpool, node: str, clock: Clock) -> Backups:
    return Backups(
        settings.engine.backups,
        settings.engine.state,
        copy_spool=spool.copy,
        ledger=settings.suppression.folder,
        node=node,
        version=__version__,
        clock=clock,
        disk_floor=settings.spool.disk_floor,
    )


def make_law(settings: Settings, suppression: Suppression, accept: Accept, clock: Clock) -> Law:
    tell_senders(settings, suppression)
    if taken := suppression.take_over(suppression.parties):
        log.warning("%d refusals hold for senders of the same client or agency too", taken)
    return Law(suppression, accept.check_sender, clock)


def make_retention(
    settings: Settings, suppression: Suppression, sent: SentStore, spool: SqliteSpool, clock: Clock
) -> Retention:
    folder = settings.suppression.folder
    return Retention(settings.retention, folder, suppression=suppression, sent=sent, queue=spool, clock=clock)


def make_records(
    settings: Settings, suppression: Suppression, accept: Accept, ring: TokenRing, reads: Reading, clock: Clock
) -> Records:
    urls = sign_up_links(settings)
    return Records(Desk(suppression, accept.check_sender, reads, clock, ring.keys, urls, settings.confirm))


def sign_up_links(settings: Settings) -> Callable[[str, str], str]:
    return confirm_urls({name: sender.confirm_url for name, sender in settings.senders.items()})


def make_settle(
    settings: Settings,
    spool: SqliteSpool,
    journal: Journal,
    held: tuple[Timeline[Lane, Cursor], Counts, dict[int, Recipient]],
    ledger: SuppressionLedger,
) -> Settle:
    timeline, counts, roster = held
    return Settle(
        settings.settle,
        spool=spool,
        append=journal.append,
        timeline=timeline,
        counts=counts,
        roster=roster,
        hard_bounce=ledger.hard_bounced,
    )
