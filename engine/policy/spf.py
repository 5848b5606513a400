"""SPF records as values: their terms, and macros filled in (RFC 7208 4.5, 4.6.1, 5, 6, 7, 12).

A record is read whole before anything of it is asked, because an error anywhere makes it an error everywhere (4.6).
Texts are strangers', so that lengths and numbers of terms are bounded. Nothing is looked up here: engine/net/spf.py
asks DNS and follows the terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final
from urllib.parse import quote

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_BYTES: Final = 8192
MOST_TERMS: Final = 500
LONGEST_NAME: Final = 253

_MECHANISM: Final = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?=[:/]|$)([:/].*)?", re.IGNORECASE)
_MODIFIER: Final = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_CIDR: Final = re.compile(r"(?:/(0|[1-9][0-9]{0,2}))?(?://(0|[1-9][0-9]{0,2}))?$")
_MACRO: Final = re.compile(r"%(?:\{([slodiphcrtv])([0-9]{0,3})(r?)([.+,/_=-]*)\}|([%_-]))", re.IGNORECASE)
_LITERAL: Final = re.compile(r"[!-$&-~]*")
_TOP_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_SPECIFIED: Final = frozenset({"include", "exists"})
"""Mechanisms that need a domain."""
_EXPLANATION_ONLY: Final = frozenset("crt")


class SpfError(ValueError):
    """permerror: the record is not one. The text says why."""


@dataclass(frozen=True, slots=True)
class Term:
    qualifier: str
    """One of + - ~ ?"""
    name: str
    domain: str = ""
    """With its macros; empty: the current domain."""
    prefix4: int = 32
    prefix6: int = 128
    network: Network | None = None
    """Of ip4 and ip6."""


@dataclass(frozen=True, slots=True)
class Record:
    terms: tuple[Term, ...]
    redirect: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What macros stand for (7.2)."""

    address: Address
    sender: str
    """local@domain"""
    helo: str
    domain: str
    """The current one: it changes with include and redirect."""
    validated: str = "unknown"
    """%{p}"""


def chosen(texts: Iterable[bytes]) -> str | None:
    """The SPF record among a name's TXT records (4.5); None: there is none. Raises SpfError."""
    found = [text for text in texts if text[:6].lower() == b"v=spf1" and text[6:7] in (b"", b" ")]
    if len(found) > 1:
        raise SpfError(f"{len(found)} SPF records at one name; leave one")
    if not found:
        return None
    if len(found[0]) > MOST_BYTES:
        raise SpfError(f"a record of {len(found[0])} bytes")
    try:
        return found[0].decode("ascii")
    except UnicodeDecodeError:
        raise SpfError("the record is not ASCII") from None


def parse(text: str) -> Record:
    """Raises SpfError."""
    words = [word for word in text.split(" ") if word][1:]
    if len(words) > MOST_TERMS:
        raise SpfError(f"{len(words)} terms")
    terms: list[Term] = []
    modifiers: dict[str, str] = {}
    for word in words:
        mechanism = _MECHANISM.fullmatch(word)
        modifier = None if mechanism else _MODIFIER.fullmatch(word)
        if mechanism:
            terms.append(_term(mechanism[1] or "+", mechanism[2].lower(), mechanism[3] or "", word))
        elif modifier:
            _modify(modifiers, modifier[1].lower(), modifier[2], word)
        else:
            raise SpfError(f"{word[:80]!a} is no term of SPF")
    return Record(tuple(terms), modifiers.get("redirect", ""))


def _modify(modifiers: dict[str, str], name: str, value: str, word: str) -> None:
    if name not in ("redirect", "exp"):
        _check_macros(value, word, "slodiphcrtv")
        return
    if name in modifiers:
        raise SpfError(f"{name}= stands twice")
    _check_domain(value, word)
    modifiers[name] = value


def _term(qualifier: str, name: str, rest: str, word: str) -> Term:
    if name == "all":
        if rest:
            raise SpfError(f"{word[:80]!a}: all takes nothing")
        return Term(qualifier, name)
    if name in ("ip4", "ip6"):
        return Term(qualifier, name, network=_network(name, rest, word))
    prefix4, prefix6 = 32, 128
    if name in ("a", "mx"):
        found = _CIDR.search(rest)
        assert found is not None  # it may be empty
        rest = rest[: found.start()]
        prefix4, prefix6 = int(found[1] or 32), int(found[2] or 128)
        if prefix4 > 32 or prefix6 > 128:
            raise SpfError(f"{word[:80]!a}: a prefix that is too long")
    if rest:
        if rest[0] != ":":
            raise SpfError(f"{word[:80]!a}: not a prefix")
        _check_domain(rest[1:], word)
    elif name in _SPECIFIED:
        raise SpfError(f"{word[:80]!a}: needs a domain")
    return Term(qualifier, name, rest[1:], prefix4, prefix6)


def _network(name: str, rest: str, word: str) -> Network:
    text = rest[1:]
    _, slash, prefix = text.partition("/")
    is_prefix = not slash or re.fullmatch("0|[1-9][0-9]{0,2}", prefix)
    if not rest.startswith(":") or not is_prefix or "%" in text:
        raise SpfError(f"{word[:80]!a}: no address or network")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise SpfError(f"{word[:80]!a}: no address or network") from None
    if network.version != int(name[2]):
        raise SpfError(f"{word[:80]!a}: an address of the other family")
    return network


def _check_domain(spec: str, word: str) -> None:
    """domain-spec: a macro-string that ends in a label that is no number, or in a macro."""
    _check_macros(spec, word, "slodiphv")
    last = list(_MACRO.finditer(spec))
    if last and last[-1].end() == len(spec) and last[-1][1]:
        return
    before, dot, top = spec.removesuffix(".").rpartition(".")
    if not (before and dot) or not _TOP_LABEL.fullmatch(top) or top.isdigit():
        raise SpfError(f"{word[:80]!a}: {spec[:60]!a} is no domain")


def _check_macros(text: str, word: str, letters: str) -> None:
    at = 0
    while at < len(text):
        literal = _LITERAL.match(text, at)
        assert literal is not None  # it may be empty
        at = literal.end()
        if at == len(text):
            return
        macro = _MACRO.match(text, at)
        if macro is None or (macro[1] and macro[1].lower() not in letters) or (macro[2] and not int(macro[2])):
            raise SpfError(f"{word[:80]!a}: a macro that is none")
        at = macro.end()


def names_validated(text: str) -> bool:
    """Whether %{p} is in it, which costs look-ups."""
    return any(macro[1] and macro[1] in "pP" for macro in _MACRO.finditer(text))


def expand(spec: str, facts: Facts) -> str:
    """A domain-spec as a name to ask for; too long ones lose labels at the left (7.3)."""
    name = _MACRO.sub(lambda macro: _expanded(macro, facts), spec).removesuffix(".")
    while len(name) > LONGEST_NAME and "." in name:
        name = name.partition(".")[2]
    return name


def _expanded(macro: re.Match[str], facts: Facts) -> str:
    if macro[5]:
        return {"%": "%", "_": " ", "-": "%20"}[macro[5]]
    letter, delimiters = macro[1].lower(), macro[4] or "."
    parts = re.split(f"[{re.escape(delimiters)}]", _value(letter, facts))
    if macro[3]:
        parts.reverse()
    if macro[2]:
        parts = parts[-int(macro[2]) :]
    value = ".".join(parts)
    return quote(value, safe="-._~") if macro[1].isupper() else value


def _value(letter: str, facts: Facts) -> str:
    local, _, domain = facts.sender.rpartition("@")
    return {
        "s": facts.sender,
        "l": local,
        "o": domain,
        "d": facts.domain,
        "i": _dotted(facts.address),
        "p": facts.validated,
        "v": "in-addr" if facts.address.version == 4 else "ip6",
        "h": facts.helo,
    }[letter]


def _dotted(address: Address) -> str:
    return str(address) if address.version == 4 else ".".join(address.exploded.replace(":", ""))


def is_domain(name: str) -> bool:
    """Whether check_host may be asked about it (4.3): labels of 1 to 63 bytes, two of them at least."""
    labels = name.removesuffix(".").split(".")
    return len(name) <= LONGEST_NAME and len(labels) > 1 and all(0 < len(label) <= 63 for label in labels)


def with_addresses(record: str | None, addresses: Iterable[Address]) -> str:
    """The record to publish: what is there, and these addresses in front of its last word."""
    words = (record or "v=spf1 ~all").split()
    more = [f"ip{address.version}:{address}" for address in addresses]
    at = next(_ends(words), len(words))
    return " ".join([*words[:at], *more, *words[at:]])


def _ends(words: list[str]) -> Iterator[int]:
    for number, word in enumerate(words):
        if word.lower().lstrip("+-~?") == "all" or word.lower().startswith(("redirect=", "exp=")):
            yield number
