"""A real engine under policies: what MTA-STS forbids waits, on a path of its own, and what it does not is delivered."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from bench.rig import RunningSink, running_sink
from tests.integration.running import Running, engine, received, terms
from tests.integration.test_mx_routing import PLACES, ZONE, dns


def place_policy(folder: Path, domain: str, mode: str) -> None:
    """As one that was fetched before the engine was stopped."""
    lines = ["version: STSv1", f"mode: {mode}", "mx: *.one.example", "max_age: 86400"]
    (folder / "state" / "sts").mkdir(parents=True)
    kept = {"domain": domain, "id": "1", "fetched_at": time.time() - 10.0, "policy": {"text": lines}}
    (folder / "state" / "sts" / domain).write_text(json.dumps(kept))


@contextlib.contextmanager
def world(folder: Path, more: str = "") -> Iterator[tuple[Running, RunningSink]]:
    with running_sink(folder, "sink", [], 300.0, places=PLACES) as receiver, dns(folder, ZONE, {}) as port:
        table = f"""
[resolver]
servers = ["127.0.0.1:{port}"]
port = {receiver.ports[0]}
allow_networks = ["127.0.1.0/24"]
timeout = 1
{more}
"""
        with engine(folder, {}, more=table) as running:
            yield running, receiver


def test_an_enforced_domain_waits_for_a_trusted_certificate_and_its_neighbour_does_not(tmp_path: Path) -> None:
    """one.example and two.example have the same hosts. The policy is from before the start; no record is left of it."""
    place_policy(tmp_path, "one.example", "enforce")
    with world(tmp_path, '[tlsrpt]\nsender = "shop"\n') as (running, receiver):
        with running.client() as client:
            client.submit(["a@one.example", "b@two.example"], terms())
        running.until(lambda: running.status()["delivered"] == 1, "the neighbour's mail is delivered")
        running.until(
            lambda: any("MTA-STS" in site["site"] and site["last_error"] for site in running.status()["sites"]),
            "the policy's path has failed",
        )
        assert received(receiver) == {"b@two.example": 1}
        sites = {site["site"] for site in running.status()["sites"]}
        assert sites == {"(mx1|mx2).one.example", "(mx1|mx2).one.example (MTA-STS *.one.example)"}
        page = running.page("metrics")
        assert "sokutatsu_mta_sts_policies 1.0" in page
        assert 'sokutatsu_tls_verified_total{policy="mta_sts"} 0.0' in page
        assert running.stop() == 0
    counted = json.loads((tmp_path / "state" / "tlsrpt" / "today").read_bytes())
    assert [name for name, _ in counted["domains"]] == ["one.example"], "for two.example plain text was chosen"
