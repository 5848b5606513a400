"""`sokutatsu reload`: the running engine reads its configuration again and takes all of it, or says every error.

A refused reload has changed nothing. Exit codes: 0 in force, 2 the configuration is wrong or asks for what only a
restart can change, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from engine.cli.speaking import add_socket, guarded
from engine.client import Client

PATIENCE = 120.0
ANSWERED = ("errors", "changes", "restart_only", "seconds")
DESCRIPTION = """\
Makes the running engine read its configuration file again, with all files that
it names, and takes it while mail goes on: senders and their profiles, DKIM
keys, routes and their certificates, shaping, sources and pools, resolvers,
trust in certificates, guards, preflight, decision tables, logins of SMTP
submission. Everything is checked first, as by `sokutatsu check`; what is wrong
is printed and nothing is changed. Paths, listeners, stores and the number of
signing processes need a restart: the answer lists them, and a reload that asks
for another one is refused.

New DKIM keys are read by new signing processes, which sign once with each key
before they get any mail; what the old ones have in hand is finished by them."""
EPILOG = """\
examples:
  sokutatsu check && sokutatsu reload
  systemctl reload sokutatsu        # the same, as the service's own user

exit codes:
  0  all of it is in force
  2  refused: every error is on a line of its own, the engine goes on as before
  3  the engine cannot now or did not answer"""


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "reload",
        help="take the changed configuration into use while mail goes on",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_socket(parser, run_reload, patience=PATIENCE)
    parser.add_argument("--json", action="store_true", help="the answer as JSON")


def run_reload(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _reload(args))


def _reload(args: argparse.Namespace) -> int:
    with Client(args.socket, patience=args.patience) as client:
        told = client.call("reload", {})
    errors, changes = told["errors"], told["changes"]
    if args.json:
        print(json.dumps({name: told[name] for name in ANSWERED}, ensure_ascii=False, indent=2))
    elif errors:
        for line in errors:
            print(line, file=sys.stderr)
        print("sokutatsu: nothing was changed; the engine goes on with what it had", file=sys.stderr)
        print(f"sokutatsu: only a restart changes {', '.join(told['restart_only'])}", file=sys.stderr)
    else:
        for line in changes:
            print(line)
        print(f"reloaded in {told['seconds']:.1f} s{'' if changes else ': nothing is new, key files were read again'}")
        print(f"only a restart changes {', '.join(told['restart_only'])}")
    return 2 if errors else 0
