"""What a report's words mean: texts and status -> Class, by the rules of rules.toml and of engine/policy/rules.toml.

Each text is read as a reply (code, enhanced code, words) at the phase that it tells of, and asked first of the rules
for reports, then of those for replies. Rules with words are believed at once, in the order of the texts; rules that
know only a code are kept for when no text says more: codes alone lie (RFC 3463 5.1.1 from a full mailbox).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.policy.classify import Class, Rule, Rules
from engine.returns.value import HARD
from engine.smtp.event import Phase
from engine.smtp.reply import Reply

_REPLY: Final = re.compile(
    r"(?<![\d.#-])([245]\d\d)(?::[ \t]|[ \t-]{1,3})['\"]?(?:#?([245]\.\d{1,3}\.\d{1,3})(?![\d.]))?"
)
_WRAPPED: Final = re.compile(
    r"[45]\.\d\.\d{1,3} - (?:unknown address error|other mail system problem|other address status"
    r"|other network problem|other status|bad destination mailbox address) (?=[45]\d\d)",
    re.IGNORECASE,
)
"""A gateway's name (Cisco ESA, Amazon SES) for the status that it made up in front of the reply that it got."""
_STATUS: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_PHASES: Final = (
    (
        re.compile(
            r"end of (?:message )?data|final data|after sending (?:the )?(?:message|data)|\bdata_end\b", re.IGNORECASE
        ),
        Phase.DOT,
    ),
    (
        re.compile(
            r">>> ?data|reply to (?:the )?data|after data|\[data\]|our data|^data$", re.IGNORECASE | re.MULTILINE
        ),
        Phase.DATA,
    ),
    (
        re.compile(r">>> ?mail|reply to mail|after mail from|mail_from|our mail from|refused mail from", re.IGNORECASE),
        Phase.MAIL,
    ),
)
_AT_RCPT: Final = re.compile(
    r"rcpt[ _]to|reply to rcpt|after rcpt|rcpt command|does not like recipient|need rcpt|no valid recipients"
    r"|our rcpt|\(state 14\)",
    re.IGNORECASE,
)
_CARRIER: Final = re.compile(r"docomo|ezweb|@au\.com|softbank|vodafone|mineo|uqmobile|ymobile", re.IGNORECASE)
"""Whose servers say "unknown user" of mail that they filter, also behind the data."""
_NO_CODE: Final = 599
_NO_CODE_BUT_LATER: Final = 499
_TOLD_BY_NO_SERVER: Final = frozenset({_NO_CODE, _NO_CODE_BUT_LATER})
_MAX_TEXT: Final = 4000


@dataclass(frozen=True, slots=True)
class Diagnosis:
    bounce_class: Class
    code: int
    status: str
    text: str
    rule: str

    @property
    def is_hard(self) -> bool:
        """The address is none, for good. A 4xx was tried again, and time decided, not the receiver."""
        is_temporary = 400 <= self.code < 500 or self.status.startswith("4")
        return self.bounce_class in HARD and not is_temporary


@dataclass(frozen=True, slots=True)
class Reader:
    """The three tables of rules, in the order in which they are asked."""

    reports: Rules
    replies: Rules
    fallback: Rules

    def diagnose(self, texts: Sequence[str], status: str, context: str, *, is_report: bool = False) -> Diagnosis:
        """`texts` from the most exact to the vaguest; `context` tells the phase when they do not. `is_report`: the
        first text is the field of a delivery status, which names no phase either but belongs to one recipient.
        """
        told = _STATUS.search(status[:100])
        enhanced = told[1] if told else ""
        read = [_replies(text, enhanced) for text in texts if text.strip()] or [[Reply(_NO_CODE, enhanced, "")]]
        told_at = next((phase for text in (*texts, context) if (phase := _phase(text)) is not None), None)
        weak: Diagnosis | None = None
        for replies in read:
            for tables in ((self.reports, self.replies), (self.fallback,)):
                for reply in replies:
                    is_rcpt = _is_rcpt(told_at, enhanced, reply, context, is_report=is_report)
                    phase = Phase.RCPT if is_rcpt or told_at is None else told_at
                    for rules in tables:
                        rule = rules.match(phase, reply)
                        if rule is None:
                            continue
                        known = rule.bounce_class if is_rcpt or reply.code in _TOLD_BY_NO_SERVER else _sure(rule)
                        found = _diagnosis(known, reply, enhanced, rule.name)
                        if rule.words or rules is self.reports:
                            return found
                        weak = found if rules is self.fallback and _is_exact(rule) else weak or found
        return weak or _diagnosis(Class.OTHER, read[0][0], enhanced, "")


def _is_rcpt(told_at: Phase | None, status: str, reply: Reply, context: str, *, is_report: bool) -> bool:
    """Whether it answered RCPT, as far as can be known."""
    # A transcript shows the reply to a pipelined RCPT behind DATA: the status knows better.
    if _is_address_status(status, reply.enhanced):
        return True
    if told_at is Phase.RCPT and not _is_policy_status(status, reply.enhanced):
        return True
    if not is_report or told_at is not None or _is_filter_status(status, reply.enhanced):
        return False
    return not _CARRIER.search(f"{reply.text} {context}"[:_MAX_TEXT])


def _is_address_status(*codes: str) -> bool:
    return any(code.startswith(("5.1.", "5.2.1", "4.1.")) for code in codes)


def _is_policy_status(*codes: str) -> bool:
    """Of security and policy (RFC 3463 X.7): "user unknown" beside it is what a filter wants senders to read."""
    return any(code.startswith("5.7.") for code in codes)


def _is_filter_status(*codes: str) -> bool:
    return any(code.startswith(("5.2.", "5.7.")) for code in codes)


def _is_exact(rule: Rule) -> bool:
    """It knows codes of the registry one by one, where a server's own table only knows their kind (X.7.*)."""
    return bool(rule.enhanced) and not any("*" in code for code in rule.enhanced)


def _sure(rule: Rule) -> Class:
    """Of a server's reply to nobody knows which command. Carriers say "unknown user" behind the data of mail that they
    filter, so that it proves nothing about the address unless it answered RCPT.
    """
    only_at_rcpt = rule.phases == {Phase.RCPT}
    return Class.FILTERED if rule.bounce_class is Class.UNKNOWN_USER and only_at_rcpt else rule.bounce_class


def _diagnosis(bounce_class: Class, reply: Reply, status: str, rule: str) -> Diagnosis:
    code = 0 if reply.code in _TOLD_BY_NO_SERVER else reply.code
    return Diagnosis(bounce_class, code, status or reply.enhanced, reply.text, rule)


def _replies(text: str, status: str) -> list[Reply]:
    """The text as one reply, with the first code in it; and from that code on when words stand before it."""
    text = _WRAPPED.sub("", text[:_MAX_TEXT])
    found = _REPLY.search(text)
    code = int(found[1]) if found and int(found[1][0]) > 3 else _NO_CODE
    enhanced = (found[2] if found and found[2] else "") or status
    if not enhanced and (named := _STATUS.search(text)):
        enhanced = named[1]
    if code == _NO_CODE and enhanced.startswith("4"):
        code = _NO_CODE_BUT_LATER
    flat = " ".join(text.split())
    if found and found.start() > 0:
        return [Reply(code, enhanced, " ".join(text[found.end() :].split())), Reply(code, enhanced, flat)]
    return [Reply(code, enhanced, " ".join(text[found.end() :].split()) if found else flat)]


def _phase(text: str) -> Phase | None:
    if _AT_RCPT.search(text[:_MAX_TEXT]):
        return Phase.RCPT
    return next((phase for pattern, phase in _PHASES if pattern.search(text[:_MAX_TEXT])), None)
