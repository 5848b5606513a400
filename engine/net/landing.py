"""Where an opt-out leads, asked of the network: the name resolves, the page answers without a login, the mailbox takes
mail (D02 of the display check; 特定電子メール法 4条2号, 施行規則 8条).

For `sokutatsu lint --network`, `preflight --network` and the engine's own look at a sender, never for a recipient: one
GET and a few questions of DNS each. What did not answer is a doubt, never a pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from engine.net.address import Network, why_never
from engine.net.dns import Asker, Kind, Mx
from engine.net.fetch import Got, NotGot
from engine.net.resolver import addresses_of
from engine.policy.landing import judge_page
from engine.policy.readiness import Finding, Level, shown

LONGEST_PAGE: Final = 256 * 1024

Get = Callable[[str, str, int], Awaitable[Got | NotGot]]
"""engine.net.fetch.Fetch: URL, Accept, most octets."""


async def landing(asker: Asker, get: Get, url: str, allowed: tuple[Network, ...] = ()) -> Finding:
    """`url`: https, http or mailto. `allowed`: as Fetch has it."""
    if url.startswith("mailto:"):
        return await _mailbox(asker, url)
    wrong = await _host(asker, url, allowed)
    if wrong is not None:
        return wrong
    got = await get(url, "text/html", LONGEST_PAGE)
    if isinstance(got, NotGot):
        code = "optout.certificate" if got.is_certificate else "optout.unreachable"
        return Finding(code, Level.WARN, shown(url), got.text)
    return judge_page(shown(url), got.status, got.location, got.body)


async def _host(asker: Asker, url: str, allowed: tuple[Network, ...]) -> Finding | None:
    """None: it has an address that anybody can reach."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host:
        return Finding("optout.no_host", Level.REFUSE, shown(url))
    answers = await asyncio.gather(*(asker.query(host, kind) for kind in (Kind.A, Kind.AAAA)))
    found = addresses_of(*answers)
    if not found:
        failed = [answer for answer in answers if not answer.status.is_answer]
        if failed:
            return Finding("dns.failed", Level.UNKNOWN, host, shown(failed[0].text or failed[0].status))
        return Finding("optout.no_host", Level.REFUSE, host, str(answers[0].status))
    if all(why_never(address, allowed) for address in found):
        return Finding("optout.private", Level.REFUSE, host, f"{found[0]}: {why_never(found[0], allowed)}")
    return None


async def _mailbox(asker: Asker, url: str) -> Finding:
    address = url.removeprefix("mailto:").partition("?")[0]
    domain = address.rpartition("@")[2].lower()
    kinds = (Kind.MX, Kind.A, Kind.AAAA)
    answers = await asyncio.gather(*(asker.query(domain, kind) for kind in kinds)) if domain else []
    exchanges = answers[0].records if answers else ()
    if exchanges and all(isinstance(mx, Mx) and not mx.host for mx in exchanges):
        return Finding("optout.mail_dead", Level.REFUSE, domain, "null MX")
    if any(answer.records for answer in answers):
        return Finding("optout.mail", Level.OK, shown(address))
    failed = [answer for answer in answers if not answer.status.is_answer]
    if failed:
        return Finding("dns.failed", Level.UNKNOWN, domain, shown(failed[0].text or failed[0].status))
    return Finding("optout.mail_dead", Level.REFUSE, shown(address), str(answers[0].status) if answers else "")
