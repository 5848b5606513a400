"""Mail addresses as clients write them and as the wire wants them (RFC 5321 4.1.2, RFC 6531 3.3).

One address, no display name, no route, no address literal. The domain becomes lower-case A-labels; the local part is
never rewritten, only quoted where its grammar asks for it. docomo and au gave out local parts such as `a..b` and `ab.`
until about 2009, which no dot-atom allows and which are still alive: they are accepted for these domains and quoted on
the wire. White space and control characters are refused everywhere, inside quotes too, so that an address can stand in
a command line and in a header field as it is.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

MAX_ADDRESS = 254
"""RFC 5321 4.5.3.1.3 less the angle brackets, in octets."""
MAX_LOCAL = 64
"""RFC 5321 4.5.3.1.1, in octets."""

LEGACY_DOMAINS = frozenset({"docomo.ne.jp", "ezweb.ne.jp", "au.com"})

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
# RFC 6531 3.3 adds every non-ASCII character to atext; _local_of() narrows that to printable ones.
_UTEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]"
# No possessive quantifiers round groups here or elsewhere: Python 3.11.2 (Debian 12) does not give back a half-matched
# round of theirs. These are linear without: no two ways to match the same text.
_ORDINARY = re.compile(rf"({_ATEXT}+(?:\.{_ATEXT}+)*)@([A-Za-z0-9.-]+)")
_DOT_ATOM = re.compile(rf"{_UTEXT}+(?:\.{_UTEXT}+)*")
_LEGACY_LOCAL = re.compile(rf"(?:{_ATEXT}|\.)+")
_QUOTED_LOCAL = re.compile(r'"((?:[!#-\[\]-~\u0080-\U0010ffff]|\\["\\])+)"')
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# IDNA 2003 (the standard library's) maps these to other letters, IDNA 2008 keeps them: another domain, another reader.
_DEVIATIONS = re.compile(r"[\u00df\u03c2\u200c\u200d]")


class AddressError(ValueError):
    """The address is none; the text says why, and names the value."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"address {text[:80]!a}: {reason}")
        self.reason = reason


class Address(NamedTuple):
    local: str
    """Without quotes: two spellings of one mailbox have the same."""
    domain: str
    """Lower-case A-labels."""
    text: str
    """As it was given."""
    wire: str
    """As it stands in RCPT TO and in the To field."""

    @property
    def utf8(self) -> bool:
        """Only a server with SMTPUTF8 can take it."""
        return not self.wire.isascii()


def parse_address(text: str) -> Address:
    """Raises AddressError. About a microsecond when the local part is an ASCII dot-atom."""
    match = _ORDINARY.fullmatch(text)
    if match is None or "=?" in text:
        return _parse_unusual(text)
    local, given = match.groups()
    if len(local) > MAX_LOCAL or len(text) > MAX_ADDRESS:
        raise AddressError(text, f"too long (local part {MAX_LOCAL}, whole {MAX_ADDRESS} octets)")
    domain = _domain(given)
    return Address(local, domain, text, text if domain == given else f"{local}@{domain}")


def _parse_unusual(text: str) -> Address:
    if len(text) > MAX_ADDRESS:
        raise AddressError(text, f"too long (whole {MAX_ADDRESS} octets)")
    written, at, given = text.rpartition("@")
    if not at or not written or not given:
        raise AddressError(text, "is not of the form local@domain")
    domain = _domain(given)
    local = _local_of(text, written, domain)
    wire = f"{_quote(local)}@{domain}"
    if len(local.encode()) > MAX_LOCAL or len(wire.encode()) > MAX_ADDRESS:
        raise AddressError(text, f"too long (local part {MAX_LOCAL}, whole {MAX_ADDRESS} octets)")
    return Address(local, domain, text, wire)


def _local_of(text: str, written: str, domain: str) -> str:
    quoted = _QUOTED_LOCAL.fullmatch(written)
    local = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else written
    if "=?" in local:
        # RFC 2047 5 forbids encoded-words here, but there are readers that decode this in a To field all the same.
        raise AddressError(text, "the local part reads like an encoded-word")
    if not local.isprintable():
        raise AddressError(text, "the local part has characters that do not print")
    if unicodedata.normalize("NFKC", local) != local:
        raise AddressError(text, "the local part has full-width or other compatibility characters: write them plainly")
    legacy = domain in LEGACY_DOMAINS and _LEGACY_LOCAL.fullmatch(written)
    if not (quoted or legacy or _DOT_ATOM.fullmatch(written)):
        raise AddressError(text, "the local part has characters or dots that need quotes")
    return local


def _quote(local: str) -> str:
    if _DOT_ATOM.fullmatch(local):
        return local
    return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(maxsize=65536)
def _domain(given: str) -> str:
    """Lower-case A-labels of a domain with at least two labels. The caller has bounded its length."""
    domain = given.lower() if given.isascii() else _a_labels(given)
    labels = domain.split(".")
    if len(labels) < 2 or labels[-1].isdigit():
        raise AddressError(f"@{given}", "the domain is no full host name")
    if not all(map(_LABEL.fullmatch, labels)):
        raise AddressError(f"@{given}", "the domain has a label that is empty, too long or of wrong characters")
    return domain


def _a_labels(given: str) -> str:
    if _DEVIATIONS.search(given):
        raise AddressError(f"@{given}", "the domain has no safe A-label form: write its labels as xn--…")
    try:
        return given.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise AddressError(f"@{given}", f"the domain has no A-label form ({error})") from None
