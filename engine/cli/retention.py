"""`sokutatsu retention` and `forget`: until when a consent's record is kept and why, the purge, a person forgotten.

特定電子メール法施行規則 4条2項, 特定商取引法施行規則 30条2項, 個人情報保護法 22条・35条. A running engine answers over
its socket; these commands open no file. Every reason is told in Japanese and in English, with the days it counts from.
Exit codes: 0 done, 1 nothing is recorded, 2 --confirm is missing, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.cli.speaking import add_socket, guarded
from engine.client import Client

PATIENCE = 3600.0
"""A purge looks at the whole ledger."""

REASONS = {
    "UNSENT": (
        "送信をしていない: 送信をしないこととした日まで（特定電子メール法施行規則4条2項1号）",
        "nothing was sent: until the day it was decided to send nothing",
    ),
    "MONTH": (
        "最後に送信した日から起算して一月を経過する日（特定電子メール法施行規則4条2項2号本文）",
        "one month, counting the day of the last send as its first",
    ),
    "ORDER_WITHIN": (
        "措置命令を受けた日から一年以内に送信: 最後の送信日から起算して一年を経過する日（同号イ）",
        "sent within a year of an order: one year, counting the day of the last such send",
    ),
    "ORDER_SOON": (
        "最後の送信から一月以内に措置命令: 最後の送信日から起算して一年を経過する日（同号ロ）",
        "the order came within a month of the last send: one year, counting the day of that send",
    ),
    "MAIL_ORDER": (
        "通信販売の広告を最後に送信した日から三年間（特定商取引法施行規則30条2項、初日不算入）",
        "three years after the last mail-order advertisement, not counting its day",
    ),
    "IN_FORCE": ("同意が有効: 期限なし", "the consent is in force: no end"),
    "QUEUED": ("送信待ちのメールがある: 期限なし", "a message is waiting in the queue: no end"),
    "FROZEN": ("命令・指示が解除されるまで凍結", "frozen until the order against the sender is released"),
    "HOLD": (
        "係争等のための保全（`sokutatsu hold` または設定 retention.hold）",
        "legal hold, by `sokutatsu hold` or by retention.hold of the configuration",
    ),
}
ORDERS = {
    "ORDER7": "特定電子メール法7条 措置命令",
    "INSTR14": "特定商取引法14条 指示",
    "SUSP15": "特定商取引法15条 業務停止命令",
}


def register(subparsers: Any) -> None:
    what = "how long records of consents are kept, and the purge of those that are not needed any more"
    commands = subparsers.add_parser("retention", help=what, description=what).add_subparsers(
        dest="retention", required=True, metavar="COMMAND"
    )
    what = "last sends, orders, and the day until which one address's consent is kept, with the arithmetic"
    show = commands.add_parser("show", help=what, description=what)
    show.add_argument("address", help="of the person whose consents are kept")
    show.add_argument("--sender", required=True, metavar="NAME", help="NAME of a [senders.NAME] in the configuration")
    add_socket(show, run_show)
    what = "purge what is not needed any more, as the engine does each day"
    purge = commands.add_parser("purge", help=what, description=what)
    purge.add_argument("--dry-run", action="store_true", help="only count")
    add_socket(purge, run_purge, patience=PATIENCE)
    what = "forget a person: plain address and evidence go, the refusal stays"
    forget = subparsers.add_parser("forget", help=what, description=what)
    forget.add_argument("address", help="of the person who asks to be forgotten")
    forget.add_argument("--confirm", action="store_true", help="needed: this cannot be undone")
    forget.add_argument("--withdraw", action="store_true", help="consents in force end first; without it they stay")
    add_socket(forget, run_forget, patience=PATIENCE)
    for parser in (show, purge, forget):
        parser.add_argument("--json", action="store_true", help="the answer as JSON")


def run_show(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _show(args))


def run_purge(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _print(args, _asked(args, "purge", {"dry_run": args.dry_run}), purge_lines))


def run_forget(args: argparse.Namespace) -> int:
    if not args.confirm:
        print(
            "sokutatsu: 取り消せない操作です。--confirm を付けて実行してください / "
            "this cannot be undone: say --confirm to do it",
            file=sys.stderr,
        )
        return 2
    fields = {"address": args.address, "withdraw": args.withdraw}
    return guarded(args, lambda: _print(args, _asked(args, "forget", fields), forget_lines))


def _asked(args: argparse.Namespace, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    with Client(args.socket, patience=args.patience) as client:
        answer = client.call(kind, fields)
    return {name: value for name, value in answer.items() if name not in ("id", "ok")}


def _show(args: argparse.Namespace) -> int:
    told = _asked(args, "retention", {"address": args.address, "sender": args.sender})
    _print(args, told, show_lines)
    return 0 if told["records"] or told["last_sent"] else 1


def _print(args: argparse.Namespace, told: Mapping[str, Any], lines: Any) -> int:
    if args.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for line in lines(told):
            print(line)
    return 0


def show_lines(told: Mapping[str, Any]) -> Iterator[str]:
    none = "記録なし / none on record"
    yield f"送信者 / sender: {told['sender']}"
    yield f"最後の広告 / last advertisement: {told['last_sent'] or none}"
    yield f"最後の通信販売広告 / last mail-order advertisement: {told['last_mail_order'] or none}"
    if told["presumed"]:
        yield f"この日までは送信があったものとみなす / presumed to have been sent until: {told['presumed']}"
    for kind, day, is_release in told["orders"]:
        released = " 解除 / released" if is_release else ""
        yield f"命令等 / order: {day} {ORDERS.get(kind, kind)}{released}"
    if not told["records"]:
        yield "同意の記録なし / no consent is recorded"
    for record in told["records"]:
        yield ""
        yield from _record_lines(record, told["margin_days"])
    yield ""
    yield "日付は日本時間の暦日です。最後の送信日は実際より遅いことはあっても、早いことはありません。"
    yield "Days are calendar days in Japan. A last day may be later than the truth, never earlier."


def _record_lines(record: Mapping[str, Any], margin_days: int) -> Iterator[str]:
    other = "" if record["is_this_spelling"] else " (別の表記 / another spelling of the address)"
    yield f"同意 / consent: {record['since']}{other}"
    if record["is_purged"]:
        yield "  消去済み / purged already"
        return
    for rule, counted_from, until, order in record["reasons"]:
        days = " → ".join(day for day in (counted_from, until or "期限なし / no end") if day)
        yield f"  {days}{f' (命令 / order {order})' if order else ''}"
        yield from (f"    {reason}" for reason in REASONS.get(rule, (rule,)))
    until = record["keep_until"]
    if until:
        yield f"  保存期限 / keep until: {until} (余裕 {margin_days} 日を含む / with {margin_days} days of margin)"
    else:
        yield "  保存期限 / keep until: 期限なし / no end can be named yet"


def purge_lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"拒否・撤回のある同意を確認 / consents refused or withdrawn, examined: {told['examined']:,}"
    done = "消去対象 / would be purged" if told["dry_run"] else "消去 / purged"
    yield f"  {done}: {told['purged']:,}"
    for rule, count in sorted(told["kept"].items()):
        yield f"  保存 / kept: {count:,}  {' / '.join(REASONS.get(rule, (rule,)))}"
    if told["texts"]:
        yield f"証跡の本文を消去 / texts of evidence deleted: {told['texts']:,}"


def forget_lines(told: Mapping[str, Any]) -> Iterator[str]:
    if not told["events"]:
        yield "この宛先の記録はありません / nothing is recorded of this address"
        return
    events, erased = f"{told['events']:,}", f"{told['erased']:,}"
    yield f"記録 {events} 件のうち {erased} 件から宛先と証跡を消去しました。"
    yield "受信拒否は鍵付きハッシュにより引き続き有効です。"
    yield f"address and evidence erased from {erased} of {events} events; refusals stay in force by their keyed hash"
    for sender, until, rule in told["kept"]:
        yield from _kept_lines(sender, until, REASONS.get(rule, (rule, rule)))
    yield "送信の記録(journal)と送信待ちのメールの宛先は、それぞれの保存期間が終わるまで残ります。"
    yield "the journal and waiting mail keep the address until their own time ends"


def _kept_lines(sender: str, until: str | None, reason: Sequence[str]) -> Iterator[str]:
    yield f"  {sender}: 同意の記録は{f' {until} まで' if until else '当面'}保存します。{reason[0]}"
    yield f"  {sender}: the consent's record stays {f'until {until}' if until else 'for now'}: {reason[1]}"
