"""D08 to D10: is the name a registered one, are sender and seller both there, and the items of mail-order advertising.

特定電子メール法 4条1号; 特定商取引法 11条, 12条の3 4項, 施行規則 23条, 31条. Of the items only the seller's name, its
 mail address and the opt-out have to stand in the mail; the others may stand on the page 特定商取引法に基づく表示.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.lint.facts import SPECIFIED, Facts
from engine.lint.finding import Finding, block
from engine.lint.screen import Screen
from engine.lint.wording import say
from engine.lint.words import CORPORATION, MAIL_ORDER, TOKUSHO, fold

_ENOUGH = 4
"""Items named in the mail itself that make the page needless."""


def name_findings(facts: Facts) -> Iterator[Finding]:
    """Once a message: it is about the profile."""
    name = facts.identity.legal_name
    if facts.category not in SPECIFIED or facts.profile.individual or CORPORATION.search(name):
        return
    words = say("no_registered_name", name)
    yield block("D08", "profile", 0, words)


def seller_findings(screen: Screen, facts: Facts) -> Iterator[Finding]:
    if facts.category != "AD_MO":
        return
    order = facts.order
    targets = {link.target for link in screen.links}
    if order.seller:
        missing = [] if fold(order.seller) in screen.folded else [order.seller]
        stop = order.seller_unsubscribe
        if stop and not {stop, f"mailto:{stop}"} & targets and fold(stop) not in screen.folded:
            missing.append(stop)
        for text in missing:
            words = say("no_seller", text)
            yield block("D09", screen.part, 0, words)
    yield from _items(screen, facts, targets)


def _items(screen: Screen, facts: Facts, targets: set[str]) -> Iterator[Finding]:
    order = facts.order
    mail = order.seller_mail or facts.profile.contact_mail
    if mail:
        has_mail = fold(mail) in screen.folded or f"mailto:{mail}" in targets
    else:
        has_mail = any(target.startswith("mailto:") for target in targets)
    if not has_mail:
        shown = mail or "shop@…"
        words = say("no_seller_mail", shown)
        yield block("D10", screen.part, 0, words)
    named = sum(any(pattern.search(line.plain) for line in screen.lines) for pattern in MAIL_ORDER.values())
    if named >= _ENOUGH or _has_page(screen, facts, targets):
        return
    words = say("no_items")
    yield block("D10", screen.part, 0, words)


def _has_page(screen: Screen, facts: Facts, targets: set[str]) -> bool:
    url = facts.order.tokusho_url
    if url and (url in targets or fold(url) in screen.folded):
        return True
    return any(
        link.target.startswith("http") and (TOKUSHO.search(link.text) or TOKUSHO.search(screen.around(link.line, 1)))
        for link in screen.links[-200:]
    )
