"""The day of the last advertisement, retention and forgetting, with a real engine, a real receiver and kill -9."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.client import Terms
from suppression.day import date_of, day_of
from tests.integration.running import MESSAGE, Hostile, Running, engine, read_until, received, sink

CONSENT = {"at": 1_700_000_000, "source": "web", "covers": ["AD", "MAIL_ORDER"]}


def consent(running: Running, addresses: Sequence[str]) -> None:
    records = [{**CONSENT, "address": address, "evidence": f"form of {address}"} for address in addresses]
    with running.client() as client:
        client.call("consent", {"sender": "shop", "records": records})


def submit(running: Running, addresses: Sequence[str], category: str = "AD") -> None:
    with running.client() as client:
        client.submit(
            [(address, {}) for address in addresses],
            Terms(sender="shop", category=category, mailing=f"m{category}", message=MESSAGE),
        )


def ledger(running: Running, query: str, *, name: str = "ledger") -> list[Any]:
    """As another program sees the file: what is committed."""
    with closing(sqlite3.connect(running.folder / "state" / "suppression" / f"{name}.sqlite")) as database:
        return database.execute(query).fetchall()


def noted(running: Running) -> int:
    return int(ledger(running, "SELECT coalesce(sum(length(keys)) / 8, 0) FROM noted", name="sent")[0][0])


def lines(capsys: pytest.CaptureFixture[str], running: Running, *words: str) -> tuple[int, str]:
    code = main([*words, "--socket", running.socket])
    return code, capsys.readouterr().out


def test_killed_at_the_first_data_the_day_is_on_disk(tmp_path: Path) -> None:
    killed: list[int] = []

    def speech(_: Hostile, connection: socket.socket) -> None:
        read_until(connection, b"DATA\r\n")
        killed.append(running.kill())

    with (
        Hostile(speech, pipelining=True) as server,
        engine(tmp_path / "e", {"*": f"127.0.0.1:{server.port}"}) as running,
    ):
        consent(running, ["a@d.example"])
        submit(running, ["a@d.example"])
        # Not by the status page: the engine is gone by then.
        end = time.monotonic() + 30
        while not killed:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert noted(running) == 1


def test_a_store_that_cannot_be_written_stops_the_engine_and_nothing_goes(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, engine(tmp_path / "e", {"*": f"127.0.0.1:{receiver.ports[0]}"}) as running:
        consent(running, ["a@d.example"])
        assert running.stop() == 0
        ledger(running, "DROP TABLE noted", name="sent")
        running.start()
        submit(running, ["a@d.example"])
        assert running.child is not None
        assert running.child.popen.wait(30) == 1
        assert received(receiver) == {}
        assert "last-sent store: SQLError" in running.log.read_text()


def test_show_forget_and_purge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sink(tmp_path) as receiver, engine(tmp_path / "e", {"*": f"127.0.0.1:{receiver.ports[0]}"}) as running:
        consent(running, ["a@d.example", "b@d.example"])
        submit(running, ["a@d.example", "b@d.example"], "AD_MO")
        submit(running, ["c@d.example"], "TX")
        running.settled()
        assert noted(running) == 2, "what is no advertisement is not noted"

        code, told = lines(capsys, running, "retention", "show", "A@d.example", "--sender", "shop")
        days = {date_of(day_of(time.time() + ahead)).isoformat() for ahead in (0, 1800)}
        assert code == 0
        assert any(f"最後の通信販売広告 / last mail-order advertisement: {day}" in told for day in days)
        assert "同意が有効: 期限なし" in told
        assert "三年間" in told

        with running.client() as client:
            client.call("suppress", {"address": "a@d.example", "sender": "shop"})
        code, told = lines(capsys, running, "forget", "a@d.example")
        assert code == 2
        code, told = lines(capsys, running, "forget", "a@d.example", "--confirm")
        assert (code, "2 件のうち 1 件" in told, "shop: the consent's record stays until" in told) == (0, True, True)
        left = ledger(running, "SELECT kind, address FROM event JOIN text ON text.id = evidence ORDER BY event.id")
        assert left == [(2, "a@d.example"), (2, "b@d.example"), (1, None)]

        code, told = lines(capsys, running, "retention", "purge", "--dry-run")
        assert (code, "examined: 1\n" in told, "would be purged: 0" in told) == (0, True, True)

        code, told = lines(capsys, running, "forget", "b@d.example", "--confirm", "--withdraw", "--json")
        assert (code, '"erased": 1' in told) == (0, True)

        submit(running, ["a@d.example", "b@d.example"])
        assert running.settled()["suppressed"] == 2, "both refusals hold"
        assert running.stop() == 0
