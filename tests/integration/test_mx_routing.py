"""A real engine that finds its receivers by MX: our DNS server, sinks on several addresses of loopback."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.processes import started
from bench.rig import RunningSink, running_sink
from engine.journal import Record
from tests.integration.running import Running, engine, received, terms

PLACES = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
ZONE = {
    "one.example": {"MX": ["10 mx1.one.example.", "20 mx2.one.example."]},
    "mx1.one.example": {"A": ["127.0.1.9"]},
    "mx2.one.example": {"A": [PLACES[0]], "AAAA": ["::1"]},
    "two.example": {"MX": ["10 mx1.one.example.", "10 mx2.one.example."]},
    "implicit.example": {"A": [PLACES[1]]},
    "alias.example": {"CNAME": ["implicit.example."]},
    "null.example": {"MX": ["0 ."]},
    "empty.example": {"TXT": ["nothing"]},
    "private.example": {"MX": ["10 mx.private.example."]},
    "mx.private.example": {"A": ["10.1.2.3"], "AAAA": ["::ffff:127.0.0.1"]},
    "self.example": {"MX": ["10 out.shop.example."]},
    "backup.example": {"MX": ["10 mx.backup.example.", "20 out.shop.example.", "30 gone.example."]},
    "mx.backup.example": {"A": [PLACES[2]]},
    "many.example": {"MX": [f"{n} mx{n}.many.example." for n in range(400)]},
    "mx0.many.example": {"A": [PLACES[2]]},
    "loop.example": {"CNAME": ["loop2.example."]},
    "loop2.example": {"CNAME": ["loop.example."]},
    "literal.example": {"MX": ["10 127.0.1.1."]},
}
FAULTS = {"servfail.example": "servfail", "bogus.example": "bogus", "cut.example MX": "truncate"}


@contextlib.contextmanager
def dns(folder: Path, zone: dict[str, Any], faults: dict[str, str]) -> Iterator[int]:
    """Its port."""
    (folder / "zone.json").write_text(json.dumps({"zone": zone, "faults": faults}), "utf-8")
    command = [sys.executable, "-m", "tests.fakes.dns", str(folder / "zone.json")]
    with started("dns", command, folder / "dns.log", pipe=True) as child:
        yield int(child.first_line()["port"])


@contextlib.contextmanager
def world(folder: Path, **words: Any) -> Iterator[tuple[Running, RunningSink]]:
    with running_sink(folder, "sink", [], 300.0, places=PLACES) as receiver, dns(folder, ZONE, FAULTS) as port:
        table = f"""
[resolver]
servers = ["127.0.0.1:{port}"]
port = {receiver.ports[0]}
allow_networks = ["127.0.1.0/24"]
timeout = 1
"""
        with engine(folder, {}, more=table, **words) as running:
            yield running, receiver


def ends(running: Running) -> dict[str, Record]:
    return {record.recipient: record for record in running.journal() if record.type in {"Delivery", "Bounce"}}


def test_mail_finds_its_way_and_what_nobody_takes_bounces(tmp_path: Path) -> None:
    good = [f"r{n}@{name}.example" for n in range(20) for name in ("one", "two", "implicit", "alias", "backup", "many")]
    final = {"null": "5.1.10", "none": "5.1.2", "empty": "5.1.2", "self": "5.4.6"}
    bad = [f"r@{name}.example" for name in final]
    deferred = [f"r@{name}.example" for name in ("servfail", "bogus", "private", "loop", "literal")]
    with world(tmp_path) as (running, receiver):
        with running.client() as client:
            client.submit([*good, *bad, *deferred], terms())
        running.until(lambda: running.status()["delivered"] == len(good), "delivered")
        running.until(lambda: running.status()["bounced"] == len(bad), "bounced")
        assert received(receiver) == dict.fromkeys(good, 1)
        running.until(lambda: len(running.status()["unresolved"]) == len(deferred), "put off")
        status = running.status()
        assert status["waiting"] == len(deferred), "and nobody was pulled for it"
        unresolved = {entry["domain"]: entry["error"] for entry in status["unresolved"]}
        assert "SERVFAIL" in unresolved["servfail.example"]
        assert "DNSSEC" in unresolved["bogus.example"]
        assert "never connect" in unresolved["private.example"]
        assert "CNAME" in unresolved["loop.example"]
        assert "no host name" in unresolved["literal.example"]
        sites = {site["site"] for site in status["sites"]}
        assert "(mx1|mx2).one.example" in sites, "two domains, one receiver"
        assert 'sokutatsu_dns_failures_total{status="servfail"}' in running.page("metrics")
        assert running.stop() == 0
        found = ends(running)
        for name, code in final.items():
            record = found[f"r@{name}.example"]
            assert record.response is not None
            said = record.response.enhanced_code
            assert said is not None
            assert (record.type, f"{said.class_}.{said.subject}.{said.detail}") == ("Bounce", code)


def test_a_route_goes_before_dns(tmp_path: Path) -> None:
    with running_sink(tmp_path, "sink", [], 300.0) as receiver, dns(tmp_path, ZONE, {}) as port:
        more = f'[resolver]\nservers = ["127.0.0.1:{port}"]\n'
        with engine(tmp_path, {"null.example": f"127.0.0.1:{receiver.ports[0]}"}, more=more) as running:
            with running.client() as client:
                client.submit(["r@null.example"], terms())
            running.until(lambda: running.status()["delivered"] == 1, "delivered")


def test_without_any_dns_nobody_is_pulled_and_a_stop_is_quick(tmp_path: Path) -> None:
    """Its port is closed: the server was there and has gone."""
    with running_sink(tmp_path, "sink", [], 300.0, places=PLACES) as receiver:
        with dns(tmp_path, ZONE, {}) as port:
            pass
        table = (
            f'[resolver]\nservers = ["127.0.0.1:{port}"]\nport = {receiver.ports[0]}\n'
            'allow_networks = ["127.0.1.0/24"]\ntimeout = 0.2\ndeadline = 0.5\n'
        )
        addresses = [f"r{n}@implicit.example" for n in range(2000)]
        with engine(tmp_path, {}, more=table, shaping={"retry_steps": '["40s"]'}) as running:
            with running.client() as client:
                began = time.monotonic()
                client.submit(addresses, terms())
                running.until(lambda: bool(running.status()["unresolved"]), "put off")
                status = running.status()
                assert (status["waiting"], status["attempts"]) == (len(addresses), 0)
            assert time.monotonic() - began < 20
            assert running.stop() == 0
