"""DANE and MTA-STS over real DNSSEC and HTTPS: the engine sends where the policies allow it, and strangers agree.

posttls-finger says which receivers DANE proves, mta-sts-query which policies there are.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Running
from tests.interop.conftest import Certificates
from tests.interop.peers.names import Names
from tests.interop.peers.oracles import finger, policies, query
from tests.interop.peers.place import Peer
from tests.interop.peers.postfix import postfix
from tests.interop.rig import Keys, engine, terms
from tests.interop.zones import FIRST, POLICIES, SECOND, STS, TRUST

EACH = 5
MESSAGE = {"subject": "Hello", "text": "Dear reader\n"}
PROVEN = {
    "dane-ee.example": "Verified",
    "dane-ta.example": "Verified",
    "dane-wrong.example": "Untrusted|Server certificate not verified",
    "dane-notls.example": "^(?!.*TLS connection established)",
    "dane.plain": "Untrusted|Trusted|Anonymous",
}
POLICY = {
    "sts-good.example": "VALID",
    "sts-star.example": "VALID",
    "sts-stranger.example": "VALID",
    "sts-testing.example": "VALID",
    "sts-broken.example": "FETCH_ERROR",
    "sts-gone.example": "FETCH_ERROR",
    "one.example": "NONE",
}


@pytest.fixture(scope="module")
def peers(place: Path, mx_port: int, certificates: Certificates) -> Iterator[dict[str, Peer]]:
    with contextlib.ExitStack() as stack:
        chains = {FIRST: certificates.chain, SECOND: None}
        yield {
            address: stack.enter_context(postfix(place / f"trust-{address}", address=(address, mx_port), chain=chain))
            for address, chain in chains.items()
        }


@pytest.fixture(scope="module")
def policy_server(certificates: Certificates) -> Iterator[list[str]]:
    with policies(POLICIES, certificates.policies, STS) as asked:
        yield asked


def table(dns: Names, port: int, certificates: Certificates) -> str:
    return f"""
[resolver]
servers = ["{dns.resolver}"]
trust_ad = true
port = {port}
allow_networks = ["127.0.2.0/24"]
timeout = 2
deadline = 4
[tls]
ca_file = "{certificates.authority}"
"""


@pytest.mark.parametrize("domain", PROVEN)
def test_posttls_finger_sees_what_the_zone_says(
    domain: str, place: Path, dns: Names, peers: dict[str, Peer], mx_port: int
) -> None:
    said = finger(f"[mx.{domain}]:{mx_port}", dns.resolver, place)
    assert re.search(PROVEN[domain], said), said
    assert ("Verified TLS connection established" in said) == (PROVEN[domain] == "Verified"), said


@pytest.mark.parametrize("domain", POLICY)
def test_mta_sts_query_sees_what_the_policies_say(
    domain: str, place: Path, dns: Names, policy_server: list[str], certificates: Certificates
) -> None:
    said = query(domain, dns.resolver, place, certificates.authority)
    assert f"STSFetchResult.{POLICY[domain]}" in said, said


def tried(running: Running, domains: set[str]) -> bool:
    """Whether every site that is kept from its mail has said why."""
    return len({site["site"] for site in running.status()["sites"] if site["last_error"]}) >= len(domains)


def test_mail_goes_where_the_policies_allow_it(
    place: Path,
    keys: Keys,
    dns: Names,
    peers: dict[str, Peer],
    policy_server: list[str],
    mx_port: int,
    certificates: Certificates,
) -> None:
    good = {domain for domain, (_, goes) in TRUST.items() if goes}
    kept = set(TRUST) - good
    with engine(place / "trust-engine", keys, {}, more=table(dns, mx_port, certificates)) as running:
        with running.client() as client:
            for domain in TRUST:
                client.submit([f"r{n}@{domain}" for n in range(EACH)], terms(MESSAGE, domain))
        running.until(lambda: running.status()["delivered"] == EACH * len(good), "delivered")
        running.until(lambda: tried(running, kept), "tried")
        assert running.stop() == 0
        records = running.journal()
    assert {record.recipient.partition("@")[2] for record in records if record.type == "Delivery"} == good
    encrypted = {record.recipient.partition("@")[2] for record in records if record.tls_cipher}
    assert encrypted == {domain for domain in good if TRUST[domain][0] == FIRST}
    for address, peer in peers.items():
        domains = {domain for domain in good if TRUST[domain][0] == address}
        copies = peer.await_copies(EACH * len(domains))
        assert sorted(copy.recipient for copy in copies) == sorted(f"r{n}@{d}" for d in domains for n in range(EACH))
    assert {f"mta-sts.{domain}" for domain in STS} <= set(policy_server)
