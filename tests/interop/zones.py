"""What the test's DNS holds: domains that can be reached, and all the ways in which a domain cannot.

GOOD and BAD are what becomes of mail to them. The receivers are at 127.0.2.1 and 127.0.2.2; nobody listens at 127.0.2.9.
Of TRUST the first receiver has a certificate for mx. of each domain but those of UNNAMED, the second offers no TLS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FIRST, SECOND, POLICIES, NOBODY = "127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.9"
GOOD = {
    "one.example": FIRST, "two.example": SECOND, "implicit.example": FIRST, "alias.example": FIRST,
    "many.example": SECOND, "unsigned.plain": FIRST, "日本.example": SECOND,
}  # fmt: skip
FINAL = {"null.example": "5.1.10", "nothing.example": "5.1.2", "txt.example": "5.1.2", "self.example": "5.4.6"}
LATER = ("private.example", "mapped.example", "loop.example", "literal.example", "any.bogus", "lame.example")
ZONES: Mapping[str, Sequence[str]] = {
    "example": [
        f"mx1 A {FIRST}",
        f"mx2 A {SECOND}",
        f"dead A {NOBODY}",
        "one MX 10 mx1",
        "two MX 10 dead",
        "two MX 20 mx2",
        f"implicit A {FIRST}",
        "alias CNAME one",
        "null MX 0 .",
        "txt TXT nothing",
        "self MX 10 out.shop",
        "private MX 10 mx.private",
        "mx.private A 10.1.2.3",
        "mapped MX 10 mx.mapped",
        "mx.mapped AAAA ::ffff:127.0.2.1",
        "loop CNAME loop2",
        "loop2 CNAME loop",
        f"literal MX 10 {FIRST}.",
        "lame NS ns.lame",
        f"ns.lame A {NOBODY}",
        "xn--wgv71a MX 10 mx2",
        "many MX 1 mx2",
        *(f"many MX {number} mx{number}.many" for number in range(10, 410)),
    ],
    "plain": [f"unsigned A {FIRST}"],
    "bogus": ["any MX 10 mx", f"mx A {FIRST}", f"tlsa TLSA 3 1 1 {'0' * 64}"],
}

TRUST: Mapping[str, tuple[str, bool]] = {
    # DANE: where the receiver is, and whether the mail goes.
    "dane-ee.example": (FIRST, True),
    "dane-ta.example": (FIRST, True),
    "dane-wrong.example": (FIRST, False),
    "dane-notls.example": (SECOND, False),
    "dane-bogus.example": (FIRST, False),
    "dane-unusable.example": (FIRST, True),
    "dane.plain": (FIRST, True),
    # MTA-STS.
    "sts-good.example": (FIRST, True),
    "sts-star.example": (FIRST, True),
    "sts-stranger.example": (FIRST, False),
    "sts-unnamed.example": (FIRST, False),
    "sts-notls.example": (SECOND, False),
    "sts-testing.example": (SECOND, True),
    "sts-broken.example": (SECOND, True),
    "sts-gone.example": (SECOND, True),
}
UNNAMED = ("sts-unnamed.example", "dane-ee.example")
STS: Mapping[str, str] = {
    "sts-good.example": "mode: enforce\nmx: mx.sts-good.example\n",
    "sts-star.example": "mode: enforce\nmx: *.sts-star.example\n",
    "sts-stranger.example": "mode: enforce\nmx: mx.elsewhere.example\n",
    "sts-unnamed.example": "mode: enforce\nmx: mx.sts-unnamed.example\n",
    "sts-notls.example": "mode: enforce\nmx: mx.sts-notls.example\n",
    "sts-testing.example": "mode: testing\nmx: mx.sts-testing.example\n",
    "sts-broken.example": "mode: perhaps\n",
}
"""The policies without version and max_age; sts-gone has a record and none."""


def names_of_first() -> list[str]:
    return [f"mx.{domain}" for domain, (where, _) in TRUST.items() if where == FIRST and domain not in UNNAMED]


def trust_records(port: int, certificate: bytes, authority: bytes) -> Mapping[str, Sequence[str]]:
    """Lines of the zones for TRUST, from certificates in PEM."""
    leaf, root = x509.load_pem_x509_certificate(certificate), x509.load_pem_x509_certificate(authority)
    key = hashlib.sha256(leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    tlsa = {
        "dane-ee.example": f"3 1 1 {key}",
        "dane-ta.example": f"2 0 1 {hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()}",
        "dane-wrong.example": f"3 1 1 {'0' * 64}",
        "dane-notls.example": f"3 1 1 {key}",
        "dane-unusable.example": f"0 0 1 {'0' * 64}",
        "dane.plain": f"3 1 1 {'0' * 64}",
    }
    found: dict[str, list[str]] = {"example": [], "plain": []}
    for domain, (where, _) in TRUST.items():
        name, _, zone = domain.partition(".")
        lines = [f"{name} MX 10 mx.{name}", f"mx.{name} A {where}"]
        if domain in tlsa:
            lines.append(f"_{port}._tcp.mx.{name} TLSA {tlsa[domain]}")
        if name == "dane-bogus":
            lines.append(f"_{port}._tcp.mx.{name} CNAME tlsa.bogus.")
        if name.startswith("sts-"):
            lines += [f'_mta-sts.{name} TXT "v=STSv1; id=1;"', f"mta-sts.{name} A {POLICIES}"]
        found[zone] += lines
    return found
