"""Is a sender fit to be mailed for? Findings of the preflight as values, and the judgements that need no network.

特定電子メール法 5条 forbids false sender information: address, domain and host must be the sender's and ours, and DNS
must say so. What is missing is refused or warned of by level; what DNS could not answer is unknown and neither. The
words for people stand in the command; a code names each finding for programs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

STRING_LIMIT: Final = 255
"""Bytes of one character-string in a TXT record (RFC 1035 3.3)."""


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Good to know; nothing is wrong."""
    WARN = "warn"
    """Some receivers will mind."""
    REMOVE = "remove"
    """The source that it is about is taken out of the sender's pools; its mail leaves from the others."""
    UNKNOWN = "unknown"
    """DNS, or a host, did not answer: ask again."""
    REFUSE = "refuse"
    """Nothing may go out."""


_ORDER: Final = tuple(Level)


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    """Of what was found, such as dkim.missing."""
    level: Level
    subject: str
    """The domain, key or address that it is about."""
    found: str = ""
    """What DNS, or the host, said; cut and escaped."""
    records: tuple[str, ...] = ()
    """Lines of a zone file that would put it right."""
    source: str = ""
    """The source of the configuration whose address this is about."""


@dataclass(frozen=True, slots=True)
class Report:
    sender: str
    at: float
    """Unix seconds."""
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst."""
        return worst(finding.level for finding in self.findings)

    def of(self, level: Level) -> list[Finding]:
        return [finding for finding in self.findings if finding.level is level]


def worst(levels: Iterable[Level]) -> Level:
    return max(levels, key=_ORDER.index, default=Level.OK)


def spare(findings: Iterable[Finding], pools: Iterable[Collection[str]]) -> list[Finding]:
    """What is wrong with single sources costs the sender these, not its mail, as long as each of its pools (names of
    sources) keeps one: their refusals become removals. Else, and without pools, all stays as it is.
    """
    found, pools = list(findings), list(pools)
    bad = {one.source for one in found if one.source and one.level is Level.REFUSE}
    if not pools or any(bad.issuperset(pool) for pool in pools):
        return found
    return [
        replace(one, level=Level.REMOVE) if one.source in bad and one.level is Level.REFUSE else one for one in found
    ]


def removed(findings: Iterable[Finding], before: Iterable[str]) -> list[str]:
    """The sources that are out by these findings; one of which something is not known stays as it was `before`."""
    levels: dict[str, set[Level]] = {}
    for one in findings:
        if one.source:
            levels.setdefault(one.source, set()).add(one.level)
    unsure = {name for name, own in levels.items() if own & {Level.UNKNOWN, Level.REFUSE}}
    out = {name for name, own in levels.items() if Level.REMOVE in own}
    return sorted(out | (unsure & set(before)))


FOREIGN: Final = frozenset(
    """gmail.com googlemail.com yahoo.com yahoo.co.jp ymail.com rocketmail.com aol.com outlook.com outlook.jp
    hotmail.com hotmail.co.jp live.com live.jp msn.com icloud.com me.com mac.com proton.me protonmail.com gmx.com
    gmx.de mail.ru qq.com 163.com naver.com excite.co.jp infoseek.jp docomo.ne.jp ezweb.ne.jp au.com softbank.ne.jp
    i.softbank.jp vodafone.ne.jp disney.ne.jp disneymobile.ne.jp ymobile.ne.jp ymobile1.ne.jp y-mobile.ne.jp
    emnet.ne.jp emobile.ne.jp willcom.com pdx.ne.jp wcm.ne.jp uqmobile.jp rakumail.jp rakuten.jp mineo.jp""".split()
)
"""Mailbox providers' and carriers' domains. Nobody else may send in their name; most publish DMARC."""

_AUTOMATIC: Final = re.compile(
    r"(^|[.0-9_-])(dynamic|dyn|dhcp|pool|ppp|pppoe|dsl|adsl|dial|dialup|cable|client|customer|static|host|ip|unknown)"
    r"([.0-9_-]|$)"
)


def foreign(domain: str) -> str:
    """The provider's domain that this one is, or is below; empty: none that we know."""
    labels = domain.lower().rstrip(".").split(".")
    return next((name for at in range(len(labels)) if (name := ".".join(labels[at:])) in FOREIGN), "")


def is_generic(name: str, address: IPv4Address | IPv6Address) -> bool:
    """A reverse name that a provider has made from the address: receivers take such hosts for infected homes. A guess:
    each receiver has patterns of its own.
    """
    name = name.lower()
    if address.version == 6:
        return address.exploded.replace(":", "")[-16:] in re.sub("[.:-]", "", name)
    octets = str(address).split(".")
    numbers = re.findall(r"[0-9]+", name)
    trimmed = [number.lstrip("0") or "0" for number in numbers]
    for order in (octets, octets[::-1]):
        if any(trimmed[at : at + 4] == order for at in range(len(trimmed))):
            return True
        if "".join(octet.zfill(3) for octet in order) in name:
            return True
    is_numbered = octets[3] in trimmed and _AUTOMATIC.search(name) is not None
    return is_numbered or f"{int(address):08x}" in name


def txt_line(name: str, record: str) -> str:
    """As it goes into a zone file; readers join the strings without a space."""
    strings = [record[at : at + STRING_LIMIT] for at in range(0, len(record), STRING_LIMIT)]
    text = " ".join(f'"{part}"' for part in strings)
    return f"{name}. IN TXT {text}" if len(strings) == 1 else f"{name}. IN TXT ( {text} )"


def shown(text: object, limit: int = 160) -> str:
    """Strangers' text, for a terminal or a log."""
    return ascii(" ".join(str(text).split()))[1:-1][:limit]
