"""`sokutatsu why-not` and `sokutatsu order`: the compliance officer's questions and orders to a running engine.

why-not answers in one screen: the decision, why in Japanese and English, the article, and the events that led there
with their times in UTC and Japan. order records an order of the authorities (特定電子メール法 7条, 特定商取引法 14条,
15条) or its release; it is in force with the answer. What strangers wrote is shown without control characters.
"""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.cli.speaking import add_socket, guarded
from engine.client import Client

PATIENCE = 15.0
JST = timezone(timedelta(hours=9), "JST")
STYLES = {"SEND": "green", "STRIP": "yellow", "HOLD": "magenta", "BLOCK": "red"}
VERDICTS = {
    "SEND": "送信できます / may be sent",
    "STRIP": "広告を除けば送信できます / may be sent without the advertisement",
    "HOLD": "保留します / held",
    "BLOCK": "送信できません / may not be sent",
}
EVENTS = {
    "OPT_OUT": "受信拒否 opt-out",
    "CONSENT": "同意等 consent or ground",
    "WITHDRAWAL": "同意等の終了 ground ended",
    "COMPLAINT": "迷惑メール申告 complaint",
    "ADDRESS": "アドレスの状態 address",
}
KINDS = {
    "ORDER7": "措置命令(特定電子メール法7条) order to improve",
    "INSTR14": "指示(特定商取引法14条) instruction",
    "SUSP15": "業務停止命令(特定商取引法15条) suspension",
}
SHOWN_EVENTS = 20


def register(subparsers: Any) -> None:
    what = "say why an address gets or does not get a mail: decision, reason, article, recorded events"
    parser = subparsers.add_parser("why-not", help=what, description=what)
    add_socket(parser, run_why_not, patience=PATIENCE)
    parser.add_argument("address", help="of the person who asks")
    parser.add_argument("--sender", required=True, metavar="NAME", help="NAME of a [senders.NAME] in the configuration")
    parser.add_argument("--category", required=True, metavar="CATEGORY", help="such as AD, TX")
    parser.add_argument("--topic", default="", metavar="NAME", help="of the mail; consents may be for one topic only")
    parser.add_argument("--region", default="", metavar="CODE", help="of the recipient, such as EU")
    parser.add_argument(
        "--override",
        choices=("UNKNOWN_USER", "FICT_SUSPECT"),
        default="",
        help="of a TX: as if it were sent in spite of this state of the address (enqueue --override)",
    )
    parser.add_argument("--json", action="store_true", help="the whole answer as JSON")
    _register_order(subparsers)


def _register_order(subparsers: Any) -> None:
    what = "record an order of the authorities against a sender, or its release"
    order = subparsers.add_parser("order", help=what, description=what)
    actions = order.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, what in (
        ("add", "an order has arrived: what it stops is stopped at once, also what is queued"),
        ("release", "what the order asked for is done; a named officer answers for it"),
        ("list", "all orders, and what of them is in force"),
    ):
        parser = actions.add_parser(action, help=what, description=what)
        add_socket(parser, run_order, patience=PATIENCE)
        parser.add_argument(
            "--sender", required=action != "list", default="", metavar="NAME", help="against whom it is"
        )
        parser.add_argument("--json", action="store_true", help="the whole answer as JSON")
        if action == "list":
            continue
        parser.add_argument(
            "--kind",
            required=True,
            choices=list(KINDS),
            help="; ".join(f"{name}: {text}" for name, text in KINDS.items()),
        )
        parser.add_argument(
            "--topic", action="append", default=[], metavar="NAME", help="again for more (default: everything)"
        )
        parser.add_argument("--evidence", default="", metavar="TEXT", help="where the paper can be found")
        if action == "add":
            parser.add_argument("--day", required=True, metavar="DAY", help="date on the order, as 2027-01-31")
        else:
            parser.add_argument("--officer", default=None, metavar="NAME", help="default: this user")


def run_why_not(args: argparse.Namespace) -> int:
    """Exit codes: 0 it may be sent, 1 it may not or not as it is, 3 the engine cannot now or did not answer."""
    return guarded(args, lambda: _why_not(args))


def _why_not(args: argparse.Namespace) -> int:
    names = ("address", "sender", "category", "topic", "region", "override")
    fields = {name: getattr(args, name) for name in names}
    with Client(args.socket, patience=args.patience) as client:
        answer = client.call("why_not", fields)
    if args.json:
        print(json.dumps(_told(answer), ensure_ascii=False, indent=2))
    else:
        show_why_not(Console(), fields, answer)
    return 0 if answer["verdict"] == "SEND" else 1


def show_why_not(console: Console, asked: Mapping[str, str], answer: Mapping[str, Any]) -> None:
    style = STYLES.get(answer["verdict"], "")
    verdict, code = answer["verdict"], answer["reason"] or answer["basis"]
    body = Text.assemble(
        (f"{verdict} {code}", f"bold {style}"),
        f"  {VERDICTS.get(verdict, '')}\n",
        f"{printable(answer['texts']['ja'])}\n{printable(answer['texts']['en'])}\n",
        ("根拠 article: ", "dim"),
        printable(answer["article"] or "-"),
        ("   判定表の行 row: ", "dim"),
        printable(answer["row"] or "-"),
        ("\n判定日時 decided: ", "dim"),
        times(answer["at"]),
    )
    stated = "".join(f", {name} {asked[name]}" for name in ("topic", "region", "override") if asked.get(name))
    title = printable(f"{asked['address']} <- {asked['sender']}, {asked['category']}{stated}")
    console.print(Panel(body, title=Text(title), title_align="left", border_style=style), highlight=False)
    if answer["orders"]:
        console.print(_orders(answer["orders"]))
    if not answer["events"]:
        console.print("台帳に記録なし / nothing is recorded of this address", highlight=False)
        return
    console.print(_events(answer["events"][:SHOWN_EVENTS]))
    more = len(answer["events"]) - SHOWN_EVENTS
    if more > 0 or answer["truncated"]:
        console.print(f"... {max(more, 0)}{' or more' * answer['truncated']} older events: --json")


def _events(events: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table(
        "台帳の記録(新しい順) / Recorded events, the latest first", "日時 time", "内容 what", "範囲 scope", "経路・証跡"
    )
    for event in events:
        details = [EVENTS.get(event["what"], event["what"])]
        details += [event[name] for name in ("basis", "covers", "state") if event[name]]
        if event["until"]:
            details.append(f"{event['until']} まで until")
        if not event["same_spelling"]:
            details.append(f"別表記 written as {event['address'] or '?'}")
        scope = [event["sender"] or "全送信者 all senders", event["topic"] or "全事項 all topics"]
        source = [event["source"], event["evidence"]]
        cells = (times(event["at"]), *("\n".join(part) for part in (details, scope, source)))
        table.add_row(*(Text("\n".join(map(printable, cell.split("\n")))) for cell in cells))
    return table


def run_order(args: argparse.Namespace) -> int:
    """Exit codes: 0 recorded and in force, 3 the engine cannot now or did not answer."""
    return guarded(args, lambda: _order(args))


def _order(args: argparse.Namespace) -> int:
    fields: dict[str, Any] = {"action": args.action, "sender": args.sender}
    if args.action != "list":
        fields |= {"kind": args.kind, "scope": args.topic, "evidence": args.evidence}
    if args.action == "add":
        fields["day"] = args.day
    elif args.action == "release":
        fields["officer"] = args.officer or getpass.getuser()
    with Client(args.socket, patience=args.patience) as client:
        answer = client.call("order", fields)
    if args.json:
        print(json.dumps(_told(answer), ensure_ascii=False, indent=2))
    else:
        show_orders(Console(), answer)
    return 0


def show_orders(console: Console, answer: Mapping[str, Any]) -> None:
    if not answer["orders"]:
        console.print("命令等の記録なし / no orders are recorded", highlight=False)
        return
    console.print(_orders(answer["orders"]))
    table = plain_table("現在の状態 / In force", "送信者 sender", "範囲 topic", "種類 kind", "状態 state")
    for state in answer["in_force"]:
        held = state["state"] == "held"
        words = Text("停止中 held", style="bold red") if held else Text("解除済 released", style="green")
        topic = state["topic"] or "その他すべて everything else"
        table.add_row(Text(printable(state["sender"])), Text(printable(topic)), Text(state["kind"]), words)
    console.print(table)


def _orders(orders: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("命令・指示 / Orders", "日時 time", "内容 what", "範囲 scope", "責任者・証跡")
    for order in orders:
        what = "解除 released" if order["what"] == "released" else f"受領 received, 命令日 dated {order['day']}"
        cells = (
            times(order["at"]),
            f"{KINDS.get(order['kind'], order['kind'])}\n{what}",
            f"{order['sender']}\n{', '.join(order['scope']) or '全事項 all topics'}",
            f"{order['officer']}\n{order['evidence']}".strip(),
        )
        table.add_row(*(Text("\n".join(map(printable, cell.split("\n")))) for cell in cells))
    return table


def plain_table(title: str, *columns: str) -> Table:
    table = Table(title=f"\n{title}", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def times(at: float) -> str:
    """UTC and Japan's, to the second."""
    moment = datetime.fromtimestamp(at, JST)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC\n{moment:%Y-%m-%d %H:%M:%S} JST"


def printable(text: str) -> str:
    """A stranger's text must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _told(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("id", "ok")}
