"""Parts of the engine made from its settings: what needs no more than a few lines each, kept out of the wiring.

Nothing here starts anything or keeps anything; engine.py decides what is made, in which order, and who knows whom.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from engine import __version__
from engine.config import Settings
from engine.flow.accept import Accept
from engine.flow.backup import Backups
from engine.flow.counts import Counts
from engine.flow.law import Law
from engine.flow.ledger import SuppressionLedger
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
from engine.net.fetch import ReportPoster
from engine.net.tlsrpt import Reporter
from engine.network import Network
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Lane
from engine.spool.sqlite import SqliteSpool
from suppression import SenderState, Suppression
from suppression.parties import Parties, Party
from suppression.sent import SentStore

log = logging.getLogger(__name__)

Clock = Callable[[], float]


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
        submit=partial(accept.submit, to_roles=True),  # rua is where the domain wants its reports
        domain_of=lambda path: leads.get(path, ""),
        clock=clock,
        posts=ReportPosts(folder, poster, clock=clock),
    )
    network.opening.on_tried = reports.tried
    tell_policies(network, reports)
    return reports


def tell_policies(network: Network, reports: TlsReports) -> None:
    """Also when a reload has brought MTA-STS."""
    reports.sts = network.sts
    if network.sts:
        network.sts.on_trouble = reports.policy_failed


def make_senders(settings: Settings) -> tuple[TokenRing, dict[str, ConfiguredSender]]:
    """Raises SecretError."""
    ring = open_ring(settings.engine.state)
    for number in ring.missing:
        log.error("key %d of unsubscribe links is missing: links made with it are dead, restore its file", number)
    return ring, configured(settings, ring)


def configured(settings: Settings, ring: TokenRing) -> dict[str, ConfiguredSender]:
    return {
        name: ConfiguredSender(
            own.identity, own.legal_name, own.categories, ring.newest, own.lint, own.regions, own.selling
        )
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
