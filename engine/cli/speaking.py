"""What all commands that speak to a running engine share: where its socket is, and what is said when it cannot be had.

The socket is --socket, else the environment's SOKUTATSU_SOCKET, else the client's default. A refusal, an engine that
does not run and a socket that this user may not open are one line each, with the remedy, and never a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.cli.recipients import FileError
from engine.client import AGAIN, SOCKET, EngineError, Unreachable

VARIABLE = "SOKUTATSU_SOCKET"
CONFIG = "/etc/sokutatsu/sokutatsu.toml"
CONFIG_VARIABLE = "SOKUTATSU_CONFIG"
UNABLE = {*AGAIN, "backup_failed", "busy", "forbidden", "frame_lost", "flood", "internal", "ledger_failed"}
"""Codes of refusals that are the engine's state or the way to it; what gets any other is wrong itself."""


def add_json(parser: argparse.ArgumentParser, what: str = "the answer as JSON, for programs") -> None:
    """Every command has it: standard output is JSON and nothing else; what went wrong is on standard error."""
    parser.add_argument("--json", action="store_true", help=what)


def tell(args: argparse.Namespace, told: object, *lines: str) -> None:
    """The lines to people, or with --json what they say as one value. An engine's answer goes without its envelope."""
    if args.json:
        if isinstance(told, Mapping):
            told = {name: value for name, value in told.items() if name not in ("id", "ok")}
        print(json.dumps(told, ensure_ascii=False, indent=2, default=_as_text))
    else:
        print(*lines, sep="\n")


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def add_config(parser: argparse.ArgumentParser) -> None:
    path = Path(os.environ.get(CONFIG_VARIABLE) or CONFIG)
    parser.add_argument(
        "--config", type=Path, default=path, metavar="FILE", help=f"default: ${CONFIG_VARIABLE}, else {CONFIG}"
    )


def add_socket(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], *, patience: float = 600.0
) -> None:
    path = os.environ.get(VARIABLE) or SOCKET
    parser.add_argument(
        "--socket", default=path, metavar="PATH", help=f"of the engine (default: ${VARIABLE}, else {SOCKET})"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=patience,
        metavar="SECONDS",
        help="give up after so long without any answer (default: %(default)g)",
    )
    parser.set_defaults(run=run)


def guarded(args: argparse.Namespace, command: Callable[[], int]) -> int:
    """Exit codes beside the command's own: 2 a file, a name or another argument is wrong, 3 the engine cannot do it
    now, or did not answer.
    """
    try:
        return command()
    except FileError as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2
    except EngineError as error:
        # most texts name the value already
        about = f" ({error.field} = {error.value})" if error.value and error.value not in error.text else ""
        print(f"sokutatsu: the engine refused: {error}{about}", file=sys.stderr)
        return 3 if error.code in UNABLE else 2
    except Unreachable as error:
        print(f"sokutatsu: {error}: {_remedy(args.socket)}", file=sys.stderr)
        return 3


def _remedy(path: str) -> str:
    try:
        mode = Path(path).stat().st_mode
    except PermissionError:
        return "this user may not reach it: join the group in [socket] of the configuration"
    except OSError:
        return f"start the engine, or say --socket or {VARIABLE} (`sokutatsu check` prints the path in effect)"
    if not stat.S_ISSOCK(mode):
        return "this is not a socket: `sokutatsu check` prints the path in effect"
    if not os.access(path, os.W_OK):
        return "this user may not open it: join the group in [socket] of the configuration"
    return "nobody listens there: the engine is stopped, or is just stopping or starting"
