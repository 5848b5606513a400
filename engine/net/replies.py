"""Does a sender's own domain take mail, and do receivers refuse our addresses? Parts of the preflight.

A refusal by reply (特定電子メール法施行規則 7条) needs a From address that takes mail, a bounce an envelope domain that
does: null MX (RFC 7505) and hosts without addresses are found in DNS; whether the mailbox exists only its server knows,
which is asked as for a mail that is then not sent. Only ever the sender's own address: nobody tries strangers'
mailboxes. Blocklists are DNS zones (RFC 5782). All bounded, and what could not be found out is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import aiosmtplib

from engine.net.dns import Answer, Asker, Kind, Mx
from engine.net.mx import MxResolver
from engine.net.resolver import ResolveFailure, Target
from engine.policy.readiness import Finding, Level, shown

PROBE_SECONDS: Final = 20.0
"""For one server's whole dialogue."""
MOST_TARGETS: Final = 2
MOST_HOSTS: Final = 10
_LISTED: Final = ip_network("127.0.0.0/8")
_ERRORS: Final = ip_network("127.255.255.0/24")
"""What zones such as Spamhaus's answer whom they do not serve."""

Probe = Callable[[str], Awaitable[tuple[int, str]]]
"""Address -> code of the reply to its RCPT and the words; 0: nobody could be asked."""


async def takes_none(asker: Asker, kind: str, domain: str, found: Answer, level: Level) -> list[Finding]:
    """`found`: its MX records. A finding where they say that nobody takes its mail."""
    hosts = [record.host for record in found.records if isinstance(record, Mx)]
    if hosts == [""]:
        return [Finding(f"{kind}.null_mx", level, domain, "MX 0 .")]
    answers = [
        await asyncio.gather(*(asker.query(host, each) for each in (Kind.A, Kind.AAAA))) for host in hosts[:MOST_HOSTS]
    ]
    if not hosts or any(answer.records or not answer.status.is_answer for pair in answers for answer in pair):
        return []
    return [Finding(f"{kind}.mx_nowhere", level, domain, shown(", ".join(hosts[:3])))]


async def listed(asker: Asker, address: IPv4Address | IPv6Address, zone: str) -> list[Finding]:
    """RFC 5782 2.1 and 2.4: reversed octets, or nibbles, below the zone."""
    name = f"{address.reverse_pointer.rpartition('.')[0].rpartition('.')[0]}.{zone}"
    answer = await asker.query(name, Kind.A)
    subject = f"{address}, {zone}"
    if not answer.status.is_answer:
        return [Finding("dns.failed", Level.UNKNOWN, name, shown(answer.text or answer.status))]
    codes = [code for code in (ip_address(str(record)) for record in answer.records) if code in _LISTED]
    if any(code in _ERRORS for code in codes):
        return [Finding("blocklist.refused", Level.WARN, subject, ", ".join(map(str, codes[:4])))]
    if not codes:
        return [Finding("blocklist.clean", Level.OK, subject)]
    why = await asker.query(name, Kind.TXT)
    words = [text.decode("utf-8", "replace") for text in why.records if isinstance(text, bytes)]
    return [Finding("blocklist.listed", Level.REFUSE, subject, shown(" ".join([*map(str, codes[:4]), *words[:1]])))]


async def reply_findings(probe: Probe, address: str, level: Level) -> list[Finding]:
    """`level`: of an address that takes no mail."""
    code, text = await probe(address)
    if 200 <= code < 300:
        return [Finding("from.answers", Level.OK, address, shown(text))]
    if code >= 500:
        return [Finding("from.unanswered", level, address, shown(text))]
    # A server that is away, greylists, or does not talk to this host says nothing of the mailbox.
    return [Finding("from.not_asked", Level.WARN, address, shown(text))]


@dataclass(frozen=True, slots=True)
class Replies:
    """Asks a domain's mail servers for one of its mailboxes."""

    resolver: MxResolver
    ehlo_name: str

    async def probe(self, address: str) -> tuple[int, str]:
        domain = address.rpartition("@")[2].lower()
        await self.resolver.look_up(domain)
        route = self.resolver.route(domain)
        if route is None or isinstance(route, ResolveFailure):
            return 0, route.text if route else "no route"
        targets = await self.resolver.targets(route)
        if isinstance(targets, ResolveFailure):
            return 0, targets.text
        found = 0, "no server"
        for target in targets[:MOST_TARGETS]:
            found = await self._ask(target, address)
            if found[0]:
                break
        return found

    async def _ask(self, target: Target, address: str) -> tuple[int, str]:
        smtp = aiosmtplib.SMTP(
            hostname=target.address,
            port=target.port,
            local_hostname=self.ehlo_name,
            timeout=PROBE_SECONDS,
            start_tls=False,
        )
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await smtp.connect()
                await smtp.mail("")
                reply = await smtp.rcpt(address)
        except aiosmtplib.SMTPRecipientRefused as refused:
            return refused.code, refused.message
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return 0, f"{target.host}: {str(error) or type(error).__name__}"
        finally:
            smtp.close()
        return reply.code, reply.message
