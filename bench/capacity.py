"""`python -m bench capacity`: from the measured cost of a message to machines, network, disks and DNS a day.

Arithmetic on measured figures (a result of `bench run`, or the last record) and on assumptions that are printed
with every answer and can be changed on the command line. It is a plan for buying, not a measurement: networks,
receivers' limits and reputation usually bound a sender long before its processors do.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.record import RECORD, RecordError, read_record

VOLUMES = (10_000_000, 100_000_000, 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """Measured, per message."""

    core_us: float
    signer_us: float
    wire_bytes: float
    journal_bytes: float = 150.0
    """On disk, compressed."""
    disk_bytes: float = 1500.0
    """Written to the spool, its log and the journal, all in all."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    window_hours: float = 10.0
    """A day's mail goes out in so many hours."""
    peak: float = 2.0
    """The busiest hour over the average one of the window."""
    attempts: float = 1.15
    """Sessions per message: deferrals are tried again."""
    cores: int = 8
    """Of a machine."""
    utilisation: float = 0.6
    """Of a core at the peak: what is planned for, the rest is for backlog and the loss of a machine."""
    engine_utilisation: float = 0.7
    """Of the one core on which an engine's loop runs."""
    spare_machines: int = 1
    wire_overhead: float = 1.12
    """TCP, IP, TLS and the SMTP dialogue over the message's bytes."""
    journal_days: int = 30
    spooled_hours: float = 4.0
    """So much of the day's mail may wait on disk when receivers are shut."""
    spooled_bytes: float = 400.0
    """Of a waiting recipient in the spool; its content is stored once a mailing."""
    domains: int = 200_000
    """Different recipient domains a day."""
    lookups: float = 6.0
    """DNS questions for a domain: MX, addresses of its hosts, TLSA, MTA-STS."""
    dns_hours: float = 1.0
    """How long answers are kept, on average."""
    commits_per_second: float = 60.0
    """Of one engine under load: group commits of spool and journal."""


@dataclass(frozen=True, slots=True)
class Plan:
    messages: int
    average_rate: float
    peak_rate: float
    cores_busy: float
    """At the peak."""
    engines: int
    machines: int
    megabit: float
    """Per second, at the peak."""
    terabytes: float
    """A day, on the wire."""
    journal_gb: float
    spool_gb: float
    written_mb: float
    """Per second, at the peak."""
    syncs: float
    """Per second, at the peak."""
    dns: float
    """Questions per second to the resolvers, at the peak."""


def plan(messages: int, cost: Cost, given: Assumptions) -> Plan:
    average = messages / (given.window_hours * 3600)
    peak = average * given.peak
    tried = peak * given.attempts
    cores = tried * (cost.core_us + cost.signer_us) / 1e6
    engines = max(1, math.ceil(tried * cost.core_us / 1e6 / given.engine_utilisation))
    working = max(math.ceil(cores / (given.cores * given.utilisation)), math.ceil(engines / given.cores))
    wire = cost.wire_bytes * given.wire_overhead * given.attempts
    return Plan(
        messages=messages,
        average_rate=average,
        peak_rate=peak,
        cores_busy=cores,
        engines=engines,
        machines=working + given.spare_machines,
        megabit=peak * wire * 8 / 1e6,
        terabytes=messages * wire / 1e12,
        journal_gb=messages * cost.journal_bytes * given.attempts * given.journal_days / 1e9,
        spool_gb=messages * given.spooled_hours / given.window_hours * given.spooled_bytes / 1e9,
        written_mb=tried * cost.disk_bytes / 1e6,
        syncs=engines * given.commits_per_second,
        dns=min(given.domains * given.lookups / (given.dns_hours * 3600), peak * given.lookups),
    )


def cost_of(result: dict[str, Any]) -> Cost:
    """Of a line that `bench run` printed, or of the record. Raises RecordError."""
    figures = result.get("figures", result)
    wire = figures.get("wire_bytes") or result.get("conditions", {}).get("wire_bytes")
    try:
        cost = Cost(float(figures["core_us"]), float(figures["signer_us"]), float(wire))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError("the result has no core_us, signer_us and wire_bytes: use one of `bench run`") from error
    measured = {name: float(figures[name]) for name in ("journal_bytes", "disk_bytes") if figures.get(name)}
    return replace(cost, **measured)


def _last_cost(path: Path | None) -> Cost:
    if path is not None:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.startswith("{")]
        if not lines:
            raise RecordError(f"{path}: no JSON line of `bench run` in it")
        return cost_of(json.loads(lines[-1]))
    record = read_record(RECORD)
    if not record:
        raise RecordError("nothing recorded yet: python -m bench record, or --result FILE with a line of `bench run`")
    return cost_of(record[-1])


def shown(plans: Sequence[Plan], cost: Cost, given: Assumptions) -> None:
    table = Table(title="capacity", title_justify="left")
    table.add_column("")
    for one in plans:
        table.add_column(f"{one.messages / 1e6:,.0f} M a day", justify="right")
    for entry in fields(Plan)[1:]:
        values = [getattr(one, entry.name) for one in plans]
        table.add_row(entry.name.replace("_", " "), *(f"{value:,.{0 if value >= 100 else 1}f}" for value in values))
    console = Console(stderr=True)
    console.print(table)
    for title, value in (("measured", cost), ("assumed", given)):
        parts = ", ".join(f"{entry.name} {getattr(value, entry.name):g}" for entry in fields(value))
        console.print(f"{title}: {parts}")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench capacity", description=__doc__)
    parser.add_argument("volume", type=int, nargs="*", default=list(VOLUMES), help="messages a day")
    parser.add_argument("--result", type=Path, help="a file whose last JSON line is from `bench run`; else the record")
    for entry in fields(Assumptions):
        kind = int if entry.type == "int" else float
        parser.add_argument(f"--{entry.name.replace('_', '-')}", type=kind, default=entry.default)
    arguments = parser.parse_args(words)
    given = Assumptions(**{entry.name: getattr(arguments, entry.name) for entry in fields(Assumptions)})
    wrong = [
        entry.name for entry in fields(given) if getattr(given, entry.name) <= 0 and entry.name != "spare_machines"
    ]
    if wrong or min(arguments.volume) <= 0:
        print(f"must be above 0: {', '.join(wrong) or 'the volume'}", file=sys.stderr)
        return 2
    try:
        cost = _last_cost(arguments.result)
    except (RecordError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 2
    shown([plan(volume, cost, given) for volume in arguments.volume], cost, given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
