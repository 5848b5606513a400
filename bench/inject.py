"""The client's side of a run: submits the bulk, then perhaps transactional mails one by one, and notes what was
accepted. Only what the engine acknowledged counts as accepted; that is the oracle's one half, receipts the other.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.configuration import SENDER, TOPIC
from bench.mailing import People, fields, message, urgent_address
from bench.scenario import Scenario

PARKED_SECONDS = 86_400


def client_face() -> Any:
    """engine/client.py, looked for only when something is injected: the sink runs without the engine."""
    return importlib.import_module("engine.client")


@dataclass(slots=True)
class Injection:
    """What the client knows after an injection. Times are Unix seconds."""

    people: People
    accepted: bytearray
    """One byte a recipient number: 1 = acknowledged."""
    refused: list[str] = field(default_factory=list)
    """A few of the engine's reasons."""
    began: float = 0.0
    ended: float = 0.0
    released: float = 0.0
    """When it might go, if it was held."""
    urgent: dict[int, float] = field(default_factory=dict)
    """Transactional mail number -> when it was submitted."""

    @property
    def count(self) -> int:
        return self.accepted.count(1)

    def note(self, submitted: Any) -> None:
        start, stop = submitted.offset, submitted.offset + submitted.count
        self.accepted[start:stop] = b"\x01" * submitted.count
        for refused in submitted.refused:
            self.accepted[refused.index] = 0
            if len(self.refused) < 5:
                self.refused.append(f"{self.people.address(refused.index)}: {refused.code}: {refused.text}")


async def inject(scenario: Scenario, people: People, socket: Path, *, label: str) -> Injection:
    """Returns when the last submit is acknowledged. `label` makes the mailing and the keys of this run."""
    injection = Injection(people, bytearray(people.total))
    face = client_face()
    later = PARKED_SECONDS if scenario.parked else scenario.hold_seconds
    terms = face.Terms(
        sender=SENDER,
        category=scenario.category,
        topic=TOPIC,
        mailing=label,
        message=message(scenario.message_bytes),
        not_before=int(time.time() + later) if later else None,
    )
    async with face.AsyncClient(str(socket), patience=60) as client:
        injection.began = time.time()
        async for submitted in client.submit_many(people.recipients(0, people.total), terms, key=label):
            injection.note(submitted)
        injection.ended = time.time()
        if scenario.hold_seconds:
            injection.released = float(terms.not_before)
        if scenario.transactional:
            await _inject_urgent(client, scenario, injection, label)
    return injection


async def _inject_urgent(client: Any, scenario: Scenario, injection: Injection, label: str) -> None:
    stored = await client.put_message(message(scenario.message_bytes))
    mailing = f"{label}-urgent"
    terms = client_face().Terms(
        sender=SENDER, category="TX", mailing=mailing, message=stored.message, priority="transactional"
    )
    for number in range(scenario.transactional):
        due = asyncio.get_running_loop().time() + scenario.transactional_interval_ms / 1000
        before = time.time()
        submitted = await client.submit([(urgent_address(number), fields(number))], terms)
        if submitted.accepted:
            injection.urgent[number] = before
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
