"""`sokutatsu lint`: the display check of a message before anybody submits it. The work is done in findings.py."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from engine.cli.parsers import later
from engine.cli.speaking import add_config

CATEGORIES = ("AD", "AD_MO", "TX_AD", "OTHER_AD", "FREE_AD", "CONFIRM", "TX", "NP")
EPILOG = """\
The message is read as `sokutatsu enqueue --message` reads it: .toml, .json or
.eml. Each finding says what to write, with the article it rests on, the line
of the part as readers get it, and where that line is in the file.

  sokutatsu lint newsletter.toml --sender shop --config sokutatsu.toml

Exit codes: 0 nothing blocks, 1 warnings and --strict, 2 it would be refused,
or a file or an argument is wrong."""


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "lint",
        help="check what a message displays (表示義務)",
        description="Checks what a message displays of its sender and of opting out (表示義務) before it is sent.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("message", type=Path, metavar="MESSAGE", help=".json, .toml or .eml")
    parser.add_argument("--sender", required=True, help="NAME of a [senders.NAME] in the configuration")
    parser.add_argument("--category", choices=CATEGORIES, default="AD", help="default: AD")
    add_config(parser)
    parser.add_argument(
        "--region", action="append", choices=("US", "CA"), default=[], help="recipients there; may be repeated"
    )
    parser.add_argument("--network", action="store_true", help="ask where the opt-out leads, as a reader who clicks it")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when there are warnings")
    parser.add_argument("--json", action="store_true", help="for programs: one object")
    parser.set_defaults(run=later("findings", "run_lint"))
