"""Signing backends: how a slice of digests becomes signatures, inside a worker.

`cryptography` (OpenSSL) signs everything one by one: PKCS#1 v1.5 over a SHA-256 digest (RFC 6376 3.3.1), and Ed25519
over the 32 bytes of the digest itself (RFC 8463 3). crypto_mb (multibuffer.py) signs eight RSA digests in one call
where the processor can; choice.py decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from engine.signer.keys import PrivateKey

PADDING = PKCS1v15()
PREHASHED = Prehashed(SHA256())


class Backend(Protocol):
    name: str
    fallbacks: int
    """Signatures that the fast way did not give and OpenSSL did."""

    def sign(self, slice_: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """(key index, 32 bytes of digest) each; signatures in the same order."""
        ...


class BackendUnavailable(Exception):  # noqa: N818 - a fact about this machine
    """Why the fast backend cannot run here."""


class OpensslBackend:
    """One by one, by the `cryptography` package."""

    __slots__ = ("_keys", "fallbacks")

    name = "cryptography"

    def __init__(self, keys: Sequence[PrivateKey]) -> None:
        self._keys = tuple(keys)
        self.fallbacks = 0

    def sign(self, slice_: Sequence[tuple[int, bytes]]) -> list[bytes]:
        return [self.sign_one(index, digest) for index, digest in slice_]

    def sign_one(self, index: int, digest: bytes) -> bytes:
        key = self._keys[index]
        if isinstance(key, RSAPrivateKey):
            return key.sign(digest, PADDING, PREHASHED)
        return key.sign(digest)
