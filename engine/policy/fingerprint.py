"""What no rule knew, counted so that an operator can write one: replies by a fingerprint that names nobody.

Addresses, hosts, numbers and identifiers become placeholders; what is left is the sentence that a receiver sends to
everybody. The count is bounded: when it is full, the rarest makes room, and inherits its count as its error (the
space-saving way), so that what is frequent is never lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from engine.smtp.reply import Reply

MOST: Final = 200
LONGEST: Final = 120
_LOOKED_AT: Final = 400

_PLACEHOLDERS: Final = (
    (re.compile(r"https?://[^ ]{1,300}"), "URL"),
    (re.compile(r"<?[^\s<>@]{1,100}@[^\s<>@]{1,100}>?"), "ADDRESS"),
    (re.compile(r"\[?[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,8}\]?"), "IP"),
    (re.compile(r"\[?[0-9]{1,3}(?:\.[0-9]{1,3}){3}\]?"), "IP"),
    (re.compile(r"\b(?:[a-z0-9_-]{1,63}\.){1,8}[a-z]{2,24}\b"), "HOST"),
    (re.compile(r"\b(?=[a-z0-9_-]{0,60}[0-9])[a-z0-9_-]{8,64}\b"), "ID"),
    (re.compile(r"[0-9]+"), "N"),
)
"""Each quantifier is bounded or stands alone, so that a hostile text costs no more than its length."""


def fingerprint(reply: Reply) -> str:
    """Code, enhanced code and the sentence: "550 5.7.1 message for ADDRESS refused by HOST"."""
    text = " ".join(reply.text[:_LOOKED_AT].lower().split())
    for pattern, word in _PLACEHOLDERS:
        text = pattern.sub(word, text)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return " ".join(part for part in (str(reply.code), reply.enhanced, text[:LONGEST]) if part)


class Unclassified:
    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts: Final[dict[tuple[str, str, str], int]] = {}
        self.total = 0

    def note(self, phase: str, provider: str, reply: Reply) -> None:
        """Our own replies are known."""
        if reply.text[:6].lower() == "local:" or not reply.code:
            return
        self.total += 1
        name = (fingerprint(reply), phase, provider)
        count = self._counts.get(name, 0)
        if not count and len(self._counts) >= MOST:
            rarest = min(self._counts, key=self._counts.__getitem__)
            count = self._counts.pop(rarest)
        self._counts[name] = count + 1

    def top(self, most: int = 20) -> list[Mapping[str, object]]:
        ordered = sorted(self._counts.items(), key=lambda entry: -entry[1])[:most]
        return [
            {"reply": text, "phase": phase, "provider": provider, "count": count}
            for (text, phase, provider), count in ordered
        ]
