"""How many recipients wait in the spool for each site, and which domains have the most: a walk over all lanes.

100,000 domains take a good part of a second, so the walk goes in small steps and lets the event loop work between
them. Its result is as old as the walk was long. It knows nothing of what lanes and sites are.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

STEP = 200
"""Lanes between two rests: below a millisecond."""
MOST_DOMAINS = 50
L = TypeVar("L")


@dataclass(frozen=True, slots=True)
class Surveyed:
    by_site: dict[str, int] = field(default_factory=dict)
    """"" stands for domains whose site is not known."""
    domains: tuple[tuple[str, int], ...] = ()
    """The largest first."""
    domains_total: int = 0
    """With somebody waiting."""


@dataclass(frozen=True, slots=True)
class Lanes(Generic[L]):
    """The questions of the walk."""

    all: Callable[[], Iterable[L]]
    waiting: Callable[[L], int]
    domain: Callable[[L], str]
    site: Callable[[str], str]


async def survey(lanes: Lanes[L]) -> Surveyed:
    by_site: Counter[str] = Counter()
    by_domain: Counter[str] = Counter()
    for number, lane in enumerate(list(lanes.all())):
        if number % STEP == STEP - 1:
            await asyncio.sleep(0)
        waiting = lanes.waiting(lane)
        if waiting > 0:
            domain = lanes.domain(lane)
            by_domain[domain] += waiting
            by_site[lanes.site(domain)] += waiting
    top = heapq.nlargest(MOST_DOMAINS, by_domain.items(), key=lambda entry: (entry[1], entry[0]))
    return Surveyed(dict(by_site), tuple(top), len(by_domain))
