"""`sokutatsu guard` and `sokutatsu sender`: what guards have paused and why; a sender stopped at once.

guard shows unknown users, canaries and complaints of the mailings under way, and every threshold with how sure it is.
sender revoke takes back everything of a sender that waits, before anything else of it leaves, and keeps it; restore
lets it go. Exit codes: 0 done, 1 something is paused (guard) or nothing was revoked (restore), 3 the engine refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.speaking import add_json, add_socket, guarded, tell
from engine.client import Client
from engine.policy.guard import MARKS, GuardSettings

PATIENCE = 30.0
STYLES = {"clear": "green", "warn": "yellow", "pause": "red", "abort": "bold red"}
STATES = {
    "clear": "正常 clear",
    "warn": "注意 warning",
    "pause": "一時停止 paused",
    "abort": "中止・リスト要確認 aborted, review the list",
}
CANARIES = {"open": "確認中 under way", "good": "合格 passed", "bad": "不合格 failed"}
MARK_WORDS = {"documented": "公表値 documented", "custom": "業界慣行 custom", "guess": "推定 guess"}


def register(subparsers: Any) -> None:
    what = "show what guards have seen and paused: unknown users, canaries, complaints"
    parser = subparsers.add_parser("guard", help=what, description=what)
    add_socket(parser, run_guard, patience=PATIENCE)
    add_json(parser, "the whole answer as JSON")
    parser.add_argument("--thresholds", action="store_true", help="the defaults of [guard] and how sure each is")
    what = "stop a sender at once, or let it go again"
    actions = subparsers.add_parser("sender", help=what, description=what)
    verbs = actions.add_subparsers(dest="action", required=True, metavar="ACTION")
    revoke = verbs.add_parser("revoke", help="take back all that waits, send nothing more")
    revoke.add_argument("--reason", default="", metavar="TEXT", help="for whoever looks at it later")
    restore = verbs.add_parser("restore", help="let its mail go again")
    for one, run in ((revoke, run_revoke), (restore, run_restore)):
        one.add_argument("sender", metavar="NAME", help="name in [senders]")
        add_json(one)
        add_socket(one, run, patience=PATIENCE)


def run_guard(args: argparse.Namespace) -> int:
    if args.thresholds:
        if args.json:
            tell(args, {key: {"default": default, "basis": MARKS[key]} for key, default in _defaults()})
        else:
            Console().print(_thresholds())
        return 0
    return guarded(args, lambda: _guard(args))


def _guard(args: argparse.Namespace) -> int:
    with Client(args.socket, patience=args.patience) as client:
        told = client.status()["engine"]["guard"]
    if args.json:
        tell(args, told)
    else:
        show(Console(), told)
    return 1 if told["paused"] else 0


def show(console: Console, told: Mapping[str, Any]) -> None:
    for one in told["paused"]:
        scope = " ".join(f"{name} {one[name]}" for name in ("sender", "mailing", "provider") if one[name])
        console.print(Text(f"一時停止中 paused: {_printable(scope)}", style="bold red"))
        console.print(Text(f"  理由 why: {_printable(one['reason'])}"))
        console.print(Text(f"  再開 resume: sokutatsu resume {one['number']}", style="cyan"))
    console.print(
        _watched(told["watched"]) if told["watched"] else "配信中のメールはありません / no mailing is under way"
    )
    for one in told["complaints"]:
        share = one["complaints"] / one["delivered"] if one["delivered"] else 0.0
        text = f"{one['complaints']} / {one['delivered']:,} ({share:.2%})"
        line = f"迷惑メール申告 complaints: {one['sender']}, {one['provider']}: {text}"
        console.print(Text(_printable(line), style=STYLES[one["verdict"]]))


def _watched(watched: list[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("送信者 sender", "配信名 mailing", "受信側 provider"):
        table.add_column(name, overflow="fold")
    table.add_column("宛先不明 unknown", justify="right")
    table.add_column("状態 state")
    table.add_column("先行送信 canary", overflow="fold")
    for one in watched:
        canary = one["canary"]
        table.add_row(
            *(_printable(one[name]) or "-" for name in ("sender", "mailing", "provider")),
            f"{one['unknown']:,} / {one['replies']:,} ({one['share']:.1%})",
            Text(STATES[one["verdict"]], style=STYLES[one["verdict"]]),
            f"{CANARIES[canary['state']]} {canary['unknown']}/{canary['replies']}" if canary else "-",
        )
    return table


def _thresholds() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("[guard]", "既定値 default", "根拠 basis"):
        table.add_column(name)
    for key, default in _defaults():
        table.add_row(key, f"{default:g}", MARK_WORDS[MARKS[key]])
    return table


def _defaults() -> list[tuple[str, float]]:
    return [(field.name, field.default) for field in fields(GuardSettings) if field.name in MARKS]  # type: ignore[misc]


def run_revoke(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _revoke(args))


def _revoke(args: argparse.Namespace) -> int:
    reason = f"revoked: {args.reason}" if args.reason else "revoked"
    with Client(args.socket, patience=args.patience) as client:
        answer = client.call("steer", {"verb": "suspend", "sender": args.sender, "reason": reason})
    text = f"order {answer['number']} is in force; `sokutatsu sender restore {args.sender}` ends it"
    tell(args, answer, f"{args.sender}: {text}")
    return 0


def run_restore(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _restore(args))


def _restore(args: argparse.Namespace) -> int:
    with Client(args.socket, patience=args.patience) as client:
        ended = client.call("resume", {"sender": args.sender})["resumed"]
    if not ended:
        print(f"sokutatsu: {args.sender} is not revoked; `sokutatsu status` lists the orders", file=sys.stderr)
        return 1
    tell(args, {"resumed": ended}, f"{args.sender}: its mail goes again")
    return 0


def _printable(text: str) -> str:
    """A stranger's text must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
