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

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.offline import viewed
from engine.cli.recipients import FileError
from engine.cli.speaking import tell
from engine.client import Client
from suppression.forms import MAX_CONTENT, Form
from suppression.shown import kind_of
from suppression.view import cover_names, instant


def add_form(args: argparse.Namespace) -> int:
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


def retire_form(args: argparse.Namespace) -> int:
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


def list_forms(args: argparse.Namespace) -> int:
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


def show_form(args: argparse.Namespace) -> int:
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
