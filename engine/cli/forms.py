"""`form`: the pages, mails and papers that people consented by. add and retire ask the engine, list and show read.

施行規則4条1項2号: the standard text, kept beside the list of who answered it, is the record of all of them. Give the
file exactly as it was shown. Exit codes as the other commands: 0 done, 1 no such form, 2 a file or an argument is
wrong, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.offline import ledger_of, viewed
from engine.cli.recipients import FileError
from engine.cli.speaking import add_config, add_json, add_socket, guarded, tell
from engine.client import Client
from suppression.exchange import seconds
from suppression.forms import MAX_CONTENT, Form
from suppression.shown import kind_of
from suppression.view import cover_names, instant


def register(subparsers: Any) -> None:
    what = "store and show the forms that people consented by"
    commands = subparsers.add_parser("form", help=what, description=what).add_subparsers(
        required=True, metavar="COMMAND"
    )
    _register_add(commands.add_parser("add", help="store a form that is shown now, or was shown"))
    retire = commands.add_parser("retire", help="say when a form was taken down; once, for ever")
    add_json(retire)
    add_socket(retire, lambda args: guarded(args, lambda: _retire(args)))
    retire.add_argument("form", help="SHA-256, as add and list print it")
    retire.add_argument("--sender", required=True)
    retire.add_argument("--shown-to", type=_time, metavar="TIME", help="ISO 8601 or Unix seconds (default: now)")
    listed = commands.add_parser("list", help="all forms, or those of a sender")
    listed.add_argument("--sender")
    shown = commands.add_parser("show", help="one form with its content")
    shown.add_argument("form", help="SHA-256, or its first digits")
    shown.add_argument("--sender")
    shown.add_argument("--content", action="store_true", help="the stored bytes alone, to standard output")
    for parser, run in ((listed, _list), (shown, _show)):
        add_config(parser)
        add_json(parser)
        parser.set_defaults(run=_reading(run))


def _reading(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    return lambda args: ledger_of(lambda: run(args))


def _register_add(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    add_socket(parser, lambda args: guarded(args, lambda: _add(args)))
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


def _time(text: str) -> int:
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add(args: argparse.Namespace) -> int:
    try:
        with args.file.open("rb") as stream:
            content = stream.read(MAX_CONTENT + 1)
    except OSError as error:
        raise FileError(f"{args.file}: {error.strerror}") from None
    if not 0 < len(content) <= MAX_CONTENT:
        size = f"more than {MAX_CONTENT}" if content else "no"
        raise FileError(f"{args.file}: {size} bytes, 1 to {MAX_CONTENT}; store the text, not its pictures")
    try:
        kind_of(content)
    except ValueError as error:
        raise FileError(f"{args.file}: {error}") from None
    names = ("sender", "kind", "displayed_sender", "statement", "shown_to", "language", "acquired_url")
    fields = {name: getattr(args, name) for name in (*names, "privacy_policy_url", "covers", "auto_compiled")}
    fields["shown_from"] = int(time.time()) if args.shown_from is None else args.shown_from
    with Client(args.socket, patience=args.patience) as client:
        told = client.call("put_form", {**fields, "content": content})
    tell(args, {"form": told["form"].hex()}, told["form"].hex())
    return 0


def _retire(args: argparse.Namespace) -> int:
    try:
        form = bytes.fromhex(args.form)
    except ValueError:
        form = b""
    if len(form) != 32:
        raise FileError(f"form {args.form[:80]!a} is not a SHA-256 of 64 digits: `sokutatsu form list` shows them")
    shown_to = int(time.time()) if args.shown_to is None else args.shown_to
    with Client(args.socket, patience=args.patience) as client:
        client.call("retire_form", {"sender": args.sender, "form": form, "shown_to": shown_to})
    text = f"retired: {args.form}, shown until {instant(shown_to * 1_000_000)}"
    tell(args, {"form": args.form, "shown_to": shown_to}, text)
    return 0


def _list(args: argparse.Namespace) -> int:
    if args.json:
        with viewed(args) as view:
            tell(args, [{"form": sha256.hex(), **_told(form)} for sha256, form in view.forms(args.sender)])
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("form", "sender", "kind", "covers", "shown from", "shown to", "shown as"):
        table.add_column(name, overflow="fold")
    with viewed(args) as view:
        for sha256, form in view.forms(args.sender):
            begin, end = _window(form)
            words = (sha256.hex()[:16], form.sender, form.kind, " ".join(cover_names(form.covers)), begin, end)
            table.add_row(*map(Text, words), Text(form.displayed_sender))
    Console().print(table)
    return 0


def _told(form: Form) -> dict[str, object]:
    names = ("sender", "kind", "displayed_sender", "statement", "language", "privacy_policy_url", "acquired_url")
    more = ("shown_from", "shown_to", "auto_compiled")
    return {name: getattr(form, name) for name in (*names, *more)} | {"covers": list(cover_names(form.covers))}


def _window(form: Form) -> tuple[str, str]:
    return instant(form.shown_from * 1_000_000), "" if form.shown_to is None else instant(form.shown_to * 1_000_000)


def _show(args: argparse.Namespace) -> int:
    with viewed(args) as view:
        begun = {sha256 for sha256, _ in view.forms(args.sender) if sha256.hex().startswith(args.form.lower())}
        if len(begun) != 1:
            found = "no form" if not begun else f"{len(begun)} forms"
            print(f"sokutatsu: {found} that begin with {args.form[:80]!a}", file=sys.stderr)
            return 1
        forms = view.form(begun.pop(), args.sender)
    if args.json:
        told = [{"form": form.sha256.hex(), **_told(form), "bytes": len(form.content)} for form in forms]
        if args.content:
            told = [
                {**one, "content_base64": b64encode(form.content).decode()}
                for one, form in zip(told, forms, strict=True)
            ]
        tell(args, told)
        return 0
    if args.content:
        sys.stdout.buffer.write(forms[0].content)
        return 0
    for form in forms:
        print(f"form                {form.sha256.hex()}")
        for name in (
            "sender",
            "kind",
            "displayed_sender",
            "statement",
            "language",
            "privacy_policy_url",
            "acquired_url",
        ):
            print(f"{name:<19} {getattr(form, name)}")
        begin, end = _window(form)
        print(f"covers              {' '.join(cover_names(form.covers))}\nauto_compiled       {form.auto_compiled}")
        print(f"shown               {begin} to {end or 'now'}")
        print(f"content             {len(form.content):,} bytes (--content)")
    return 0
