"""`sokutatsu trace SITE|DOMAIN`: what is said with a receiver, command by command, while it is said.

Addresses are shown as they are: this is the operator's own terminal. Payloads are replaced by their size, and nothing
of a login is shown. What servers say is shown without control characters. Exit codes: 0 the sessions are over, or ended
by Ctrl-C, 1 --timeout came first, 2 wrong arguments, 3 the engine refused (an unknown domain, too) or did not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from engine.cli.speaking import add_socket, guarded
from engine.cli.why import printable
from engine.client import Client

PATIENCE = 15.0
POLL = 0.3
DESCRIPTION = """\
Shows the dialogue of the next sessions with a site (host:port or MX name, as
`sokutatsu status` shows it) or with the site of a domain: greeting, EHLO,
STARTTLS, and every command and reply with its time. Sessions that are open
already count and are shown from now on. A message is replaced by its size;
a login's exchange is never shown.

Lines: time, number of the session, > from us, < from the server, * a remark."""
EPILOG = """\
examples:
  sokutatsu trace example.jp
  sokutatsu trace 192.0.2.25:25 --next 3 --timeout 60
  sokutatsu trace example.jp --json | jq -r 'select(.direction == "<") | .text'

exit codes:
  0  the sessions are over, or Ctrl-C ended it
  1  --timeout came first
  2  wrong arguments
  3  the engine refused (an unknown domain or site, too) or did not answer"""


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "trace",
        help="show the dialogue of the next sessions with a receiver, live",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_socket(parser, run_trace, patience=PATIENCE)
    parser.add_argument("target", help="a site or a domain")
    parser.add_argument("--next", type=int, default=1, metavar="N", help="sessions (default: %(default)s, at most 20)")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="default: until the sessions are over")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")


def run_trace(args: argparse.Namespace) -> int:
    if not 1 <= args.next <= 20:
        print(f"sokutatsu: --next {args.next}: write 1 to 20", file=sys.stderr)
        return 2
    return guarded(args, lambda: _trace(args))


def _trace(args: argparse.Namespace) -> int:
    until = None if args.timeout is None else time.monotonic() + args.timeout
    with Client(args.socket, patience=args.patience) as client:
        told = client.call("trace", {"target": args.target, "sessions": args.next})
        print(f"tracing {args.next} sessions with {printable(told['site'])}; Ctrl-C ends it", file=sys.stderr)
        last = 0
        try:
            while True:
                last = _show(told["lines"], last, as_json=args.json)
                if told["is_over"]:
                    return 0
                if until is not None and time.monotonic() >= until:
                    return 1
                time.sleep(POLL)
                told = client.call("trace", {"number": told["number"], "after": last})
        except KeyboardInterrupt:
            return 0
        finally:
            client.call("trace", {"number": told["number"], "after": last, "stop": True})


def _show(lines: Iterable[Any], last: int, *, as_json: bool) -> int:
    """The number of the last line."""
    for number, at, session, direction, text in lines:
        if number > last + 1 and not as_json:
            print(f"... {number - last - 1:,} lines came too fast to be kept ...")
        if as_json:
            line = {"at": round(at, 3), "session": session, "direction": direction, "text": text}
            print(json.dumps(line, ensure_ascii=False), flush=True)
        else:
            clock = time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 1000) % 1000:03d}"
            print(f"{clock} {session} {direction} {printable(text)}", flush=True)
        last = number
    return last
