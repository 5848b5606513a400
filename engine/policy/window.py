"""How many connections a path may hold: opened slowly, closed at once, declared dead by failed cohorts.

The feedback is Postfix's (SCHEDULER_README): a success adds 1/N to a window of N, so that N successes, one cohort,
grow it by one; a failure takes 1/N, and with the hysteresis reversed the first failure of a cohort shrinks it at once
while the growth comes only at a cohort's end. Failures that fill whole cohorts without a success between them declare
the site dead. Only what says something about the site belongs here: a refused recipient is no failure.
"""

from __future__ import annotations

from typing import Final

_EPSILON: Final = 1e-9
"""N times 1/N is a little less than one in binary."""


class Window:
    """1 <= size <= limit while alive, 0 while dead."""

    __slots__ = ("_cohorts", "_failed_cohorts", "_failure", "_initial", "_limit", "_success", "size")

    def __init__(self, limit: int, initial: int = 5, failed_cohorts: float = 1.0) -> None:
        """`failed_cohorts`: how many windows full of failures in a row make a site dead; 0 never does."""
        self._limit: Final = limit
        self._initial: Final = min(initial, limit)
        self._cohorts: Final = failed_cohorts
        self.size = self._initial
        self._success = 0.0
        self._failure = 0.0
        self._failed_cohorts = 0.0

    @property
    def dead(self) -> bool:
        return self.size == 0

    def success(self, busy: int | None = None) -> None:
        """`busy`, when the caller knows it, keeps a window from growing that is not being used."""
        self._failed_cohorts = 0.0
        if self.size == 0:
            self._reopen(self._initial)
            return
        if self.size >= self._limit or (busy is not None and self.size >= busy + self._initial):
            return
        self._success += 1.0 / self.size
        if self._success + _EPSILON >= 1.0:
            self.size += 1
            self._success = 0.0
            self._failure = 0.0

    def failure(self) -> None:
        if self.size == 0:
            return
        self._failed_cohorts += 1.0 / self.size
        if 0.0 < self._cohorts <= self._failed_cohorts + _EPSILON:
            self.size = 0
            return
        self.slower()

    def slower(self) -> None:
        """As a failure, but never towards death: the site is well, it only wants less of us."""
        if self.size == 0:
            return
        self._failure -= 1.0 / self.size
        if self._failure + _EPSILON < 0.0:
            self._failure += 1.0
            self._success = 0.0
            self.size = max(self.size - 1, 1)

    def revive(self) -> None:
        """A dead site gets one connection to try with: its success opens the window, its failure closes it again."""
        if self.size == 0:
            self._reopen(1)

    def _reopen(self, size: int) -> None:
        self.size = size
        self._success = self._failure = self._failed_cohorts = 0.0
