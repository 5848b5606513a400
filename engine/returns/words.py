"""Addresses and tokens in text, found in linear time: local parts, domains and tokens are bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

ADDRESS: Final = re.compile(
    r"(?<![\w.+-])([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}|\"[^\"\s@]{1,62}\")@((?:[A-Za-z0-9_-]{1,63}\.){1,8}[A-Za-z]{2,24})"
)
TOKEN: Final = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{32,1400}(?![A-Za-z0-9_-])")
_NUMBERS: Final = re.compile(r"[0-9A-Fa-f-]+|[-_]+")
"""Identifiers such as those of a return path, and ruled lines."""
MAX_FOUND: Final = 64


def addresses(text: str) -> list[str]:
    """In their order, each once."""
    found: dict[str, None] = {}
    for match in ADDRESS.finditer(text):
        found.setdefault(match[0].strip("'").rstrip("."))
        if len(found) >= MAX_FOUND:
            break
    return list(found)


def address_of(text: str) -> str:
    """The one address of a field such as "rfc822; <neko@example.jp>"; the first of several; empty when none is."""
    kind, semicolon, rest = text.partition(";")
    found = addresses(rest if semicolon and "@" not in kind else text)
    return found[0] if found else ""


def tokens(texts: Iterable[str]) -> tuple[str, ...]:
    """What may be a token of ours: 32 and more letters of base64url. Words that are longer than any token are none."""
    found: dict[str, None] = {}
    for text in texts:
        for match in TOKEN.finditer(text):
            if len(found) >= MAX_FOUND:
                return tuple(found)
            if not _NUMBERS.fullmatch(match[0]):
                found.setdefault(match[0])
    return tuple(found)
