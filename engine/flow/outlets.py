"""Sources at work: which pool carries whose mail, how each source stands towards a site, what its day has left.

Pools and their turns are policy/source.py's; budgets are policy/warmup.py's. Here they meet the paths: a source
without room or without budget passes the turn on, one that is suspended at the site keeps its mail waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.mail.envelope import Priority
from engine.policy.source import DEFAULT, Pool, Source, make_pool
from engine.policy.warmup import Budget

ONE = {DEFAULT: Source(DEFAULT)}


class Outlets:
    def __init__(
        self,
        sources: Mapping[str, Source] | None = None,
        pools: Mapping[str, Pool] | None = None,
        senders: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """`senders`: name -> its pools by priority, transactional first; whoever is not named has the default."""
        self.sources = dict(sources or ONE)
        self.pools = dict(pools or {})
        self.pools.setdefault(DEFAULT, make_pool(DEFAULT, dict.fromkeys(self.sources, 1)))
        self._senders = dict(senders or {})
        self.out: dict[str, frozenset[str]] = {}
        """Sender -> sources that its mail may not leave from (its preflight)."""
        self.budgets = {
            name: Budget(source.warmup) for name, source in self.sources.items() if source.warmup is not None
        }
        self._deal()
        self.is_single = len(self.sources) == 1 and not self.budgets
        """One source and nothing to count: nobody has to be asked for each recipient."""

    def _deal(self) -> None:
        """Pools without the sources that are out, and which of them mail of each priority may leave from."""
        self._reduced: dict[tuple[str, frozenset[str]], Pool] = {}
        self._by_priority = {
            priority: list({id(pool): pool for sender in (*self._senders, "") if (pool := self.pool(sender, priority))}
                           .values())
            for priority in Priority
        }  # fmt: skip

    def take_out(self, sender: str, sources: Collection[str]) -> bool:
        """Its mail leaves from these no more, and from others that were out again. False, and nothing is changed, when
        a pool of its would be left without any.
        """
        out = frozenset(sources).intersection(self.sources)
        if any(out.issuperset(self._named(sender, priority).weights) for priority in Priority):
            return False
        if out != self.out.get(sender, frozenset()):
            self.out[sender] = out
            if not out:
                del self.out[sender]
            self._deal()
        return True

    def inherit(self, before: Outlets) -> None:
        """What is out stays out, of senders that are still there; a look that finds otherwise says so."""
        for sender, out in before.out.items():
            if sender in self._senders:
                self.take_out(sender, out)

    def _without(self, pool: Pool, out: frozenset[str]) -> Pool | None:
        """None: nothing is left of it."""
        if out.isdisjoint(pool.weights):
            return pool
        key = (pool.name, out)
        if key not in self._reduced:
            left = {name: weight for name, weight in pool.weights.items() if name not in out}
            if not left:
                return None
            self._reduced[key] = make_pool(pool.name, left)
        return self._reduced[key]

    def _named(self, sender: str, priority: Priority) -> Pool:
        pools = self._senders.get(sender)
        return self.pools[pools[priority] if pools else DEFAULT]

    def pool(self, sender: str, priority: Priority, rerouted: str = "") -> Pool:
        """`rerouted`: a pool that an operator named instead; one that is not configured any more does not count, nor
        one of which nothing is left to this sender.
        """
        out = self.out.get(sender)
        if not out:
            return self.pools.get(rerouted) or self._named(sender, priority)
        other = self._without(self.pools[rerouted], out) if rerouted in self.pools else None
        own = self._named(sender, priority)
        return other or self._without(own, out) or own

    def pools_of(self, priority: Priority, rerouted: str = "") -> list[Pool]:
        """Those that mail of this priority may leave from."""
        if rerouted in self.pools:
            return [self.pools[rerouted]]
        return self._by_priority[priority]

    def is_cold(self, source: str, provider: str, now: float) -> bool:
        budget = self.budgets.get(source)
        return budget is not None and budget.left(now, provider) == 0

    def take(self, source: str, provider: str, now: float) -> None:
        if source in self.budgets:
            self.budgets[source].take(now, provider)

    def next_day(self, source: str, now: float) -> float:
        """When a cold source has budget again, Unix seconds."""
        return self.budgets[source].warmup.midnight(now)

    def status(self, now: float) -> list[dict[str, Any]]:
        """For people: the day's budget of each source that warms up, in all and by provider."""
        return [
            {
                "source": name,
                "day": budget.warmup.day(now),
                "left": budget.left(now),
                "used": budget.used.get("", 0),
                "providers": {provider: budget.left(now, provider) for provider in budget.warmup.providers},
            }
            for name, budget in self.budgets.items()
        ]

    def kept(self) -> dict[str, Any]:
        """What a restart must not forget."""
        return {name: {"day": budget.day, "used": budget.used} for name, budget in self.budgets.items()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Of sources that still warm up; numbers that make no sense have been refused by the reader."""
        for name, entry in kept.items():
            if name in self.budgets:
                self.budgets[name].day = entry["day"]
                self.budgets[name].used = dict(entry["used"])
