"""`sokutatsu submission-user`: makes a line for the users file of SMTP submission. The password is never an argument,
because arguments stand in the process list: it is asked for, or read from standard input when that is no terminal.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from engine.cli.speaking import add_json, tell
from engine.flow.users import entry_line

SHORTEST_PASSWORD = 12


def register(subparsers: Any) -> None:
    what = "make a line for the users file of SMTP submission"
    parser = subparsers.add_parser("submission-user", help=what, description=what)
    parser.add_argument("login", help="name that the program logs in with; the password is asked for")
    parser.add_argument(
        "--sender", action="append", default=[], help="that it may send as; again for more (default: all)"
    )
    add_json(parser, "the line as JSON")
    parser.set_defaults(run=run_user)


def run_user(args: argparse.Namespace) -> int:
    """Exit codes: 0 the line is on standard output, 2 login, sender or password cannot be used."""
    words = [args.login, *args.sender]
    if not all(word.isprintable() and word and not set(word) & set(":,# ") for word in words):
        print("sokutatsu: login and senders are printable, without space, colon, comma and #", file=sys.stderr)
        return 2
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if len(password) < SHORTEST_PASSWORD:
        print(f"sokutatsu: a password has {SHORTEST_PASSWORD} characters or more", file=sys.stderr)
        return 2
    line = entry_line(args.login, password, tuple(args.sender))
    tell(args, {"line": line}, line)
    return 0
