"""A run put into figures: what is printed, flat and in reading order, with the conditions it was measured under."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.inject import Injection
from bench.mailing import People
from bench.processes import Usage, machine
from bench.result import Arrivals, quantile, verdicts
from bench.rig import INSPECT_EVERY, first_attempt_quantile
from bench.scenario import Scenario
from bench.soak import Soak, soak_figures
from bench.storm import Storm, storm_figures
from bench.verify import Verification

MB = 1024 * 1024


@dataclass(slots=True)
class Run:
    """What happened, before it is put into figures."""

    scenario: Scenario
    people: People
    recorded: int = 0
    start_seconds: float = 0.0
    start_full_seconds: float | None = None
    injection: Injection | None = None
    due: bytearray = field(default_factory=bytearray)
    """By person number: 1 when mail must arrive."""
    allowed: bytearray = field(default_factory=bytearray)
    """The same: 1 when it may."""
    before: Usage | None = None
    after: Usage | None = None
    queued: Usage | None = None
    restarted: Usage | None = None
    last_at: float = 0.0
    most_open: int = 0
    """Connections at the sink, the most that were seen at once."""
    counts: dict[str, Any] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals)
    verification: Verification = field(default_factory=Verification)
    metrics: str = ""
    status: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    journal_bytes: int = 0
    """Of all its segments on disk, compressed, after the end."""
    soak: Soak | None = None
    storm: Storm | None = None


def figures(run: Run, baseline: dict[str, Any] | None = None) -> dict[str, Any]:
    """The result as it is printed, flat and in reading order."""
    scenario, injection = run.scenario, run.injection
    assert injection is not None
    assert run.before is not None
    assert run.after is not None
    assert run.queued is not None
    messages = run.counts["received"]
    span = max(run.last_at - max(injection.began, injection.released), 1e-9)
    told: dict[str, Any] = {"scenario": scenario.name, "description": scenario.description}
    told["accepted"] = injection.count + len(injection.urgent)
    told["inject_rate"] = round(injection.count / max(injection.ended - injection.began, 1e-9), 1)
    if messages:
        told["received"] = messages
        told["rate"] = round(messages / span, 1)
        told |= {
            f"{name}_us": round(seconds / messages * 1e6, 1) for name, seconds in run.after.since(run.before).items()
        }
        told["disk_bytes"] = round((run.after.written - run.before.written) / messages)
    if run.most_open:
        told["open_connections_most"] = run.most_open
    told["core_resident_mb"] = round(max(run.queued.resident["core"], run.after.resident["core"]) / MB, 1)
    told["signer_resident_mb"] = round(run.after.resident["signer"] / MB, 1)
    told |= _truth(run) | _latencies(run) | _starts(run)
    if run.journal_bytes and messages:
        told["journal_bytes"] = round(run.journal_bytes / messages)
    if run.soak is not None:
        told |= soak_figures(run.soak, run.arrivals.unique)
    if run.storm is not None:
        told |= storm_figures(run.storm)
        told["forbidden"] += run.storm.forbidden
    if baseline is not None and messages:
        told["baseline_rate"] = baseline["rate"]
        told["rate_to_baseline"] = round(told["rate"] / baseline["rate"], 3)
        told["core_us_over_baseline"] = round(told["core_us"] - baseline["core_us"], 1)
    told |= run.after.warning_since(run.before)
    told["goals"] = verdicts(scenario.goal, told)
    told["conditions"] = _conditions(run)
    return told


def _truth(run: Run) -> dict[str, Any]:
    assert run.injection is not None
    found, scenario = run.arrivals, run.scenario
    told: dict[str, Any] = {}
    if scenario.until == "delivered":
        told["expected"] = run.due.count(1) + len(run.injection.urgent)
    told |= {"lost": found.lost, "forbidden": found.forbidden}
    told["duplicates"] = found.duplicates
    told["messages_with_bare_lf"] = run.counts["messages_with_bare_lf"]
    told["dkim_verified"] = f"{run.verification.good} of {run.verification.messages}"
    if run.verification.problems:
        told["dkim_problems"] = run.verification.problems[:5]
    if run.injection.refused:
        told["refused"] = run.injection.refused
    told["engine_balance"] = run.status.get("balance")
    told["engine_exit_code"] = run.exit_code
    return told


def _latencies(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for share in (0.5, 0.99):
        name = f"p{share * 100:.0f}"
        told[f"first_attempt_bulk_{name}_s"] = first_attempt_quantile(run.metrics, "bulk", share)
        if run.scenario.transactional:
            seconds = quantile(run.arrivals.urgent_seconds, share)
            told[f"transactional_{name}_ms"] = None if seconds is None else round(seconds * 1000, 1)
            told[f"first_attempt_transactional_{name}_s"] = first_attempt_quantile(run.metrics, "transactional", share)
    return {name: value for name, value in told.items() if value not in (None, float("inf"))}


def _starts(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {"start_empty_seconds": round(run.start_seconds, 2)}
    if run.start_full_seconds is not None and run.restarted is not None:
        told["start_full_seconds"] = round(run.start_full_seconds, 2)
        told["restarted_resident_mb"] = round(run.restarted.resident["core"] / MB, 1)
    return told


def _conditions(run: Run) -> dict[str, Any]:
    scenario = run.scenario
    wire = run.counts["bytes"] // run.counts["received"] if run.counts["received"] else 0
    backend = [line for line in run.metrics.splitlines() if line.startswith("sokutatsu_signatures_total")]
    return {
        "recipients": scenario.recipients,
        "message_bytes": scenario.message_bytes,
        "wire_bytes": wire,
        "signed_with": "RSA-2048, " + " ".join(backend).replace("sokutatsu_signatures_total", ""),
        "tls": scenario.tls,
        "pipelining": scenario.pipelining,
        "fsync": "before every acknowledgement (synchronous=FULL)",
        "suppression_entries": run.recorded,
        "domains": scenario.domains,
        "by": "MX" if scenario.mx else "routes",
        "sites": scenario.sites,
        "connections_per_site": scenario.connections,
        "latency_ms": scenario.latency_ms,
        "faults": list(scenario.shares),
        "sink_inspects_every": INSPECT_EVERY,
        **machine(),
    }
