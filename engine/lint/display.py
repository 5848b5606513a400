"""D01 to D07 and D15: name, opt-out, statement, address and contact, in every part, as text, visible, in place.

特定電子メール法 4条, 施行規則 7条-9条. The name and the address looked for are the registered ones, after NFKC and
without white space; where nothing is registered, anything of the right form. Each fault is told once a part, by the
rule that fits best: a name that stands in a picture's alternative text is D05 and not D01.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.lint.facts import FULL, SPECIFIED, Facts, host_of, is_by_reply, opt_outs
from engine.lint.finding import Finding, block, warn
from engine.lint.screen import Link, Screen
from engine.lint.wording import say
from engine.lint.words import OPTOUT_ACT, OPTOUT_CAN, PHONE, POINTER, POSTAL, digits, fold

_MUCH_BLANK = 60
"""Empty lines in a row: some three screens of a telephone."""
_SHORT = 600
"""Characters of a part that is seen whole without scrolling much: position does not matter."""
_EDGE = 0.25
_POSTAL_CODE = re.compile(r"〒?\s{0,3}[0-9０-９]{3}[-－]?[0-9０-９]{4}")


def display_findings(screen: Screen, facts: Facts) -> Iterator[Finding]:
    if screen.is_too_deep:
        yield block("D06", screen.part, 0, say("too_deep"))
    if facts.category in SPECIFIED:
        yield from _name(screen, facts)
        yield from _abroad(screen, facts)
    if facts.category in FULL:
        yield from _opt_out(screen, facts)
        yield from _address(screen, facts)


def _name(screen: Screen, facts: Facts) -> Iterator[Finding]:
    name = facts.identity.legal_name
    line = screen.line_of(name) if name else -1
    if line >= 0:
        yield from _blank(screen, line, "送信者の名称", "the sender's name")
        if facts.category in FULL:
            yield from _place(screen, line, "送信者の名称", "the sender's name")
        return
    found = name and screen.unseen_with(name)
    if found:
        yield _unseen(screen, found.rule, found.why, found.number, "送信者の名称", "the sender's name")
        return
    yield block("D01", screen.part, 0, say("no_name", name))


def _unseen(screen: Screen, rule: str, why: str, number: int, what: str, what_en: str) -> Finding:
    return block(rule, screen.part, number, say("by_style" if rule == "D06" else "no_text", what, what_en, why))


def _blank(screen: Screen, line: int, what: str, what_en: str) -> Iterator[Finding]:
    gap = max((entry.gap for entry in screen.lines[: line + 1]), default=0)
    if gap > _MUCH_BLANK:
        words = say("blank", what, gap, what_en)
        yield block("D06", screen.part, screen.number(line), words)


def _place(screen: Screen, line: int, what: str, what_en: str) -> Iterator[Finding]:
    if len(screen.folded) > _SHORT and _EDGE < screen.share(line) < 1 - _EDGE:
        words = say("middle", what, what_en)
        yield warn("D07", screen.part, screen.number(line), words, screen.lines[line].text)


# -- B and C -----------------------------------------------------------------------------------------------------------


def _opt_out(screen: Screen, facts: Facts) -> Iterator[Finding]:
    found = list(opt_outs(screen, facts))
    seen = [link for link in found if not link.hidden and (link.text.strip() or link.alt.strip())]
    if not seen:
        yield from _no_opt_out(screen, facts, found)
        return
    pictures = [link for link in seen if not link.text.strip()]
    if len(pictures) == len(seen) and not _stated(screen, seen[0]):
        yield _unseen(screen, "D05", '<img alt="…">', seen[0].number, "受信拒否ができる旨", "the opt-out statement")
        return
    yield from _whose(screen, facts, seen)
    yield from _statement(screen, seen)
    best = next((link for link in seen if _stated(screen, link)), seen[0])
    line = min(best.line, len(screen.lines) - 1)
    yield from _blank(screen, line, "受信拒否の通知先", "the opt-out link")
    yield from _place(screen, line, "受信拒否の通知先", "the opt-out link")


def _no_opt_out(screen: Screen, facts: Facts, found: list[Link]) -> Iterator[Finding]:
    hidden = next((link for link in found if link.hidden), None)
    if hidden:
        yield _unseen(screen, "D06", hidden.hidden, hidden.number, "受信拒否の通知先", "the opt-out link")
        return
    unseen = screen.unseen_with(facts.link) if facts.link else None
    if unseen:
        yield _unseen(screen, unseen.rule, unseen.why, unseen.number, "受信拒否の通知先", "the opt-out link")
        return
    words = say("no_opt_out" if facts.identity.unsubscribe_url else "no_opt_out_url")
    yield block("D02", screen.part, 0, words)


def _whose(screen: Screen, facts: Facts, seen: list[Link]) -> Iterator[Finding]:
    """Of an address that is not the recipient's own link."""
    own = [link for link in seen if facts.is_own(host_of(link.target))]
    if not own:
        link = seen[0]
        words = say("foreign_opt_out", host_of(link.target))
        yield block("D02", screen.part, link.number, words, link.target)
    elif not facts.is_raw and not any(link.target == facts.link or "sample" in link.target for link in own):
        words = say("shared_opt_out")
        if not own[0].target.startswith("mailto:"):
            yield warn("D02", screen.part, own[0].number, words, own[0].target)


def _stated(screen: Screen, link: Link) -> bool:
    words = f"{link.text}\n{screen.around(link.line)}"
    return bool(OPTOUT_ACT.search(words) and OPTOUT_CAN.search(words))


def _statement(screen: Screen, seen: list[Link]) -> Iterator[Finding]:
    if any(_stated(screen, link) for link in seen):
        return
    link = seen[-1]
    if any(OPTOUT_ACT.search(f"{each.text}\n{screen.around(each.line)}") for each in seen):
        words = say("bare_link")
        yield warn("D03", screen.part, link.number, words, link.text)
        return
    if is_by_reply(screen) and link.target.startswith("mailto:"):
        return  # the statement may then stand anywhere (施行規則 7条1項2号)
    words = say("no_statement")
    yield block("D03", screen.part, link.number, words, link.text)


# -- D and E -----------------------------------------------------------------------------------------------------------


def _abroad(screen: Screen, facts: Facts) -> Iterator[Finding]:
    """Of all that advertises, if only by the way: the exemption of 施行規則 6条 is Japan's alone (CASL s. 6(2))."""
    if facts.regions & {"US", "CA"} and not _has_address(screen, facts.profile.postal_address):
        yield block("D15", screen.part, 0, say("no_address_abroad"))


def _address(screen: Screen, facts: Facts) -> Iterator[Finding]:
    profile = facts.profile
    pointer = any(
        POINTER.search(link.text) or POINTER.search(screen.around(link.line, 1))
        for link in screen.links[-200:]
        if link.target.startswith("http") and link.target != facts.link
    )
    has_address = _has_address(screen, profile.postal_address)
    if not has_address and not pointer:
        shown = profile.postal_address or "〒100-0001 東京都…"
        unseen = screen.unseen_with(profile.postal_address) if profile.postal_address else None
        if unseen:
            yield _unseen(screen, unseen.rule, unseen.why, unseen.number, "住所", "the postal address")
        else:
            words = say("no_address", shown)
            yield block("D04", screen.part, 0, words)
    if not _has_contact(screen, facts) and not pointer:
        words = say("no_contact")
        yield block("D04", screen.part, 0, words)


def _has_address(screen: Screen, registered: str) -> bool:
    if not registered:
        return any(POSTAL.search(line.plain) for line in screen.lines)
    # The postal code belongs to the post, not to the 住所.
    return fold(_POSTAL_CODE.sub("", registered)) in screen.folded


def _has_contact(screen: Screen, facts: Facts) -> bool:
    profile = facts.profile
    targets = {link.target for link in screen.links}
    if not (profile.phone or profile.contact_mail or profile.contact_url):
        labelled = any(POINTER.search(line.plain) for line in screen.lines)
        return labelled and (bool(targets - {facts.link}) or any(PHONE.search(line.plain) for line in screen.lines))
    if profile.contact_mail and (
        fold(profile.contact_mail) in screen.folded or f"mailto:{profile.contact_mail}" in targets
    ):
        return True
    if profile.contact_url and (fold(profile.contact_url) in screen.folded or profile.contact_url in targets):
        return True
    wanted = digits(profile.phone)
    return bool(wanted) and any(
        wanted == digits(match[0]) for line in screen.lines for match in PHONE.finditer(line.plain)
    )
