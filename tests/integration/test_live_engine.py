"""The live page of a real engine: its numbers are the mailing's, and its orders are the engine's."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from engine.page.token import make_token
from tests.integration.running import PATIENCE, Running, engine, sink, terms


def told(running: Running) -> Iterator[dict[str, Any]]:
    """What the page knows, after each event."""
    connection = http.client.HTTPConnection("127.0.0.1", running.admin, timeout=PATIENCE)
    connection.request("GET", "/live/events")
    answer = connection.getresponse()
    known: dict[str, Any] = {}
    name = ""
    end = time.monotonic() + PATIENCE
    try:
        for line in answer:
            assert time.monotonic() < end, known
            if line.startswith(b"event: "):
                name = line[7:-1].decode()
            elif line.startswith(b"data: "):
                known[name] = json.loads(line[6:])
                assert not known.get("fault"), running.log.read_text()
                yield known
    finally:
        answer.close()
        connection.close()


def until(running: Running, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first whole state that is so."""
    for known in told(running):
        if {"now", "sites", "mailings", "directives"} <= known.keys() and wanted(known):
            return dict(known)
    raise AssertionError("the stream ended")


def order(running: Running, token: str, **fields: object) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", running.admin, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/live/order", json.dumps({"reason": "試験", **fields}), headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, found
    return found


def test_the_page_tells_and_orders(tmp_path) -> None:
    with sink(tmp_path) as receiver:
        site = f"127.0.0.1:{receiver.ports[0]}"
        with engine(tmp_path / "engine", {"example.com": site}) as running, running.client() as client:
            token = make_token(running.folder / "state" / "admin.token", renew=False)
            given = order(running, token, do="suspend", seconds=600, scope={"mailing": "held", "sender": "shop"})
            people = [("bounce-1@example.com", {}), *((f"p{n}@example.com", {}) for n in range(9))]
            client.submit(people, terms("m"))
            client.submit([("later@example.com", {})], terms("held"))
            known = until(running, lambda one: one["now"]["outcomes"]["delivered"] == 9 and bool(one["remarks"]))
            assert known["now"]["state"] == "running"
            (row,) = known["sites"]["rows"]
            assert (row["site"], row["scope"], row["delivered"], row["failed"]) == (site, site, 9, 1)
            (remark,) = known["remarks"]
            assert (remark["site"], remark["kind"], remark["count"]) == (site, "unknown_user", 1)
            assert remark["text"] == "550 5.1.1 no such user"
            assert known["directives"]["rows"][0]["reason"] == "試験"
            order(running, token, do="resume", number=given["number"])
            known = until(
                running, lambda one: len(one["mailings"]) == 2 and not any(row["open"] for row in one["mailings"])
            )
            assert {(row["mailing"], row["accepted"]) for row in known["mailings"]} == {("m", 10), ("held", 1)}
            assert known["directives"]["total"] == 0
            order(running, token, do="suspend", seconds=None, scope={"site": site})
            client.submit([("never@example.com", {})], terms("wrong"))
            order(running, token, do="cancel", sender="shop", mailing="wrong")
            known = until(
                running,
                lambda one: one["now"]["outcomes"]["cancelled"] == 1 and one["sites"]["rows"][0]["binds"] == "suspend",
            )
            assert known["sites"]["rows"][0]["eta"] is None
            assert "orders: cancel sender=shop mailing=wrong" in running.log.read_text()
            assert running.stop() == 0
