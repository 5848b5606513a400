"""Receivers found by MX, through a validating unbound that asks a signing Knot: what is there is found, what is not is told.

A domain whose DNS is broken, bogus or leads to private addresses waits; one that takes no mail bounces at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest

from tests.integration.running import Running
from tests.interop.peers.names import Names
from tests.interop.peers.place import Peer
from tests.interop.peers.postfix import postfix
from tests.interop.rig import Keys, engine, terms
from tests.interop.zones import FINAL, FIRST, GOOD, LATER, SECOND

EACH = 20
MESSAGE = {"subject": "Hello", "text": "Dear reader\n"}


def resolver_table(dns: Names, port: int) -> str:
    return f"""
[resolver]
servers = ["{dns.resolver}"]
trust_ad = true
port = {port}
allow_networks = ["127.0.2.0/24"]
timeout = 2
deadline = 4
"""


@pytest.fixture(scope="module")
def peers(place: Path, mx_port: int) -> Iterator[dict[str, Peer]]:
    with contextlib.ExitStack() as stack:
        yield {
            address: stack.enter_context(postfix(place / f"mx-{address}", address=(address, mx_port)))
            for address in (FIRST, SECOND)
        }


def test_the_resolver_validates(dns: Names) -> None:
    """Otherwise the rest would say nothing of DNSSEC."""
    assert dns.answer("one.example", "MX") == (True, dns_code("NOERROR"), ["10 mx1.example."])
    assert dns.answer("unsigned.plain", "A") == (False, dns_code("NOERROR"), [FIRST])
    assert dns.answer("any.bogus", "MX") == (False, dns_code("SERVFAIL"), [])
    assert dns.answer("www.debian.org", "A")[1] == dns_code("REFUSED"), "nothing is asked outside"


def dns_code(name: str) -> int:
    return int(dns.rcode.from_text(name))


def bounces(running: Running) -> dict[str, str]:
    found = {}
    for record in running.journal():
        if record.type == "Bounce":
            code = record.response.enhanced_code
            found[record.recipient.partition("@")[2]] = f"{code.class_}.{code.subject}.{code.detail}"
    return found


def test_mail_goes_where_dns_says_and_nowhere_else(
    place: Path, keys: Keys, dns: Names, peers: dict[str, Peer], mx_port: int
) -> None:
    table = resolver_table(dns, mx_port)
    good = [f"r{n}@{domain}" for domain in GOOD for n in range(EACH)]
    with engine(place / "mx-engine", keys, {}, more=table) as running:
        with running.client() as client:
            client.submit([*good, *(f"r@{domain}" for domain in (*FINAL, *LATER))], terms(MESSAGE, "mx"))
        running.until(lambda: running.status()["delivered"] == len(good), "delivered")
        running.until(lambda: running.status()["bounced"] == len(FINAL), "bounced")
        running.until(lambda: len(running.status()["unresolved"]) == len(LATER), "put off")
        assert running.stop() == 0
        assert bounces(running) == FINAL
    for address, peer in peers.items():
        domains = {domain.encode("idna").decode() for domain, where in GOOD.items() if where == address}
        copies = peer.await_copies(EACH * len(domains))
        assert sorted(copy.recipient for copy in copies) == sorted(f"r{n}@{d}" for d in domains for n in range(EACH))
