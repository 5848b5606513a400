"""`python -m bench growth queue|domains`: does a message cost more when much waits, or when it goes to many domains?

`queue`: recipients parked for tomorrow pile up in the spool (10,000, 100,000, 1,000,000), and beside each pile the
same mailing is sent. `domains`: 10,000 recipients over 10 and 1,000 domains, 100,000 over 100,000, behind one relay.
CPU per message of core and signer; flat is what one wants.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.inject import inject
from bench.mailing import People
from bench.processes import ProcessFailed, machine, usage
from bench.rig import Rig, rig
from bench.scenario import Scenario

QUEUES = (10_000, 100_000, 1_000_000)
DOMAINS = (10, 1_000, 100_000)
MESSAGES = 10_000
SETTLE_SECONDS = 1.0
FOLDER = Path("bench-run/growth")
MB = 1024 * 1024
_BULK = Scenario("growth", "cost per message as things grow", MESSAGES, category="TX", domains=1000, seconds=100.0)


def by_queue(folder: Path, queues: Sequence[int] = QUEUES, messages: int = MESSAGES) -> list[dict[str, Any]]:
    """One engine; each pile stays under the next. Raises ProcessFailed."""
    bulk = replace(_BULK, recipients=messages)
    points = []
    with rig(bulk, folder) as made:
        made.start()
        mailing(bulk, made, "warm")
        waiting = 0
        for queue in queues:
            parked = replace(bulk, recipients=queue - waiting, parked=True)
            began = time.monotonic()
            uvloop.run(inject(parked, People(parked.recipients, 1000), made.place.socket, label=f"parked-{queue}"))
            waiting, took = queue, time.monotonic() - began
            points.append(
                {"queue": queue, "inject_rate": round(parked.recipients / took)} | mailing(bulk, made, f"q{queue}")
            )
        made.stop()
    return points


def by_domains(folder: Path, domains: Sequence[int] = DOMAINS, messages: int = MESSAGES) -> list[dict[str, Any]]:
    """An engine of its own for each. Raises ProcessFailed."""
    points = []
    for count in domains:
        bulk = replace(_BULK, recipients=max(messages, count), domains=count)
        place = folder / str(count)
        with rig(bulk, place) as made:
            made.start()
            points.append(
                {"domains": count, "recipients": bulk.recipients} | mailing(bulk, made, f"d{count}", partly=True)
            )
            made.stop()
        shutil.rmtree(place, ignore_errors=True)
    return points


def mailing(bulk: Scenario, made: Rig, label: str, *, partly: bool = False) -> dict[str, Any]:
    """Sends it and waits for all of it; `partly`: what arrived within the time is enough. Raises ProcessFailed."""
    sink, core = made.sink, made.core
    assert core is not None
    already = sink.counts()["received"]
    before = usage(core, sink.child)
    people = People(bulk.recipients, bulk.domains)
    injection = uvloop.run(inject(bulk, people, made.place.socket, label=f"{label}-{time.time():.0f}"))
    end = time.monotonic() + bulk.seconds
    while (counts := sink.counts())["received"] < already + injection.count:
        core.check()
        if time.monotonic() > end and partly and counts["received"] > already:
            break
        if time.monotonic() > end:
            raise ProcessFailed(f"{label}: {counts['received'] - already} of {injection.count} in {bulk.seconds:.0f} s")
        time.sleep(0.05)
    time.sleep(SETTLE_SECONDS)
    after = usage(core, sink.child)
    spent, count = after.since(before), counts["received"] - already
    return {
        "arrived": count,
        "core_us": round(spent["core"] / count * 1e6, 1),
        "signer_us": round(spent["signer"] / count * 1e6, 1),
        "rate": round(count / max(counts["last_at"] - injection.began, 1e-9), 1),
        "core_resident_mb": round(after.resident["core"] / MB, 1),
        **after.warning_since(before),
    }


def measured(kind: str, folder: Path) -> dict[str, Any]:
    """`kind`: queue or domains. Raises ProcessFailed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    conditions = machine() | {"size": _BULK.message_bytes, "messages_at_each_point": MESSAGES, "category": "TX"}
    try:
        points = by_queue(folder) if kind == "queue" else by_domains(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    warnings = [point.pop("warning") for point in points if "warning" in point]
    told = {"kind": kind, "points": points, "conditions": conditions}
    return told | ({"warning": warnings[-1]} if warnings else {})


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench growth", description=__doc__)
    parser.add_argument("kind", choices=("queue", "domains"))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args(words)
    try:
        told = measured(arguments.kind, arguments.folder.resolve())
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 2
    table = Table(title=f"cost by {arguments.kind}", title_justify="left")
    for name in told["points"][0]:
        table.add_column(name.replace("_", " "), justify="right")
    for point in told["points"]:
        table.add_row(*(f"{value:,}" for value in point.values()))
    Console(stderr=True).print(table)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
