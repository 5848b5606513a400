"""The guards, put together from the configuration: what watches mailings, and what checks senders before the first.

Beside engine.py, which starts them. What a preflight looks at follows from the sender's settings and the sources.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from engine.config import Settings
from engine.flow.dispatch import Dispatch
from engine.flow.fitness import Fitness
from engine.flow.guarding import Guarding
from engine.flow.lastsent import UNNOTED
from engine.flow.ledger import SuppressionLedger
from engine.flow.promote import Promote
from engine.mail.envelope import Batch
from engine.net.dns import DnsClient
from engine.net.fetch import Fetch
from engine.net.mx import MxResolver
from engine.net.preflight import Subject, greet_https, preflight
from engine.net.proof import Outlet
from engine.net.replies import Probe, Replies
from engine.net.resolver import StaticRoutes
from engine.policy.readiness import Report
from engine.secret import secret_at
from engine.signer.client import SignerClient
from engine.signer.settings import KeyInfo
from engine.spool.port import Spool
from suppression import SenderState, Suppression
from suppression.newcomers import newcomers
from suppression.sent import SentStore


@dataclass(frozen=True, slots=True)
class Guards:
    """Both, for the engine."""

    guarding: Guarding
    fitness: Fitness
    looked_at: LookedAt
    promote: Promote

    def adopt(self, settings: Settings, signer: SignerClient) -> None:
        """After a reload, and after suppression was told of its senders."""
        self.guarding.adopt(settings.guard)
        self.promote.screen = self.guarding.screen if self.guarding.has_canary else None
        self.looked_at.adopt(settings, signer)
        self.fitness.adopt(settings.preflight, self.looked_at.fingerprints())


class LookedAt:
    """What the preflight looks at: the configuration's senders and the keys that sign for them now."""

    def __init__(self, settings: Settings, signer: SignerClient) -> None:
        self.adopt(settings, signer)

    def adopt(self, settings: Settings, signer: SignerClient) -> None:
        self.settings, self.signer = settings, signer
        self.subjects = {
            name: subject_of(settings, name, signer.keys.get(sender.identity.domain, ()))
            for name, sender in settings.senders.items()
        }

    def fingerprints(self) -> dict[str, str]:
        """A relay for all mail shows its own address and name, not ours: there nothing is looked at unless enforced."""
        is_relayed = "*" in self.settings.routes or self.settings.resolver.mx is None
        if is_relayed and self.settings.preflight.mode != "enforce":
            return {}
        return {name: fingerprint(subject) for name, subject in self.subjects.items()}


def subject_of(settings: Settings, name: str, keys: Sequence[KeyInfo]) -> Subject:
    sender = settings.senders[name]
    link = urlsplit(sender.identity.unsubscribe_url.replace("{token}", "t"))
    host = (link.hostname, link.port or 443) if link.hostname else None
    wanted = settings.preflight
    return Subject(
        sender.identity,
        tuple(keys),
        outlets_of(settings, name),
        bool(sender.categories - UNNOTED),
        host,
        is_bulk=wanted.bulk,
        probes_replies=wanted.reply_probe,
        blocklists=wanted.blocklists,
        pools=pools_of(settings, name),
    )


def probing(settings: Settings, dns: DnsClient) -> Probe:
    """Asks the From domain's own servers, found by MX as for any mail."""
    table = StaticRoutes({}, dns)
    return Replies(MxResolver(table, dns, settings.resolver.mx), settings.engine.ehlo_name).probe


def pools_of(settings: Settings, sender: str) -> tuple[tuple[str, ...], ...]:
    """The sources of each pool that the sender's mail leaves from."""
    own = settings.senders[sender]
    pools = (settings.pools.get(name) for name in dict.fromkeys((own.pool, own.pool_transactional or own.pool)))
    return tuple(tuple(pool.weights if pool else settings.sources) for pool in pools)


def outlets_of(settings: Settings, sender: str) -> tuple[Outlet, ...]:
    """preflight.addresses, else those of the sender's sources that the internet can see. An address that is a source's
    own knows its name.
    """
    named = {source.address: name for name, source in settings.sources.items() if source.address}
    said = [entry.partition(" ")[::2] for entry in settings.preflight.addresses]
    if said:
        return tuple(
            Outlet(ipaddress.ip_address(address), host.strip() or settings.engine.ehlo_name, named.get(address, ""))
            for address, host in said
        )
    names = dict.fromkeys(name for pool in pools_of(settings, sender) for name in pool)
    sources = [settings.sources[name] for name in names if settings.sources[name].address]
    found = [Outlet(ipaddress.ip_address(source.address), source.ehlo_name, source.name) for source in sources]
    return tuple(outlet for outlet in found if outlet.address.is_global)


def fingerprint(subject: Subject) -> str:
    """Changes with whatever was checked."""
    told = json.dumps(asdict(subject), default=str, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def open_guarding(
    settings: Settings, dispatch: Dispatch, promote: Promote, ledger: SuppressionLedger, sent: SentStore,
    spool: Spool, clock: Callable[[], float],
) -> Guarding:  # fmt: skip
    async def accepted(batch: Batch) -> int:
        return sum(one.accepted for one in await spool.totals(batch.sender, batch.mailing))

    guarding = Guarding(
        settings.guard,
        dispatch.steering,
        lambda sender, identities: asyncio.to_thread(newcomers, sent, sender, identities),
        file=settings.engine.state / "guards.json",
        provider_of=lambda domain: dispatch.ways.facts(domain).provider,
        put_back=dispatch.put_back,
        accepted=accepted,
        secret=secret_at(settings.engine.state / "verp.secret"),
        clock=clock,
    )
    dispatch.guard = guarding
    ledger.on_event = guarding.told
    if guarding.has_canary:
        promote.screen = guarding.screen
    return guarding


def open_fitness(
    settings: Settings, dispatch: Dispatch, suppression: Suppression, signer: SignerClient, dns: DnsClient,
    clock: Callable[[], float],
) -> tuple[Fitness, LookedAt]:  # fmt: skip
    looked_at = LookedAt(settings, signer)

    async def sign(key: KeyInfo, digest: bytes) -> bytes:
        return (await looked_at.signer.sign([(key.index, digest)]))[0]

    async def check(name: str) -> Report:
        subject, probe = looked_at.subjects[name], probing(looked_at.settings, dns)
        mx = looked_at.settings.resolver.mx
        allowed = mx.allowed if mx else ()
        # What is no advertisement owes no opt-out (4条).
        get = Fetch(dns, allowed=allowed) if subject.advertises else None
        return await preflight(subject, dns, sign, clock(), greet_https, get, probe=probe, allowed=allowed)

    def establish(name: str, identity: str) -> None:
        sender = looked_at.settings.senders[name]
        suppression.set_sender(name, SenderState(identity, sender.mail_order, sender.regions))

    fitness = Fitness(
        settings.preflight,
        looked_at.fingerprints(),
        check,
        steering=dispatch.steering,
        establish=establish,
        take_out=dispatch.ways.take_out,
        file=settings.engine.state / "preflight.json",
        clock=clock,
    )
    fitness.begin()
    return fitness, looked_at


def open_guards(
    settings: Settings, sending: tuple[Dispatch, Promote, SignerClient, DnsClient], ledger: SuppressionLedger,
    suppression: Suppression, stores: tuple[SentStore, Spool], clock: Callable[[], float],
) -> Guards:  # fmt: skip
    dispatch, promote, signer, dns = sending
    guarding = open_guarding(settings, dispatch, promote, ledger, *stores, clock)
    return Guards(guarding, *open_fitness(settings, dispatch, suppression, signer, dns, clock), promote)
