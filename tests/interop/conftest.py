"""What the foreign servers share: the sender's keys, a DNS that publishes them, an authority for certificates.

Everything lives under one folder in /tmp; it stays when a test failed, and the path is printed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from bench.processes import free_port
from tests.interop.peers.names import Names, names
from tests.interop.peers.readers import Rspamd, rspamd
from tests.interop.rig import Keys
from tests.interop.zones import STS, ZONES, names_of_first, trust_records


@dataclass(frozen=True, slots=True)
class Certificates:
    """For localhost and the first receiver of zones.py, of an authority that SSL_CERT_FILE names."""

    authority: Path
    certificate: Path
    key: Path
    chain: Path
    """Key, then certificates: what Postfix reads."""
    wrong: Path
    """The same for another name."""
    policies: Path
    """For the servers of MTA-STS policies."""


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="interop-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    if request.session.testsfailed:
        print(f"\nlogs of the foreign servers: {folder}")
    else:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys.make()


@pytest.fixture(scope="session")
def mx_port() -> int:
    """Stands for port 25 at every receiver that is found by MX."""
    return free_port()


@pytest.fixture(scope="session")
def dns(place: Path, keys: Keys, certificates: Certificates, mx_port: int) -> Iterator[Names]:
    trust = trust_records(mx_port, certificates.certificate.read_bytes(), certificates.authority.read_bytes())
    records = {zone: [*lines, *trust.get(zone, ())] for zone, lines in ZONES.items()}
    records["example"] += keys.zone()
    with names(place / "dns", records) as running:
        yield running


@pytest.fixture(scope="session")
def filter_of_spam(place: Path, dns: Names) -> Iterator[Rspamd]:
    with rspamd(place / "rspamd", dns.resolver) as running:
        yield running


@pytest.fixture(scope="session")
def certificates(place: Path) -> Certificates:
    folder = place / "tls"
    folder.mkdir()
    folder.chmod(0o755)
    authority = trustme.CA()
    made = Certificates(
        *(folder / f"{name}.pem" for name in ("authority", "certificate", "key", "chain", "wrong", "policies"))
    )
    authority.cert_pem.write_to_path(str(made.authority))
    issued = authority.issue_cert("localhost", *names_of_first())
    # With the authority itself behind it: DANE-TA needs it there (RFC 7672 3.1.2).
    made.chain.write_bytes(issued.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes())
    made.wrong.write_bytes(authority.issue_cert("elsewhere.example").private_key_and_cert_chain_pem.bytes())
    made.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    made.key.write_bytes(issued.private_key_pem.bytes())
    names_of_policies = [f"mta-sts.{domain}" for domain in (*STS, "sts-gone.example")]
    made.policies.write_bytes(authority.issue_cert(*names_of_policies).private_key_and_cert_chain_pem.bytes())
    for file in folder.iterdir():
        file.chmod(0o600 if file == made.key else 0o644)
    return made
