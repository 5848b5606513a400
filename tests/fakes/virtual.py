"""An event loop whose time jumps to the next timer when nothing else can happen.

Minutes of retries pass in no time, in the same order each run. It also finds the two faults that waiting hides: a
loop that spins without time passing, and one in which nothing can ever happen again. No threads, no processes.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
MOST_TURNS = 200_000
"""Turns of the loop at one moment."""


class _Impatient(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise AssertionError("nothing can happen any more, and somebody waits")
        if timeout:
            self.now += timeout
            self.turns = 0
        self.turns += 1
        assert self.turns < MOST_TURNS, "the loop spins"
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.now


def virtually(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
