"""Opting out on the web of a real engine while it sends: in force for the next MAIL FROM, and after a kill -9."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
from prometheus_client.parser import text_string_to_metric_families

from bench.processes import free_port
from engine.client import Terms
from engine.flow.tokens import open_ring, rotate
from suppression.unsubscribe import token_of
from tests.integration.running import MESSAGE, Hostile, Running, engine, read_until, received, sink

READERS = 1500


@contextlib.contextmanager
def listening(folder: Path, to: int, **words: Any) -> Iterator[tuple[Running, int]]:
    port = free_port()
    with engine(
        folder, {"*": f"127.0.0.1:{to}"}, more=f'[unsubscribe]\nlisten = "127.0.0.1:{port}"\n', **words
    ) as running:
        yield running, port


def link(running: Running, port: int, address: str, topic: str = "news") -> str:
    ring = open_ring(running.folder / "state")
    return f"http://127.0.0.1:{port}/u/{token_of('shop', topic, address, 1, ring.newest)}"


def one_click(url: str) -> float:
    """When it was acknowledged."""
    with urllib.request.urlopen(url, b"List-Unsubscribe=One-Click", timeout=30) as answer:
        assert (answer.status, answer.read()) == (200, b"Unsubscribed.\n")
    return time.time()


def advertise(running: Running, addresses: list[str], mailing: str = "m", category: str = "AD") -> None:
    with running.client() as client:
        records = [
            {"address": address, "at": 1_700_000_000, "source": "web", "evidence": "form 1"} for address in addresses
        ]
        assert client.consent("shop", records)["recorded"] == len(addresses)
        terms = Terms(sender="shop", category=category, mailing=mailing, message=MESSAGE, topic="news")
        assert client.submit(addresses, terms).accepted == len(addresses)


def samples(running: Running) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(running.page("metrics")):
        for sample in family.samples:
            label = next(iter(sample.labels.values()), "")
            found[f"{sample.name} {label}".strip()] = sample.value
    return found


def test_an_acknowledged_refusal_is_in_force_for_the_next_mail(tmp_path: Path) -> None:
    addresses = [f"reader{number}@d{number % 7}.example" for number in range(READERS)]
    refusing = addresses[::5]
    with (
        sink(tmp_path) as receiver,
        listening(tmp_path, receiver.ports[0], shaping={"max_message_rate": '"500/s"'}) as (running, port),
    ):
        links = {address: link(running, port, address) for address in refusing}
        advertise(running, addresses)
        with ThreadPoolExecutor(8) as pool:
            acknowledged = dict(zip(refusing, pool.map(one_click, links.values()), strict=True))
        status = running.settled()
        assert status["delivered"] + status["suppressed"] == READERS
        assert 0 < status["suppressed"] <= len(refusing), "some refused before their turn, and nobody else is missing"
        receiver.flushed()
        at = {receipt.recipient: receipt.at for receipt in receiver.read()}
        crossing = [address for address, when in acknowledged.items() if at.get(address, 0.0) > when]
        running.until(lambda: samples(running)[f"{EFFECT}_count"] == len(refusing), "every opt-out observed")
        seen = samples(running)
        assert seen["sokutatsu_suppression_optout_late_total"] == 0
        assert len(crossing) <= len(refusing) - seen[f"{EFFECT}_bucket 0.0"], "only what was on the wire at that moment"
        assert seen["sokutatsu_optouts_recorded_total"] == len(refusing)
        reasons = {record.reason for record in running.journal() if record.type == "Suppressed"}
        assert reasons == {"OPTOUT_TOPIC"}
        assert running.stop() == 0
        log = running.log.read_text("utf-8")
        assert log.count("opt-out who=") == len(refusing)
        assert "reader0@" not in log


EFFECT = "sokutatsu_suppression_optout_effect_seconds"


def test_what_is_on_the_wire_is_measured_to_its_end(tmp_path: Path) -> None:
    at_dot, release = threading.Event(), threading.Event()

    def hold(server: Hostile, connection: socket.socket) -> None:
        read_until(connection, b"DATA\r\n")
        connection.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
        read_until(connection, b"\r\n.\r\n")
        at_dot.set()
        assert release.wait(30)
        connection.sendall(b"250 taken\r\n")
        read_until(connection, b"QUIT\r\n")

    with Hostile(hold) as server, listening(tmp_path, server.port) as (running, port):
        advertise(running, ["taro@a.example"])
        assert at_dot.wait(30)
        acknowledged = one_click(link(running, port, "taro@a.example"))
        assert samples(running)[f"{EFFECT}_count"] == 0, "not before its end is known"
        release.set()
        running.until(lambda: samples(running)[f"{EFFECT}_count"] == 1, "observed")
        assert 0.0 < samples(running)[f"{EFFECT}_sum"] <= time.time() - acknowledged + 1
        assert samples(running)["sokutatsu_suppression_optout_late_total"] == 0
        assert running.settled()["delivered"] == 1
        assert running.stop() == 0


def test_a_refusal_survives_kill_9_a_rotation_and_a_contracts_mail_goes_on(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, listening(tmp_path, receiver.ports[0]) as (running, port):
        old = link(running, port, "taro@a.example")
        one_click(old)
        running.kill()
        rotate(running.folder / "state")
        running.start()
        fresh = link(running, port, "hanako@a.example")
        one_click(fresh)
        one_click(old)
        with urllib.request.urlopen(old, timeout=10) as page:
            assert "すでに" in page.read().decode()
        advertise(running, ["taro@a.example", "hanako@a.example", "jiro@a.example"])
        advertise(running, ["taro@a.example"], "orders", "TX")
        status = running.settled()
        assert (status["delivered"], status["suppressed"]) == (2, 2)
        assert received(receiver) == {"jiro@a.example": 1, "taro@a.example": 1}
        assert running.stop() == 0
    ledger = apsw.Connection(str(tmp_path / "state/suppression/ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = ledger.execute("""SELECT address, source.content, evidence.content FROM event
        JOIN text AS source ON source.id = source JOIN text AS evidence ON evidence.id = evidence
        WHERE source.content = 'one-click' ORDER BY event.id""").fetchall()
    assert [address for address, _, _ in rows] == ["taro@a.example", "hanako@a.example"], "the replay wrote nothing"
    evidence = json.loads(rows[0][2])
    assert evidence["source"] == "127.0.0.1"
    assert evidence["user_agent"].startswith("Python-urllib")


def test_hundreds_of_scanners_unsubscribe_no_one_and_the_listener_stays_up(tmp_path: Path) -> None:
    with listening(tmp_path, 9) as (running, port):
        url = link(running, port, "taro@a.example")

        def look(number: int) -> int:
            request = urllib.request.Request(url + "?List-Unsubscribe=One-Click", method=("GET", "HEAD")[number % 2])
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)

        def forge(number: int) -> int:
            try:
                one_click(f"http://127.0.0.1:{port}/u/{'A' * 90}{number}")
            except urllib.error.HTTPError as error:
                with error:
                    return error.code
            return 200

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(look, range(300))) == {200}
            assert set(pool.map(forge, range(100))) == {200, 429}
        assert samples(running)["sokutatsu_suppression_entries"] == 0
        one_click(url)
        assert samples(running)["sokutatsu_suppression_entries"] == 1
        assert running.stop() == 0
