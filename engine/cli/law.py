"""`sokutatsu law table`: the decision tables in force on a day, for a lawyer to read, in Japanese and English.

Verdicts in colour with the reason, the article (特定電子メール法, 特定商取引法 and their 施行規則) and how sure the
cell is: documented, custom, guess. Without --category one matrix for each table; with it, one category in full. --json
for programs. It reads the tables of the package, and those of --rules beside them; it asks no engine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from suppression.day import date_of, day_of, number_of
from suppression.decision import Category, Decision, Verdict
from suppression.reasons import open_tables
from suppression.rules import RulesError
from suppression.tables import CONSENT, NAMES, OPTOUT, PRECEDENCE, REGIONS, TEXTS, Cell, Mark, Row, Rules, in_force

STYLES = {Verdict.SEND: "green", Verdict.STRIP: "yellow", Verdict.HOLD: "magenta", Verdict.BLOCK: "red"}
MARKS = {Mark.DOCUMENTED: "", Mark.CUSTOM: "*", Mark.GUESS: "?"}
TITLES = {
    PRECEDENCE: "判断の順序 / Order of the questions",
    CONSENT: "同意等の根拠(受信拒否なし) / Grounds, when nobody refused",
    OPTOUT: "受信拒否 / Refusals",
    REGIONS: "受信者の地域 / Regions",
}
WIDE = 110
"""Columns of a terminal on which a row's words stand beside its cells."""
LEGEND = (
    "SEND 送信可 / STRIP 広告を除けば可 / HOLD 保留 / BLOCK 送信不可   "
    "無印 条文 documented, * 慣行・慎重な解釈 custom, ? 推定 guess   "
    "a|b: a 通信販売の広告の可能性あり mail order possible, b なし declared not"
)


def register(subparsers: Any) -> None:
    what = "the law as the engine applies it"
    parser = subparsers.add_parser("law", help=what, description=what)
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    what = "print the decision tables in force"
    table = parts.add_parser("table", help=what, description=what)
    table.add_argument(
        "--date", type=_date, default=None, metavar="DAY", help="as 2027-01-31 (default: today in Japan)"
    )
    table.add_argument("--category", choices=list(Category), help="one category in full, with articles")
    table.add_argument("--rules", type=Path, metavar="FOLDER", help="the operator's own tables, as in [suppression]")
    table.add_argument("--json", action="store_true", help="everything as JSON")
    table.set_defaults(run=run_table)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!a} is no date such as 2027-01-31") from None


def run_table(args: argparse.Namespace) -> int:
    """Exit codes: 0 printed, 1 no table is in force on that day, 2 a table is wrong."""
    try:
        tables = open_tables(args.rules)
    except RulesError as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2
    day = day_of(time.time()) if args.date is None else number_of(args.date)
    rules = in_force(tables, day)
    if rules is None:
        print(f"sokutatsu: no tables are in force on {date_of(day)}: nothing would be sent", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(as_json(rules, day), ensure_ascii=False, indent=2))
    else:
        show(Console(), rules, day, args.category)
    return 0


def show(console: Console, rules: Rules, day: int, category: str | None) -> None:
    console.print(Text(f"{date_of(day)} (日本時間 JST)"), highlight=False)
    for name in (PRECEDENCE, CONSENT, OPTOUT):
        table = rules.tables[name]
        title = f"{TITLES[name]} ({table.effective_from} から, {Path(table.file).name})"
        if category:
            console.print(_in_full(title, table.rows, Category(category)))
        else:
            _matrix(console, title, table.rows)
    console.print(_regions(rules))
    console.print(_limits(rules))
    if not category:
        console.print(_codes(rules))
    console.print(Text(LEGEND, style="dim"))


def _grid(title: str, *columns: str) -> Grid:
    grid = Grid(title=f"\n{title}", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1))
    for name in columns:
        grid.add_column(name, overflow="fold")
    return grid


def _matrix(console: Console, title: str, rows: tuple[Row, ...]) -> None:
    """On a narrow terminal the rows have their keys only, and are explained below."""
    wide = console.width >= WIDE
    grid = Grid(title=f"\n{title}", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("", overflow="fold")
    for category in Category:
        grid.add_column(category.replace("_", " "), overflow="fold", min_width=5)
    for row in rows:
        cells = [_verdicts(row.cells[one]) if row.cells else Text("↓", style="dim") for one in Category]
        grid.add_row(_label(row) if wide else Text(row.key), *cells)
    console.print(grid)
    if not wide:
        for row in rows:
            console.print(Text.assemble((row.key, "bold"), f" {row.ja} ", (row.en, "dim")))


def _label(row: Row) -> Text:
    return Text.assemble((row.ja, "bold"), "\n", (f"{row.key}: {row.en}", "dim"))


def _verdicts(cell: Cell) -> Text:
    if cell.decision is cell.mail_order is None:
        return _verdict(None)
    said = [cell.mail_order] if cell.mail_order == cell.decision else [cell.mail_order, cell.decision]
    text = Text("|\n").join([_verdict(one) for one in said])
    return text.append(MARKS[cell.mark], style="dim")


def _verdict(decision: Decision | None) -> Text:
    return Text("-", style="dim") if decision is None else Text(decision.verdict, style=STYLES[decision.verdict])


def _in_full(title: str, rows: tuple[Row, ...], category: Category) -> Grid:
    grid = _grid(title, "場合 / case", str(category), "根拠条文 / article", "")
    for row in rows:
        label = _label(row)
        if not row.cells:
            grid.add_row(label, Text("↓", style="dim"), Text(row.article), Text(row.mark, style="dim"))
            continue
        cell = row.cells[category]
        grid.add_row(label, _decisions(cell), Text(cell.article), Text(cell.mark, style="dim"))
    return grid


def _decisions(cell: Cell) -> Text:
    lines = [_decision(cell.mail_order)]
    if cell.mail_order != cell.decision:
        lines.append(Text("通販でなければ not mail order: ", style="dim") + _decision(cell.decision))
    if cell.override:
        lines.append(Text("投入時に明示された場合 if the submit says so: ", style="dim") + _decision(cell.override))
    if cell.later:
        lines.append(Text("拒否後に本人が再登録 signed up later: ", style="dim") + _decision(cell.later))
    return Text("\n").join(lines)


def _decision(decision: Decision | None) -> Text:
    if decision is None:
        return Text("-", style="dim")
    return _verdict(decision) + Text(f" {decision.reason or decision.basis}")


def _regions(rules: Rules) -> Grid:
    grid = _grid(TITLES[REGIONS], "地域 / region", "送信しない根拠 / refused bases", "法令 / law", "")
    for region in rules.regions.values():
        refused = Text("\n").join([Text(f"{basis}: ") + _decision(one) for basis, one in region.refuses.items()])
        label = Text(f"{region.key} {region.ja}\n{region.en}")
        grid.add_row(label, refused or Text("-", style="dim"), Text(region.article), Text(region.mark, style="dim"))
    return grid


def _limits(rules: Rules) -> Grid:
    grid = _grid("期限・範囲 / Ages and covers", "", "", "根拠条文 / article", "")
    for basis, age in rules.ages.items():
        what = Text(f"{age.days} 日 days, then {age.reason}")
        grid.add_row(Text(basis.name), what, Text(age.article), Text(age.mark, style="dim"))
    for category, cover in rules.covers.items():
        what = Text(f"covers {cover.needs.name}, else ") + _decision(cover.otherwise)
        grid.add_row(Text(category), what, Text(cover.article), Text(cover.mark, style="dim"))
    return grid


def _codes(rules: Rules) -> Grid:
    table = rules.tables[TEXTS]
    grid = _grid(f"コード / Codes ({table.effective_from} から)", "code", "意味 / meaning", "根拠条文 / article")
    for text in rules.texts.values():
        grid.add_row(Text(text.code), Text.assemble(text.ja, "\n", (text.en, "dim")), Text(text.article))
    return grid


def as_json(rules: Rules, day: int) -> Mapping[str, object]:
    return {
        "date": date_of(day).isoformat(),
        "effective_from": {name: rules.tables[name].effective_from.isoformat() for name in NAMES},
        **{name: [_row_json(row) for row in rules.tables[name].rows] for name in (PRECEDENCE, CONSENT, OPTOUT)},
        "ages": [
            {"basis": basis.name, "days": age.days, "reason": age.reason, "article": age.article, "mark": age.mark}
            for basis, age in rules.ages.items()
        ],
        "covers": [
            {"category": category, "needs": cover.needs.name, "otherwise": _plain(cover.otherwise), "mark": cover.mark}
            for category, cover in rules.covers.items()
        ],
        REGIONS: [
            {
                **dict(_words(region)),
                "refuses": {basis: _plain(decision) for basis, decision in region.refuses.items()},
            }
            for region in rules.regions.values()
        ],
        TEXTS: [
            {"code": text.code, "kind": text.kind, "ja": text.ja, "en": text.en, "article": text.article}
            for text in rules.texts.values()
        ],
    }


def _words(row: Any) -> Iterator[tuple[str, str]]:
    for name in ("key", "ja", "en", "article", "mark"):
        yield name, getattr(row, name)


def _row_json(row: Row) -> Mapping[str, object]:
    cells = {
        category: {
            "decision": _plain(cell.decision),
            "mail_order": _plain(cell.mail_order),
            **({"later": _plain(cell.later)} if cell.later else {}),
            **({"override": _plain(cell.override)} if cell.override else {}),
            "article": cell.article,
            "mark": cell.mark,
        }
        for category, cell in row.cells.items()
    }
    return {**dict(_words(row)), "cells": cells}


def _plain(decision: Decision | None) -> str:
    return "-" if decision is None else f"{decision.verdict} {decision.reason or decision.basis}"
