"""`submission-user`: one line for the users file of SMTP submission, from a password that is asked for.

The password comes from the terminal or from standard input, never from the command line, where everybody on the
machine could read it. Only its scrypt hash (RFC 7914) is printed; nothing is stored.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from engine.flow.users import entry_line

SHORTEST = 8


def register(commands: Any) -> None:
    what = "print a line for the users file of SMTP submission"
    parser = commands.add_parser("submission-user", help=what, description=what)
    parser.add_argument("login")
    parser.add_argument("--sender", action="append", default=[], help="may send for this sender; without it for all")
    parser.set_defaults(run=print_line)


def print_line(options: argparse.Namespace) -> int:
    login = options.login
    if not login or any(not character.isprintable() or character in ": #" for character in login):
        return _refuse(f"login {login[:80]!a}: printable characters without space, : and # only")
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password for {login}: ")
    else:
        password = sys.stdin.readline(1025).rstrip("\r\n")
    if not SHORTEST <= len(password) <= 1024:
        return _refuse(f"the password has {len(password)} characters: {SHORTEST} to 1024")
    print(entry_line(login, password, tuple(options.sender)))
    return 0


def _refuse(text: str) -> int:
    print(f"sokutatsu: {text}", file=sys.stderr)
    return 2
