"""TLS with other people's servers: taken where it is offered, and where it is required nothing leaves without it.

The authority of the test is the one that the system of the engine trusts (SSL_CERT_FILE).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Running
from tests.interop.conftest import Certificates
from tests.interop.peers.exim import exim
from tests.interop.peers.names import Names
from tests.interop.peers.opensmtpd import opensmtpd
from tests.interop.peers.place import Peer
from tests.interop.peers.postfix import postfix
from tests.interop.rig import Keys, engine, terms

EACH = 10
MESSAGE = {"subject": "Hello", "text": "Dear reader\n"}


@pytest.fixture(scope="module")
def peers(place: Path, dns: Names, certificates: Certificates) -> Iterator[dict[str, Peer]]:
    folder, pair = place / "tls-peers", (certificates.certificate, certificates.key)
    with contextlib.ExitStack() as stack:
        yield {
            "good": stack.enter_context(postfix(folder / "good", chain=certificates.chain)),
            "wrong": stack.enter_context(postfix(folder / "wrong", chain=certificates.wrong)),
            "none": stack.enter_context(postfix(folder / "none")),
            "exim": stack.enter_context(exim(folder / "exim", dns.resolver, certificates.chain)),
            "opensmtpd": stack.enter_context(opensmtpd(folder / "opensmtpd", dns.resolver, pair)),
        }


def is_kept(running: Running, peer: Peer, why: str) -> bool:
    """Nobody was tried: there is no connection that may be used, and the site says why."""
    site = next(site for site in running.status()["sites"] if site["site"] == f"localhost:{peer.port}")
    return (site["ready"], site["delivered"]) == (EACH, 0) and why in site["last_error"]


def test_tls_is_taken_where_it_is_offered_and_nothing_leaves_without_it_where_it_is_required(
    place: Path, keys: Keys, peers: dict[str, Peer], certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    # A host name and an address, so that a peer is two sites with a policy each.
    delivered = {
        "may-good": ("good", "127.0.0.1", "Opportunistic"),
        "must-good": ("good", "localhost", "Required"),
        "may-wrong": ("wrong", "127.0.0.1", "Opportunistic"),
        "must-exim": ("exim", "localhost", "Required"),
        # The one of Debian 12 offers STARTTLS and fails at every handshake (OpenSMTPD's issue 1171): plain text then.
        "may-opensmtpd": ("opensmtpd", "127.0.0.1", "Opportunistic"),
        "may-none": ("none", "127.0.0.1", "Opportunistic"),
    }
    kept = {"must-wrong": ("wrong", "localhost", "Required"), "must-none": ("none", "localhost", "Required")}
    routes = {
        f"{name}.example": (f"{host}:{peers[peer].port}", mode)
        for name, (peer, host, mode) in (delivered | kept).items()
    }
    with engine(place / "tls-engine", keys, routes) as running:
        with running.client() as client:
            for domain in routes:
                client.submit([f"r{n}@{domain}" for n in range(EACH)], terms(MESSAGE, domain))
        running.until(lambda: running.status()["delivered"] == EACH * len(delivered), "delivered")
        running.until(lambda: is_kept(running, peers["wrong"], "Hostname mismatch"), "kept from the wrong one")
        running.until(lambda: is_kept(running, peers["none"], "STARTTLS is not offered"), "kept from plain text")
        assert running.stop() == 0
        encrypted = {r.recipient.partition("@")[2] for r in running.journal() if r.type == "Delivery" and r.tls_cipher}
        encrypted.discard("may-opensmtpd.example")
        assert encrypted == {f"{name}.example" for name in delivered} - {"may-none.example", "may-opensmtpd.example"}
    for name in ("good", "wrong", "none", "exim", "opensmtpd"):
        domains = [f"{domain}.example" for domain, (peer, _, _) in delivered.items() if peer == name]
        copies = peers[name].await_copies(EACH * len(domains))
        expected = sorted(f"r{n}@{domain}" for domain in domains for n in range(EACH))
        assert sorted(copy.recipient for copy in copies) == expected
        received = b"".join(peers[name].stored())
        if name not in {"none", "opensmtpd"}:
            assert received.count(b"TLS") >= len(copies), "their own Received fields say so"
