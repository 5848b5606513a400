"""`sokutatsu` (also `python -m engine`): the command line. Each command stands in engine/cli; here is the list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from engine.cli import (
    admin_token,
    backup,
    classify,
    completion,
    consents,
    dkim,
    drain,
    enqueue,
    evidence,
    forms,
    guard,
    law,
    lint,
    mailings,
    preflight,
    reload,
    retention,
    returns,
    running,
    status,
    steer,
    top,
    trace,
    unsubscribe_key,
    user,
    why,
    whynot,
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sokutatsu",
        description="Sokutatsu 速達: sends mail fast, signed, durable, and only to those it may go to.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    running.register(commands)
    enqueue.register(commands)
    lint.register(commands)
    status.register(commands)
    backup.register(commands)
    consents.register(commands)
    forms.register(commands)
    evidence.register(commands)
    why.register(commands)
    steer.register(commands)
    reload.register(commands)
    drain.register(commands)
    mailings.register(commands)
    top.register(commands)
    trace.register(commands)
    completion.register(commands)
    classify.register(commands)
    dkim.register(commands)
    admin_token.register(commands)
    user.register(commands)
    retention.register(commands)
    unsubscribe_key.register(commands)
    law.register(commands)
    whynot.register(commands)
    preflight.register(commands)
    guard.register(commands)
    returns.register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; 130 when a person broke off with Ctrl-C, as in a shell."""
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        print("sokutatsu: broken off", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
