"""Sources and pools: from which of our addresses a message leaves.

A pool's sources take turns by weight, interleaved as nginx's smooth weighted round robin does it. Whose turn it is
follows from the recipient's number alone, so that every attempt for a recipient begins at the same source: greylists
recognise us, and nobody's mail hops to another address because its own is blocked. Only a source that has no room, or
whose warm-up budget of the day is used up, passes the turn on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from engine.policy.warmup import Warmup

MOST_WEIGHT: Final = 1000
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    address: str = ""
    """Local IP address to send from; empty: as the system routes."""
    ehlo_name: str = "localhost"
    warmup: Warmup | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    weights: Mapping[str, int]
    order: tuple[str, ...]
    """Names of sources in their turns; as often as their weight."""

    def turn(self, number: int) -> str:
        return self.order[number % len(self.order)]

    def others(self, number: int) -> list[str]:
        """The other sources, in the order in which they would come next."""
        at = number % len(self.order)
        following = self.order[at:] + self.order[:at]
        return [name for name in dict.fromkeys(following) if name != following[0]]


def make_pool(name: str, weights: Mapping[str, int]) -> Pool:
    """`weights` from 1 to 1000, one at least."""
    divisor = math.gcd(*weights.values())
    shares = {source: weight // divisor for source, weight in weights.items()}
    return Pool(name, dict(weights), tuple(_interleaved(shares)))


def _interleaved(weights: Mapping[str, int]) -> list[str]:
    total = sum(weights.values())
    current = dict.fromkeys(weights, 0)
    order = []
    for _ in range(total):
        for source, weight in weights.items():
            current[source] += weight
        chosen = max(current, key=current.__getitem__)
        current[chosen] -= total
        order.append(chosen)
    return order


class State(Enum):
    """How a source stands towards a site now."""

    OPEN = "open"
    FULL = "full"
    """No room on its path: the turn passes on."""
    COLD = "cold"
    """Its warm-up budget is used up: the turn passes on."""
    BLOCKED = "blocked"
    """Suspended there: its mail waits for it."""


def choose(pool: Pool, number: int, state: Callable[[str], State]) -> tuple[str, State]:
    """The source for a recipient's number, and how it stands: OPEN to send from, else what its mail waits for."""
    own = pool.turn(number)
    standing = state(own)
    if standing in (State.OPEN, State.BLOCKED):
        return own, standing
    for other in pool.others(number):
        if state(other) is State.OPEN:
            return other, State.OPEN
    return own, standing
