"""The same mailing again and again for half an hour: does the engine's memory stay flat, is anything lost?

Each round is a mailing of its own to the same people. Memory is looked at after every round; flat means that the
median of the last quarter is not above that of the second (the first one warms caches and heaps).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.inject import Injection, inject
from bench.mailing import People
from bench.processes import resident
from bench.rig import Rig
from bench.scenario import Scenario

STILL_SECONDS = 30.0


@dataclass(slots=True)
class Soak:
    rounds: int = 0
    accepted: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the begin, MB of the core."""


def soaked(scenario: Scenario, people: People, made: Rig, label: str) -> tuple[Soak, Injection]:
    """Until the scenario's time is over; the last injection stands for all, begun with the first. Raises
    ProcessFailed.
    """
    soak, began = Soak(), time.time()
    while True:
        injection = uvloop.run(_round(scenario, people, made, f"{label}-{soak.rounds}"))
        soak.rounds += 1
        soak.accepted += injection.count
        _arrived(made, soak.accepted)
        assert made.core is not None
        soak.memory.append((time.time() - began, resident(made.core.pid) / 1024 / 1024))
        if time.time() - began > scenario.seconds:
            injection.began = began
            return soak, injection


async def _round(scenario: Scenario, people: People, made: Rig, label: str) -> Injection:
    return await asyncio.wait_for(inject(scenario, people, made.place.socket, label=label), 300)


def _arrived(made: Rig, wanted: int) -> None:
    assert made.core is not None
    seen, moved = -1, time.monotonic()
    while seen < wanted and time.monotonic() - moved < STILL_SECONDS:
        made.core.check()
        now = made.sink.counts()["unique"]
        if now != seen:
            seen, moved = now, time.monotonic()
        time.sleep(0.1)


def growth(memory: list[tuple[float, float]]) -> float | None:
    """MB from the second quarter to the last, by their medians; None when there are too few rounds for quarters."""
    if len(memory) < 4:
        return None
    length = memory[-1][0]
    second = [size for at, size in memory if length / 4 <= at < length / 2]
    last = [size for at, size in memory if at >= length * 3 / 4]
    return statistics.median(last) - statistics.median(second) if second and last else None


def soak_figures(soak: Soak, received: int) -> dict[str, Any]:
    """`received`: different messages at the sink."""
    grown = growth(soak.memory)
    step = max(1, len(soak.memory) // 12)
    return {
        "rounds": soak.rounds,
        "accepted": soak.accepted,
        "lost": max(0, soak.accepted - received),
        "core_growth_mb": None if grown is None else round(grown, 1),
        "memory_mb": [f"{at:.0f} s: {size:.1f}" for at, size in soak.memory[::step]],
    }
