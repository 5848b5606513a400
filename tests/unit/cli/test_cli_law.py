"""`law table`, `why-not`, `order`: what a lawyer and a compliance officer read, on 80 columns and as JSON."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import threading
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest
import uvloop
from rich.console import Console

from engine.__main__ import main
from engine.cli import law, whynot
from suppression.day import number_of
from suppression.decision import Category
from suppression.reasons import packaged_tables
from suppression.tables import in_force
from tests.fakes.accepting import open_door, served

DAY = number_of(date(2026, 7, 1))
RULES = in_force(packaged_tables(), DAY)


def shown(category: str | None = None, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    assert RULES is not None
    law.show(console, RULES, DAY, category)
    return console.export_text()


def flat(text: str) -> str:
    return "".join(text.split())


def test_on_a_wide_terminal_the_words_stand_beside_the_cells() -> None:
    assert any("同意あり・記録なし" in line and "SEND" in line for line in shown(width=140).splitlines())


def test_the_matrices_fit_on_80_columns() -> None:
    text = shown()
    assert all(len(line) <= 80 for line in text.splitlines())
    for words in (
        "2026-07-01",
        "OPTIN_REC",
        "同意あり・記録あり",
        "SEND",
        "BLOCK",
        "HOLD?",
        "documented",
    ):
        assert words in text, words
    for one in RULES.texts:
        assert one in text


@pytest.mark.parametrize("category", list(Category))
def test_one_category_in_full(category) -> None:
    text = flat(shown(category, 250))
    for row in RULES.tables["consent"].rows:
        decision = row.cells[category].decision
        assert flat(f"{decision.verdict} {decision.reason or decision.basis}") in text
        assert flat(row.ja) in text
    assert "特定商取引法" in text


def test_json_has_every_cell(capsys) -> None:
    assert main(["law", "table", "--date", "2026-07-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["date"] == "2026-07-01"
    assert set(told["effective_from"]) == {"precedence", "consent", "optout", "regions", "texts"}
    row = next(row for row in told["consent"] if row["key"] == "BIZREL")
    assert row["cells"]["AD_MO"]["decision"] == "BLOCK MO_EX_BIZREL"
    assert row["cells"]["OTHER_AD"]["mail_order"] == "STRIP MO_INCIDENTAL"
    assert told["optout"][2]["cells"]["CONFIRM"]["later"] == "SEND R2_CONFIRM"
    assert told["ages"][0]["days"] == 365
    assert told["covers"][1]["needs"] == "MAIL_ORDER"
    assert told["regions"][4]["refuses"]["EX2_CARD"] == "BLOCK REGION_EU"
    assert {"DE", "FR", "NO"} < set(told["regions"][4]["countries"])
    assert told["regions"][0]["countries"] == []
    assert len(told["texts"]) == len(RULES.texts)


def test_todays_tables_of_the_operator(tmp_path, capsys) -> None:
    shipped = files("suppression").joinpath("rules", "consent.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(shipped.replace("days = 365", "days = 31"), "utf-8")
    assert main(["law", "table", "--rules", str(tmp_path), "--category", "AD"]) == 0
    assert "31 日" in capsys.readouterr().out
    (tmp_path / "mine.toml").write_text("table = 1", "utf-8")
    assert main(["law", "table", "--rules", str(tmp_path)]) == 2
    assert "mine.toml: table: 1 is no table" in capsys.readouterr().err


def test_a_day_without_tables_and_no_day(capsys) -> None:
    assert main(["law", "table", "--date", "2020-01-01"]) == 1
    assert "2020-01-01: nothing would be sent" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["law", "table", "--date", "tomorrow"])
    assert "'tomorrow' is no date" in capsys.readouterr().err


@pytest.fixture
def door(tmp_path: Path) -> Iterator[str]:
    """A real door with a played ledger behind it, in a thread."""
    opened, ending = threading.Event(), threading.Event()

    async def serve() -> None:
        async with open_door(tmp_path, served()):
            opened.set()
            await asyncio.to_thread(ending.wait, 30)

    # as the engine: asyncio's own server of 3.11 loses a socket that was accepted just before it closes
    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    assert opened.wait(10)
    yield str(tmp_path / "s.sock")
    ending.set()
    thread.join(10)


ASK = ["why-not", "a@example.jp", "--sender", "shop", "--category", "AD", "--topic", "news"]


def test_why_not_for_people_and_for_programs(door, capsys) -> None:
    assert main([*ASK, "--socket", door]) == 1
    said = capsys.readouterr().out
    for words in (
        "BLOCK OPTOUT_TOPIC", "受信者がこの配信リストを拒否しています", "The recipient refused this topic",
        "特定電子メール法3条3項", "a@example.jp <- shop, AD, topic news", "2027-01-15 17:00:00 JST",
        "2027-01-15 05:13:20 UTC", "2027-12-31 まで until", "別表記 written as a@example.jp", "form 12",
    ):  # fmt: skip
        assert flat(words) in flat(said), words
    assert main([*ASK, "--socket", door, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "OPTOUT_TOPIC"
    as_tx = [*ASK[:5], "TX", "--override", "UNKNOWN_USER", "--region", "EU"]
    assert main([*as_tx, "--socket", door]) == 1
    assert flat("a@example.jp <- shop, TX, region EU, override UNKNOWN_USER") in flat(capsys.readouterr().out)
    assert main([*ASK, "--override", "UNKNOWN_USER", "--socket", door]) == 2, "of advertising there is none"
    assert "only mail of category TX" in capsys.readouterr().err


def test_orders_for_people_and_for_programs(door, capsys) -> None:
    about = ["--sender", "shop", "--kind", "ORDER7", "--socket", door]
    assert main(["order", "list", "--socket", door]) == 0
    assert "no orders are recorded" in capsys.readouterr().out
    assert main(["order", "add", *about, "--day", "2027-01-14", "--topic", "news", "--evidence", "file\x1b3"]) == 0
    said = capsys.readouterr().out
    assert "held" in said
    assert "file 3" in said
    assert main([*ASK, "--socket", door]) == 1
    assert "措置命令" in capsys.readouterr().out
    assert main(["order", "release", *about]) == 0
    assert "released" in capsys.readouterr().out
    assert main(["order", "list", "--socket", door, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["in_force"] == [{"sender": "shop", "topic": "news", "kind": "ORDER7", "state": "released"}]
    assert main(["order", "release", *about]) == 2
    assert "no such order is in force" in capsys.readouterr().err


def answer(**changes: object) -> dict[str, object]:
    event = {
        "what": "OPT_OUT", "sender": "", "topic": "", "at": 0.0, "basis": "", "covers": "", "state": "", "until": "",
        "source": "web", "evidence": "\x1b[2J\x9b", "address": "", "same_spelling": True,
    }  # fmt: skip
    told = {
        "verdict": "SEND", "reason": "", "basis": "C1_OPTIN", "texts": {"ja": "同意", "en": "consent"}, "row": "",
        "article": "", "at": 0.0, "epoch": 1, "events": [event] * 25, "orders": [], "truncated": True,
    }  # fmt: skip
    return told | changes


def seen(told: dict[str, object]) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    whynot.show_why_not(console, {"address": "a@x.jp", "sender": "shop", "category": "AD", "topic": ""}, told)
    return console.export_text()


def test_many_events_are_cut_and_strangers_do_not_steer_the_terminal() -> None:
    text = seen(answer())
    assert "... 5 or more older events" in text
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "... 0 or more" in seen(answer(events=answer()["events"][:3]))
    assert "older events" not in seen(answer(events=answer()["events"][:3], truncated=False))
    assert "nothing is recorded" in seen(answer(events=[]))
    assert "SEND C1_OPTIN" in text


def test_every_command_says_what_it_does() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    law.register(commands)
    whynot.register(commands)
    assert parser.parse_args(["order", "list"]).sender == ""
