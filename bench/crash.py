"""`python -m bench crash --kills 50`: kill -9 the engine at random moments under load, and start it again.

A client submits all the time and submits again by key what had no answer. The oracle knows two things only: what the
client was told is accepted, and what the sink has receipts for. Nothing acknowledged may be missing. What may arrive
twice is what was between "sent" and "synced" at a kill: per kill two messages a session (one behind the dot, one
written behind it) and the settled group on its way to disk; the engine must have found it in doubt itself.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

from bench.configuration import SENDER
from bench.inject import Injection, client_face
from bench.mailing import People, message
from bench.processes import ProcessFailed, machine
from bench.result import Arrivals, arrivals, show
from bench.rig import Rig, rig
from bench.scenario import Scenario
from bench.verify import verify_folder

SUBMIT = 250
SUBMITTERS = 4
BACKLOG = 5000
"""Recipients that may wait before the client pauses, so that the end is soon when the kills are over."""
SETTLE_GROUP = 1000
LONGEST_LIFE = 1.5
STARTING_SHARE = 0.1
"""So many of the kills come before the engine is ready."""
STILL_SECONDS = 30.0

SCENARIO = Scenario(
    name="crash",
    description="kill -9 at random moments under load",
    recipients=1,
    category="TX",
    domains=40,
    sites=2,
    connections=10,
    shares=("451-1=0.05", "drop-data-1=0.005"),
    retry_seconds=1.0,
)


@dataclass(slots=True)
class Tally:
    """What happened so far."""

    kills: int = 0
    kills_while_starting: int = 0
    orphans: int = 0
    in_doubt: int = 0
    starts: list[float] = field(default_factory=list)
    submitted: int = 0
    done: bool = False


class Crash:
    """One run. The load and the killer are two coroutines of one loop."""

    def __init__(self, made: Rig, kills: int, seed: int) -> None:
        self._rig = made
        self._kills = kills
        self._random = random.Random(seed)
        self.people = People(kills * 20_000, made.scenario.domains)
        self.injection = Injection(self.people, bytearray(self.people.total))
        self.tally = Tally()

    async def run(self) -> None:
        """Raises ProcessFailed, TimeoutError."""
        self.tally.starts.append(await asyncio.to_thread(self._rig.start))
        face = client_face()
        async with face.AsyncClient(str(self._rig.place.socket), patience=120) as client, asyncio.TaskGroup() as group:
            group.create_task(self._kill_again_and_again())
            terms = face.Terms(sender=SENDER, category="TX", mailing="crash", message=message(4096))
            for _ in range(SUBMITTERS):
                group.create_task(self._submit(client, terms))
        await self._arrive()

    async def _submit(self, client: Any, terms: Any) -> None:
        while not self.tally.done and self.tally.submitted + SUBMIT <= self.people.total:
            start = self.tally.submitted
            self.tally.submitted += SUBMIT
            recipients = list(self.people.recipients(start, start + SUBMIT))
            self._note(start, await client.submit(recipients, terms, key=f"crash/{start}"))
            while not self.tally.done and self.injection.count - self._unique() > BACKLOG:
                await asyncio.sleep(0.05)

    def _note(self, start: int, submitted: Any) -> None:
        self.injection.accepted[start : start + SUBMIT] = b"\x01" * SUBMIT
        for refused in submitted.refused:
            self.injection.accepted[start + refused.index] = 0
            self.injection.refused.append(f"{refused.code}: {refused.text}")

    def _unique(self) -> int:
        return int(self._rig.sink.counts()["unique"])

    async def _kill_again_and_again(self) -> None:
        tally = self.tally
        while tally.kills < self._kills:
            await asyncio.sleep(self._random.uniform(0.02, LONGEST_LIFE))
            await self._kill()
            while tally.kills < self._kills and self._random.random() < STARTING_SHARE:
                self._rig.launch()
                await asyncio.sleep(self._random.uniform(0.0, 0.8))
                await self._kill()
                tally.kills_while_starting += 1
            tally.starts.append(await asyncio.to_thread(self._rig.start))
            tally.in_doubt += int(self._rig.status().get("recovered_in_doubt", 0))
        tally.done = True

    async def _kill(self) -> None:
        core = self._rig.core
        assert core is not None
        core.check()
        self.tally.kills += 1
        self.tally.orphans += await asyncio.to_thread(core.kill)

    async def _arrive(self) -> None:
        """Until everything accepted is at the sinks, or nothing has come for a while."""
        moved_at, before = time.monotonic(), -1
        while (unique := self._unique()) < self.injection.count and time.monotonic() - moved_at < STILL_SECONDS:
            if unique != before:
                moved_at, before = time.monotonic(), unique
            await asyncio.sleep(0.1)


def crash(folder: Path, *, kills: int, seed: int, seconds: float) -> dict[str, Any]:
    """Blocks for at most about `seconds`. Raises ProcessFailed, TimeoutError."""
    scenario = replace(SCENARIO, seconds=seconds)
    before = time.monotonic()
    with rig(scenario, folder) as made:
        run = Crash(made, kills, seed)
        uvloop.run(_bounded(run, seconds))
        status = made.status()
        code = made.stop()
        made.sink.flushed()
        found = arrivals(run.injection, made.sink.read(), due=run.injection.accepted, allowed=run.injection.accepted)
        verified = verify_folder(made.sink.samples, made.keys)
    figures = _figures(run, found, status) | {
        "dkim_verified": f"{verified.good} of {verified.messages}",
        "engine_exit_code": code,
        "seconds": round(time.monotonic() - before, 1),
        "seed": seed,
        "conditions": {"shares": list(scenario.shares), **machine()},
    }
    return {**figures, "good": _good(figures)}


async def _bounded(run: Crash, seconds: float) -> None:
    await asyncio.wait_for(run.run(), seconds)


def _figures(run: Crash, found: Arrivals, status: dict[str, Any]) -> dict[str, Any]:
    tally = run.tally
    sessions = SCENARIO.sites * SCENARIO.connections
    return {
        "kills": tally.kills,
        "kills_while_starting": tally.kills_while_starting,
        "accepted": run.injection.count,
        "received": found.messages,
        "lost": found.lost,
        "never_acknowledged": found.forbidden,
        "duplicates": found.duplicates,
        "in_doubt_found_by_the_engine": tally.in_doubt,
        "bound": tally.kills * (sessions * 2 + SETTLE_GROUP),
        "bound_is": f"{tally.kills} kills x ({sessions} sessions x 2 + {SETTLE_GROUP} being settled)",
        "signers_that_outlived_their_core": tally.orphans,
        "slowest_start_seconds": round(max(tally.starts), 2),
        "refused": run.injection.refused[:5],
        "engine_balance": status.get("balance"),
    }


def _good(figures: dict[str, Any]) -> bool:
    duplicates = figures["duplicates"]
    return (
        not figures["lost"]
        and not figures["never_acknowledged"]
        and not figures["signers_that_outlived_their_core"]
        and duplicates <= figures["bound"]
        and duplicates <= figures["in_doubt_found_by_the_engine"]
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=900.0, help="limit of the whole run")
    parser.add_argument("--folder", type=Path, default=Path("bench-run"))
    parser.add_argument("--keep", action="store_true", help="leave logs, spool and receipts there")
    arguments = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = arguments.folder.resolve() / "crash"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        figures = crash(folder, kills=arguments.kills, seed=arguments.seed, seconds=arguments.seconds)
    except (ProcessFailed, TimeoutError) as error:
        print(f"{type(error).__name__} {error}", file=sys.stderr)
        return 2
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    show("crash", figures)
    return 0 if figures["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
