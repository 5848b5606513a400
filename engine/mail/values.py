"""Merge values, escaped and encoded for the place where they stand in a body: text or HTML, base64 or quoted-printable.

Each of these functions is total: whatever the value, the result is safe in its place. What check_fields() should have
refused (NUL, other control characters, lone surrogates) becomes a space or a question mark. Line breaks of any kind
become CRLF. Ordinary values take a short way, told by two tests that cost nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

Prepare = Callable[[str], bytes]

QP_LINE = 75
"""Characters before a soft line break (RFC 2045 6.7 rule 5)."""

# What HTML gives a meaning, and what does not print.
_SPECIAL = re.compile(r"[&<>\"'\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Needs no encoding at the start of a line: no leading dot (transparency), no space that a canonical form would touch.
_QP_PLAIN = re.compile(r"[!-\-/-<>-~][!-<>-~]*(?: [!-<>-~]+)*")


def plain(value: str) -> bytes:
    """For text that a base64 part carries."""
    return value.encode() if value.isprintable() else tidy(value).encode("utf-8", "replace")


def markup(value: str) -> bytes:
    """For HTML, elements and quoted attributes alike, that a base64 part carries."""
    if value.isalnum() or _SPECIAL.search(value) is None:
        return value.encode()
    return html.escape(tidy(value)).encode("utf-8", "replace")


PLAIN_ALIKE = frozenset({plain, markup})
"""What gives the plain octets of a value that is_plain()."""


def is_plain(text: str) -> bool:
    """Nothing in it is to be escaped or tidied, nor in any part of it."""
    return text.isprintable() and _SPECIAL.search(text) is None


def link(url: str) -> bytes:
    """As plain(), for an opt-out link: printable ASCII by check_identity()."""
    return url.encode()


def link_markup(url: str) -> bytes:
    """As markup(), for an opt-out link: without angle brackets or line ends by check_identity()."""
    return url.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&#x27;").encode()


def quoted_plain(value: str) -> bytes:
    """For text in quoted-printable; begins a line, and a soft line break follows."""
    return quote(tidy(value))


def quoted_markup(value: str) -> bytes:
    """For HTML in quoted-printable; begins a line, and a soft line break follows."""
    return quote(html.escape(tidy(value)))


def tidy(value: str) -> str:
    if value.isprintable():
        return value
    lines = value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    return _CONTROLS.sub(" ", lines)


def quote(text: str) -> bytes:
    """Every octet as =XX unless the text is plain: three times the size, but a value is short and this is one call."""
    if len(text) <= QP_LINE and _QP_PLAIN.fullmatch(text):
        return text.encode()
    return b"\r\n".join([_quote_line(line.encode("utf-8", "replace")) for line in text.split("\r\n")])


def _quote_line(octets: bytes) -> bytes:
    width = QP_LINE // 3
    pieces = [octets[at : at + width] for at in range(0, len(octets), width)]
    return "=\r\n".join([f"={piece.hex('=')}" for piece in pieces]).upper().encode("ascii")
