"""Header fields (RFC 5322 2.2) of free text: plain when they may be, as encoded-words (RFC 2047) when they must.

A field is compiled from a template once. Per recipient its literals are ready, as plain text and as encoded-words, and
the values join them. Plain is only what needs no care at all: printable ASCII with single spaces, nothing that reads
like an encoded-word, on a line of ordinary length. Everything else is encoded, so no value whatever can end a line,
and the DKIM canonical form is known without looking at the result.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Mapping

from engine.mail.slots import Slot, Template

MAX_LINE = 76
"""Of a line with encoded-words (RFC 2047 2); other lines should keep to 78 (RFC 5322 2.1.1)."""
MAX_UNBROKEN = 900
"""Without a space to fold at, more would come near the 998 octets of RFC 5322 2.1.1."""
_WORD_OCTETS = 36
"""UTF-8 octets in one encoded-word: 60 characters of the 75 allowed, which leaves room for the name of the field."""

_PLAIN = re.compile(r"[!-~]++(?: [!-~]++)*+")
_NEUTRALISED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Rendered = tuple[bytes, bytes]
"""The field as it is sent, and its relaxed canonical form (RFC 6376 3.4.2); both with CRLF."""


class FieldTemplate:
    """One field, compiled. `names` are the merge fields in it."""

    __slots__ = ("_canonical_name", "_template", "_wire_name", "_words", "name", "names")

    def __init__(self, name: str, template: Template) -> None:
        self.name = name
        self.names = frozenset(part.name for part in template if isinstance(part, Slot))
        self._template = template
        self._wire_name = f"{name}:"
        self._canonical_name = f"{name.lower()}:"
        self._words = tuple(encoded_words(part) if isinstance(part, str) else [] for part in template)

    def render(self, fields: Mapping[str, str]) -> Rendered:
        """Total: whatever the values, it is this one field and no more."""
        parts = [part if isinstance(part, str) else fields[part.name] for part in self._template]
        text = "".join(parts)
        if _PLAIN.fullmatch(text) and "=?" not in text and (len(text) <= MAX_UNBROKEN or _is_foldable(text)):
            return self._plain(text)
        words = []
        for part, ready in zip(parts, self._words, strict=True):
            words += ready or encoded_words(part)
        return self._encoded(words)

    def _plain(self, text: str) -> Rendered:
        canonical = f"{self._canonical_name}{text}\r\n".encode("ascii")
        if len(self._wire_name) + 1 + len(text) > MAX_LINE:
            text = fold(text, len(self._wire_name) + 1)
        return f"{self._wire_name} {text}\r\n".encode("ascii"), canonical

    def _encoded(self, words: list[str]) -> Rendered:
        if words and len(self._wire_name) + 1 + len(words[0]) > MAX_LINE:
            words = ["", *words]
            wire = f"{self._wire_name}" + "\r\n ".join(words)
        else:
            wire = f"{self._wire_name} " + "\r\n ".join(words)
        return f"{wire}\r\n".encode("ascii"), f"{self._canonical_name}{' '.join(words).strip()}\r\n".encode("ascii")


def _is_foldable(text: str) -> bool:
    return max(map(len, text.split(" "))) <= MAX_UNBROKEN


def encoded_words(text: str) -> list[str]:
    """RFC 2047 4.1, UTF-8; no character is cut in two. Between two encoded-words white space does not count."""
    octets = _neutral(text).encode("utf-8", "replace")
    words = []
    at = 0
    while at < len(octets):
        end = at + _WORD_OCTETS
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        words.append("=?utf-8?b?" + b2a_base64(octets[at:end], newline=False).decode("ascii") + "?=")
        at = end
    return words


def _neutral(text: str) -> str:
    return text if text.isprintable() else _NEUTRALISED.sub(" ", text)


def fold(text: str, start: int) -> str:
    """Folded at spaces to lines of 76 characters where spaces allow it; the first one has `start` already."""
    lines, line, room = [], "", MAX_LINE - start
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line, room = word, MAX_LINE - 1
        else:
            line = f"{line} {word}" if line else word
    return "\r\n ".join([*lines, line])
