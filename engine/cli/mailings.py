"""`sokutatsu mailings`: how far each mailing is, how fast it goes, and when it will be through.

Asked twice with some seconds between, since a rate is a difference; --json says the same for programs. Exit codes: 0
shown, 1 no such mailing, 2 wrong arguments, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.cli.speaking import add_socket, guarded
from engine.cli.why import duration, printable
from engine.client import Client

PATIENCE = 15.0
ENDS = ("delivered", "bounced", "expired", "suppressed", "cancelled")
DESCRIPTION = """\
Lists the mailings with their progress: how many of the accepted recipients have
an outcome, how many a second get one now, and how long the rest will take at
that rate. The rate is measured over --seconds; 0 leaves it out. What waits for
a time that has not come, or for a retry, makes the real end later than the ETA.
When a mailing goes slower than it should, `sokutatsu top` shows the sites and
`sokutatsu why DOMAIN` says what binds them."""
EPILOG = """\
examples:
  sokutatsu mailings --sender shop
  sokutatsu mailings --open --json | jq '.[] | select(.eta_seconds > 3600) | .mailing'

exit codes:
  0  shown, also when there is none
  1  the mailing that was asked for is not known
  2  wrong arguments
  3  the engine cannot now or did not answer"""


@dataclass(frozen=True, slots=True)
class Progress:
    sender: str
    mailing: str
    accepted: int
    done: int
    open: int
    delivered: int
    bounced: int
    expired: int
    suppressed: int
    cancelled: int
    rate: float
    """Outcomes a second, over the last moments."""
    eta_seconds: float | None
    """None: nothing moves, or nothing is known."""
    is_cancelled: bool
    order: int | None = None
    """That keeps all of it back."""


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "mailings",
        help="show progress, rate and ETA of the mailings",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_socket(parser, run_mailings, patience=PATIENCE)
    parser.add_argument("--sender", metavar="NAME", help="only of this sender")
    parser.add_argument("--mailing", metavar="NAME", help="only this one")
    parser.add_argument("--open", action="store_true", help="only those with recipients that have no outcome yet")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="N", help="how long the rate is measured (default: %(default)g)"
    )
    parser.add_argument("--json", action="store_true", help="the list as JSON")


def run_mailings(args: argparse.Namespace) -> int:
    if not 0 <= args.seconds <= 60:
        print(f"sokutatsu: --seconds {args.seconds:g}: write 0 to 60", file=sys.stderr)
        return 2
    return guarded(args, lambda: _mailings(args))


def _mailings(args: argparse.Namespace) -> int:
    with Client(args.socket, patience=args.patience) as client:
        before, began = client.status(args.sender, args.mailing), time.monotonic()
        now = before
        if args.seconds and any(one["open"] for one in before["mailings"]):
            time.sleep(args.seconds)
            now = client.status(args.sender, args.mailing)
    orders = now["engine"].get("directives", ())
    found = progress_of(now["mailings"], done_of(before["mailings"]), time.monotonic() - began, orders)
    shown = [one for one in found if one.open or not args.open]
    if args.json:
        print(json.dumps([asdict(one) for one in shown], ensure_ascii=False, indent=2))
    elif shown:
        Console().print(table_of(shown))
        if now["truncated"]:
            print(f"only the newest {len(found):,}; --sender and --mailing narrow it", file=sys.stderr)
    else:
        print("no mailings")
    if args.mailing and not found:
        print(f"sokutatsu: no mailing {args.mailing!a} is known", file=sys.stderr)
        return 1
    return 0


def done_of(mailings: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    return {(one["sender"], one["mailing"]): one["accepted"] - one["open"] for one in mailings}


def order_for(sender: str, mailing: str, orders: Sequence[Mapping[str, Any]]) -> int | None:
    """The suspension that keeps the whole mailing back, of the `directives` of a status answer."""
    whole = {"sender": sender, "mailing": mailing}.items()
    return next((one["number"] for one in orders if one["verb"] == "suspend" and one["scope"].items() <= whole), None)


def progress_of(
    mailings: Sequence[Mapping[str, Any]],
    before: Mapping[tuple[str, str], int],
    seconds: float,
    orders: Sequence[Mapping[str, Any]] = (),
) -> list[Progress]:
    """`before`: how many had an outcome `seconds` ago."""
    found = []
    for one in mailings:
        done = one["accepted"] - one["open"]
        earlier = before.get((one["sender"], one["mailing"]), done)
        rate = max(0, done - earlier) / seconds if seconds > 0.0 else 0.0
        eta = 0.0 if not one["open"] else one["open"] / rate if rate else None
        ends = {name: int(one[name]) for name in ENDS}
        found.append(
            Progress(
                one["sender"],
                one["mailing"],
                one["accepted"],
                done,
                one["open"],
                **ends,
                rate=rate,
                eta_seconds=eta,
                is_cancelled=one["cancelled_at"] is not None,
                order=order_for(one["sender"], one["mailing"], orders) if one["open"] else None,
            )
        )
    return found


def table_of(mailings: Sequence[Progress], *, title: str = "", rows: int = 1000) -> Table:
    """Fits 80 columns; names that are too long are cut."""
    table = Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1),
        expand=True,
        show_edge=False,
        title_style="bold",
    )
    table.add_column("mailing", no_wrap=True, overflow="ellipsis", min_width=8, ratio=3)
    table.add_column("", width=12)
    for heading in ("%", "open", "delivered", "rate", "ETA"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in mailings[:rows]:
        name = Text(printable(f"{one.sender}/{one.mailing}"))
        if one.is_cancelled:
            name.append(" cancelled", style="dim")
        if one.order is not None:
            name.append(f" paused, order {one.order}", style="yellow")
        bar = ProgressBar(total=max(one.accepted, 1), completed=one.done, width=12)
        eta = "-" if not one.open else "?" if one.eta_seconds is None else duration(one.eta_seconds)
        table.add_row(
            name, bar, f"{100 * one.done // max(one.accepted, 1)}", f"{one.open:,}", f"{one.delivered:,}",
            f"{one.rate:,.0f}/s" if one.open else "", eta,
        )  # fmt: skip
    return table
