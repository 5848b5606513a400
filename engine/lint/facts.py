"""What the rules are asked about: one message, its sender, its category, and which rules that category has.

Advertising (AD, AD_MO) and the mail that asks for consent (CONFIRM) owe the whole display; advertising that is only
incidental (TX_AD, OTHER_AD, FREE_AD) owes the sender's name alone (特定電子メール法 4条, 施行規則 6条・9条但書); TX and
NP are no 特定電子メール at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engine.lint.parts import Sample
from engine.lint.screen import Link, Screen
from engine.lint.words import BY_REPLY, OPTOUT_ACT
from engine.mail.identity import SenderIdentity
from engine.mail.profile import MailOrder, Profile

FULL = frozenset({"AD", "AD_MO", "CONFIRM"})
NAME_ONLY = frozenset({"TX_AD", "OTHER_AD", "FREE_AD"})
SPECIFIED = FULL | NAME_ONLY
"""特定電子メール: what is wrong with one of these may not be sent; of others it is told."""
MOST_LINKS = 200
"""Candidates that are looked at in one part; a mail's opt-out is among the last."""


@dataclass(frozen=True, slots=True)
class Facts:
    sample: Sample
    identity: SenderIdentity
    category: str
    link: str
    """The sample reader's opt-out link; empty when the sender has none."""
    is_raw: bool
    regions: frozenset[str] = frozenset()
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Receiver -> octets of the largest message that it takes."""

    @property
    def profile(self) -> Profile:
        """An empty one when nothing is registered: then the rules look for anything of the right form."""
        return self.identity.profile or Profile()

    @property
    def order(self) -> MailOrder:
        return self.profile.mail_order or MailOrder()

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts that are the sender's own, and those under them."""
        urls = (self.identity.unsubscribe_url, self.profile.contact_url, self.order.tokusho_url,
                self.order.seller_unsubscribe)  # fmt: skip
        named = {host_of(url) for url in urls} | {self.identity.domain, self.identity.from_address.rpartition("@")[2]}
        return frozenset(name for name in named if name)

    def is_campaign(self, host: str) -> bool:
        """A link there takes its reader to an advertisement (2条2号 has ウェブサイトへ誘導, too)."""
        return any(f".{host}".endswith(f".{one.lower()}") for one in self.profile.campaign_hosts)

    def is_own(self, host: str) -> bool:
        return any(f".{host}".endswith(f".{own}") or own.endswith(f".{host}") for own in self.hosts)


def host_of(url: str) -> str:
    """Lower case; of a mail address its domain; empty when there is none."""
    if url.startswith("mailto:") or ("@" in url and "://" not in url):
        return url.rpartition("@")[2].partition("?")[0].lower()
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def opt_outs(screen: Screen, facts: Facts) -> Iterator[Link]:
    """The links that serve to opt out: the recipient's own, else those that words about stopping stand with."""
    links = screen.links if len(screen.links) <= MOST_LINKS else screen.links[-MOST_LINKS:]
    own = [link for link in screen.links if facts.link and link.target == facts.link][:MOST_LINKS]
    if own:
        yield from own
        return
    found = [
        link for link in links if link.target.startswith(("http://", "https://", "mailto:")) and _stops(screen, link)
    ]
    if not found and is_by_reply(screen):
        found = [link for link in links if link.target == f"mailto:{facts.identity.from_address}"]
    yield from found


def _stops(screen: Screen, link: Link) -> bool:
    return bool(OPTOUT_ACT.search(f"{link.text} {link.alt}") or OPTOUT_ACT.search(screen.around(link.line, 1)))


def is_by_reply(screen: Screen) -> bool:
    """One can opt out by answering the mail: then the address that it came from is the one to opt out at."""
    return any(OPTOUT_ACT.search(line.plain) and BY_REPLY.search(line.plain) for line in screen.lines)
