"""How a list of addresses looks before anybody is mailed: a score of 100 for one that people signed up for themselves.

特定電子メール法 2条4号・6条 forbid mail to addresses that a program made up. The engine cannot know where a list comes
from, so it counts what made-up, bought and old lists have in common: numbered and crossed addresses, misspelt domains,
roles, duplicates, addresses and domains known to be dead, people never mailed, names unlike the sender's others. Every
limit is a guess of ours: a low score is a question to whoever brought the list, and an answer can be given
(`--min-score`). Pure: addresses in, shares and a score out.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.policy.listwords import DISPOSABLE, MISSPELT, ROLES

LEAST: Final = 200
"""Lines below which a list is too short to be judged."""
GOOD: Final = 80
"""Score below which a list is warned of."""
LOWEST: Final = 50
"""Score below which it is refused, unless the command says otherwise."""
OLD_DAYS: Final = 730
_ROW: Final = 10
"""Numbers of one stem at one domain that make a row."""
_CROSSED: Final = 4
"""Domains at which the same local part stands."""
_NUMBERED: Final = re.compile(r"([a-z][a-z._-]{0,63}?)([0-9]{1,9})")
_RANDOM: Final = re.compile(r"(?=[^0-9]*[0-9])(?=[0-9]*[a-z])[a-z0-9]{10,64}")
_TURNS: Final = re.compile(r"[a-z]+|[0-9]+")
_TURNED: Final = 5
"""Changes between letters and digits in a local part that nobody chose."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Shares of the lines: up to `fine` nothing is said, at `bad` all `points` are lost."""

    fine: float
    bad: float
    points: int
    ja: str
    en: str


LIMITS: Final[Mapping[str, Limit]] = {
    "syntax": Limit(0.01, 0.10, 40, "アドレスとして読めない行", "lines that are no address"),
    "duplicates": Limit(0.02, 0.30, 30, "重複", "duplicates"),
    "roles": Limit(0.03, 0.20, 30, "役割アドレス(info@、admin@ など)", "addresses of roles (info@, admin@)"),
    "misspelt": Limit(0.005, 0.03, 40, "誤記とみられるドメイン(gmial.com など)", "misspelt domains (gmial.com)"),
    "disposable": Limit(0.01, 0.10, 40, "使い捨てアドレスのドメイン", "domains of throw-away addresses"),
    "sequential": Limit(0.02, 0.10, 60, "連番のアドレス(a001、a002…)", "numbered addresses (a001, a002...)"),
    "crossed": Limit(0.02, 0.10, 60, "同じ名前が多数のドメインにあるアドレス", "the same name at many domains"),
    "random": Limit(0.05, 0.30, 40, "無作為な文字列とみられるアドレス", "names that look random"),
    "old": Limit(0.30, 1.00, 25, "2年より前の同意", "consents older than two years"),
    "unknown": Limit(0.01, 0.05, 60, "宛先不明として記録済みのアドレス", "addresses that bounced before"),
    "refused": Limit(0.10, 0.60, 30, "受信拒否の記録があるアドレス", "addresses that refused before"),
    "dead": Limit(
        0.01,
        0.10,
        60,
        "存在しない、または受信しないドメイン(NXDOMAIN、null MX)",
        "domains that are not, or take no mail",
    ),
    "new": Limit(0.60, 1.00, 15, "この送信者が一度も送信していないアドレス", "addresses that this sender never mailed"),
    "unlike": Limit(
        0.30, 0.80, 40, "この送信者の過去の同意と長さや文字の分布が異なる度合い", "unlike the sender's earlier consents"
    ),
}
"""What is counted. Guesses of ours, all of them."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was seen of a list. `lines` counts what is no address too."""

    lines: int
    faults: int
    addresses: Sequence[str]
    old: int = 0
    """Consents older than OLD_DAYS."""
    unknown: int | None = None
    """Known to be dead; None: nobody could say."""
    refused: int | None = None
    dead: int | None = None
    """At domains that DNS says do not exist or take no mail (RFC 7505)."""
    new: int | None = None
    """Never mailed by this sender; None too where it has mailed nobody yet."""
    unlike: float | None = None
    """See `unlikeness`."""


@dataclass(frozen=True, slots=True)
class Score:
    points: int
    """0 to 100."""
    is_judged: bool
    """Enough lines were there."""
    shares: Mapping[str, float]
    """Of all that LIMITS names and somebody could count."""

    @property
    def told(self) -> list[str]:
        """What took points, the most first."""
        lost = {name: _lost(name, share) for name, share in self.shares.items()}
        return sorted((name for name in lost if lost[name] > 0), key=lambda name: -lost[name])


def score(counted: Counted) -> Score:
    lines = max(1, counted.lines)
    parts = [_parts(address) for address in counted.addresses]
    known = [(local, domain) for local, domain in parts if local and domain]
    found: dict[str, float] = {
        "syntax": counted.faults + len(parts) - len(known),
        "duplicates": len(known) - len(set(known)),
        "roles": sum(local in ROLES for local, _ in known),
        "misspelt": sum(domain in MISSPELT for _, domain in known),
        "disposable": sum(domain in DISPOSABLE for _, domain in known),
        "sequential": _sequential(known),
        "crossed": _crossed(known),
        "random": sum(_is_random(local) for local, _ in known),
        "old": counted.old,
    }
    for name in ("unknown", "refused", "dead", "new"):
        if (count := getattr(counted, name)) is not None:
            found[name] = count
    shares = {name: min(1.0, count / lines) for name, count in found.items()}
    if counted.unlike is not None:
        shares["unlike"] = counted.unlike
    lost = sum(_lost(name, share) for name, share in shares.items())
    return Score(max(0, round(100 - lost)), counted.lines >= LEAST, shares)


def unlikeness(addresses: Sequence[str], history: Sequence[str]) -> float | None:
    """How far local parts differ from those of the sender's history, 0.0 to 1.0: the total variation distance of their
    lengths or of the entropies of their letters, the larger of both. None: one of the two is too short to compare.
    """
    if min(len(addresses), len(history)) < LEAST:
        return None
    ours, theirs = ([_parts(address)[0] for address in those] for those in (addresses, history))
    return max(_distance(map(mark, ours), map(mark, theirs)) for mark in (_length, _entropy))


def _distance(one: Iterable[int], other: Iterable[int]) -> float:
    left, right = Counter(one), Counter(other)
    return sum(abs(left[key] / left.total() - right[key] / right.total()) for key in left | right) / 2


def _length(local: str) -> int:
    return min(len(local), 30) // 2


def _entropy(local: str) -> int:
    """In half bits a letter."""
    counts = Counter(local)
    return round(-2 * sum(n / len(local) * math.log2(n / len(local)) for n in counts.values())) if local else 0


def _lost(name: str, share: float) -> float:
    limit = LIMITS[name]
    return limit.points * min(1.0, max(0.0, (share - limit.fine) / (limit.bad - limit.fine)))


def _parts(address: str) -> tuple[str, str]:
    local, _, domain = address.strip().rpartition("@")
    return local.lower(), domain.lower().rstrip(".")


def _sequential(known: Collection[tuple[str, str]]) -> int:
    """Those that stand in a row: ten and more numbers of one stem at one domain, a fifth of the stretch they cover."""
    rows: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for local, domain in known:
        if match := _NUMBERED.fullmatch(local):
            rows[match[1], domain].add(int(match[2]))
    return sum(
        len(numbers)
        for numbers in rows.values()
        if len(numbers) >= _ROW and max(numbers) - min(numbers) < 5 * len(numbers)
    )


def _crossed(known: Collection[tuple[str, str]]) -> int:
    """A dictionary of names, each at every domain. Roles are everywhere."""
    domains: defaultdict[str, set[str]] = defaultdict(set)
    for local, domain in known:
        domains[local].add(domain)
    return sum(len(those) for local, those in domains.items() if len(those) >= _CROSSED and local not in ROLES)


def _is_random(local: str) -> bool:
    return bool(_RANDOM.fullmatch(local)) and len(_TURNS.findall(local)) > _TURNED
