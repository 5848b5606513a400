"""What a run found out, compared with what it should be: figures, verdicts, the table and the JSON line.

Lost, duplicates and forbidden mail come from two independent sources only: what the client was told is accepted,
and what the sink has receipts for. The engine's own numbers are shown beside them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.inject import Injection
from bench.mailing import number_of
from bench.receipts import Receipt
from bench.scenario import Goal


@dataclass(slots=True)
class Arrivals:
    """Receipts held against acceptances."""

    messages: int = 0
    unique: int = 0
    lost: int = 0
    duplicates: int = 0
    forbidden: int = 0
    """Mail to recipients who opted out, or whom the engine never acknowledged."""
    urgent_seconds: list[float] = field(default_factory=list)
    """Submit to first arrival, sorted."""


def arrivals(injection: Injection, receipts: Iterable[Receipt], *, due: bytearray, allowed: bytearray) -> Arrivals:
    """By person number: `due` is 1 when mail must have arrived, `allowed` when it may. Transactional mail is due."""
    found = Arrivals()
    seen = bytearray(len(due))
    identities: Counter[str] = Counter()
    urgent: dict[int, float] = {}
    for receipt in receipts:
        found.messages += 1
        identities[receipt.message_id] += 1
        kind, number = number_of(receipt.recipient)
        if kind == "urgent":
            urgent[number] = min(receipt.at, urgent.get(number, receipt.at))
            continue
        seen[number] = 1
        found.forbidden += not allowed[number]
    found.unique = len(identities)
    found.duplicates = found.messages - found.unique
    missing = int.from_bytes(due, "big") & ~int.from_bytes(seen, "big")
    found.lost = missing.bit_count() + len(injection.urgent.keys() - urgent.keys())
    found.urgent_seconds = sorted(at - injection.urgent[number] for number, at in urgent.items())
    return found


def quantile(ordered: list[float], share: float) -> float | None:
    """Of a sorted list: the smallest value that `share` of them do not exceed."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def verdicts(goal: Goal, figures: dict[str, Any]) -> dict[str, str]:
    """Of each promise that the scenario makes: "met" or "missed", with both numbers."""
    below = {
        "core_us": figures.get("core_us"),
        "core_us_over_baseline": figures.get("core_us_over_baseline"),
        "resident_mb": figures.get("core_resident_mb"),
        "start_seconds": figures.get("start_full_seconds"),
        "transactional_p99_ms": figures.get("transactional_p99_ms"),
        "growth_mb": figures.get("core_growth_mb"),
        "opt_out_p99_ms": figures.get("opt_out_p99_ms"),
    }
    said = {}
    for name, value in below.items():
        wanted = getattr(goal, name)
        if wanted:
            said[name] = _verdict(value, wanted, good=value is not None and value <= wanted, sign="<=")
    if goal.rate_to_baseline:
        ratio = figures.get("rate_to_baseline")
        good = ratio is not None and ratio >= goal.rate_to_baseline
        said["rate_to_baseline"] = _verdict(ratio, goal.rate_to_baseline, good=good, sign=">=")
    return said


def _verdict(value: float | None, wanted: float, *, good: bool, sign: str) -> str:
    shown = "nothing" if value is None else f"{value:g}"
    return f"{'met' if good else 'missed'}: {shown} {sign} {wanted:g}"


def show(title: str, figures: dict[str, Any]) -> None:
    """A table for people on standard error, one JSON line for programs on standard output."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in figures.items():
        if isinstance(value, dict):
            shown = "\n".join(f"{key}: {_shown(part)}" for key, part in value.items())
        elif isinstance(value, list):
            shown = "\n".join(map(str, value))
        else:
            shown = _shown(value)
        table.add_row(name.replace("_", " "), shown)
    console = Console(stderr=True)
    console.width = max(console.width, 100)
    console.print(table)
    print(json.dumps(figures, ensure_ascii=False), flush=True)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
