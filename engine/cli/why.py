"""`sokutatsu why DOMAIN`: why mail to a domain is not going, or how it goes, on one screen.

Site and provider, what binds now and until when, what waits and how long it will take, the limits that somebody has set
and where each comes from, the paths from each source. --json gives the answer as it came. Exit codes: 0 an answer, 1
nothing routes there, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.speaking import add_socket, guarded
from engine.client import Client

PATIENCE = 15.0
BINDS = {
    "": "nothing: it goes as fast as the receiver answers",
    "suspend": "suspended",
    "bounce": "being bounced",
    "quiet": "resting hours",
    "warmup": "the warm-up budget of the day",
    "pause": "the receiver asked for a pause",
    "connection": "no connection",
    "window": "few connections yet: successes open more",
    "no_route": "no route",
}


def register(subparsers: Any) -> None:
    what = "explain what binds mail to a domain: site, limits and their origin, what waits, ETA"
    parser = subparsers.add_parser("why", help=what, description=what)
    add_socket(parser, run_why, patience=PATIENCE)
    parser.add_argument("domain", help="of the recipients, such as docomo.ne.jp")
    parser.add_argument("--every-limit", action="store_true", help="also limits that nobody has set")
    parser.add_argument("--json", action="store_true", help="the whole answer as JSON")


def run_why(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _why(args))


def _why(args: argparse.Namespace) -> int:
    with Client(args.socket, patience=args.patience) as client:
        answer = client.call("why", {"domain": args.domain})
    told = {name: value for name, value in answer.items() if name not in ("id", "ok")}
    if args.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        show(Console(), told, every_limit=args.every_limit)
    return 0 if told["site"] else 1


def show(console: Console, told: Mapping[str, Any], *, every_limit: bool = False) -> None:
    for name, value in _summary(told):
        line = Text(f"{name:<10}", style="bold")
        console.print(line.append(printable(value), style="default"), highlight=False)
    for one in told["directives"]:
        scope = ", ".join(f"{name} {value}" for name, value in one["scope"].items())
        way = " ".join(
            part for part in (one["to"] and f"to {one['to']}", one["pool"] and f"pool {one['pool']}") if part
        )
        left = "until resumed" if one["seconds"] is None else f"{duration(one['seconds'])} left"
        what = " ".join(part for part in (one["verb"], scope, way) if part)
        reason = f": {one['reason']}" if one["reason"] else ""
        text = f"order {one['number']}: {what} ({left}, by {one['by']}){reason}"
        console.print(Text(printable(text)), soft_wrap=True)
    if told["paths"]:
        console.print(_paths(told["paths"]))
    rows = [row for row in told["limits"] if every_limit or row["from"] != "engine"]
    if rows:
        console.print(_limits(rows))


def _summary(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    binds, waiting = told["binds"], told["waiting"]
    left = "" if binds["seconds"] is None else f", for {duration(binds['seconds'])} more"
    where = f" ({binds['from']})" if binds["from"] else ""
    eta = told["eta_seconds"]
    rows = [
        ("domain", told["domain"]),
        ("site", f"{told['site'] or '-'}{', provider ' + told['provider'] if told['provider'] else ''}"),
        ("binds now", f"{BINDS.get(binds['what'], binds['what'])}{left}{where}{_kept_back(told)}"),
        ("waiting", f"{waiting['bulk']:,} bulk, {waiting['transactional']:,} transactional"),
        (
            "ETA",
            "unknown" if eta is None else duration(eta) + (" without what is kept back" if _kept_back(told) else ""),
        ),
    ]
    rows += [
        ("warm-up", f"{one['source']}: day {one['day']}, {one['left']:,} of today left")
        for one in told.get("warmup", ())
        if one["left"] is not None
    ]
    return rows


def _kept_back(told: Mapping[str, Any]) -> str:
    """Orders about a sender or a mailing bind no domain, but they may be all the reason."""
    kept = [
        one for one in told["directives"] if one["verb"] == "suspend" and {"sender", "mailing"} & one["scope"].keys()
    ]
    numbers = ", ".join(str(one["number"]) for one in kept)
    return f"; order {numbers} keeps mail of its own back" if kept and sum(told["waiting"].values()) else ""


def _table(title: str, *names: str) -> Table:
    table = Table(title=f"\n{title}", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _paths(paths: list[Mapping[str, Any]]) -> Table:
    table = _table("Paths", "source", "ready", "out", "conn.", "rate", "done", "later", "never", "now")
    for path in paths:
        words = [path["binds"]] if path["binds"] else []
        words += [f"paused {duration(path['paused_seconds'])}"] if path["paused_seconds"] else []
        words += [f"{one['key']} {one['value']:g} by {one['rule']}" for one in path["brakes"]]
        words += [f"last error: {path['last_error']}"] if path["last_error"] else []
        table.add_row(
            Text(path["source"]), f"{path['ready']:,}", f"{path['in_flight']:,}",
            f"{path['connections']}/{min(path['window'], path['connection_limit'])}", f"{path['rate']:,.1f}/s",
            f"{path['delivered']:,}", f"{path['deferred']:,}", f"{path['failed']:,}", Text(printable(", ".join(words))),
        )  # fmt: skip
    return table


def _limits(rows: list[Mapping[str, Any]]) -> Table:
    table = _table("Limits", "key", "value", "from")
    for row in rows:
        table.add_row(row["key"], Text(str(row["value"])), Text(row["from"]))
    return table


def duration(seconds: float) -> str:
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def printable(text: str) -> str:
    """A stranger's text must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
