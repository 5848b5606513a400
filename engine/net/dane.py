"""Whether a server's certificates are those that its TLSA records name (RFC 6698, RFC 7671, RFC 7672 3.1).

Usages 2 (DANE-TA) and 3 (DANE-EE), selectors 0 and 1, matching types 0 to 2; every other record is unusable for mail.
DANE-EE looks at the first certificate alone, without names or dates (RFC 7672 3.1.1). DANE-TA wants a chain from it to
a certificate that a record names, valid today and for the host's name; the verifier is that of `cryptography`, whose
home beside the signer this file is. An authority that DNS has whole, as certificate ("2 0 0") or as bare key ("2 1 0"),
need not be sent (RFC 7671 5.2.2, 5.2.3); one known by a digest alone must be (RFC 7672 3.1.2). It asks no DNS and opens
nothing: records and octets in, a reason or nothing out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509 import verification

from engine.net.answer import Tlsa

DANE_TA: Final = 2
DANE_EE: Final = 3
MAX_CHAIN: Final = 10
"""Certificates of one server that are looked at."""
MAX_RECORDS: Final = 30
_DIGESTS: Final[Mapping[int, Callable[[bytes], bytes]]] = {
    0: lambda octets: octets,
    1: lambda octets: hashlib.sha256(octets).digest(),
    2: lambda octets: hashlib.sha512(octets).digest(),
}
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library says of certificates that are none."""
_SIZES: Final = {1: 32, 2: 64}


def usable(records: Sequence[object]) -> tuple[Tlsa, ...]:
    """Those that can speak of a mail server; the rest is as if it were not there (RFC 7672 3.1.3)."""
    return tuple(record for record in records if isinstance(record, Tlsa) and _is_usable(record))[:MAX_RECORDS]


def _is_usable(record: Tlsa) -> bool:
    known = record.usage in (DANE_TA, DANE_EE) and record.selector in (0, 1) and record.matching in _DIGESTS
    return known and bool(record.data) and len(record.data) == _SIZES.get(record.matching, len(record.data))


def mismatch(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime) -> str:
    """Why the chain (DER, the server's own first) is not what the records ask for; empty when it is. `names`: what the
    certificate may be for, with DANE-TA.
    """
    if not chain:
        return "the server sent no certificate"
    if any(record.usage == DANE_EE and _fits(record, chain[0]) for record in records):
        return ""
    anchors = [record for record in records if record.usage == DANE_TA]
    if not anchors:
        return f"no TLSA record fits the certificate {fingerprint(chain[0])}"
    try:
        return _anchored(anchors, chain[:MAX_CHAIN], names, now)
    except _UNREADABLE as error:
        return f"a certificate that cannot be read: {str(error)[:80]!a}"


def fingerprint(certificate: bytes) -> str:
    return f"sha256:{hashlib.sha256(certificate).hexdigest()[:16]}"


def _fits(record: Tlsa, certificate: bytes) -> bool:
    octets = certificate if record.selector == 0 else _key_of(certificate)
    return octets is not None and _DIGESTS[record.matching](octets) == record.data


def _key_of(certificate: bytes) -> bytes | None:
    """SubjectPublicKeyInfo; None where certificate or key are nothing that is known."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE:
        return None


def _anchored(anchors: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime) -> str:
    sent = [octets for octets in chain[1:] if any(_fits(record, octets) for record in anchors)]
    # A whole certificate in DNS need not be sent (RFC 7672 3.1.2).
    given = [record.data for record in anchors if (record.selector, record.matching) == (0, 0)]
    roots = [x509.load_der_x509_certificate(octets) for octets in dict.fromkeys((*sent, *given))]
    own, *others = (x509.load_der_x509_certificate(octets) for octets in chain)
    bare = [record.data for record in anchors if (record.selector, record.matching) == (1, 0)]
    roots += [stand_in(top.issuer, key, now) for key in bare for top in _topmost([own, *others])]
    if not roots:
        return f"no TLSA record fits any certificate that the server sent behind {fingerprint(chain[0])}"
    builder = _builder(roots, now)
    reason = "no name to check it against"
    for name in names:
        try:
            builder.build_server_verifier(x509.DNSName(name)).verify(own, others)
        except verification.VerificationError as error:
            reason = f"{name[:80]!a}: {str(error)[:120]!a}"
        else:
            return ""
    return f"the TLSA record's authority does not vouch for {reason}"


def _topmost(certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Whose issuer was not sent."""
    sent = {certificate.subject for certificate in certificates}
    return [certificate for certificate in certificates if certificate.issuer not in sent]


def stand_in(name: x509.Name, key: bytes, now: datetime) -> x509.Certificate:
    """The certificate of an authority of which DNS has the key alone (SubjectPublicKeyInfo): what the verifier asks of
    an anchor beyond name and key is made up. Its own signature is nobody's and is not looked at, as of any anchor.
    """
    public = load_der_public_key(key)
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise UnsupportedAlgorithm("a key of a kind that signs no certificates")
    day = timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )


def _builder(roots: list[x509.Certificate], now: datetime) -> verification.PolicyBuilder:
    """Private authorities keep to few of the web's rules; that they are authorities, and for this name, is enough."""
    agnostic = verification.Criticality.AGNOSTIC
    authority = verification.ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints, agnostic, _is_authority
    )
    server = verification.ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, agnostic, None)
    return (
        verification.PolicyBuilder()
        .store(verification.Store(roots))
        .time(now)
        .extension_policies(ca_policy=authority, ee_policy=server)
    )


def _is_authority(_policy: verification.Policy, _of: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("signed by a certificate that is no authority's")
