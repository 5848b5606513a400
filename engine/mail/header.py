"""Header fields (RFC 5322 2.2) of free text: plain when they may be, as encoded-words (RFC 2047) when they must.

A field is compiled from a template once. Per recipient its literals are ready, as plain text and as encoded-words, and
the values join them. Plain is only what needs no care at all: printable ASCII with single spaces, nothing that reads
like an encoded-word, on a line of ordinary length. Everything else is encoded, so no value whatever can end a line,
and the DKIM canonical form is known without looking at the result.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping

from engine.mail.slots import Slot, Template

MAX_LINE = 76
"""Of a line with encoded-words (RFC 2047 2); other lines should keep to 78 (RFC 5322 2.1.1)."""
MAX_UNBROKEN = 900
"""Without a space to fold at, more would come near the 998 octets of RFC 5322 2.1.1."""
_WORD_OCTETS = 36
"""UTF-8 octets in one encoded-word: 60 characters of the 75 allowed, which leaves room for the name of the field."""
_WORD = 60

_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_NEUTRALISED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Rendered = tuple[bytes, bytes]
"""The field as it is sent, and its relaxed canonical form (RFC 6376 3.4.2); both with CRLF."""
Encode = Callable[[str], list[bytes]]
"""Text -> encoded-words of at most 60 characters each. Total."""


class FieldTemplate:
    """One field, compiled. `names` are the merge fields in it."""

    __slots__ = (
        "_canonical_start", "_encode", "_encoded_start", "_may_be_plain", "_template", "_words", "name", "names",
    )  # fmt: skip

    def __init__(self, name: str, template: Template, encode: Encode | None = None) -> None:
        """`encode`: into encoded-words of another charset than UTF-8."""
        self.name = name
        self._encode = encode or encoded_words
        self.names = frozenset(part.name for part in template if isinstance(part, Slot))
        self._template = template
        self._words: tuple[str | list[bytes], ...] = tuple(
            self._encode(part) if isinstance(part, str) else part.name for part in template
        )
        self._may_be_plain = all(part.isascii() for part in template if isinstance(part, str))
        room = MAX_LINE - len(name) - 2
        self._encoded_start = f"{name}: ".encode("ascii") if room >= _WORD else f"{name}:\r\n ".encode("ascii")
        self._canonical_start = f"{name.lower()}:".encode("ascii")

    def render(self, fields: Mapping[str, str]) -> Rendered:
        """Total: whatever the values, it is this one field and no more."""
        if self._may_be_plain:
            text = "".join([part if isinstance(part, str) else fields[part.name] for part in self._template])
            if _PLAIN.fullmatch(text) and "=?" not in text and (len(text) <= MAX_UNBROKEN or _is_foldable(text)):
                return self._plain(text.encode("ascii"))
        words: list[bytes] = []
        for ready in self._words:
            words += self._encode(fields[ready]) if isinstance(ready, str) else ready
        start = self._encoded_start if words else self.name.encode("ascii") + b": "
        return start + b"\r\n ".join(words) + b"\r\n", self._canonical_start + b" ".join(words) + b"\r\n"

    def _plain(self, text: bytes) -> Rendered:
        start = f"{self.name}: ".encode("ascii")
        canonical = self._canonical_start + text + b"\r\n"
        return start + fold(text, len(start)) + b"\r\n", canonical


def _is_foldable(text: str) -> bool:
    return max(map(len, text.split(" "))) <= MAX_UNBROKEN


def encoded_words(text: str) -> list[bytes]:
    """RFC 2047 4.1, UTF-8; no character is cut in two. Between two encoded-words white space does not count."""
    octets = text.encode() if text.isprintable() else _NEUTRALISED.sub(" ", text).encode("utf-8", "replace")
    if 0 < len(octets) <= _WORD_OCTETS:
        return [b"=?utf-8?b?" + b2a_base64(octets, newline=False) + b"?="]
    words = []
    at = 0
    while at < len(octets):
        end = at + _WORD_OCTETS
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        words.append(b"=?utf-8?b?" + b2a_base64(octets[at:end], newline=False) + b"?=")
        at = end
    return words


def fold(text: bytes, start: int) -> bytes:
    """Folded at spaces to lines of 76 characters where spaces allow it; the first one has `start` already."""
    if start + len(text) <= MAX_LINE:
        return text
    first, *others = text.split(b" ")
    lines, line, room = [], first, MAX_LINE - start
    for word in others:
        if len(line) + 1 + len(word) > room:
            lines.append(line)
            line, room = word, MAX_LINE - 1
        else:
            line += b" " + word
    return b"\r\n ".join([*lines, line])
