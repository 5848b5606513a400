"""Parts of the engine made from its settings: what needs no more than a few lines each, kept out of the wiring.

Nothing here starts anything or keeps anything; engine.py decides what is made, in which order, and who knows whom.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from engine import __version__
from engine.config import Settings
from engine.flow.accept import Accept
from engine.flow.backup import Backups
from engine.flow.law import Law
from engine.flow.records import Desk, Records
from engine.flow.retention import Retention
from engine.flow.senders import ConfiguredSender, confirm_urls
from engine.flow.tokens import TokenRing, open_ring
from engine.flow.validate import Reading
from engine.spool.sqlite import SqliteSpool
from suppression import SenderState, Suppression
from suppression.sent import SentStore

log = logging.getLogger(__name__)

Clock = Callable[[], float]


def make_senders(settings: Settings) -> tuple[TokenRing, dict[str, ConfiguredSender]]:
    """Raises SecretError."""
    ring = open_ring(settings.engine.state)
    for number in ring.missing:
        log.error("key %d of unsubscribe links is missing: links made with it are dead, restore its file", number)
    return ring, {
        name: ConfiguredSender(own.identity, own.legal_name, own.categories, ring.newest, own.lint, own.regions)
        for name, own in settings.senders.items()
    }


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
    for name, sender in settings.senders.items():
        suppression.set_sender(name, SenderState(mail_order=sender.mail_order, regions=sender.regions))
    return Law(suppression, accept.check_sender, clock)


def make_retention(
    settings: Settings, suppression: Suppression, sent: SentStore, spool: SqliteSpool, clock: Clock
) -> Retention:
    folder = settings.suppression.folder
    return Retention(settings.retention, folder, suppression=suppression, sent=sent, queue=spool, clock=clock)


def make_records(
    settings: Settings, suppression: Suppression, accept: Accept, ring: TokenRing, reads: Reading, clock: Clock
) -> Records:
    urls = confirm_urls({name: sender.confirm_url for name, sender in settings.senders.items()})
    return Records(Desk(suppression, accept.check_sender, reads, clock, ring.keys, urls, settings.confirm))
