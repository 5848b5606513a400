"""`sokutatsu suspend|resume|bounce|reroute`: orders about mail on its way, in force at once and after a restart.

By domain, provider, site, source, sender or mailing; what is named must all agree. A suspension keeps mail in the spool
and costs nothing; a bounce ends it, with a record of its own in the journal; a reroute sends it another way.
Exit codes: 0 done, 1 there was nothing to resume, 2 wrong arguments or a name that nothing is known of, 3 the engine
cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from engine.cli.speaking import add_json, add_socket, guarded, tell
from engine.client import Client
from engine.policy.duration import parse_duration

PATIENCE = 30.0
SCOPE = {
    "domain": "recipients' domain",
    "provider": "name in the shaping, such as gmail or docomo",
    "site": "host:port, as `sokutatsu status` names it",
    "source": "name in [sources]",
    "sender": "name in [senders]",
    "mailing": "name of a mailing; with --sender, unless it is unique",
}
VERBS = {
    "suspend": "keep mail in the spool until resumed, or for a time",
    "bounce": "end waiting mail, with a journal record AdminBounce; with --for also what comes in that time",
    "reroute": "send mail to another host, or from another pool",
}


def register(subparsers: Any) -> None:
    for verb, what in VERBS.items():
        parser = subparsers.add_parser(verb, help=what, description=what)
        _add_scope(parser)
        parser.add_argument("--for", dest="duration", metavar="2h", help="how long; default: until resumed")
        parser.add_argument("--reason", default="", metavar="TEXT", help="for whoever looks at it later")
        if verb == "reroute":
            parser.add_argument("--to", metavar="HOST:PORT", help="where to, instead of the route")
            parser.add_argument("--pool", metavar="NAME", help="pool to leave from, instead of the sender's")
        parser.add_argument(
            "--anyway", action="store_true", help="also when domain, site or mailing are not known yet: for what comes"
        )
        parser.set_defaults(verb=verb)
        add_json(parser)
        add_socket(parser, run_steer, patience=PATIENCE)
    what = "end orders of suspend, bounce, reroute or automation"
    parser = subparsers.add_parser("resume", help=what, description=what)
    parser.add_argument("number", nargs="?", type=int, help="of the order; else those of exactly this scope")
    _add_scope(parser)
    parser.add_argument("--all", dest="everything", action="store_true", help="every order")
    add_json(parser)
    add_socket(parser, run_resume, patience=PATIENCE)


def _add_scope(parser: argparse.ArgumentParser) -> None:
    for name, what in SCOPE.items():
        parser.add_argument(f"--{name}", metavar="NAME", help=what)


def _scope(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in SCOPE if getattr(args, name)}


def run_steer(args: argparse.Namespace) -> int:
    fields: dict[str, Any] = {"verb": args.verb, "known": not args.anyway, **_scope(args)}
    if args.duration:
        try:
            fields["seconds"] = max(1, round(parse_duration(args.duration)))
        except ValueError as error:
            print(f"sokutatsu: --for {args.duration[:40]!a}: {error}", file=sys.stderr)
            return 2
    for name in ("reason", "to", "pool"):
        if getattr(args, name, None):
            fields[name] = getattr(args, name)
    if not _scope(args):
        print(f"sokutatsu: name what: {', '.join('--' + name for name in SCOPE)}", file=sys.stderr)
        return 2
    return guarded(args, lambda: _steer(args, fields))


def _steer(args: argparse.Namespace, fields: dict[str, Any]) -> int:
    with Client(args.socket, patience=args.patience) as client:
        answer = client.call("steer", fields)
    number = answer["number"]
    tell(args, answer, f"{args.verb}: order {number} is in force; `sokutatsu resume {number}` ends it")
    return 0


def run_resume(args: argparse.Namespace) -> int:
    fields: dict[str, Any] = _scope(args)
    if args.number is not None:
        fields["number"] = args.number
    if args.everything:
        fields["everything"] = True
    if not fields:
        print("sokutatsu: name the order's number, its scope, or --all", file=sys.stderr)
        return 2
    return guarded(args, lambda: _resume(args, fields))


def _resume(args: argparse.Namespace, fields: dict[str, Any]) -> int:
    with Client(args.socket, patience=args.patience) as client:
        ended = client.call("resume", fields)["resumed"]
    if not ended:
        if args.json:
            tell(args, {"resumed": []})
        which = "no such order stands" if args.number is None else f"no order {args.number} stands"
        print(f"sokutatsu: {which}; `sokutatsu status` lists them", file=sys.stderr)
        return 1 if args.number is None else 2
    tell(args, {"resumed": ended}, f"resumed: {', '.join(map(str, ended))}")
    return 0
