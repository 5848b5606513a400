"""How crypto_mb wants an RSA private operation laid out in memory (its header rsa.h). Pure.

The input of a lane is the encoded message itself, big-endian, as long as the modulus: EMSA-PKCS1-v1_5 (RFC 8017 9.2)
of a SHA-256 digest. The key goes in as the Chinese remainder quintuple p, q, dP, dQ, qInv (RFC 8017 3.2), each as
64-bit words, least significant word first, as many words as half the modulus has.
"""

from __future__ import annotations

from dataclasses import dataclass

SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""DER of DigestInfo for SHA-256 up to the digest (RFC 8017 9.2, note 1)."""


@dataclass(frozen=True, slots=True, repr=False)
class PrivateNumbers:
    """An RSA private key; `repr` shows nothing of it."""

    bits: int
    p: int
    q: int
    dp: int
    dq: int
    qinv: int
    """q^-1 mod p."""

    @property
    def is_balanced(self) -> bool:
        """Both primes have exactly half the bits: what the library's fixed number of words presumes."""
        return self.p.bit_length() == self.q.bit_length() == self.bits // 2


def words(value: int, bits: int) -> bytes:
    """`value` as bits / 64 words, least significant first; on this byte order that is plain little-endian."""
    return value.to_bytes(bits // 8, "little")


def quintuple(numbers: PrivateNumbers) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """In the order of the library's arguments: p, q, dp, dq, iq."""
    half = numbers.bits // 2
    p, q, dp, dq, qinv = (words(value, half) for value in (numbers.p, numbers.q, numbers.dp, numbers.dq, numbers.qinv))
    return p, q, dp, dq, qinv


def encoded_head(size: int) -> bytes:
    """The encoded message of `size` bytes up to the digest, which is its last 32 bytes."""
    padding = size - 3 - len(SHA256_INFO) - 32
    return b"\x00\x01" + b"\xff" * padding + b"\x00" + SHA256_INFO
