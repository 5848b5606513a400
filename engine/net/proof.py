"""The authentication part of the preflight: SPF, DKIM and DMARC of a sender, as receivers will see them.

SPF by our own check_host (RFC 7208); DKIM by a probe that our composer made and our signer signed, verified by dkimpy,
which others wrote, against the record that DNS gives (RFC 6376, RFC 8463); DMARC by the tree walk of RFC 9989. Findings
name the record to publish. Nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import dkim

from engine.mail.compose import Facts, date_text, make_message_id
from engine.mail.dkim import Key
from engine.mail.identity import TOKEN, SenderIdentity
from engine.mail.message import decode_message
from engine.mail.template import compile_message
from engine.net.dns import Asker, Kind, Status
from engine.net.spf import Spf, check_host
from engine.policy.dmarc import Dmarc, is_aligned, is_over, organization, policy_of, read_dmarc, walk
from engine.policy.readiness import Finding, Level, shown, txt_line
from engine.policy.spf import SpfError, chosen, with_addresses
from engine.signer.settings import KeyInfo

Address = IPv4Address | IPv6Address

Sign = Callable[[KeyInfo, bytes], Awaitable[bytes]]
"""Key and SHA-256 digest -> signature."""

LEAST_BITS: Final = 1024
"""Receivers take no shorter RSA key; RFC 8301 3.2 wants 2048 of a signer."""
GOOD_BITS: Final = 2048
_ERRORS: Final = (dkim.DKIMException, ValueError, TypeError, LookupError)
"""dkimpy's own, and those of its parsers that it lets pass on hostile input."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """An address that receivers see us come from."""

    address: Address
    helo: str
    source: str = ""
    """Whose it is, by its name in the configuration; empty: nobody knows, so that it cannot be taken out."""


# -- SPF ---------------------------------------------------------------------------------------------------


async def spf_findings(asker: Asker, kind: str, domain: str, outlets: Sequence[Outlet], level: Level) -> list[Finding]:
    """`kind`: envelope or from, whose domain this is. `level`: of one that does not pass."""
    lacking: list[Address] = []
    findings: list[Finding] = []
    for outlet in outlets:
        result = await check_host(asker, outlet.address, domain, f"postmaster@{domain}", outlet.helo)
        if result.verdict is Spf.TEMPERROR:
            text = shown(result.text)
            findings.append(Finding("dns.failed", Level.UNKNOWN, f"{domain} TXT", text, source=outlet.source))
        elif result.verdict is Spf.PASS:
            subject = f"{domain}, {outlet.address}"
            findings.append(Finding(f"spf.{kind}.pass", Level.OK, subject, result.text, source=outlet.source))
        else:
            lacking.append(outlet.address)
            text = f"{result.verdict}: {shown(result.text)}"
            subject = f"{domain}, {outlet.address}"
            findings.append(Finding(f"spf.{kind}.{result.verdict}", level, subject, text, source=outlet.source))
    if lacking:
        record = txt_line(domain, with_addresses(await _spf_record(asker, domain), lacking))
        findings = [replace(one, records=(record,)) if one.level is level else one for one in findings]
    return findings


async def _spf_record(asker: Asker, domain: str) -> str | None:
    answer = await asker.query(domain, Kind.TXT)
    try:
        return chosen(value for value in answer.records if isinstance(value, bytes))
    except SpfError:
        return None


# -- DKIM --------------------------------------------------------------------------------------------------


def name_of(key: KeyInfo) -> str:
    return f"{key.selector}._domainkey.{key.domain}"


def record_of(key: KeyInfo) -> str:
    kind = key.algorithm.partition("-")[0]
    return txt_line(name_of(key), f"v=DKIM1; k={kind}; h=sha256; p={key.public}")


async def dkim_findings(
    asker: Asker, identity: SenderIdentity, keys: Sequence[KeyInfo], sign: Sign, now: float
) -> list[Finding]:
    found = [await _key_finding(asker, identity, key, sign, now) for key in keys]
    if not found:
        return [Finding("dkim.no_key", Level.REFUSE, identity.domain)]
    if any(finding.level in (Level.OK, Level.WARN) for finding in found):
        # One good signature is enough for a receiver; the other key's record is being prepared, or gone.
        return [
            Finding(one.code, Level.WARN, one.subject, one.found, one.records) if one.level is Level.REFUSE else one
            for one in found
        ]
    return found


async def _key_finding(  # noqa: PLR0911 - one return a finding
    asker: Asker, identity: SenderIdentity, key: KeyInfo, sign: Sign, now: float
) -> Finding:
    answer = await asker.query(name_of(key), Kind.TXT)
    if not answer.status.is_answer:
        return Finding("dns.failed", Level.UNKNOWN, name_of(key), shown(answer.text or answer.status))
    records = [value for value in answer.records if isinstance(value, bytes)]
    if not records:
        return Finding("dkim.missing", Level.REFUSE, name_of(key), str(answer.status), (record_of(key),))
    if len(records) > 1:
        return Finding("dkim.many", Level.REFUSE, name_of(key), f"{len(records)} TXT records", (record_of(key),))
    tags = _tags(records[0])
    if tags.get("p") != key.public:
        text = "p= is empty: revoked" if tags.get("p") == "" else "p= is another key"
        return Finding("dkim.other_key", Level.REFUSE, name_of(key), text, (record_of(key),))
    trouble = _verified(await make_probe(identity, key, sign, now), records[0])
    if trouble:
        return Finding("dkim.refused", Level.REFUSE, name_of(key), trouble, (record_of(key),))
    if "y" in tags.get("t", "").split(":"):
        return Finding("dkim.testing", Level.WARN, name_of(key), "t=y", (record_of(key),))
    bits = key.size * 8
    if key.algorithm.startswith("rsa") and bits < GOOD_BITS:
        level = Level.REFUSE if bits < LEAST_BITS else Level.WARN
        return Finding("dkim.short", level, name_of(key), f"RSA, {bits} bits")
    return Finding("dkim.pass", Level.OK, name_of(key), "a probe verified by dkimpy")


def _tags(record: bytes) -> dict[str, str]:
    parts = (part.partition("=") for part in record.decode("ascii", "replace").split(";"))
    return {name.strip(): "".join(value.split()) for name, _, value in parts}


class _Remarks:
    """Stands where dkimpy wants a logger, and keeps what it would only log: why a record is no key."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = ""

    def debug(self, text: str) -> None:
        """Nobody reads it."""

    def error(self, text: str) -> None:
        self.last = text


def _verified(probe: bytes, record: bytes) -> str:
    """Empty when dkimpy accepts; else why not."""
    remarks = _Remarks()
    try:
        passed = dkim.DKIM(probe, logger=remarks).verify(dnsfunc=lambda *_, **__: record)
    except _ERRORS as error:
        return shown(error)
    return "" if passed else shown(remarks.last) or "the signature does not fit"


async def make_probe(identity: SenderIdentity, key: KeyInfo, sign: Sign, now: float) -> bytes:
    """A whole mail as this sender's would be, with its signature."""
    spec = decode_message({"subject": "sokutatsu preflight", "text": "probe\n"})
    facts = Facts(
        recipient_id=1,
        address="probe@example.com",
        fields={},
        date_text=date_text(now),
        cancel_url=identity.unsubscribe_url.replace(TOKEN, "probe"),
        message_id=make_message_id(1, identity.message_id_domain),
    )
    draft = compile_message(spec, identity).compose(facts)
    signing: Key = key
    digest = draft.digest(signing, int(now))
    signature = await sign(key, digest)
    return draft.finish([(signing, signature)])


# -- DMARC -------------------------------------------------------------------------------------------------


async def dmarc_findings(asker: Asker, identity: SenderIdentity, missing: Level) -> list[Finding]:
    """`missing`: of no record at all."""
    domain = identity.from_address.rpartition("@")[2].lower()
    records = await _walked(asker, domain)
    if isinstance(records, Finding):
        return [records]
    found = policy_of(domain, records)
    if found is None:
        above = organization(domain, records)
        record = txt_line(f"_dmarc.{above}", f"v=DMARC1; p=none; rua=mailto:dmarc-reports@{above}")
        return [Finding("dmarc.missing", missing, domain, "", (record,))]
    name, record_found, policy = found
    findings = [Finding("dmarc.found", Level.OK, domain, f"_dmarc.{name}: p={policy}")]
    if policy == "none" and not record_found.has_reports:
        findings.append(Finding("dmarc.no_reports", Level.NOTE, domain, "p=none without rua="))
    for code, other, strict, level in (
        ("dkim", identity.domain, record_found.strict_dkim, Level.REFUSE),
        ("spf", identity.return_path_domain, record_found.strict_spf, Level.WARN),
    ):
        findings.append(await _aligned(asker, code, (domain, records), other.lower(), strict=strict, level=level))
    return findings


async def _aligned(
    asker: Asker, code: str, author: tuple[str, Mapping[str, Dmarc]], other: str, *, strict: bool, level: Level
) -> Finding:
    domain, records = author
    others = records if other == domain else await _walked(asker, other)
    if isinstance(others, Finding):
        return others
    above = {domain: organization(domain, records), other: organization(other, others)}
    text = f"{other}, {domain} ({'strict' if strict else 'relaxed'})"
    if is_aligned(domain, other, strict=strict, organizations=above):
        return Finding(f"dmarc.{code}_aligned", Level.OK, domain, text)
    return Finding(f"dmarc.{code}_unaligned", level, domain, text)


async def _walked(asker: Asker, domain: str) -> dict[str, Dmarc] | Finding:
    """The records on the way up, or DNS's failure."""
    found: dict[str, Dmarc] = {}
    for name in walk(domain):
        answer = await asker.query(f"_dmarc.{name}", Kind.TXT)
        if not answer.status.is_answer and answer.status is not Status.MALFORMED:
            return Finding("dns.failed", Level.UNKNOWN, f"_dmarc.{name} TXT", shown(answer.text or answer.status))
        record = read_dmarc(value for value in answer.records if isinstance(value, bytes))
        if record is not None:
            found[name] = record
        if is_over(name, domain, record):
            break
    return found
