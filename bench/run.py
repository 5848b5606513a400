"""`python -m bench run SCENARIO`: sink and engine as processes of their own, mail through the socket, and the truth.

The rate is messages at the sink, from the beginning of the injection to the last arrival. CPU per message is of
the same time span. The run ends when what can arrive has arrived, at the scenario's limit, or when nothing moves any
more for a while; whatever has not arrived by then counts as lost.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from bench.configuration import fill_suppression
from bench.faults import Faults, Share
from bench.figures import Run, figures
from bench.inject import Injection, inject
from bench.mailing import URGENT, People, number_of, urgent_address
from bench.processes import ProcessFailed, usage
from bench.result import arrivals, show
from bench.rig import Rig, rig
from bench.scenario import Scenario, ScenarioError, read_scenario
from bench.soak import soaked
from bench.storm import hold_against, raise_storm
from bench.verify import verify_folder

FOLDER = Path("bench-run")
STILL_SECONDS = 30.0
"""So long without any arrival, and the run is over."""


def opted_out(scenario: Scenario, number: int) -> bool:
    """Spread evenly, and never the first."""
    return int((number + 1) * scenario.opted_out) > int(number * scenario.opted_out)


def run_scenario(scenario: Scenario, folder: Path) -> Run:
    """Blocks. Raises ProcessFailed."""
    people = People(
        scenario.recipients, scenario.domains, int(scenario.recipients * scenario.stalled), scenario.stalled_fault
    )
    run = Run(scenario, people)
    with rig(scenario, folder) as made:
        run.recorded = _record(scenario, people, made)
        run.start_seconds = made.start()
        _measure(run, made)
        run.metrics, run.status = made.get("metrics"), made.status()
        if scenario.restart:
            run.exit_code = made.stop()
            run.start_full_seconds = made.start()
            run.restarted = usage(made.core, made.sink.child)
        run.exit_code = made.stop()
        _collect(run, made)
    return run


def _record(scenario: Scenario, people: People, made: Rig) -> int:
    """Consents and refusals go into the ledger before the engine starts."""
    numbers = range(people.total)
    consenting = [people.address(number) for number in numbers] if scenario.category.startswith("AD") else []
    urgent = [urgent_address(number) for number in range(scenario.transactional)]
    refusing = [people.address(number) for number in numbers if opted_out(scenario, number)]
    if not (consenting or refusing or scenario.suppression_entries):
        return 0
    known = len(consenting) + len(urgent)
    return fill_suppression(made.place, [*consenting, *urgent], refusing, scenario.suppression_entries, known)


def _measure(run: Run, made: Rig) -> None:
    sink = made.sink.child
    run.before = usage(made.core, sink)
    label = f"{run.scenario.name}-{int(time.time())}"
    if run.scenario.until == "soak":
        run.soak, run.injection = soaked(run.scenario, run.people, made, label)
    else:
        run.injection = uvloop.run(_injected(run.scenario, run.people, made, label))
    run.allowed = _allowed(run.scenario, run.injection)
    run.due = _due(run.scenario, run.people, run.allowed)
    run.queued = usage(made.core, sink)
    if run.scenario.opt_outs:
        run.storm = uvloop.run(raise_storm(run.scenario, run.people, made.place.socket))
        for number in run.storm.answered:
            run.due[number] = 0
    if run.scenario.until not in ("queued", "soak"):
        _await_arrivals(run, made)
    run.after = usage(made.core, sink)
    run.last_at = made.sink.counts()["last_at"]


async def _injected(scenario: Scenario, people: People, made: Rig, label: str) -> Injection:
    return await asyncio.wait_for(inject(scenario, people, made.place.socket, label=label), scenario.seconds)


def _allowed(scenario: Scenario, injection: Injection) -> bytearray:
    """Those accepted who did not opt out."""
    allowed = bytearray(injection.accepted)
    if scenario.opted_out:
        for number in range(len(allowed)):
            allowed[number] &= not opted_out(scenario, number)
    return allowed


def _due(scenario: Scenario, people: People, allowed: bytearray) -> bytearray:
    """Of those allowed: whom the receiver does not refuse for good."""
    if scenario.until != "delivered":
        return bytearray(len(allowed))
    due = bytearray(allowed)
    faults = Faults(tuple(Share.parse(share) for share in scenario.shares))
    for number in range(0 if scenario.shares else people.count, people.total):
        fault = faults.choose(people.address(number).encode())
        if fault is not None and not fault.times:
            due[number] = 0
    return due


def _await_arrivals(run: Run, made: Rig) -> None:
    """Raises ProcessFailed when the engine dies meanwhile."""
    assert made.core is not None
    assert run.injection is not None
    urgent, storm = run.scenario.until == "transactional", run.storm is not None
    wanted = run.due.count(1) + len(run.injection.urgent)
    end = time.monotonic() + run.scenario.seconds
    moved_at, before, urgent_seen, due_seen = time.monotonic(), -1, 0, 0
    while time.monotonic() < end and time.monotonic() - moved_at < STILL_SECONDS:
        made.core.check()
        counts = made.sink.counts()
        unique, run.most_open = counts["unique"], max(run.most_open, counts["open_connections"])
        if urgent:
            urgent_seen += sum(receipt.recipient.startswith(URGENT) for receipt in made.sink.news())
        elif storm:  # those who got their mail before they opted out are none of the due
            due_seen += sum(run.due[number_of(receipt.recipient)[1]] for receipt in made.sink.news())
        if urgent_seen >= len(run.injection.urgent) if urgent else (due_seen if storm else unique) >= wanted:
            return
        if unique != before:
            moved_at, before = time.monotonic(), unique
        time.sleep(1.0 if urgent or storm else 0.1)


def _collect(run: Run, made: Rig) -> None:
    assert run.injection is not None
    run.counts = made.sink.flushed()
    run.journal_bytes = sum(path.stat().st_size for path in (made.place.state / "journal").rglob("*.zst"))
    run.arrivals = arrivals(run.injection, made.sink.read(), due=run.due, allowed=run.allowed)
    if run.storm is not None:
        hold_against(run.storm, made.sink.read())
    run.verification = verify_folder(made.sink.samples, made.keys)


def run_named(scenario: Scenario, folder: Path, *, keep: bool) -> dict[str, Any]:
    """With its baseline before it, if it has one. `keep`: leave files behind."""
    baseline = None
    if scenario.baseline:
        other = replace(read_scenario(scenario.baseline), recipients=scenario.recipients, baseline="")
        other = replace(other, domains=max(other.sites, min(other.domains, scenario.domains)))
        other = replace(other, hold_seconds=scenario.hold_seconds)
        baseline = run_named(replace(other, suppression_entries=scenario.suppression_entries), folder, keep=keep)
        show(f"baseline {other.name}", baseline)
    place = folder.resolve() / scenario.name
    shutil.rmtree(place, ignore_errors=True)
    try:
        return figures(run_scenario(scenario, place), baseline)
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench run", description=__doc__)
    parser.add_argument("scenario", nargs="+", help="names in bench/scenarios, or paths ending in .toml")
    parser.add_argument("--recipients", type=int, help="instead of the scenario's number")
    parser.add_argument("--domains", type=int, help="instead of the scenario's number")
    parser.add_argument("--suppression-entries", type=int, help="instead of the scenario's number")
    parser.add_argument("--seconds", type=float, help="instead of the scenario's number: its limit, a soak's length")
    parser.add_argument("--signer", choices=("auto", "cryptography", "crypto_mb"))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where files go meanwhile (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave logs, spool and receipts there")
    arguments = parser.parse_args(words)
    named = ("recipients", "domains", "suppression_entries", "signer", "seconds")
    given = {name: getattr(arguments, name) for name in named}
    changed = {name: value for name, value in given.items() if value is not None}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    good = True
    for name in arguments.scenario:
        try:
            scenario = replace(read_scenario(name), **changed)
            result = run_named(scenario, arguments.folder, keep=arguments.keep)
        except (ScenarioError, ProcessFailed) as error:
            print(error, file=sys.stderr)
            return 2
        show(scenario.description, result)
        good = good and not result.get("lost") and not result.get("forbidden")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
