"""`sokutatsu classify "550 5.1.1 ..."`: which rule a reply meets, what it is about, and what the engine does then.

Reads the rules and the shaping as `run` would; no engine has to be running. Exit codes: 0 a rule knows it, 1 none does
(then the reply's first digit decides), 2 it is no reply, or the configuration is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.cli.parsers import later

PHASES = ("CONNECT", "GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "DOT")


def register(subparsers: Any) -> None:
    what = "explain what a receiver's reply means to the engine, and what it does then"
    parser = subparsers.add_parser("classify", help=what, description=what)
    parser.add_argument("reply", help='as in the journal, such as "550 5.1.1 User unknown"')
    parser.add_argument(
        "--phase", default="RCPT", choices=PHASES, help="the command that it answers (DOT: the message)"
    )
    parser.add_argument("--provider", default="", metavar="NAME", help="whose reply it is, such as docomo")
    parser.add_argument("--site", default="", metavar="HOST", help="or the host that said it: names the provider")
    parser.add_argument("--config", type=Path, metavar="FILE", help="whose shaping counts (default: the shipped one)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=later("reading", "run_classify"))
