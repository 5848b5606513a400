"""What goes where, for labels that stay bounded and counters that never go back: tallies by site and by provider.

100,000 sites cannot each have a label, so the largest have one and the rest is "other". A site that was shown once is
shown as long as the process lives, also when its path is forgotten: a counter that vanished and came back smaller would
be a rate that never was. What a site did before it was shown stays in "other". New ones are shown only while they
are among the largest by all that ended since the start; so the set grows slowly, and MOST_SHOWN ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from operator import itemgetter

from engine.flow.counts import Tally
from engine.flow.path import Path

OTHER = "other"
BUSIEST = 20
MOST_SHOWN = 100
SHOW_EVERY = 10
"""Seconds: who is large is clearer then, and the 20 ms that 10,000 newcomers cost are no scrape's."""


@dataclass(slots=True)
class Survey:
    """What the busy paths have at one time. Taken each second beside what is done with each of them anyway, while it is
    in the processor's cache: at a scrape a walk of its own over 10,000 paths would hold up the loop for 30 ms.
    """

    least: int = 0
    """Who has ended no more attempts is not looked at as somebody to show."""
    paused: int = 0
    newcomers: list[Path] = field(default_factory=list)
    """Those of more, as of their last tick, that may be shown or are."""
    recipients: dict[str, int] = field(default_factory=dict)
    """Ready or in flight, by site; a site may have a path from each source."""
    connections: dict[str, int] = field(default_factory=dict)
    provider_recipients: dict[str, int] = field(default_factory=dict)
    provider_connections: dict[str, int] = field(default_factory=dict)

    def add(self, path: Path, now: float) -> None:
        urgent, bulk = path.ready.queues
        site, provider, pool = path.site, path.provider or OTHER, path.pool
        if path.counts.ended > self.least:
            self.newcomers.append(path)
        self.paused += pool.paused_until > now
        number = len(urgent) + len(bulk) + path.in_flight
        if number:
            self.recipients[site] = self.recipients.get(site, 0) + number
            self.provider_recipients[provider] = self.provider_recipients.get(provider, 0) + number
        number = len(pool.connections)
        if number:
            self.connections[site] = self.connections.get(site, 0) + number
            self.provider_connections[provider] = self.provider_connections.get(provider, 0) + number


class Traffic:
    def __init__(self) -> None:
        self.sites: dict[str, Tally] = {}
        """Those that are shown."""
        self.other = Tally()
        self.seen = Survey()
        """Of the last second."""
        self._least = 0
        self._seconds = 0
        self.providers: dict[str, Tally] = {OTHER: Tally()}
        """Their names are the shaping's, so that there is an end to them."""

    def survey(self) -> Survey:
        return Survey(self._least)

    def adopt(self, path: Path) -> None:
        """A new path: from now on it counts into what its site and provider have counted before."""
        path.counts.site = self.sites.get(path.site, self.other)
        path.counts.provider = self.providers.setdefault(path.provider or OTHER, Tally())

    def saw(self, seen: Survey) -> None:
        """Each second."""
        self.seen = seen
        self._seconds += 1
        if self._seconds % SHOW_EVERY == 0:
            self.show()

    def show(self) -> None:
        """Gives a tally of their own to sites that have become large enough for it."""
        room = MOST_SHOWN - len(self.sites)
        if room < 1:
            return
        other = self.other
        known = nlargest(BUSIEST, (tally.ended for tally in self.sites.values()))
        least = self._least = known[-1] if len(known) == BUSIEST else 0
        newcomers: dict[str, list[Path]] = {}
        for path in self.seen.newcomers:
            counts = path.counts
            if counts.site is other and counts.ended > least:
                newcomers.setdefault(path.site, []).append(path)
        volumes = {site: sum(path.counts.ended for path in those) for site, those in newcomers.items()}
        for site in nlargest(min(BUSIEST, room), volumes, key=volumes.__getitem__):
            tally = self.sites[site] = Tally()
            for path in newcomers[site]:
                path.counts.site = tally

    def by_site(self, name: str) -> dict[str, int]:
        """`name`: delivered, deferred or failed."""
        shown = {site: int(getattr(tally, name)) for site, tally in self.sites.items()}
        shown[OTHER] = shown.get(OTHER, 0) + int(getattr(self.other, name))
        return shown

    def by_provider(self, name: str) -> dict[str, int]:
        return {provider: int(getattr(tally, name)) for provider, tally in self.providers.items()}


def survey(paths: Iterable[Path], now: float) -> Survey:
    found = Survey()
    for path in paths:
        found.add(path, now)
    return found


def busiest(values: Mapping[str, int]) -> dict[str, int]:
    """The largest by name, the rest as "other": for gauges, which may come and go."""
    shown = dict(nlargest(BUSIEST, values.items(), key=itemgetter(1)))
    shown[OTHER] = shown.get(OTHER, 0) + sum(values.values()) - sum(shown.values())
    return shown
