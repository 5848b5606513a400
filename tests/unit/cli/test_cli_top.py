"""top, mailings, reload and drain on the command line, without an engine: what they show, and what they refuse."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from engine.__main__ import main
from engine.cli.drain import left_of
from engine.cli.mailings import done_of, progress_of, table_of
from engine.cli.top import Memory, screen


def mailing(name: str, accepted: int, is_open: int, **words: Any) -> dict[str, Any]:
    ends = {"delivered": accepted - is_open, "bounced": 0, "expired": 0, "suppressed": 0, "cancelled": 0}
    return {
        "sender": "shop", "mailing": name, "accepted": accepted, "open": is_open, "cancelled_at": None, **ends, **words
    }  # fmt: skip


def site(name: str, **words: Any) -> dict[str, Any]:
    return {
        "site": name, "source": "default", "provider": "", "ready": 90, "in_flight": 10, "connections": 2, "window": 5,
        "paused_seconds": 0.0, "binds": "", "last_error": "", "delivered": 7, "deferred": 1, "failed": 0, "rate": 10.0,
        **words,
    }  # fmt: skip


def told(done: int = 100, sites: int = 2, mailings: int = 2, **words: Any) -> dict[str, Any]:
    engine = {
        "node": "n0", "uptime_seconds": 61.0, "waiting": 1_234_567, "ready": 5, "in_flight": 6, "held": 7,
        "delivered": done, "bounced": 3, "expired": 0, "suppressed": 9, "cancelled": 0, "balance": 0,
        "suppressed_by_reason": {"NO_CONSENT": 8, "OPTOUT_ALL": 1},
        "sites": [site(f"mx{number}.example.jp:25") for number in range(sites)], "unresolved": [],
    }  # fmt: skip
    found = [mailing(f"m{number}", 1000, 1000 - done) for number in range(mailings)]
    return {"draining": False, "engine": engine, "mailings": found, "truncated": False, **words}


def shown(memory: Memory, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=False)
    console.print(screen(memory, width, height))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def looked(*looks: dict[str, Any]) -> Memory:
    memory = Memory()
    for second, look in enumerate(looks):
        memory.look(look, 100.0 + second)
    return memory


@pytest.mark.parametrize(("width", "height"), [(80, 24), (130, 40), (200, 60), (80, 12)])
@pytest.mark.parametrize(("sites", "mailings"), [(0, 0), (2, 2), (20, 50)])
def test_the_screen_fits_the_terminal(width: int, height: int, sites: int, mailings: int) -> None:
    now = told(150, sites, mailings)
    for one in now["engine"]["sites"]:
        one["last_error"] = "CONNECT: " + "refused " * 60
    lines = shown(looked(told(100, sites, mailings), now), width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)


def test_rates_eta_and_what_binds() -> None:
    now = told(150)
    now["engine"]["sites"][0] |= {"binds": "max_message_rate", "rate": 0.0}
    now["engine"]["sites"][1] |= {"paused_seconds": 65.0, "last_error": "GREETING: 421 \x1b[2J busy"}
    text = "\n".join(shown(looked(told(100), now), 130, 40))
    for word in ("50/s", "1,234,567", "NO_CONSENT 8", "held to max_message_rate", "rests 1 min 5 s", "shop/m0", "17 s"):
        assert word in text, text
    assert "\x1b" not in text, "a stranger's text does not steer the terminal"


def test_what_is_wrong_is_shown_first() -> None:
    now = told(150, draining=True)
    now["engine"]["balance"] = 2
    head = shown(looked(told(100), now), 80, 24)[0]
    assert "draining" in head
    assert "UNACCOUNTED 2" in head


def test_progress_is_a_difference() -> None:
    before = done_of([mailing("a", 100, 100), mailing("b", 10, 10)])
    now = [mailing("a", 100, 80), mailing("b", 10, 10), mailing("new", 5, 5), mailing("over", 5, 0, cancelled_at=1.0)]
    a, b, new, over = progress_of(now, before, 2.0)
    assert (a.done, a.rate, a.eta_seconds) == (20, 10.0, 8.0)
    assert (b.rate, b.eta_seconds) == (0.0, None)
    assert (new.rate, new.eta_seconds) == (0.0, None)
    assert (over.eta_seconds, over.is_cancelled) == (0.0, True)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(table_of([a, b, new, over]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "shop/over cancelled" in text
    held = [{"number": 7, "verb": "suspend", "scope": {"mailing": "a"}}]
    a, *_, over = progress_of(now, before, 2.0, held)
    assert (a.order, over.order) == (7, None)
    console.print(table_of([a]))
    assert "paused, order 7" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "8 s" in text


def test_a_drain_counts_every_place() -> None:
    assert left_of({"waiting": 1, "ready": 2, "in_flight": 3, "held": 4, "draining": True}) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["top", "--interval", "0"], 2, "--interval 0: write 0.1 to 60"),
        (["top", "--json"], 3, "start the engine"),
        (["mailings", "--seconds", "-1"], 2, "--seconds -1: write 0 to 60"),
        (["drain", "--off", "--wait"], 2, "give one of them"),
        (["top", "--once"], 3, "start the engine"),
        (["mailings"], 3, "start the engine"),
        (["drain"], 3, "start the engine"),
        (["reload"], 3, "start the engine"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], code: int, error: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--socket", str(tmp_path / "none.sock"), "--patience", "0.1"]) == code
    assert error in capsys.readouterr().err
