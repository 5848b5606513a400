"""The engine's CPU per message beside the floor's, again and again in turns: figures that a noisy machine spares.

One engine and one sink run all the time. A round is: the floor's wire (bare session and sink), a mailing, the wire
again, and some RSA signatures. The core is divided by the wire of the same round, the signer by the signatures; the
medians over the rounds are what is recorded and compared. CPU time does not count waiting for a busy core, but caches
that others fill make everything dearer, on both sides of the division.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from bench.bare import send_bare
from bench.configuration import fill_suppression
from bench.floor import CONNECTIONS, constant_message, signing_alone
from bench.inject import inject
from bench.mailing import People
from bench.processes import ProcessFailed, usage
from bench.rig import Rig, rig
from bench.scenario import Scenario

ROUNDS = 7
RECIPIENTS = 4000
WIRE_MESSAGES = 10_000
RSA_SECONDS = 0.3
SETTLE_SECONDS = 0.4
ROUND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Round:
    """CPU µs per message, or per signature."""

    wire_us: float
    rsa_us: float
    core_us: float
    signer_us: float
    rate: float

    @property
    def core_ratio(self) -> float:
        return self.core_us / self.wire_us

    @property
    def signer_ratio(self) -> float:
        return self.signer_us / self.rsa_us


@dataclass(slots=True)
class Paired:
    rounds: list[Round] = field(default_factory=list)
    wire_bytes: int = 0

    def median(self, name: str) -> float:
        return float(statistics.median(getattr(one, name) for one in self.rounds))

    def figures(self) -> dict[str, Any]:
        names = ("core_ratio", "signer_ratio", "core_us", "signer_us", "wire_us", "rsa_us", "rate")
        told: dict[str, Any] = {name: round(self.median(name), 3 if "ratio" in name else 1) for name in names}
        told["core_ratio_quartiles"] = quartiles([one.core_ratio for one in self.rounds])
        return told | {"rounds": len(self.rounds), "wire_bytes": self.wire_bytes}


def quartiles(values: Sequence[float]) -> list[float]:
    if len(values) < 2:
        return [round(value, 3) for value in values]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [round(low, 3), round(high, 3)]


def measure_paired(folder: Path, *, rounds: int = ROUNDS, seconds: float = 75.0) -> Paired:
    """Stops before the last round when `seconds` are over, but not below three. Raises ProcessFailed."""
    began = time.monotonic()
    people = People(RECIPIENTS, 20)
    scenario = Scenario("paired", "the engine in turns with the floor", RECIPIENTS, seconds=seconds * 3)
    found = Paired()
    with rig(scenario, folder) as made:
        fill_suppression(made.place, map(people.address, range(RECIPIENTS)), (), RECIPIENTS, RECIPIENTS)
        payload = constant_message(made.place.key)
        made.start()
        _mailing(scenario, people, made, "warm")
        wire = _wire(made, payload)
        while len(found.rounds) < rounds:
            if len(found.rounds) >= 3 and time.monotonic() - began > seconds:
                break
            core, signer, rate = _mailing(scenario, people, made, f"round{len(found.rounds)}")
            before, wire = wire, _wire(made, payload)
            found.rounds.append(Round((before + wire) / 2, signing_alone(RSA_SECONDS), core, signer, rate))
        counts = made.sink.counts()
        found.wire_bytes = counts["bytes"] // max(counts["received"], 1)
        made.stop()
    return found


def _wire(made: Rig, payload: bytes) -> float:
    """CPU µs per message of a bare session and the sink together."""
    sink = made.sink.child
    before = usage(None, sink)
    address = ("127.0.0.1", made.sink.ports[0])
    result = uvloop.run(send_bare(address, payload, messages=WIRE_MESSAGES, connections=CONNECTIONS))
    spent = usage(None, sink).since(before)["sink"]
    return (result.cpu_seconds + spent) / WIRE_MESSAGES * 1e6


def _mailing(scenario: Scenario, people: People, made: Rig, label: str) -> tuple[float, float, float]:
    """CPU µs per message of core and signer, and messages/s. Settling is inside."""
    sink = made.sink.child
    received = made.sink.counts()["received"]
    before = usage(made.core, sink)
    injection = uvloop.run(inject(scenario, people, made.place.socket, label=f"{label}-{time.time():.0f}"))
    wanted, end = received + injection.count, time.monotonic() + ROUND_SECONDS
    while (counts := made.sink.counts())["received"] < wanted:
        assert made.core is not None
        made.core.check()
        if time.monotonic() > end:
            raise ProcessFailed(f"only {counts['received'] - received} of {injection.count} arrived")
        time.sleep(0.02)
    time.sleep(SETTLE_SECONDS)
    spent = usage(made.core, sink).since(before)
    count = counts["received"] - received
    rate = count / max(counts["last_at"] - injection.began, 1e-9)
    return spent["core"] / count * 1e6, spent["signer"] / count * 1e6, rate
