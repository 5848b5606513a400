"""`sokutatsu status`: the answer of a real door, and what a person sees of it on 80 columns."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
from rich.console import Console

from engine.cli import status
from engine.cli.speaking import VARIABLE
from engine.client import Client, Terms
from tests.fakes.accepting import PLAIN, open_door, served

SITE: dict[str, Any] = {
    "site": "mx.example.jp:25",
    "ready": 1200,
    "in_flight": 40,
    "connections": 3,
    "window": 5.0,
    "paused_seconds": 0.0,
    "binds": "",
    "last_error": "",
    "delivered": 17000,
    "deferred": 600,
    "failed": 600,
}
ENGINE: dict[str, Any] = {
    "node": "n0",
    "uptime_seconds": 7380.0,
    "accepted": 20000,
    "recovered": 500,
    "delivered": 17000,
    "bounced": 600,
    "expired": 0,
    "suppressed": 1160,
    "cancelled": 0,
    "waiting": 0,
    "ready": 1200,
    "in_flight": 40,
    "held": 0,
    "balance": 0,
    "deferrals": 600,
    "in_doubt": 0,
    "recovered_in_doubt": 3,
    "resent_in_doubt": 2,
    "suppressed_by_reason": {"NO_CONSENT": 160, "OPTOUT_ALL": 1000},
    "replies_by_class": {"greylist": 600},
    "sites": [SITE],
}
MAILING: dict[str, Any] = {
    "sender": "shop",
    "mailing": "aki-2026",
    "accepted": 20000,
    "delivered": 17000,
    "bounced": 600,
    "expired": 0,
    "suppressed": 1160,
    "cancelled": 0,
    "first_accepted_at": 1800000000.0,
    "last_change_at": 1800000000.0,
    "cancelled_at": None,
    "open": 1240,
}


def told(**changes: object) -> dict[str, Any]:
    return {"engine": ENGINE, "draining": False, "credit": 900, "mailings": [MAILING], "truncated": False} | changes


def shown(answer: Mapping[str, Any], *, is_narrowed: bool = False) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    status._show(console, answer, is_narrowed=is_narrowed)
    return console.export_text()


def row(text: str, name: str) -> list[str]:
    (found,) = [line.split() for line in text.splitlines() if line.strip().startswith(name)]
    return found


def test_everything_is_there_on_80_columns() -> None:
    text = shown(told())
    assert "node n0, running for 2 h 3 min, takes 900 more recipients" in text
    assert row(text, "in flight")[:3] == ["in", "flight", "40"]
    assert row(text, "suppressed")[1:] == ["1,160", "OPTOUT_ALL", "1,000,", "NO_CONSENT", "160"]
    assert row(text, "accepted")[:3] == ["accepted", "20,000", "500"]
    assert row(text, "delivered")[:3] == ["delivered", "17,000", "2"]
    assert row(text, "recovered in doubt")[3] == "3"
    assert row(text, "shop") == ["shop", "aki-2026", "20,000", "1,240", "17,000", "600", "1,160"]
    assert row(text, "mx.example.jp:25") == ["mx.example.jp:25", "1,200", "40", "3/5", "17,000", "600", "600"]
    assert "unaccounted" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_site_says_what_binds_it_and_cannot_steer_the_terminal() -> None:
    site = SITE | {"binds": "connection", "paused_seconds": 75.2, "last_error": "EHLO: 421 no\x1b[2J\r[red]"}
    text = shown(told(engine=ENGINE | {"sites": [site]}))
    assert "mx.example.jp:25: no connection, next try in 1 min 15 s, last error: EHLO: 421" in text
    assert "\x1b" not in text
    assert "[red]" in text


def test_what_is_in_no_place_is_said() -> None:
    text = shown(told(engine=ENGINE | {"balance": 7, "draining": True}, draining=True))
    assert row(text, "unaccounted")[1] == "7"
    assert "stopping" in text


def test_the_last_changed_mailings_come_first_and_the_rest_is_counted() -> None:
    many = [MAILING | {"mailing": f"m{number}", "last_change_at": float(number)} for number in range(25)]
    many[24]["cancelled_at"] = 1.0
    text = shown(told(mailings=many, truncated=True), is_narrowed=True)
    lines = [line.split()[1] for line in text.splitlines() if line.strip().startswith("shop")]
    assert lines == [f"m{number}" for number in range(24, 4, -1)]
    assert "m24 (cancelled)" in text
    assert "... 5 or more older mailings" in text
    assert "Recipients since the start" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.0, "59 s"), (61.0, "1 min 1 s"), (3600.0, "1 h 0 min"), (90000.0, "1 d 1 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert status._duration(seconds) == text


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Path]:
    played, stop, ready = served(), threading.Event(), threading.Event()

    async def serve() -> None:
        async with open_door(tmp_path, played):
            ready.set()
            await asyncio.to_thread(stop.wait)

    # as the engine: asyncio's own server of 3.11 loses a socket that was accepted just before it closes
    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    ready.wait()
    yield tmp_path / "s.sock"
    stop.set()
    thread.join()


@pytest.fixture
def sokutatsu() -> Callable[..., int]:
    def run(*words: str) -> int:
        parser = argparse.ArgumentParser()
        status.register(parser.add_subparsers(required=True))
        args = parser.parse_args(["status", *words])
        return int(args.run(args))

    return run


def test_an_engine_is_asked_where_the_environment_says(behind, sokutatsu, capsys, monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, str(behind))
    with Client(str(behind)) as client:
        client.submit([("a@x.example", {})], Terms(sender="shop", category="TX", mailing="m1", message=PLAIN), key="k")
    assert sokutatsu("--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["mailings"][0]["accepted"] == 1
    assert set(answer) == {"engine", "draining", "credit", "mailings", "truncated"}
    assert sokutatsu("--sender", "shop", "--mailing", "m1") == 0
    assert row(capsys.readouterr().out, "shop")[:3] == ["shop", "m1", "1"]
    assert sokutatsu("--mailing", "m2") == 2
    assert "no mailing 'm2' is known" in capsys.readouterr().err


def test_a_socket_that_cannot_be_had_is_explained(behind, sokutatsu, capsys, tmp_path) -> None:
    (tmp_path / "file").touch()
    for path, remedy in (("none", "start the engine, or say --socket"), ("file", "this is not a socket")):
        assert sokutatsu("--socket", str(tmp_path / path)) == 3
        assert remedy in capsys.readouterr().err
