"""`run` and `check`: start the engine, or only read its configuration.

Exit codes: 0 stopped as asked, 1 stopped by a fault or unable to start, 2 wrong configuration.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from engine.config import Settings, read_configuration
from engine.daemon import STARTING_FAILS, run

DEFAULT_FILE = Path("/etc/sokutatsu/sokutatsu.toml")


def register(commands: Any) -> None:
    for name, what, function in (
        ("run", "run the engine in the foreground", run_engine),
        ("check", "read the configuration and report every error in it", check),
    ):
        parser = commands.add_parser(name, help=what, description=what)
        parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default {DEFAULT_FILE}")
        parser.set_defaults(run=function)


def _settings(options: argparse.Namespace) -> Settings | None:
    settings = read_configuration(options.config)
    if isinstance(settings, list):
        for line in settings:
            print(line, file=sys.stderr)
        return None
    return settings


def run_engine(options: argparse.Namespace) -> int:
    settings = _settings(options)
    if settings is None:
        return 2
    try:
        return run(settings)
    except STARTING_FAILS as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 1


def check(options: argparse.Namespace) -> int:
    settings = _settings(options)
    if settings is None:
        return 2
    names = ", ".join(settings.senders)
    print(f"{settings.file}: in order. Senders: {names}. Routes: {', '.join(settings.routes)}.")
    return 0
