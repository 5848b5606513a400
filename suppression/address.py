"""Addresses as suppression matches them: wide for a refusal, narrow for a consent.

Both forms are NFKC, trimmed, local part lowercased and unquoted (RFC 5321 4.1.2: the quoted spelling names the same
mailbox, and legacy `a..b@docomo.ne.jp` is written both ways), domain as A-labels (IDNA 2008, RFC 5891). The wide form
also drops what a provider ignores: dots and `+tag` at Gmail, `+tag` at Outlook, iCloud and Fastmail. Nothing here
rewrites the address that is sent to. What cannot be an address has no forms, and its identity is empty: such mail is
blocked, never waved through.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import idna

IDENTITY_BYTES = 16
"""Two keys of eight bytes, little-endian: the exact one, then the wide one."""

MAX_ADDRESS = 320
"""64 octets of local part, @, 255 of domain (RFC 5321 4.5.3.1); counted in characters, so generous for UTF-8."""

_ASCII_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_LITERAL = re.compile(r"\[[0-9a-z.:]+\]")
_BAD_LOCAL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

_GMAIL = frozenset({"gmail.com", "googlemail.com"})
_PLUS_TAG = frozenset(
    {
        *("outlook.com", "outlook.jp", "hotmail.com", "hotmail.co.jp", "live.com", "live.jp", "msn.com"),
        *("icloud.com", "me.com", "mac.com"),
        *("fastmail.com", "fastmail.fm"),
    }
)


class Forms(NamedTuple):
    exact: str
    wide: str


class _Domain(NamedTuple):
    name: str
    gmail: bool
    plus_tag: bool


def forms(address: str) -> Forms | None:
    """The two forms to match by, or None for what no mailbox can be called."""
    if len(address) > MAX_ADDRESS:
        return None
    text = address if address.isascii() else unicodedata.normalize("NFKC", address)
    local, at, name = text.strip().lower().rpartition("@")
    domain = _domain(name)
    if not at or domain is None:
        return None
    if local[:1] == '"':
        local = _unquoted(local)
    if not local or _BAD_LOCAL.search(local):
        return None
    exact = f"{local}@{domain.name}"
    if domain.gmail or (domain.plus_tag and "+" in local):
        return Forms(exact, _wide(local, domain))
    return Forms(exact, exact)


def _wide(local: str, domain: _Domain) -> str:
    stem = local.partition("+")[0] or local
    if domain.gmail:
        return f"{stem.replace('.', '') or stem}@gmail.com"
    return f"{stem}@{domain.name}"


def _unquoted(local: str) -> str:
    """The quoted string's content; empty when the closing quote is missing."""
    if len(local) < 2 or local[-1] != '"':
        return ""
    return _ESCAPE.sub(r"\1", local[1:-1])


@lru_cache(maxsize=65_536)
def _domain(name: str) -> _Domain | None:
    """A mailing has a million addresses and a few thousand domains, hence the cache."""
    name = name.removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    if not (_ASCII_DOMAIN.fullmatch(name) or _LITERAL.fullmatch(name)) or len(name) > 255:
        return None
    return _Domain(name, name in _GMAIL, name in _PLUS_TAG)


class Keyring:
    """Makes identities with the ledger's secret. Keyed BLAKE2b (RFC 7693) of eight bytes: without the secret nobody
    can try addresses against a key, and 64 bits keep a false match among 100 million below one in 10^11.
    """

    __slots__ = ("_seed",)

    def __init__(self, secret: bytes) -> None:
        self._seed = hashlib.blake2b(key=secret, digest_size=8, person=b"address")

    def identity(self, address: str) -> bytes:
        """Exact key and wide key; empty when the address has no forms."""
        found = forms(address)
        if found is None:
            return b""
        exact = self._key(found.exact)
        return exact + (exact if found.wide is found.exact else self._key(found.wide))

    def identities(self, addresses: Iterable[str]) -> list[bytes]:
        identity = self.identity
        return [identity(address) for address in addresses]

    def fingerprint(self) -> bytes:
        """Tells one secret from another without giving it away; no address has this text."""
        return self._key("\0fingerprint")

    def _key(self, text: str) -> bytes:
        mac = self._seed.copy()
        mac.update(text.encode())
        return mac.digest()
