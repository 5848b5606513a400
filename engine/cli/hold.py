"""`sokutatsu hold`: evidence that a proceeding needs is neither purged nor forgotten until an officer releases it.

It concerns a sender's records, a person's, or a person's towards one sender, and it is in force with the answer. It
stops no mail. Exit codes: 0 recorded and in force, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.speaking import add_socket, guarded
from engine.cli.whynot import plain_table, printable, times
from engine.client import Client


def register(subparsers: Any) -> None:
    what = "legal holds: evidence that a proceeding needs is neither purged nor forgotten"
    hold = subparsers.add_parser("hold", help=what, description=what)
    actions = hold.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, told in (
        ("add", "keep the evidence of a sender, of a person, or of a person towards a sender"),
        ("release", "end a hold, word for word as it was placed"),
        ("list", "holds in force, and all that were placed and released"),
    ):
        parser = actions.add_parser(action, help=told, description=told)
        needed = action != "list"
        parser.add_argument("--matter", required=needed, default="", metavar="TEXT", help="the proceeding it is for")
        parser.add_argument("--sender", default="", metavar="NAME", help="NAME of a [senders.NAME]")
        parser.add_argument("--address", default="", help="of the person; every spelling of it is meant")
        if needed:
            parser.add_argument("--officer", metavar="NAME", help="who answers for it (default: the login name)")
            parser.add_argument("--evidence", default="", metavar="TEXT", help="where the papers are")
        parser.add_argument("--json", action="store_true", help="the answer as JSON")
        add_socket(parser, run_hold)


def run_hold(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _hold(args))


def _hold(args: argparse.Namespace) -> int:
    fields: dict[str, Any] = {name: getattr(args, name) for name in ("action", "matter", "sender", "address")}
    if args.action != "list":
        fields |= {"officer": args.officer or getpass.getuser(), "evidence": args.evidence}
    with Client(args.socket, patience=args.patience) as client:
        answer = client.call("hold", fields)
    if args.json:
        told = {name: value for name, value in answer.items() if name not in ("id", "ok")}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        show(Console(), answer)
    return 0


def show(console: Console, answer: Mapping[str, Any]) -> None:
    if not answer["holds"]:
        console.print("保全の記録なし / no legal hold is recorded", highlight=False)
        return
    console.print(_table("保全の記録 / Placed and released", answer["holds"]))
    if answer["in_force"]:
        console.print(_table("現在の保全 / In force", answer["in_force"]))
    else:
        console.print("現在有効な保全なし / none is in force", highlight=False)


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table(title, "日時 time", "内容 what", "対象 whose", "責任者・証跡 officer, evidence")
    for row in rows:
        what = "解除 released" if row["what"] == "released" else "保全 held"
        person = row["address"] or ("消去済みの本人 a forgotten person" if row["is_person"] else "全宛先 all addresses")
        cells = (
            times(row["at"]),
            f"{what}\n{row['matter']}",
            f"{row['sender'] or '全送信者 all senders'}\n{person}",
            f"{row['officer']}\n{row['evidence']}".strip(),
        )
        table.add_row(*(Text("\n".join(map(printable, cell.split("\n")))) for cell in cells))
    return table
