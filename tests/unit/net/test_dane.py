"""DANE: which records count, and which certificates they accept, with chains of trustme."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from engine.net.answer import Tlsa
from engine.net.dane import MAX_RECORDS, mismatch, usable

NOW = datetime.now(UTC)
HOST = "mx.example.jp"
ROOT = trustme.CA()
MIDDLE = ROOT.create_child_ca()
OTHER = trustme.CA()


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def issued(authority: trustme.CA, *names: str, until: datetime | None = None) -> bytes:
    return der(authority.issue_cert(*names, not_after=until).cert_chain_pems[0].bytes())


def key(certificate: bytes) -> bytes:
    public = x509.load_der_x509_certificate(certificate).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def record(usage: int, selector: int, matching: int, certificate: bytes) -> Tlsa:
    octets = key(certificate) if selector else certificate
    data = {0: octets, 1: hashlib.sha256(octets).digest(), 2: hashlib.sha512(octets).digest()}[matching]
    return Tlsa(usage, selector, matching, data)


ROOT_DER, MIDDLE_DER, OTHER_DER = (der(ca.cert_pem.bytes()) for ca in (ROOT, MIDDLE, OTHER))
OWN = issued(MIDDLE, HOST)
ELSEWHERE = issued(MIDDLE, "mx.elsewhere.jp")
CHAIN = (OWN, MIDDLE_DER, ROOT_DER)
NO_LEAF = b"\x30\x03\x02\x01\x01"


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize(("usage", "of"), [(3, OWN), (2, MIDDLE_DER), (2, ROOT_DER)])
def test_every_usable_kind_of_record_accepts_its_certificate_and_no_other(
    usage: int, of: bytes, selector: int, matching: int
) -> None:
    good, other = record(usage, selector, matching, of), record(usage, selector, matching, OTHER_DER)
    assert mismatch([good], CHAIN, [HOST], NOW) == ""
    assert mismatch([other, good], CHAIN, [HOST], NOW) == "", "any one of the records"
    assert mismatch([other], CHAIN, [HOST], NOW) != ""


def test_an_end_entity_needs_neither_name_nor_date() -> None:
    old = issued(ROOT, "nobody.example", until=NOW - timedelta(days=1))
    assert mismatch([record(3, 1, 1, old)], [old], [HOST], NOW) == ""


@pytest.mark.parametrize(
    ("chain", "names", "why"),
    [
        ((ELSEWHERE, MIDDLE_DER, ROOT_DER), [HOST], "does not vouch for 'mx.example.jp'"),
        ((issued(MIDDLE, HOST, until=NOW - timedelta(days=1)), MIDDLE_DER, ROOT_DER), [HOST], "does not vouch"),
        ((issued(OTHER, HOST), ROOT_DER), [HOST], "does not vouch"),
        ((OWN, ROOT_DER), [HOST], "does not vouch"),
        ((OWN,), [HOST], "no TLSA record fits any certificate that the server sent"),
        (CHAIN, [], "no name to check it against"),
        ((NO_LEAF, ROOT_DER), [HOST], "cannot be read"),
        ((), [HOST], "the server sent no certificate"),
    ],
    ids=[
        "another name",
        "expired",
        "another authority",
        "a gap",
        "authority not sent",
        "no name",
        "garbage",
        "nothing",
    ],
)
def test_what_an_authoritys_record_refuses(chain: tuple[bytes, ...], names: list[str], why: str) -> None:
    assert why in mismatch([record(2, 0, 1, ROOT_DER)], chain, names, NOW)


def test_an_authority_that_dns_has_whole_need_not_be_sent() -> None:
    assert mismatch([record(2, 0, 0, ROOT_DER)], [OWN, MIDDLE_DER], [HOST], NOW) == ""
    assert mismatch([record(2, 0, 0, NO_LEAF)], [OWN, MIDDLE_DER], [HOST], NOW) != ""


def test_an_authority_whose_bare_key_dns_has_need_not_be_sent() -> None:
    """RFC 7671 5.2.3: what the key signed is followed, whoever sent its certificate or did not."""
    assert mismatch([record(2, 1, 0, ROOT_DER)], [OWN, MIDDLE_DER], [HOST], NOW) == ""
    assert mismatch([record(2, 1, 0, MIDDLE_DER)], [OWN], [HOST], NOW) == ""
    assert mismatch([record(2, 1, 0, ROOT_DER)], CHAIN, [HOST], NOW) == "", "and sent, as before"


@pytest.mark.parametrize(
    ("certificate", "chain", "names"),
    [
        (OTHER_DER, (OWN, MIDDLE_DER), [HOST]),
        (ROOT_DER, (OWN,), [HOST]),
        (ROOT_DER, (OWN, MIDDLE_DER), ["mx.elsewhere.jp"]),
        (MIDDLE_DER, (issued(MIDDLE, HOST, until=NOW - timedelta(days=1)),), [HOST]),
    ],
    ids=["another key", "a gap", "another name", "expired"],
)
def test_what_a_bare_key_refuses(certificate: bytes, chain: tuple[bytes, ...], names: list[str]) -> None:
    assert "does not vouch" in mismatch([record(2, 1, 0, certificate)], chain, names, NOW)


def test_a_bare_key_that_is_none() -> None:
    for octets in (b"\x30\x00", b"key", x25519_key()):
        assert "cannot be read" in mismatch([Tlsa(2, 1, 0, octets)], [OWN, MIDDLE_DER], [HOST], NOW)
    assert mismatch([Tlsa(2, 1, 1, hashlib.sha256(key(ROOT_DER)).digest())], [OWN, MIDDLE_DER], [HOST], NOW) != "", (
        "of a digest alone nothing can be made"
    )


def x25519_key() -> bytes:
    public = x25519.X25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_server_certificate_is_no_authority() -> None:
    """Whoever has any certificate of a trusted authority must not be able to issue more under it."""
    own = MIDDLE.issue_cert("mx.evil.example")
    pem = own.cert_chain_pems[0].bytes()
    issuer = x509.load_pem_x509_certificate(pem)
    secret = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
    forged = (
        x509.CertificateBuilder()
        .subject_name(issuer.subject)
        .issuer_name(issuer.subject)
        .public_key(issuer.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(secret, hashes.SHA256())  # type: ignore[arg-type]
    )
    chain = [forged.public_bytes(Encoding.DER), der(pem), MIDDLE_DER, ROOT_DER]
    for anchor in (ROOT_DER, der(pem)):
        assert "does not vouch" in mismatch([record(2, 0, 1, anchor)], chain, [HOST], NOW)


def test_the_second_name_counts_too() -> None:
    assert mismatch([record(2, 0, 1, ROOT_DER)], CHAIN, ["alias.example.jp", HOST], NOW) == ""


def test_an_end_entity_that_is_garbage_is_matched_by_its_octets_alone() -> None:
    assert mismatch([record(3, 0, 1, NO_LEAF)], [NO_LEAF], [HOST], NOW) == ""
    assert mismatch([Tlsa(3, 1, 1, b"x" * 32)], [NO_LEAF], [HOST], NOW) != ""


@pytest.mark.parametrize(
    ("records", "count"),
    [
        ([Tlsa(3, 1, 1, b"x" * 32), Tlsa(2, 0, 2, b"x" * 64), Tlsa(3, 0, 0, b"x")], 3),
        ([Tlsa(0, 0, 1, b"x" * 32), Tlsa(1, 0, 1, b"x" * 32)], 0),
        ([Tlsa(3, 2, 1, b"x" * 32), Tlsa(3, 1, 3, b"x" * 32)], 0),
        ([Tlsa(3, 1, 1, b"x" * 31), Tlsa(3, 1, 2, b"x" * 32), Tlsa(3, 0, 0, b"")], 0),
        (["text", b"bytes"], 0),
        ([Tlsa(3, 1, 1, b"x" * 32)] * 100, MAX_RECORDS),
    ],
)
def test_usable_records(records: list[object], count: int) -> None:
    assert len(usable(records)) == count


@given(st.sampled_from([OWN, MIDDLE_DER]), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4))
def test_no_certificate_is_more_than_a_reason(certificate: bytes, changes: list[tuple[int, int]]) -> None:
    """An exception here would reach the loop, and a stranger would stop the engine."""
    octets = bytearray(certificate)
    for place, value in changes:
        octets[place % len(octets)] = value
    changed = bytes(octets)
    for record_ in (
        record(2, 1, 1, ROOT_DER),
        record(2, 0, 1, MIDDLE_DER),
        Tlsa(2, 0, 0, changed),
        Tlsa(3, 1, 1, b"x" * 32),
    ):
        for chain in ([changed, MIDDLE_DER, ROOT_DER], [OWN, changed, ROOT_DER], [changed]):
            assert isinstance(mismatch([record_], chain, [HOST], NOW), str)


@pytest.mark.parametrize("version", [b"\x00", b"\x03", b"\x7f"])
def test_a_certificate_of_a_version_that_does_not_exist(version: bytes) -> None:
    odd = OWN.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01" + version, 1)
    assert odd != OWN
    assert mismatch([record(2, 0, 1, ROOT_DER)], [odd, MIDDLE_DER, ROOT_DER], [HOST], NOW) != ""
    assert mismatch([record(3, 1, 1, OWN)], [odd], [HOST], NOW) != "", "its key is not to be had"
