"""`sokutatsu drain`: no new submits, while everything that is there is delivered; --wait shows how far it is.

Opt-outs and consents are taken as always. Not kept over a restart. Exit codes: 0 done (with --wait: empty), 1 broken
off by --timeout before it was empty, 2 wrong arguments, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine.cli.speaking import add_socket, guarded
from engine.client import Client

PATIENCE = 30.0
POLL = 0.5
PLACES = ("waiting", "ready", "in_flight", "held")
DESCRIPTION = """\
Makes the running engine refuse new submits (clients are told to repeat the same
key later) while it delivers what it has. Opt-outs, consents and cancels are
taken as always; /readyz says 503, so that a load balancer looks elsewhere.

Draining is an order to this process only: a restarted engine takes mail again.
Mail that is due later, or that receivers have put off, waits for its time, so
that --wait may last days; what is left stays in the spool and is safe there."""
EPILOG = """\
examples:
  sokutatsu drain --wait --timeout 600 ; systemctl stop sokutatsu
  sokutatsu drain --off

exit codes:
  0  draining, or with --off taking mail again, or with --wait empty
  1  --timeout is over and there is still mail
  2  wrong arguments
  3  the engine refused (it is stopping) or did not answer"""


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "drain",
        help="take no new mail and deliver what is there",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_socket(parser, run_drain, patience=PATIENCE)
    parser.add_argument("--off", action="store_true", help="take mail again")
    parser.add_argument("--wait", action="store_true", help="until nobody is left, with progress")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="of --wait; default: as long as it takes")
    parser.add_argument("--json", action="store_true", help="the last answer as JSON")


def run_drain(args: argparse.Namespace) -> int:
    if args.off and args.wait:
        print(
            "sokutatsu: --off takes mail again and --wait waits until there is none; give one of them", file=sys.stderr
        )
        return 2
    return guarded(args, lambda: _drain(args))


def _drain(args: argparse.Namespace) -> int:
    with Client(args.socket, patience=args.patience) as client:
        told = client.call("drain", {"on": not args.off})
        if args.wait:
            told = _wait(client, told, args.timeout)
    left = left_of(told)
    if args.json:
        print(json.dumps({name: told[name] for name in ("draining", *PLACES)}, indent=2))
    elif args.off:
        print("taking mail again")
    elif left:
        places = ", ".join(f"{told[place]:,} {place.replace('_', ' ')}" for place in PLACES if told[place])
        print(f"draining: {left:,} recipients left ({places})")
    else:
        print("draining: nobody is left")
    return 1 if args.wait and left else 0


def left_of(told: Mapping[str, Any]) -> int:
    return sum(int(told[place]) for place in PLACES)


def _wait(client: Client, told: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    first = left_of(told)
    until = None if timeout is None else time.monotonic() + timeout
    console = Console(stderr=True)
    columns = (TextColumn("draining"), BarColumn(), TextColumn("{task.fields[left]:,} left"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("drain", total=max(first, 1), left=first)
        while left := left_of(told):
            progress.update(bar, completed=max(0, first - left), left=left)
            pause = POLL if until is None else min(POLL, until - time.monotonic())
            if pause <= 0.0:
                break
            time.sleep(pause)
            told = client.call("drain", {})
    return told
