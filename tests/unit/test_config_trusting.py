"""[tls] and the certificates of routes: what is read, and what a wrong file gets told."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from engine.config.settings import RouteTable, TlsTable
from engine.config.trusting import read_client, read_tls
from engine.net.resolver import ClientCertificate
from engine.tables import Problems

AUTHORITY = trustme.CA()
OWN, OTHER = AUTHORITY.issue_cert("mta1.example.jp"), AUTHORITY.issue_cert("mta2.example.jp")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("own.key", "other.key", "both.pem"):
        (tmp_path / name).touch(0o640)
    OWN.private_key_pem.write_to_path(tmp_path / "own.key")
    OTHER.private_key_pem.write_to_path(tmp_path / "other.key")
    OWN.cert_chain_pems[0].write_to_path(tmp_path / "own.crt")
    OWN.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "open.key").touch(0o644)
    OWN.private_key_pem.write_to_path(tmp_path / "open.key")
    (tmp_path / "empty").touch(0o600)
    return tmp_path


def test_defaults_and_paths(folder: Path) -> None:
    problems = Problems("x.toml", {})
    assert read_tls({}, folder, problems) == TlsTable()
    read = read_tls({"ca_file": "ca.pem", "dane": False, "fetch_seconds": "5s"}, folder, problems)
    assert read == TlsTable(folder / "ca.pem", dane=False, fetch_seconds=5.0)
    assert problems.texts == []


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"ca_file": "none.pem"}, "No such file"),
        ({"ca_file": "empty"}, "name a PEM file"),
        ({"ca_file": "own.key"}, "name a PEM file"),
        ({"dane": "yes"}, "write true or false"),
        ({"mta_sts_port": 0}, "must be 1 to 65535"),
        ({"fetch_seconds": 0}, "must be 1 to 60"),
        ({"cafile": "x"}, "did you mean ca_file"),
    ],
)
def test_a_wrong_table(folder: Path, table: dict[str, object], told: str) -> None:
    problems = Problems("x.toml", {})
    assert read_tls(table, folder, problems) is None
    assert told in problems.texts[0]


@pytest.mark.parametrize(
    ("certificate", "key", "expected"), [("own.crt", "own.key", "own.key"), ("both.pem", None, "both.pem")]
)
def test_a_routes_certificate(folder: Path, certificate: str, key: str | None, expected: str) -> None:
    problems = Problems("x.toml", {})
    place = RouteTable("a:1", client_certificate=Path(certificate), client_key=Path(key) if key else None)
    found = read_client(place, folder, "routes.a", problems)
    assert (found, problems.texts) == (ClientCertificate(str(folder / certificate), str(folder / expected)), [])
    assert read_client(RouteTable("a:1"), folder, "routes.a", problems) is None


@pytest.mark.parametrize(
    ("certificate", "key", "told"),
    [
        (None, "own.key", "needs client_certificate"),
        ("own.crt", "open.key", "chmod 0640"),
        ("own.crt", "other.key", "its own key"),
        ("none.crt", "own.key", "No such file"),
        ("own.crt", "none.key", "No such file"),
        ("empty", "own.key", "unencrypted"),
    ],
)
def test_a_wrong_certificate_of_a_route(folder: Path, certificate: str | None, key: str, told: str) -> None:
    problems = Problems("x.toml", {})
    place = RouteTable("a:1", client_certificate=certificate and Path(certificate), client_key=Path(key))  # type: ignore[arg-type]
    assert read_client(place, folder, "routes.a", problems) is None
    assert told in problems.texts[0]
