"""`sokutatsu` (also `python -m engine`): the command line. Each command stands in engine/cli; here is the list.

Only the file of the command that was typed is loaded: who asks for the status twenty times a day does not wait for the
engine, the signer and the web to be read.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from engine.cli.overview import HELP

COMMANDS: Final = {
    "parsers": ("run", "check", "backup", "restore", "admin-token", "unsubscribe-key", "preflight"),
    "enqueue": ("enqueue", "cancel", "restore-address", "suppress"),
    "lint": ("lint",),
    "status": ("status",),
    "records": ("consents", "consent", "optouts", "form", "evidence"),
    "why": ("why",),
    "steer": ("suspend", "bounce", "reroute", "resume"),
    "reload": ("reload",),
    "drain": ("drain",),
    "mailings": ("mailings",),
    "top": ("top",),
    "trace": ("trace",),
    "completion": ("completion",),
    "classify": ("classify",),
    "dkim": ("dkim",),
    "user": ("submission-user",),
    "retention": ("retention", "forget"),
    "hold": ("hold",),
    "law": ("law",),
    "whynot": ("why-not", "order"),
    "guard": ("guard", "sender"),
    "returns": ("bounce-test",),
}
"""File of engine/cli -> its commands, in the order of --help."""


def build_parser(typed: str | None = None) -> argparse.ArgumentParser:
    """With the commands of the file that has `typed`; with all for completion, and for None; with the names of all for
    --help and for what does not exist.
    """
    parser = argparse.ArgumentParser(
        prog="sokutatsu",
        description="Sokutatsu 速達: sends mail fast, signed, durable, and only to those it may go to.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    if typed is not None and not any(typed in names for names in COMMANDS.values()):
        for name, what in HELP.items():
            commands.add_parser(name, help=what)
        return parser
    wanted = [file for file, names in COMMANDS.items() if typed in names and typed != "completion"]
    for file in wanted or COMMANDS:
        importlib.import_module(f"engine.cli.{file}").register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; As in a shell, 130 when a person broke off with Ctrl-C, 141 when nobody reads on."""
    words = sys.argv[1:] if arguments is None else arguments
    options = build_parser(words[0] if words else "").parse_args(words)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has seen enough; the interpreter must not complain of it when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("sokutatsu: broken off", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
