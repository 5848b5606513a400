"""What the commands of records take (consents, optouts, form, evidence): read here without the ledger.

What is written here twice, so that --help need not load it, is compared with the original by a test.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.cli.parsers import later
from engine.cli.speaking import add_config, add_json, add_socket, guarded

Run = Callable[[argparse.Namespace], int]

LOWEST = 50
"""Of engine.policy.listscore."""
CONSENTS = """\
CSV with the columns in its first line, or JSON Lines (.jsonl). Columns:
  address at source basis covers topics method form url ip user_agent
  checkbox_default displayed_sender privacy_policy_url acquired_url third_parties evidence_ref evidence \
doi_sent_at doi_clicked_at
address, at and source are needed. "at" is ISO 8601 or Unix seconds; "covers"
(AD, MAIL_ORDER) and "topics" take several words, "third_parties" several
names with | between. "form" is a SHA-256 as `sokutatsu form add` prints it.
What all lines share may be said once, by --set COLUMN=VALUE."""
OPT_OUTS = """\
CSV with the columns in its first line, or JSON Lines (.jsonl). Columns:
  address at topic channel message_id evidence
Only address is needed; without "at" the refusal counts from now. In the place
of an address may stand sha256:HEX or, with --key-file, hmac-sha256:HEX, of the
address in lower case: as `optouts export --hash` writes them.
Say whose mail is refused: --sender NAME, or --global for every sender."""


def register(subparsers: Any) -> None:
    _register_lists(subparsers)
    _register_forms(subparsers)
    _register_evidence(subparsers)


def _asking(file: str, function: str) -> Run:
    """Of a running engine."""
    run = later(file, function)
    return lambda args: guarded(args, lambda: run(args))


def _reading(file: str, function: str) -> Run:
    """Of the ledger beside it."""
    run = later(file, function)
    return lambda args: int(importlib.import_module("engine.cli.offline").ledger_of(lambda: run(args)))


def _time(text: str) -> int:
    try:
        return int(importlib.import_module("suppression.exchange").seconds(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _register_lists(subparsers: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    consents = subparsers.add_parser("consents", help="import and export consents").add_subparsers(
        required=True, metavar="import|export"
    )
    _register_consents(consents.add_parser("import", help="from a file", epilog=CONSENTS, formatter_class=raw))
    _register_export(consents.add_parser("export", help="of all senders, or of one"), "export_consents")
    # Its name of before, in scripts of people: not shown, and it says what it is called now.
    before = subparsers.add_parser("consent").add_subparsers(required=True, metavar="import").add_parser("import")
    _register_consents(before, _asking("consents", "import_by_old_name"))
    _register_opt_outs(subparsers)


def _register_consents(imported: argparse.ArgumentParser, run: Run | None = None) -> None:
    _register_import(imported, run or _asking("consents", "import_consents"))
    imported.add_argument("--sender", required=True, help="that the consents were given to")
    imported.add_argument("--set", action="append", default=[], metavar="COLUMN=VALUE", help="for every line")
    imported.add_argument("--norec", action="store_true", help="keep incomplete records as OPTIN_NOREC")
    imported.add_argument("--offline", action="store_true", help="the engine is stopped: into the ledger of --config")
    imported.add_argument(
        "--min-score",
        type=int,
        default=LOWEST,
        metavar="N",
        help=f"lists that score less are refused (default: {LOWEST})",
    )
    add_config(imported)


def _register_opt_outs(subparsers: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    optouts = subparsers.add_parser("optouts", help="import and export opt-outs").add_subparsers(
        required=True, metavar="import|export"
    )
    imported = optouts.add_parser("import", help="from a file", epilog=OPT_OUTS, formatter_class=raw)
    _register_import(imported, _asking("consents", "import_opt_outs"))
    whose = imported.add_mutually_exclusive_group(required=True)
    whose.add_argument("--sender", help="whose mail is refused")
    whose.add_argument("--global", action="store_true", dest="everywhere", help="mail of every sender is refused")
    imported.add_argument("--topic", help="only this topic of the sender, where the line names none")
    imported.add_argument(
        "--key-file", type=Path, metavar="FILE", help="the secret of hmac-sha256 lines, which both know"
    )
    imported.add_argument("--channel", default="import", help="where they came from, where the line does not say")
    exported = optouts.add_parser("export", help="refusals and complaints, as the ledger has them")
    _register_export(exported, "export_opt_outs")
    exported.add_argument("--in-force", action="store_true", help="without those that a later consent lifted")
    exported.add_argument(
        "--hash", choices=("sha256", "hmac"), help="hashes instead of addresses, only of those in force"
    )
    exported.add_argument("--key-file", type=Path, metavar="FILE", help="the secret of --hash hmac")


def _register_import(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    add_socket(parser, run)
    add_json(parser)
    parser.add_argument("file", type=Path)
    parser.add_argument("--encoding", default="utf-8-sig", help="such as cp932 (default: UTF-8)")
    parser.add_argument("--refused", type=Path, metavar="FILE", help="write all refused lines here, as CSV")


def _register_export(parser: argparse.ArgumentParser, function: str) -> None:
    add_config(parser)
    add_json(parser, "to standard output as JSON Lines; with --out, what was written")
    parser.add_argument("--sender", help="only of this one (and what is said to all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".csv or .jsonl (default: CSV to standard output)")
    parser.set_defaults(run=_reading("consents", function))


def _register_forms(subparsers: Any) -> None:
    what = "store and show the forms that people consented by"
    commands = subparsers.add_parser("form", help=what, description=what).add_subparsers(
        required=True, metavar="COMMAND"
    )
    _register_add(commands.add_parser("add", help="store a form that is shown now, or was shown"))
    retire = commands.add_parser("retire", help="say when a form was taken down; once, for ever")
    add_json(retire)
    add_socket(retire, _asking("forms", "retire_form"))
    retire.add_argument("form", help="SHA-256, as add and list print it")
    retire.add_argument("--sender", required=True)
    retire.add_argument("--shown-to", type=_time, metavar="TIME", help="ISO 8601 or Unix seconds (default: now)")
    listed = commands.add_parser("list", help="all forms, or those of a sender")
    listed.add_argument("--sender")
    shown = commands.add_parser("show", help="one form with its content")
    shown.add_argument("form", help="SHA-256, or its first digits")
    shown.add_argument("--sender")
    shown.add_argument("--content", action="store_true", help="the stored bytes alone, to standard output")
    for parser, run in ((listed, "list_forms"), (shown, "show_form")):
        add_config(parser)
        add_json(parser)
        parser.set_defaults(run=_reading("forms", run))


def _register_add(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    add_socket(parser, _asking("forms", "add_form"))
    parser.add_argument(
        "file", type=Path, help="exactly what was shown: HTML, text or mail, PDF, a picture; up to 1 MiB"
    )
    parser.add_argument("--sender", required=True, help="that the consent is given to")
    parser.add_argument("--kind", required=True, choices=("paper", "mail", "web"), help="fax is paper")
    parser.add_argument(
        "--displayed-sender", required=True, metavar="NAME", help="the sender's name as the form shows it"
    )
    parser.add_argument("--statement", required=True, help="the form's words that say what will be mailed")
    parser.add_argument("--shown-from", type=_time, default=None, metavar="TIME", help="default: now")
    parser.add_argument("--shown-to", type=_time, metavar="TIME", help="if it is not shown any more")
    parser.add_argument("--language", default="ja", help="default: ja")
    parser.add_argument("--acquired-url", default="", metavar="URL", help="where the page stands (needed for web)")
    parser.add_argument("--privacy-policy-url", default="", metavar="URL")
    parser.add_argument("--covers", nargs="+", choices=("AD", "MAIL_ORDER"), default=["AD"], help="default: AD")
    parser.add_argument(
        "--auto-compiled", action="store_true", help="answers go into a list by themselves (特定商取引法)"
    )


def _register_evidence(subparsers: Any) -> None:
    what = "write everything that is recorded of an address, or of a sender"
    parser = subparsers.add_parser("evidence", help=what, description=what)
    parser.add_argument("address", nargs="?", help="writes a .json and a .html into --out")
    parser.add_argument("--sender", help="only of this one; without an address: all of it, as JSON Lines")
    parser.add_argument("--since", type=_time, default=0, metavar="TIME", help="with --sender alone: events from then")
    parser.add_argument("--until", type=_time, default=10**10, metavar="TIME", help="up to then, not including it")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; made if it is missing")
    add_json(parser, "which files were written, as JSON")
    add_config(parser)
    parser.set_defaults(run=_reading("evidence", "run_evidence"))
