"""The words handed to crypto_mb, read back by arithmetic of this file's own and compared with OpenSSL."""

import hashlib
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from engine.signer.backend import PADDING, PREHASHED
from engine.signer.multibuffer import private_numbers
from engine.signer.operands import PrivateNumbers, encoded_head, quintuple, words


@cache
def key(bits: int) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


def from_words(part: bytes) -> int:
    """Sum of word[i] * 2^(64 i), each word read by itself."""
    assert len(part) % 8 == 0
    total = 0
    for place in range(len(part) // 8):
        word = 0
        for byte in reversed(part[place * 8 : place * 8 + 8]):
            word = word << 8 | byte
        total += word << (64 * place)
    return total


def test_words_are_least_significant_first() -> None:
    assert words(1, 128) == b"\1" + bytes(15)
    assert words(1 << 64, 128) == bytes(8) + b"\1" + bytes(7)
    assert words(0x0102, 64) == b"\2\1" + bytes(6)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_the_quintuple_signs_as_openssl_does(bits: int) -> None:
    digest = hashlib.sha256(b"probe").digest()
    parts = quintuple(private_numbers(key(bits)))
    assert {len(part) for part in parts} == {bits // 16}
    p, q, dp, dq, qinv = (from_words(part) for part in parts)
    block = encoded_head(bits // 8) + digest
    assert len(block) == bits // 8
    message = int.from_bytes(block, "big")
    of_p, of_q = pow(message % p, dp, p), pow(message % q, dq, q)
    signature = of_q + q * ((of_p - of_q) * qinv % p)
    assert signature.to_bytes(bits // 8, "big") == key(bits).sign(digest, PADDING, PREHASHED)


def test_the_encoded_message_is_that_of_rfc_8017_9_2() -> None:
    head = encoded_head(256)
    assert head == b"\x00\x01" + b"\xff" * 202 + b"\x00" + bytes.fromhex("3031300d060960864801650304020105000420")
    assert len(head) == 256 - 32


def test_balanced_means_half_the_bits_each() -> None:
    assert private_numbers(key(2048)).is_balanced
    assert not PrivateNumbers(2048, p=1 << 1024, q=1 << 1022, dp=1, dq=1, qinv=1).is_balanced


def test_repr_shows_nothing_of_the_key() -> None:
    numbers = private_numbers(key(2048))
    assert str(numbers.p) not in repr(numbers)
