"""`sokutatsu bounce-test`: what the return path would make of a message that came back, and why.

For operators who wonder about a bounce, and to try a rule. Reads files only; nothing is proved here (that needs the
engine's secrets), recorded or suppressed. Everything shown of the message is escaped.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.flow.feedback import KINDS, SUPPRESSED
from engine.flow.returning import load_reader
from engine.returns import Bounce, Feedback, OptOutMail, Return, Returned, read_returned

FILE_LIMIT = 32 * 1024 * 1024
_MEANING = {
    "bounce": "did not arrive",
    "delayed": "not yet there, somebody still tries; counted only",
    "delivered": "arrived; counted only",
    "feedback": "feedback report",
    "opt_out": "no more mail is wanted",
    "auto_reply": "a machine answered for a person; counted only",
    "unknown": "none of these; counted only",
}


def register(subparsers: Any) -> None:
    what = "say what a bounce, complaint or reply means to the return path"
    parser = subparsers.add_parser("bounce-test", help=what, description=what)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a message as it came; - is standard input")
    parser.add_argument(
        "--optout-address", action="store_true", help="as if it had come to one of return_path.optout_addresses"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a file")
    parser.set_defaults(run=run_bounce_test)


def run_bounce_test(args: argparse.Namespace) -> int:
    """Exit codes: 0 all were understood, 1 at least one was not, 2 a file cannot be read."""
    reader = load_reader()
    code = 0
    for name in args.files:
        try:
            raw = _read(name)
        except OSError as error:
            print(f"sokutatsu: {name}: {error.strerror}", file=sys.stderr)
            return 2
        found = read_returned(raw, reader, is_optout_address=args.optout_address)
        print(json.dumps(_as_json(name, found)) if args.json else _as_text(name, found))
        code |= any(KINDS[type(told)] == "unknown" for told in found.says)
    return code


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(FILE_LIMIT)
    with Path(name).open("rb") as stream:
        return stream.read(FILE_LIMIT)


def _as_json(name: str, found: Returned) -> dict[str, Any]:
    says = [{"kind": KINDS[type(told)], **asdict(told)} for told in found.says]
    return {"file": name, "says": says, "original": asdict(found.original), "is_cut": found.is_cut}


def _as_text(name: str, found: Returned) -> str:
    lines = [f"{name}:"]
    for told in found.says:
        kind = KINDS[type(told)]
        lines.append(f"  {kind}: {_MEANING[kind]}")
        values = asdict(told).items()
        lines += [f"    {key:20} {_shown(value)}" for key, value in values if value not in ("", (), 0)]
        lines.append(f"    {'consequence':20} {_consequence(told)}")
    original = asdict(found.original).items()
    lines += [f"  original {key:18} {_shown(value)}" for key, value in original if value]
    return "\n".join(lines)


def _consequence(told: Return) -> str:
    if isinstance(told, Bounce):
        if told.hard and told.bounce_class in SUPPRESSED:
            return "the address is suppressed, when envelope or token prove which one it was; else the journal has it"
        return "the journal has it"
    if (isinstance(told, Feedback) and told.is_complaint) or isinstance(told, OptOutMail):
        return "a refusal, when it is proved whose, in journal and ledger"
    return "none" if not isinstance(told, Feedback) else "the journal has it"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value[:5])) + (" …" if len(value) > 5 else "")
    return ascii(str(value)[:160])[1:-1]
