"""D11 to D14 and D16: what is left of templates, header fields, subjects that pretend, TX that sells, and mere form.

RFC 5322 2.1.1 and 3.6, RFC 8058; lines and header are limited as docomo and SoftBank published, the size as shaping
says of each carrier. A category of TX is the sender's word: two advertising phrases, one in the subject, or a link to
its shop or campaign are enough to ask again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.lint.facts import FULL, SPECIFIED, Facts, host_of
from engine.lint.finding import Finding, block, warn
from engine.lint.screen import Screen
from engine.lint.wording import say
from engine.lint.words import AD_WORDS, EXAMPLE_HOST, REPLY_SUBJECT, SLOT_LEFT, URL, narrowed

MOST_HEADER = 12 * 1024
LONGEST_LINE = 998
_SINGLE = ("from", "date", "message-id", "subject", "to", "reply-to", "list-unsubscribe", "list-unsubscribe-post")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_MOST_TOLD = 20


def left_findings(screen: Screen, facts: Facts) -> Iterator[Finding]:
    """D11."""
    told = 0
    for line in screen.lines:
        found = SLOT_LEFT.search(URL.sub(" ", line.plain)) or EXAMPLE_HOST.search(line.plain)
        if found and told < _MOST_TOLD:
            told += 1
            yield block("D11", screen.part, line.number, _left(found[0]), line.text)
    for link in screen.links:
        empty = link.target in ("", "#", "http://", "https://", "mailto:")
        found = SLOT_LEFT.search(link.target) or EXAMPLE_HOST.search(link.target)
        if (empty or found) and told < _MOST_TOLD and not (found and link.text == link.target):
            told += 1
            words = _left(found[0]) if found else say("empty_link")
            yield block("D11", screen.part, link.number, words, link.text or link.target)
    subject = facts.sample.value("subject")
    if screen is facts.sample.screens[0] and (found := SLOT_LEFT.search(subject)):
        yield block("D11", "subject", 0, _left(found[0]), subject)


def _left(text: str) -> tuple[str, str]:
    return say("left", text)


def header_findings(facts: Facts) -> Iterator[Finding]:
    """D12, D13."""
    if facts.category in FULL:
        yield from _one_click(facts)
    subject = narrowed(facts.sample.value("subject"))
    if REPLY_SUBJECT.match(subject) and not facts.sample.value("in-reply-to"):
        words = say("reply_subject")
        severity = block if facts.category in SPECIFIED else warn
        yield severity("D13", "subject", 0, words, subject)
    display = facts.sample.value("from").rpartition("<")[0]
    if "@" in display:
        words = say("mail_in_name")
        yield block("D13", "header", 0, words, display)
    if _EMOJI.search(display):
        words = say("pictogram")
        yield warn("D13", "header", 0, words, display)


def _one_click(facts: Facts) -> Iterator[Finding]:
    links = facts.sample.value("list-unsubscribe")
    post = facts.sample.value("list-unsubscribe-post")
    if links.count("<https://") == 1 and post.strip() == "List-Unsubscribe=One-Click":
        return
    words = say("no_one_click")
    yield block("D12", "header", 0, words, links)


def selling_findings(facts: Facts) -> Iterator[Finding]:
    """D14: what a TX would sell is advertising, and the mail that asks for consent may not have any."""
    if facts.category not in ("TX", "CONFIRM"):
        return
    subject = narrowed(facts.sample.value("subject"))
    found: dict[str, tuple[str, int, str]] = {}
    if match := AD_WORDS.search(subject):
        found[match[0].casefold()] = ("subject", 0, subject)
    is_enough = bool(found)
    for screen in facts.sample.screens:
        for link in screen.links if facts.profile.campaign_hosts else ():
            if facts.is_campaign(host := host_of(link.target)):
                is_enough = True
                found.setdefault(host, (screen.part, link.number, link.text or link.target))
        for line in screen.lines:
            for match in AD_WORDS.finditer(line.plain[:5000]):
                found.setdefault(match[0].casefold(), (screen.part, line.number, line.text))
    if len(found) < 2 and not is_enough:
        return
    part, number, text = next(iter(found.values()))
    shown = "、".join(list(found)[:5])
    words = say("selling" if facts.category == "TX" else "confirm_sells", shown, ", ".join(list(found)[:5]))
    yield block("D14", part, number, words, text)


def form_findings(facts: Facts) -> Iterator[Finding]:
    """D16."""
    sample = facts.sample
    for fault in sample.faults:
        yield block("D16", "message", 0, say("unreadable", fault))
    for name in _SINGLE:
        count = len(sample.values(name))
        if count > 1 or (count == 0 and name in ("from", "date", "message-id")):
            words = say("fields", name, count)
            yield block("D16", "header", 0, words)
    if sample.longest_line > LONGEST_LINE:
        words = say("long_line", sample.longest_line, LONGEST_LINE)
        yield block("D16", "message", 0, words)
    if sample.header_octets > MOST_HEADER:
        words = say("large_header", sample.header_octets, MOST_HEADER)
        yield block("D16", "header", 0, words)
    over = [f"{name}: {most}" for name, most in facts.sizes.items() if sample.octets > most]
    if over:
        # Who is refused for it is known only when the recipients are.
        yield warn("D16", "message", 0, say("large_message", sample.octets, ", ".join(over[:5])))
