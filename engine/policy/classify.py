"""What a refusal is about: reply -> Class, by the rules of rules.toml; and the hint when to come back.

Rules are asked in the order of their file, the first that matches decides: providers' words, common words, enhanced
codes (RFC 3463), bare codes (RFC 5321 4.2); enhanced codes alone lie. Texts come from hostile servers: words are
found one after the other as plain substrings of at most 1 KiB, so that the cost is linear whatever is written in
rule or reply. Our own replies ("local: ...") match no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from engine.policy.duration import SECONDS
from engine.smtp.event import Phase
from engine.smtp.reply import Reply


class Class(StrEnum):
    """What a refusal is about. The consequences stand in outcome.py."""

    UNKNOWN_USER = "unknown_user"
    INACTIVE_USER = "inactive_user"
    """The mailbox is closed or disabled: nobody reads it."""
    OWNER_CHANGED = "owner_changed"
    """The address belongs to somebody else now (RFC 7293)."""
    BAD_ADDRESS = "bad_address"
    """The receiver does not accept the address's form."""
    UNKNOWN_HOST = "unknown_host"
    MAILBOX_FULL = "mailbox_full"
    MAILBOX_RATE = "mailbox_rate"
    """This one mailbox gets too much at the moment."""
    GREYLIST = "greylist"
    FILTERED = "filtered"
    """The reader's or carrier's filter refused; the address may well live. Never a reason to suppress."""
    RATE = "rate"
    """We send too much for now."""
    CONNECTIONS = "connections"
    """Too many sessions, or too many messages over one."""
    REPUTATION = "reputation"
    BLOCK = "block"
    """Our address or network is on a block list."""
    POLICY = "policy"
    AUTH = "auth"
    """SPF, DKIM, DMARC, reverse name: our configuration."""
    TLS = "tls"
    SENDER = "sender"
    """The envelope sender or its domain is refused."""
    CONTENT = "content"
    SIZE = "size"
    RELAY = "relay"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    PROTOCOL = "protocol"
    SYSTEM = "system"
    """The receiver has trouble of its own."""
    NETWORK = "network"
    """No reply: connection refused, lost or timed out."""
    OTHER = "other"
    """No rule matches."""


class Scope(StrEnum):
    """What a refusal speaks of, and so how far its consequences reach."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    SENDER = "sender"
    """Our customer's domain or keys: its other mail to this site would fare no better, other senders' does."""
    SESSION = "session"
    SOURCE = "source"
    """Our address at this site."""
    SITE = "site"
    """The receiver's own condition."""


SCOPES: Final = {
    Class.UNKNOWN_USER: Scope.RECIPIENT,
    Class.INACTIVE_USER: Scope.RECIPIENT,
    Class.OWNER_CHANGED: Scope.RECIPIENT,
    Class.BAD_ADDRESS: Scope.RECIPIENT,
    Class.UNKNOWN_HOST: Scope.RECIPIENT,
    Class.MAILBOX_FULL: Scope.RECIPIENT,
    Class.MAILBOX_RATE: Scope.RECIPIENT,
    Class.GREYLIST: Scope.RECIPIENT,
    Class.FILTERED: Scope.RECIPIENT,
    Class.RELAY: Scope.RECIPIENT,
    Class.OTHER: Scope.RECIPIENT,
    Class.CONTENT: Scope.MESSAGE,
    Class.SIZE: Scope.MESSAGE,
    Class.POLICY: Scope.MESSAGE,
    Class.AUTH: Scope.SENDER,
    Class.SENDER: Scope.SENDER,
    Class.CONNECTIONS: Scope.SESSION,
    Class.TOO_MANY_RECIPIENTS: Scope.SESSION,
    Class.PROTOCOL: Scope.SESSION,
    Class.RATE: Scope.SOURCE,
    Class.REPUTATION: Scope.SOURCE,
    Class.BLOCK: Scope.SOURCE,
    Class.TLS: Scope.SITE,
    Class.SYSTEM: Scope.SITE,
    Class.NETWORK: Scope.SITE,
}
"""Unless a rule says otherwise."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    bounce_class: Class
    codes: frozenset[int]
    """Reply codes; a single digit stands for all codes that begin with it."""
    enhanced: tuple[str, ...]
    """Beginnings of "5.1.1."; none: any."""
    phases: frozenset[Phase]
    words: tuple[tuple[bool, tuple[str, ...]], ...]
    """Alternatives: (whether the first word must open the text, words in this order); none: any text."""
    temporary: bool
    """A 5xx that is to be tried again all the same."""
    pause: float | None
    """Seconds for the path (or, in the scope of a sender, for that sender there), in place of the class's own."""
    scope: Scope = Scope.RECIPIENT
    providers: frozenset[str] = frozenset()
    """Whose words these are; none: anybody's. Where the provider is not known, every rule applies."""


_Test = tuple[Rule, tuple[str, ...], tuple[str, ...], tuple[tuple[bool, tuple[str, ...]], ...]]
"""A rule taken apart for speed: enhanced codes, alternatives of one word, the other alternatives."""


class Rules:
    """Compiled rules. What applies to a phase and code is sorted out once, when such a reply is first seen."""

    __slots__ = ("_tests", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: Final = tuple(rules)
        self._tests: Final[dict[tuple[Phase, int, str], tuple[_Test, ...]]] = {}

    def match(self, phase: Phase, reply: Reply, provider: str = "") -> Rule | None:
        """The first rule that the reply matches. Cost: 3 to 20 µs, by the number of rules before it. `provider` is one
        of the operator's names, never a stranger's word.
        """
        tests = self._tests.get((phase, reply.code, provider))
        if tests is None:
            tests = self._tests[phase, reply.code, provider] = self._sorted_out(phase, reply.code, provider)
        text = normalise(reply)
        if text.startswith("local:"):
            return None
        # "5.1.1." does not begin "5.1.10."
        enhanced = reply.enhanced + "."
        for rule, codes, words, phrases in tests:
            if codes and not enhanced.startswith(codes):
                continue
            for word in words:
                if word in text:
                    return rule
            for opens, phrase in phrases:
                if _found(opens, phrase, text):
                    return rule
        return None

    def _sorted_out(self, phase: Phase, code: int, provider: str) -> tuple[_Test, ...]:
        # Codes come from a parser that lets 200 to 599 through, so that the memory is bounded by the protocol.
        applying = [
            rule
            for rule in self.rules
            if phase in rule.phases
            and {code, code // 100} & rule.codes
            and (not provider or not rule.providers or provider in rule.providers)
        ]
        return tuple(
            (
                rule,
                rule.enhanced,
                tuple(words[0] for opens, words in rule.words if not opens and len(words) == 1),
                # A rule without words takes any text: the empty phrase is found in all of them.
                tuple(entry for entry in rule.words if entry[0] or len(entry[1]) > 1) if rule.words else ((False, ()),),
            )
            for rule in applying
        )


def normalise(reply: Reply) -> str:
    """One line of lower case, without the enhanced code that servers repeat on each line."""
    text = reply.text[:1024].lower()
    if reply.enhanced:
        text = ("\n" + text).replace("\n" + reply.enhanced, "\n")
    return " ".join(text.split())


def _found(opens: bool, words: tuple[str, ...], text: str) -> bool:
    """Leftmost first is exact here: words may stand anywhere behind one another."""
    if opens and not text.startswith(words[0]):
        return False
    position = 0
    for word in words:
        position = text.find(word, position)
        if position < 0:
            return False
        position += len(word)
    return True


_UNIT: Final = "(" + "|".join(sorted(SECONDS, key=len, reverse=True)) + r")\b"
_TIME: Final = re.compile(
    r"(?<![0-9])(?:([0-9]{1,2}):([0-9]{2}):([0-9]{2})"
    rf"|([0-9]{{1,6}}) ?{_UNIT}(?:,? (?:and )?([0-9]{{1,6}}) ?{_UNIT})?)"
)
_ASKED: Final = re.compile(r"(?:again|back|retry|wait|greylist|graylist|defer|delay|later)[^0-9]{0,40}$")
_REACH: Final = 50
"""How far before a time the asking word may begin."""
_TIMES_TRIED: Final = 4
"""A reply full of times costs no more than one with four."""


def retry_hint(text: str) -> float | None:
    """Seconds that the reply asks us to stay away, 1 to 86400; None when it names no time.

    Real ones: "Greylisted, please try again in 300 seconds", "come back in 00:05:00", "retry in 1 hour 30 minutes".
    """
    text = text[:1024].lower()
    for match in islice(_TIME.finditer(text), _TIMES_TRIED):
        start = match.start()
        if _ASKED.search(text[max(0, start - _REACH) : start]):
            return _told(match)
    return None


def _told(match: re.Match[str]) -> float | None:
    hours, minutes, seconds, first, unit, second, second_unit = match.groups()
    if first is None:
        told = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    else:
        told = int(first) * SECONDS[unit] + int(second or 0) * SECONDS[second_unit or "s"]
    return float(min(told, 86400)) if told else None
