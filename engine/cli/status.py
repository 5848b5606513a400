"""`sokutatsu status`: what a running engine has and does, asked over its socket.

Places and outcomes of all recipients with their sum, the mailings with their totals, the busiest sites and what binds
them; --json gives the answer as it came, for programs. Texts of strange servers are shown without control characters.
Exit codes: 0 all is well, 1 the sums do not add up, 2 no such sender or mailing, 3 the engine did not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.mailings import order_for
from engine.cli.speaking import add_socket, guarded
from engine.cli.standing import standing
from engine.client import Client

PATIENCE = 15.0
SHOWN_MAILINGS = 20
PLACES = {
    "waiting": "in the spool: not due, or behind others",
    "ready": "in memory, next for their site",
    "in_flight": "being signed, on the wire, or on the way to disk",
    "held": "due, but their site takes no more now",
}
OUTCOMES = ("delivered", "bounced", "expired", "suppressed", "cancelled")
BINDS = {
    "pause": "the receiver asked for a pause",
    "connection": "no connection",
    "max_message_rate": "held to max_message_rate",
}


def register(subparsers: Any) -> None:
    what = "show places, outcomes, mailings and sites of a running engine"
    parser = subparsers.add_parser("status", help=what, description=what)
    add_socket(parser, run_status, patience=PATIENCE)
    parser.add_argument("--sender", metavar="NAME", help="only mailings of this sender")
    parser.add_argument("--mailing", metavar="NAME", help="only this mailing")
    parser.add_argument("--json", action="store_true", help="the whole answer as JSON")


def run_status(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _status(args))


def _status(args: argparse.Namespace) -> int:
    with Client(args.socket, patience=args.patience) as client:
        answer = client.status(args.sender, args.mailing)
    told = {name: value for name, value in answer.items() if name not in ("id", "ok")}
    if args.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        _show(Console(), told, is_narrowed=bool(args.sender or args.mailing))
    if args.sender and not args.mailing and not told["mailings"]:
        print(f"sokutatsu: of {args.sender} no mailing is remembered", file=sys.stderr)
    if args.mailing and not told["mailings"]:
        print(f"sokutatsu: no mailing {args.mailing[:80]!a} is known", file=sys.stderr)
        return 2
    return 1 if told["engine"].get("balance") else 0


def _show(console: Console, told: Mapping[str, Any], *, is_narrowed: bool) -> None:
    """`is_narrowed`: only mailings were asked for."""
    if not is_narrowed:
        engine = told["engine"]
        state = "stopping" if told["draining"] else "running"
        console.print(
            f"node {engine['node']}, {state} for {_duration(engine['uptime_seconds'])}, "
            f"takes {told['credit']:,} more recipients",
            highlight=False,
        )
        console.print(_recipients(engine))
    if told["mailings"]:
        console.print(_mailings(told["mailings"], told["engine"].get("directives", ())))
    more = len(told["mailings"]) - SHOWN_MAILINGS
    if more > 0 or told["truncated"]:
        console.print(f"... {more:,}{' or more' * told['truncated']} older mailings: --sender, --mailing, --json")
    if not is_narrowed and told["engine"]["sites"]:
        console.print(_sites(told["engine"]["sites"]))
        for site in told["engine"]["sites"]:
            if remark := _remark(site):
                console.print(Text(f"{site['site']}: {_printable(remark)}"))
    if not is_narrowed:
        for line in standing(told["engine"]):
            console.print(Text(line), soft_wrap=True)


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=f"\n{title}", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1))
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _recipients(engine: Mapping[str, Any]) -> Table:
    table = _table("Recipients since the start", ("where",), ("recipients",))
    table.add_column("", overflow="fold")
    for place, meaning in PLACES.items():
        table.add_row(place.replace("_", " "), f"{engine[place]:,}", meaning)
    table.add_section()
    remarks = {
        "suppressed": _parts(engine["suppressed_by_reason"]),
        "bounced": "",
        "delivered": f"{engine['resent_in_doubt']:,} may be duplicates" if engine["resent_in_doubt"] else "",
    }
    for outcome in OUTCOMES:
        table.add_row(outcome, f"{engine[outcome]:,}", remarks.get(outcome, ""))
    table.add_section()
    recovered = f"{engine['recovered']:,} of them were in the spool at the start" if engine["recovered"] else ""
    table.add_row("accepted", f"{engine['accepted']:,}", recovered)
    if engine["balance"]:
        wrong = "are in no place or in two: keep journal and log, and report this"
        table.add_row(Text("unaccounted", "bold red"), f"{engine['balance']:,}", Text(wrong, "bold red"))
    for name, meaning in (
        ("deferrals", _parts(engine["replies_by_class"])),
        ("recovered_in_doubt", "may have been sent just before the last crash"),
        ("in_doubt", "answers to the final dot were lost"),
    ):
        if engine[name]:
            table.add_row(name.replace("_", " "), f"{engine[name]:,}", meaning)
    return table


def _parts(numbers: Mapping[str, int]) -> str:
    ordered = sorted(numbers.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {number:,}" for name, number in ordered if number)


def _mailings(mailings: Sequence[Mapping[str, Any]], orders: Sequence[Mapping[str, Any]] = ()) -> Table:
    """The last changed first; outcomes that nobody had take no column."""
    newest = sorted(mailings, key=lambda mailing: -mailing["last_change_at"])[:SHOWN_MAILINGS]
    numbers = ["accepted", "open", "delivered"]
    numbers += [name for name in OUTCOMES if name not in numbers and any(mailing[name] for mailing in newest)]
    table = _table("Mailings", ("sender", "mailing"), numbers)
    for mailing in newest:
        name = mailing["mailing"] + (" (cancelled)" if mailing["cancelled_at"] else "")
        if mailing["open"] and (order := order_for(mailing["sender"], mailing["mailing"], orders)) is not None:
            name += f" (paused, order {order})"
        table.add_row(Text(mailing["sender"]), Text(name), *(f"{mailing[number]:,}" for number in numbers))
    return table


def _sites(sites: Sequence[Mapping[str, Any]]) -> Table:
    numbers = ("ready", "in flight", "conn.", "delivered", "deferred", "failed")
    table = _table("Busiest sites", ("site",), numbers)
    for site in sites:
        table.add_row(
            Text(_printable(site["site"])),
            f"{site['ready']:,}",
            f"{site['in_flight']:,}",
            f"{site['connections']}/{site['window']:.0f}",
            *(f"{site[name]:,}" for name in ("delivered", "deferred", "failed")),
        )
    return table


def _remark(site: Mapping[str, Any]) -> str:
    """What binds the site now, and what it was refused with last."""
    words = [BINDS.get(site["binds"], site["binds"])] if site["binds"] else []
    if site["paused_seconds"]:
        words.append(f"next try in {_duration(site['paused_seconds'])}")
    if site["last_error"]:
        words.append(f"last error: {site['last_error']}")
    return ", ".join(words)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _printable(text: str) -> str:
    """A stranger's text must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
