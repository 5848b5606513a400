"""Whose mailboxes these are: a domain and its mail exchangers -> the provider's name.

Receivers limit by their own servers, not by the domain behind the @ (one of them says so in as many words), so an
exchanger's suffix is the usual match; every exchanger must fit, or a domain that names one of a provider's hosts among
its own would be taken for it. Also what all sites of one provider share. KumoMTA's words: MXSuffix, DomainSuffix,
HostName.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.policy.throttle import Rate, Throttle

KINDS: Final = ("MXSuffix", "DomainSuffix", "HostName")
MOST_KNOWN: Final = 20_000


@dataclass(frozen=True, slots=True)
class Match:
    kind: str
    text: str
    """In lower case. A suffix that begins with a dot fits below the name only."""

    def fits(self, domain: str, hosts: Sequence[str]) -> bool:
        if self.kind == "DomainSuffix":
            return ends(domain, self.text)
        if self.kind == "HostName":
            return bool(hosts) and all(host == self.text for host in hosts)
        return bool(hosts) and all(ends(host, self.text) for host in hosts)


def ends(name: str, suffix: str) -> bool:
    """At a label's border: "docomo.ne.jp" ends itself and "mail.docomo.ne.jp", not "notdocomo.ne.jp"."""
    if suffix.startswith("."):
        return name.endswith(suffix)
    return name == suffix or name.endswith("." + suffix)


def _ends_of(name: str) -> Iterator[str]:
    """All that it may end in: "mx.example.jp", "example.jp", "jp"."""
    while name:
        yield name
        name = name.partition(".")[2]


def read_matches(value: object) -> tuple[Match, ...]:
    """`[{MXSuffix = ".google.com"}, ...]`. Raises ValueError, whose text is the remedy."""
    remedy = 'write a list such as [{MXSuffix = ".google.com"}, {DomainSuffix = "docomo.ne.jp"}]'
    if not isinstance(value, list) or not 0 < len(value) <= 256:
        raise ValueError(remedy)
    return tuple(_read_match(entry, remedy) for entry in value)


def _read_match(entry: object, remedy: str) -> Match:
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ValueError(remedy)
    ((kind, text),) = entry.items()
    is_name = isinstance(text, str) and 3 <= len(text) <= 253 and text.isascii() and " " not in text
    if kind not in KINDS or not is_name or ".." in text:
        raise ValueError(f"{ascii(entry)[:60]}: {remedy}; known are {', '.join(KINDS)}")
    return Match(kind, text.lower().rstrip("."))


class Providers:
    """The first provider that fits has the domain, in the order of the tables."""

    __slots__ = ("_known", "_named", "matches")

    def __init__(self, matches: Mapping[str, Iterable[Match]]) -> None:
        self.matches: Final = tuple((name, tuple(those)) for name, those in matches.items())
        self._named: Final[defaultdict[str, set[int]]] = defaultdict(set)
        """Places in `matches`, by the text that a name must end in."""
        for number, (_, those) in enumerate(self.matches):
            for match in those:
                self._named[match.text.removeprefix(".")].add(number)
        self._known: Final[dict[tuple[str, tuple[str, ...]], str]] = {}

    def of(self, domain: str, hosts: tuple[str, ...]) -> str:
        """Empty: nobody's that we know. `hosts` in lower case, without the final dot. Cost: a dictionary's, mostly."""
        known = self._known.get((domain, hosts))
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()  # domains are strangers' names: bounded, and cheap to find again
            known = self._known[domain, hosts] = self._find(domain, hosts)
        return known

    def _find(self, domain: str, hosts: tuple[str, ...]) -> str:
        nothing: set[int] = set()
        ends_of = (end for name in (domain, *hosts[:1]) for end in _ends_of(name))
        for number in sorted(nothing.union(*(self._named.get(end, nothing) for end in ends_of))):
            name, matches = self.matches[number]
            if any(match.fits(domain, hosts) for match in matches):
                return name
        return ""


class Share:
    """What the paths of one source to one provider have in common: places for connections, and a rate."""

    __slots__ = ("_waiting", "limit", "open", "throttle")

    def __init__(self, connection_limit: int, rate: Rate | None) -> None:
        """`connection_limit` 0: any number."""
        self.limit = connection_limit
        self.throttle = Throttle(rate) if rate else None
        self.open = 0
        self._waiting: Final[deque[Callable[[], None]]] = deque()

    def adopt(self, connection_limit: int, rate: Rate | None) -> None:
        """Other limits; what is open stays open."""
        self.limit = connection_limit
        if rate != (self.throttle.rate if self.throttle else None):
            self.throttle = Throttle(rate) if rate else None

    def take(self) -> bool:
        if self.limit and self.open >= self.limit:
            return False
        self.open += 1
        return True

    def give(self) -> None:
        """Whoever waits for a place looks again, one for each that is given."""
        self.open -= 1
        if self._waiting:
            self._waiting.popleft()()

    def call_again(self, look: Callable[[], None]) -> None:
        if look not in self._waiting:
            self._waiting.append(look)
