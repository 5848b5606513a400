"""The display check at the door: once per message, sender and category, before anything of it becomes durable.

Advertising whose display is wrong is refused with every finding in the text (特定電子メール法 4条: it could be sent to
nobody); incidental advertising too, which owes the sender's name alone (施行規則 6条・9条但書). A TX that reads like an
advertisement is sent back with the question what it is (D14). What is only doubtful comes back as warnings and stands
in the log. The sender's setting says how hard: see LintMode. Accept remembers it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum

from engine.lint import Finding, Severity, check
from engine.lint.facts import SPECIFIED
from engine.mail.compose import Compiled
from engine.mail.identity import SenderIdentity
from engine.wire import Refusal

log = logging.getLogger(__name__)

MOST_TEXT = 4000
"""Characters of a refusal."""
MOST_WARNINGS = 20


class LintMode(StrEnum):
    AUTO = "auto"
    """Enforced for every 特定電子メール, also where the advertisement is incidental; told for TX and NP, but for a TX
    that reads like an advertisement: see Selling."""
    ENFORCE = "enforce"
    WARN = "warn"
    OFF = "off"


class Selling(StrEnum):
    """What becomes, under AUTO, of a TX that reads like an advertisement (D14). Which words and links do is a guess."""

    REFUSE = "refuse"
    """Its sender is asked: AD or TX_AD, or without the advertisement."""
    WARN = "warn"
    """Who sends it has looked, and answers for the category."""


Warnings = Sequence[Mapping[str, object]]


def is_enforced(mode: LintMode, category: str) -> bool:
    return mode is LintMode.ENFORCE or (mode is LintMode.AUTO and category in SPECIFIED)


def refusing(findings: Sequence[Finding], mode: LintMode, category: str, selling: Selling) -> list[Finding]:
    """Those for which a submit is refused."""
    blocking = [finding for finding in findings if finding.severity is Severity.BLOCK]
    if is_enforced(mode, category):
        return blocking
    if mode is LintMode.AUTO and selling is Selling.REFUSE:
        return [finding for finding in blocking if finding.rule == "D14"]
    return []


def check_display(
    compiled: Compiled,
    identity: SenderIdentity,
    mode: LintMode,
    category: str,
    *,
    is_raw: bool,
    regions: Sequence[str] = (),
    selling: Selling = Selling.REFUSE,
    sizes: Mapping[str, int] | None = None,
) -> Warnings:
    """The findings that do not refuse, as they stand in the answer. Raises Refusal `display`. About 3 ms."""
    if mode is LintMode.OFF:
        return ()
    findings = check(compiled, identity, category, is_raw=is_raw, regions=regions, sizes=sizes or {})
    blocking = refusing(findings, mode, category, selling)
    if blocking:
        told = findings if is_enforced(mode, category) else blocking
        raise Refusal("display", blocking[0].part, "", _told(told, len(blocking)))
    if findings:
        first = ascii(findings[0].one_line())[1:-1]
        log.warning("sender=%s category=%s display findings=%d %s", identity.name, category, len(findings), first)
    return [finding.fields() for finding in findings[:MOST_WARNINGS]]


def _told(findings: Sequence[Finding], blocking: int) -> str:
    head = f"{blocking} findings forbid sending it; `sokutatsu lint` shows all with what to write. "
    lines = [f"[{finding.one_line()} / {finding.ja}]" for finding in findings]
    text = head + " ".join(lines)
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"
