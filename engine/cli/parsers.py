"""What the commands take whose work needs the whole engine: read here without loading it.

numpy, SQLite, HTTP and the signer take a second to load, and neither --help nor a slip of the pen needs them; the file
that does the work is loaded when it is asked to.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.cli.speaking import add_config, add_json, add_socket

BACKUP_PATIENCE = 4 * 3600.0


def later(file: str, function: str) -> Callable[[argparse.Namespace], int]:
    """The function of a file of engine/cli, which is loaded when it is called."""

    def run(args: argparse.Namespace) -> int:
        code: int = getattr(importlib.import_module(f"engine.cli.{file}"), function)(args)
        return code

    return run


def register(commands: Any) -> None:
    _running(commands)
    _backup(commands)
    _admin_token(commands)
    _unsubscribe_key(commands)
    _preflight(commands)


def _running(commands: Any) -> None:
    for name, what, function, told in (
        (
            "run",
            "run the engine in the foreground",
            later("running", "run_engine"),
            "the log as JSON Lines, on standard output",
        ),
        (
            "check",
            "read the configuration and its key files, report every error, print what is in effect",
            later("checking", "check"),
            "what is in effect, the errors and the cautions as JSON",
        ),
    ):
        parser = commands.add_parser(name, help=what, description=what)
        add_config(parser)
        add_json(parser, told)
        parser.set_defaults(run=function)


def _backup(commands: Any) -> None:
    what = "copy spool, ledger and secrets of the running engine into a folder of their own"
    backup = commands.add_parser("backup", help=what, description=what)
    backup.add_argument("--name", help="of the folder; default: the time")
    add_json(backup)
    add_socket(backup, later("backup", "run_backup"), patience=BACKUP_PATIENCE)
    what = "put a backup in place of the state of a stopped engine"
    parser = commands.add_parser("restore", help=what, description=what)
    parser.add_argument("folder", type=Path, help="as `backup` printed it")
    add_config(parser)
    parser.add_argument("--only", choices=("spool", "ledger"), default="", help="only this part")
    parser.add_argument(
        "--lose-events", action="store_true", help="also when the ledger in place knows more than the backup"
    )
    add_json(parser)
    parser.set_defaults(run=later("backup", "run_restore"))


def _admin_token(commands: Any) -> None:
    what = "make or show the token for actions on the live page"
    parser = commands.add_parser("admin-token", help=what, description=what)
    add_config(parser)
    parser.add_argument("--renew", action="store_true", help="replace the token; the old one is refused from then on")
    add_json(parser)
    parser.set_defaults(run=later("admin_token", "run_admin_token"))


def _unsubscribe_key(commands: Any) -> None:
    what = "add or list the keys of unsubscribe links"
    kinds = commands.add_parser("unsubscribe-key", help=what, description=what).add_subparsers(required=True)
    for name, text, function in (
        (
            "rotate",
            "add a key; it makes the links from the next start on, the old ones keep reading theirs",
            later("unsubscribe_key", "run_rotate"),
        ),
        ("list", "show the keys that there are", later("unsubscribe_key", "run_list")),
    ):
        parser = kinds.add_parser(name, help=text, description=text)
        add_config(parser)
        add_json(parser)
        parser.set_defaults(run=function)


def _preflight(subparsers: Any) -> None:
    what = "check a sender's DNS, DKIM, SPF, DMARC and our hosts before its first mailing"
    parser = subparsers.add_parser("preflight", help=what, description=what)
    parser.add_argument("sender", metavar="SENDER", help="name in [senders]")
    add_config(parser)
    parser.add_argument(
        "--network", action="store_true", help="ask for the opt-out page too, as a reader would who clicks the link"
    )
    add_json(parser, "every finding as JSON")
    parser.set_defaults(run=later("preflight", "run_preflight"))
