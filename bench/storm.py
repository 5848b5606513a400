"""Thousands of opt-outs a second while the mailing that provoked them goes out.

Each is asked for over the socket as a program would, pipelined, at a fixed rate; when the engine's answer came is
noted. From then on nothing may go to this person: a message that reaches the sink later than `LATE_SECONDS` after the
answer counts as forbidden. What was between MAIL FROM and the final dot at that moment may still arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.configuration import SENDER
from bench.inject import client_face
from bench.mailing import People, number_of
from bench.receipts import Receipt
from bench.result import quantile
from bench.scenario import Scenario

LATE_SECONDS = 2.0
_TICK = 0.02


@dataclass(slots=True)
class Storm:
    began: float = 0.0
    ended: float = 0.0
    answered: dict[int, float] = field(default_factory=dict)
    """Person number -> when the engine said that the opt-out is in force."""
    waits: list[float] = field(default_factory=list)
    """Seconds from asking to the answer."""
    arrived_after: list[float] = field(default_factory=list)
    """Seconds from the answer to an arrival that came after it."""

    @property
    def forbidden(self) -> int:
        return sum(wait > LATE_SECONDS for wait in self.arrived_after)


def chosen(scenario: Scenario) -> range:
    """The last ones of the mailing first, spread over it: most of them still wait when they opt out."""
    stride = max(1, scenario.recipients // scenario.opt_outs)
    return range(scenario.recipients - 1, -1, -stride)[: scenario.opt_outs]


async def raise_storm(scenario: Scenario, people: People, socket: Path) -> Storm:
    storm = Storm()
    numbers = iter(chosen(scenario))
    asked = 0
    async with client_face().AsyncClient(str(socket), patience=60) as client, asyncio.TaskGroup() as asking:
        storm.began = time.time()
        while asked < scenario.opt_outs:
            due = min(scenario.opt_outs, int((time.time() - storm.began) * scenario.opt_outs_per_second) + 1)
            for number, _ in zip(numbers, range(due - asked), strict=False):
                asking.create_task(_ask(client, storm, people, number))
            asked = due
            await asyncio.sleep(_TICK)
    storm.ended = time.time()
    return storm


async def _ask(client: Any, storm: Storm, people: People, number: int) -> None:
    before = time.time()
    await client.suppress(people.address(number), SENDER, channel="bench")
    storm.answered[number] = time.time()
    storm.waits.append(storm.answered[number] - before)


def hold_against(storm: Storm, receipts: Iterable[Receipt]) -> None:
    """Fills in `arrived_after`."""
    for receipt in receipts:
        kind, number = number_of(receipt.recipient)
        answered = storm.answered.get(number) if kind == "person" else None
        if answered is not None and receipt.at > answered:
            storm.arrived_after.append(receipt.at - answered)


def storm_figures(storm: Storm) -> dict[str, Any]:
    waits = sorted(storm.waits)
    p50, p99 = quantile(waits, 0.5), quantile(waits, 0.99)
    return {
        "opt_outs": len(storm.answered),
        "opt_outs_per_second": round(len(storm.answered) / max(storm.ended - storm.began, 1e-9), 1),
        "opt_out_p50_ms": None if p50 is None else round(p50 * 1000, 1),
        "opt_out_p99_ms": None if p99 is None else round(p99 * 1000, 1),
        "arrived_after_their_opt_out": len(storm.arrived_after),
        "latest_after_ms": round(max(storm.arrived_after, default=0.0) * 1000, 1),
    }
