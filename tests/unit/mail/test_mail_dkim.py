"""DKIM: canonical forms by the examples of RFC 6376 3.4.5, the signature field, folding."""

import re

import pytest
from mail_samples import ED, RSA

from engine.mail.dkim import (
    OVERSIGNED,
    SignatureField,
    body_hash,
    fold_signature,
    relaxed_body,
    relaxed_field,
    signed_names,
)


def test_relaxed_field() -> None:
    assert relaxed_field(b"A", b" X\r\n") == b"a:X\r\n"
    assert relaxed_field(b"B ", b" Y\t\r\n\tZ  \r\n") == b"b:Y Z\r\n"
    assert relaxed_field(b"C", b"") == b"c:\r\n"


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \t\r\n \r\n", b""),
        (b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\t\r\n", b"a\r\n"),
    ],
)
def test_relaxed_body(body: bytes, canonical: bytes) -> None:
    assert relaxed_body(body) == canonical


def test_body_hash_of_nothing() -> None:
    # The value of RFC 6376 3.4.4 for an empty body.
    assert body_hash(b"") == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def test_names() -> None:
    assert signed_names(["X-A", "From", "List-Unsubscribe"]) == ["From", "List-Unsubscribe", *OVERSIGNED]


def test_signature_field() -> None:
    field = SignatureField(RSA, ["From", "List-Unsubscribe-Post"] * 9)
    field.at(1_700_000_000)
    first = field.wire
    assert max(map(len, first.split(b"\r\n"))) <= 78
    assert first.endswith(b";\r\n\tbh=")
    assert field.canonical.startswith(
        b"dkim-signature:v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.jp; s=r2026; t=1700000000; h="
    )
    assert field.canonical.endswith(b"; bh=")
    names = re.sub(rb"\s", b"", re.search(rb"h=([^;]*);", first)[1])  # type: ignore[index]
    assert names == b":".join([b"From", b"List-Unsubscribe-Post"] * 9)
    field.at(1_700_000_000)
    assert field.wire is first
    field.at(1_700_000_001)
    assert b"t=1700000001" in field.wire
    assert b"t=1700000001" in field.canonical
    assert field.key is RSA
    assert SignatureField(ED, ["From"]).wire == b""


@pytest.mark.parametrize("size", [64, 256, 512])
def test_fold_signature(size: int) -> None:
    lines = fold_signature(b"s" * size).split(b"\r\n\t")
    assert {len(line) for line in lines[:-1]} <= {72}
    assert 0 < len(lines[-1]) <= 72
