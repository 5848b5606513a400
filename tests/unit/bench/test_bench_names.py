"""The bench's DNS server, read by dnspython and by the engine's client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from bench.names import Names, place_of
from bench.processes import started
from engine.net.dns import DnsClient, DnsSettings, Kind, Mx, Status


def asked(name: str, kind: str) -> tuple[str, list[str], list[str]]:
    query = dns.message.make_query(name, kind)
    response = dns.message.from_wire(Names(1000, 200).answer(query.to_wire()))
    assert query.is_response(response)
    texts = [
        [str(record) for rrset in section for record in rrset] for section in (response.answer, response.authority)
    ]
    return dns.rcode.to_text(response.rcode()), sorted(texts[0]), texts[1]


def test_what_it_says() -> None:
    mx = ["10 mx1.s7.sites.example.", "20 mx2.s7.sites.example."]
    assert asked("d207.bench.example", "MX") == ("NOERROR", mx, [])
    assert asked("mx1.s7.sites.example", "A") == ("NOERROR", ["127.0.2.8"], [])
    for name, kind, code in (("mx1.s7.sites.example", "AAAA", "NOERROR"), ("d1000.bench.example", "A", "NXDOMAIN")):
        found = asked(name, kind)
        assert found[:2] == (code, [])
        assert len(found[2]) == 1
    assert asked("other.example", "MX")[0] == "NXDOMAIN"


@pytest.mark.parametrize(("site", "place"), [(0, "127.0.2.1"), (199, "127.0.2.200"), (250, "127.0.3.1")])
def test_places(site: int, place: str) -> None:
    assert place_of(site) == place


def test_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.names", "--domains", "10", "--sites", "2", "--seconds", "60"]
    with started("names", command, tmp_path / "log", pipe=True) as child:
        port = child.first_line()["port"]

        async def ask() -> None:
            client = DnsClient(DnsSettings((("127.0.0.1", port),)))
            found = await client.query("d3.bench.example", Kind.MX)
            assert found.records == (Mx(10, "mx1.s1.sites.example"), Mx(20, "mx2.s1.sites.example"))
            assert (await client.query("d10.bench.example", Kind.MX)).status is Status.NXDOMAIN
            client.close()

        asyncio.run(ask())
