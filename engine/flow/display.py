"""The display check at the door: once per message, sender and category, before anything of it becomes durable.

Advertising whose display is wrong is refused with every finding in the text (特定電子メール法 4条: it could be sent to
nobody); what is only doubtful comes back as warnings and stands in the log. The sender's setting says how hard: see
LintMode. Accept remembers the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum

from engine.lint import Finding, Severity, check
from engine.lint.facts import FULL
from engine.mail.compose import Compiled
from engine.mail.identity import SenderIdentity
from engine.wire import Refusal

log = logging.getLogger(__name__)

MOST_TEXT = 4000
"""Characters of a refusal."""
MOST_WARNINGS = 20


class LintMode(StrEnum):
    AUTO = "auto"
    """Enforced for what owes the whole display (AD, AD_MO, CONFIRM), told for all others."""
    ENFORCE = "enforce"
    WARN = "warn"
    OFF = "off"


Warnings = Sequence[Mapping[str, object]]


def is_enforced(mode: LintMode, category: str) -> bool:
    return mode is LintMode.ENFORCE or (mode is LintMode.AUTO and category in FULL)


def check_display(
    compiled: Compiled,
    identity: SenderIdentity,
    mode: LintMode,
    category: str,
    *,
    is_raw: bool,
    regions: Sequence[str] = (),
) -> Warnings:
    """The findings that do not refuse, as they stand in the answer. Raises Refusal `display`. About 3 ms."""
    if mode is LintMode.OFF:
        return ()
    findings = check(compiled, identity, category, is_raw=is_raw, regions=regions)
    blocking = [finding for finding in findings if finding.severity is Severity.BLOCK]
    if blocking and is_enforced(mode, category):
        raise Refusal("display", blocking[0].part, "", _told(findings, len(blocking)))
    if findings:
        first = ascii(findings[0].one_line())[1:-1]
        log.warning("sender=%s category=%s display findings=%d %s", identity.name, category, len(findings), first)
    return [finding.fields() for finding in findings[:MOST_WARNINGS]]


def _told(findings: Sequence[Finding], blocking: int) -> str:
    head = f"{blocking} findings forbid sending it; `sokutatsu lint` shows all with what to write. "
    lines = [f"[{finding.one_line()} / {finding.ja}]" for finding in findings]
    text = head + " ".join(lines)
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"
