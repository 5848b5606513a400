"""All paths by name: which of them have work, which have rested so long that they are forgotten, and how many may be.

100,000 domains lie behind a few hundred receivers as a rule, but nobody promises that. A path that is empty stands
aside and costs nothing each second; one that would do nothing that a new path would not do as well is dropped after a
while, or as soon as another site needs its place. What has been counted on it stays in the sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.flow.path import Path
from engine.flow.traffic import Traffic

MOST = 10_000
FORGET_AFTER = 600.0
"""Seconds: what a path has learnt (its window) is worth keeping for a while."""
LOOKED_AT = 64
"""Of the resting ones, at most, for one place."""


class Paths:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._paths: dict[str, Path] = {}
        self._busy: dict[str, Path] = {}
        self._resting: dict[str, float] = {}
        """Name -> since when; the longest first."""
        self.traffic = Traffic()

    def used(self, name: str) -> Path | None:
        """For somebody who will push something into it."""
        path = self._paths.get(name)
        if path is not None and self._resting.pop(name, None) is not None:
            self._busy[name] = path
        return path

    def __getitem__(self, name: str) -> Path:
        return self._paths[name]

    def __setitem__(self, name: str, path: Path) -> None:
        self._paths[name] = self._busy[name] = path
        self.traffic.adopt(path)

    def get(self, name: str) -> Path | None:
        return self._paths.get(name)

    def values(self) -> Iterable[Path]:
        return self._paths.values()

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, name: str) -> bool:
        return name in self._paths

    @property
    def busy(self) -> list[Path]:
        return list(self._busy.values())

    @property
    def is_full(self) -> bool:
        return len(self._paths) >= self._most

    @property
    def room(self) -> int:
        """Paths that could be made, for all that is known without looking."""
        return max(0, self._most - len(self._busy))

    def make_room(self, now: float) -> str:
        """Forgets the one that has rested longest, of those that may be forgotten; its name, or "" for none."""
        for _, name in zip(range(LOOKED_AT), self._resting, strict=False):
            if self._paths[name].knows_nothing(now):
                self._forget(name)
                return name
        return ""

    def tidy(self, now: float) -> list[str]:
        """Each second. The names of those that were forgotten."""
        for name in [name for name, path in self._busy.items() if path.is_empty]:
            del self._busy[name]
            self._resting[name] = now
        forgotten = []
        for name, since in list(zip(self._resting, self._resting.values(), strict=True))[:LOOKED_AT]:
            if now - since < FORGET_AFTER:
                break
            if self._paths[name].knows_nothing(now):
                self._forget(name)
                forgotten.append(name)
            else:
                self._resting[name] = self._resting.pop(name)
        return forgotten

    def _forget(self, name: str) -> None:
        del self._resting[name]
        del self._paths[name]
