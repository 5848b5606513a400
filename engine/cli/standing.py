"""What `sokutatsu status` shows of orders, warm-up and unknown replies: only what is there.

Texts of strange servers are shown without control characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.cli.why import duration, printable

SHOWN = 20


def standing(engine: Mapping[str, Any]) -> Iterator[str]:
    """Lines, grouped under headings; `engine` is the status answer's part of that name."""
    directives = engine.get("directives", ())
    if directives:
        yield "\nOrders in force (sokutatsu resume NUMBER ends one)"
    for one in directives[:SHOWN]:
        scope = ", ".join(f"{name} {value}" for name, value in one["scope"].items())
        left = "until resumed" if one["seconds"] is None else f"{duration(one['seconds'])} left"
        reason = f": {one['reason']}" if one["reason"] else ""
        yield printable(f" {one['number']:>4} {one['verb']} {scope} ({left}, by {one['by']}){reason}")
    warming = [one for one in engine.get("warmup", ()) if one["left"] is not None]
    if warming:
        yield "\nWarming up"
    for one in warming:
        parts = ", ".join(f"{name} {left:,}" for name, left in one["providers"].items() if left is not None)
        yield f" {one['source']}: day {one['day']}, {one['used']:,} used, {one['left']:,} left today" + (
            f" ({parts})" if parts else ""
        )
    unknown = engine.get("unclassified", {"top": (), "total": 0})
    if unknown["top"]:
        yield f"\nReplies that no rule knows: {unknown['total']:,} (sokutatsu classify explains one)"
    for one in unknown["top"][:SHOWN]:
        whose = f" {one['provider']}" if one["provider"] else ""
        yield printable(f" {one['count']:>7,} {one['phase']}{whose}: {one['reply']}")
