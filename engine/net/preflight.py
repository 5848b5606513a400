"""The preflight: everything of a sender that receivers check, asked of DNS before its first mailing.

特定電子メール法 5条 (no false sender information) and what large receivers want of bulk senders: the From domain is
proven by our key in its DNS, has A or MX; SPF, DKIM and DMARC hold; each address that we send from has a reverse name
that leads back; our own host's TLS is in order. All questions go through the engine's DNS client and are bounded by it;
what could not be answered is unknown, never a pass.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.mail.identity import SenderIdentity, cancel_url
from engine.net.address import Network
from engine.net.dns import Asker, Kind
from engine.net.landing import Get, landing
from engine.net.proof import Outlet, Sign, dkim_findings, dmarc_findings, spf_findings
from engine.net.replies import Probe, listed, reply_findings, takes_none
from engine.policy.readiness import Finding, Level, Report, foreign, is_generic, shown, spare
from engine.signer.settings import KeyInfo

MOST_OUTLETS: Final = 64
MOST_REVERSE: Final = 10
TLS_SECONDS: Final = 10.0
EXPIRES_SOON: Final = 14 * 86400.0
NOBODY: Final = "0" * 64
"""In place of a token."""

Greet = Callable[[str, int], Awaitable[float]]
"""Host, port -> Unix time when its certificate, which verified, expires. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Subject:
    identity: SenderIdentity
    keys: tuple[KeyInfo, ...]
    """Of its signing domain."""
    outlets: tuple[Outlet, ...]
    """Of all its pools."""
    advertises: bool = True
    host: tuple[str, int] | None = None
    """Our own, whose TLS is looked at: where the links of unsubscribing lead."""
    is_bulk: bool = True
    """So much a day that large receivers refuse it without DMARC."""
    probes_replies: bool = False
    """Whether `probe` is used."""
    blocklists: tuple[str, ...] = ()
    """DNS zones of addresses that receivers refuse."""
    pools: tuple[tuple[str, ...], ...] = ()
    """The sources of each pool that its mail leaves from. A source that is not in order is taken out where another is
    left; without pools it refuses the sender.
    """

    @property
    def unanswered(self) -> Level:
        """Of a From address that takes no mail: an advertisement's must, so that a reply can be a refusal."""
        return Level.REFUSE if self.advertises else Level.WARN

    @property
    def without_dmarc(self) -> Level:
        return Level.REFUSE if self.is_bulk else Level.WARN

    @property
    def from_domain(self) -> str:
        return self.identity.from_address.rpartition("@")[2].lower()


async def preflight(
    subject: Subject,
    asker: Asker,
    sign: Sign,
    now: float,
    greet: Greet | None = None,
    get: Get | None = None,
    *,
    probe: Probe | None = None,
    allowed: tuple[Network, ...] = (),
) -> Report:
    """`get`: the opt-out page is asked for too, with a link that is nobody's; `allowed`: as `get` has it. `probe`: the
    From address, where the subject wants it. Raises what `sign` raises.
    """
    identity = subject.identity
    envelope, outlets = identity.return_path_domain.lower(), subject.outlets[:MOST_OUTLETS]
    checks: list[Awaitable[Sequence[Finding]]] = [
        _domain(asker, "from", subject.from_domain, outlets, subject.unanswered),
        dkim_findings(asker, identity, subject.keys, sign, now),
        dmarc_findings(asker, identity, subject.without_dmarc),
        spf_findings(asker, "envelope", envelope, outlets, Level.REFUSE),
    ]
    if envelope != subject.from_domain:
        # docomo reads the From domain's SPF, too.
        checks.append(spf_findings(asker, "from", subject.from_domain, outlets, Level.WARN))
        checks.append(_domain(asker, "envelope", envelope, outlets, Level.REFUSE))
    checks += [_outlet(asker, outlet) for outlet in outlets]
    checks += [_listed(asker, outlet, zone) for outlet in outlets for zone in subject.blocklists]
    if subject.probes_replies and probe is not None:
        checks.append(reply_findings(probe, identity.from_address, subject.unanswered))
    if subject.host is not None and greet is not None:
        checks.append(_tls(greet, *subject.host, now))
    if get is not None:
        checks += [_landing(asker, get, url, allowed) for url in opt_outs_of(identity)]
    found = [*_said(subject), *(one for those in await asyncio.gather(*checks) for one in those)]
    return Report(identity.name, now, tuple(dict.fromkeys(spare(found, subject.pools))))


def opt_outs_of(identity: SenderIdentity) -> list[str]:
    """Where its mails say that one opts out, with a token of nobody's."""
    mailbox = f"mailto:{identity.unsubscribe_mailto}" if identity.unsubscribe_mailto else ""
    return [url for url in (cancel_url(identity, NOBODY), mailbox) if url]


async def _landing(asker: Asker, get: Get, url: str, allowed: tuple[Network, ...]) -> list[Finding]:
    return [await landing(asker, get, url, allowed)]


def _said(subject: Subject) -> list[Finding]:
    """What needs no DNS."""
    domain = subject.from_domain
    provider = foreign(domain)
    found = [Finding("from.foreign", Level.REFUSE, domain, provider)] if provider else []
    if not subject.outlets:
        found.append(Finding("source.unknown", Level.WARN, subject.identity.name))
    if subject.advertises and not subject.identity.unsubscribe_url:
        found.append(Finding("unsubscribe.missing", Level.WARN, subject.identity.name))
    return found


async def _domain(asker: Asker, kind: str, domain: str, outlets: Sequence[Outlet], unanswered: Level) -> list[Finding]:
    """A or MX: a domain that takes no mail is no sender's (docomo refuses such a From, others such an envelope).
    `unanswered`: of one that exists and takes no mail.
    """
    kinds = (Kind.MX, Kind.A, Kind.AAAA)
    answers = await asyncio.gather(*(asker.query(domain, one) for one in kinds))
    there = [one.name for one, answer in zip(kinds, answers, strict=True) if answer.records]
    silent = await takes_none(asker, kind, domain, answers[0], unanswered)
    if silent:
        return silent
    if there:
        return [Finding(f"{kind}.records", Level.OK, domain, ", ".join(there))]
    failed = [answer for answer in answers if not answer.status.is_answer]
    if failed:
        return [Finding("dns.failed", Level.UNKNOWN, domain, shown(failed[0].text or failed[0].status))]
    host = outlets[0].helo if outlets else f"mail.{domain}"
    return [
        Finding(f"{kind}.no_records", Level.REFUSE, domain, str(answers[0].status), (f"{domain}. IN MX 10 {host}.",))
    ]


async def _listed(asker: Asker, outlet: Outlet, zone: str) -> list[Finding]:
    return [replace(one, source=outlet.source) for one in await listed(asker, outlet.address, zone)]


async def _outlet(asker: Asker, outlet: Outlet) -> list[Finding]:
    return [replace(one, source=outlet.source) for one in await _names(asker, outlet)]


async def _names(asker: Asker, outlet: Outlet) -> list[Finding]:
    """Reverse name, forward again (FCrDNS), and the greeting."""
    address, text = outlet.address, str(outlet.address)
    kind = Kind.A if address.version == 4 else Kind.AAAA
    pointer = f"{address.reverse_pointer}. IN PTR {outlet.helo}."
    forward = f"{outlet.helo}. IN {kind.name} {text}"
    reverse = await asker.query(address.reverse_pointer, Kind.PTR)
    if not reverse.status.is_answer:
        return [Finding("dns.failed", Level.UNKNOWN, f"{text} PTR", shown(reverse.text or reverse.status))]
    names = [str(name) for name in reverse.records[:MOST_REVERSE]]
    if not names:
        return [Finding("ptr.missing", Level.REFUSE, text, str(reverse.status), (pointer, forward))]
    forwards = await asyncio.gather(*(asker.query(name, kind) for name in names))
    confirmed = [name for name, answer in zip(names, forwards, strict=True) if text in answer.records]
    if not confirmed:
        failed = [answer for answer in forwards if not answer.status.is_answer]
        if failed:
            return [Finding("dns.failed", Level.UNKNOWN, names[0], shown(failed[0].text or failed[0].status))]
        return [Finding("ptr.unconfirmed", Level.REFUSE, text, names[0], (f"{names[0]}. IN {kind.name} {text}",))]
    found = [Finding("ptr.confirmed", Level.OK, text, confirmed[0])]
    if all(is_generic(name, address) for name in confirmed):
        found.append(Finding("ptr.generic", Level.WARN, text, confirmed[0], (pointer, forward)))
    if outlet.helo.lower() not in confirmed:
        found.append(Finding("helo.differs", Level.REFUSE, text, f"{outlet.helo}, {confirmed[0]}", (pointer, forward)))
    return found


async def _tls(greet: Greet, host: str, port: int, now: float) -> list[Finding]:
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(TLS_SECONDS):
            expires = await greet(host, port)
    except ssl.SSLError as error:
        return [Finding("tls.refused", Level.WARN, place, shown(error))]
    except (OSError, TimeoutError) as error:
        return [Finding("tls.unreachable", Level.WARN, place, shown(error) or "no answer in time")]
    if expires - now < EXPIRES_SOON:
        return [Finding("tls.expires", Level.WARN, place, f"in {max(0, int((expires - now) // 86400))} days")]
    return [Finding("tls.in_order", Level.OK, place)]


async def greet_https(host: str, port: int) -> float:
    """A handshake with the system's certificates, nothing more. Raises OSError (ssl.SSLError is one)."""
    context = ssl.create_default_context()
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        certificate = writer.get_extra_info("peercert") or {}
        return float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))
    finally:
        writer.transport.abort()
