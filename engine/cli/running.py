"""`run`: starts the engine. Exit codes: 0 stopped as asked, 1 a fault or unable to start, 2 wrong configuration."""

from __future__ import annotations

import argparse
import sys

from engine.cli.checking import settings_of
from engine.config import SubmissionUnusable
from engine.daemon import STARTING_FAILS, run


def run_engine(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    if settings is None:
        return 2
    try:
        return run(settings, log_as_json=options.json)
    except (*STARTING_FAILS, SubmissionUnusable) as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 1
