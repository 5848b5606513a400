"""RSA by crypto_mb: up to eight signatures, of whatever keys, in one call; the rest by OpenSSL.

It is never called on a processor that the library does not support, and before the first real signature it must have
given the same bytes as OpenSSL for every key. One signature of each call is verified; if that fails, the whole call is
done again by OpenSSL, because a wrong signature made by Chinese remainders gives the key away (Boneh, DeMillo, Lipton
1997), and after three such calls the library is not used any more.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from engine.signer.backend import PADDING, PREHASHED, BackendUnavailable, OpensslBackend
from engine.signer.frames import DIGEST_SIZE
from engine.signer.keys import PrivateKey
from engine.signer.library import ALGORITHMS, LANES, Library, Pointers
from engine.signer.operands import PrivateNumbers, encoded_head, quintuple

log = logging.getLogger(__name__)

WORTHWHILE = 3
"""Fewer are sooner done one by one: a call takes as long for one lane as for eight, about 2.5 OpenSSL signatures."""
WRONG_CALLS = 3


def private_numbers(key: RSAPrivateKey) -> PrivateNumbers:
    numbers = key.private_numbers()
    return PrivateNumbers(key.key_size, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)


class Operands:
    """One key's words in memory that does not move."""

    __slots__ = ("addresses", "bits", "memory")

    def __init__(self, numbers: PrivateNumbers) -> None:
        self.bits = numbers.bits
        # 64-bit elements: the library reads words, and ctypes aligns them.
        self.memory = [(ctypes.c_uint64 * (len(part) // 8)).from_buffer_copy(part) for part in quintuple(numbers)]
        self.addresses = tuple(ctypes.addressof(part) for part in self.memory)


class Lanes:
    """The eight inputs and outputs for one size of modulus, used again for every call."""

    __slots__ = (
        "_exports",
        "_inputs",
        "_library",
        "_memory",
        "_method",
        "_outputs",
        "_results",
        "_scratch",
        "bits",
        "size",
    )

    def __init__(self, library: Library, bits: int) -> None:
        self.bits = bits
        self.size = bits // 8
        self._library = library
        self._method = library.method(bits)
        if not self._method:
            raise BackendUnavailable(f"crypto_mb has no method for RSA with {bits} bits")
        self._scratch = ctypes.create_string_buffer(library.buffer_size(self._method))
        self._memory = bytearray(encoded_head(self.size) + bytes(DIGEST_SIZE)) * LANES
        self._results = bytearray(self.size * LANES)
        # While these views live, the byte arrays cannot move: a resize would be a BufferError.
        self._exports = [(ctypes.c_uint8 * len(memory)).from_buffer(memory) for memory in (self._memory, self._results)]
        self._inputs, self._outputs = (self._pointers(ctypes.addressof(export)) for export in self._exports)

    def _pointers(self, start: int) -> ctypes.Array[Any]:
        return Pointers(*(start + lane * self.size for lane in range(LANES)))

    def sign(self, keys: Sequence[Operands], digests: Sequence[bytes]) -> list[bytes | None]:
        """Up to eight; None where the library reports an error for the lane."""
        used = len(digests)
        for lane, digest in enumerate(digests):
            end = (lane + 1) * self.size
            self._memory[end - DIGEST_SIZE : end] = digest
        # Idle lanes sign again what lane 0 signs: every pointer is valid, and nothing new is signed.
        filled = [*keys, *[keys[0]] * (LANES - used)]
        operands = [Pointers(*(key.addresses[part] for key in filled)) for part in range(5)]
        status = self._library.sign(self._inputs, self._outputs, *operands, self.bits, self._method, self._scratch)
        return [
            None if status >> (4 * lane) & 0xF else bytes(self._results[lane * self.size : (lane + 1) * self.size])
            for lane in range(used)
        ]


class MultiBufferBackend:
    """Raises BackendUnavailable when nothing is gained or anything is doubtful here."""

    __slots__ = ("_calls", "_keys", "_lanes", "_operands", "_plain", "_publics", "_wrong", "fallbacks", "name")

    def __init__(self, library: Library, keys: Sequence[PrivateKey], plain: OpensslBackend) -> None:
        self.name = "crypto_mb"
        self.fallbacks = 0
        self._plain = plain
        self._keys = tuple(keys)
        self._publics = tuple(key.public_key() if isinstance(key, RSAPrivateKey) else None for key in keys)
        self._calls = 0
        self._wrong = 0
        self._operands = tuple(_operands(library, key) for key in keys)
        sizes = {operands.bits for operands in self._operands if operands is not None}
        if not sizes:
            raise BackendUnavailable(_why_none(library, keys))
        self._lanes = {bits: Lanes(library, bits) for bits in sizes}
        self._check_all()

    @property
    def coverage(self) -> str:
        """How many of the keys it signs for."""
        return f"{sum(operands is not None for operands in self._operands)} of {len(self._keys)} keys"

    def _check_all(self) -> None:
        digests = [hashlib.sha256(f"crypto_mb {lane}".encode()).digest() for lane in range(LANES)]
        for index, operands in enumerate(self._operands):
            if operands is None:
                continue
            expected: list[bytes | None] = [self._plain.sign_one(index, digest) for digest in digests]
            if self._lanes[operands.bits].sign([operands] * LANES, digests) != expected:
                raise BackendUnavailable("crypto_mb does not give the same signatures as OpenSSL")

    def sign(self, slice_: Sequence[tuple[int, bytes]]) -> list[bytes]:
        results: list[bytes] = [b""] * len(slice_)
        groups: dict[int, list[int]] = {}
        for place, (index, digest) in enumerate(slice_):
            operands = self._operands[index]
            if operands is None:
                results[place] = self._plain.sign_one(index, digest)
            else:
                groups.setdefault(operands.bits, []).append(place)
        for bits, places in groups.items():
            for start in range(0, len(places), LANES):
                self._sign_places(bits, places[start : start + LANES], slice_, results)
        return results

    def _sign_places(
        self, bits: int, places: list[int], slice_: Sequence[tuple[int, bytes]], results: list[bytes]
    ) -> None:
        chosen = [slice_[place] for place in places]
        if len(places) < WORTHWHILE or self._wrong >= WRONG_CALLS:
            signatures = self._plain.sign(chosen)
        else:
            signatures = self._sign_lanes(bits, chosen)
        for place, signature in zip(places, signatures, strict=True):
            results[place] = signature

    def _sign_lanes(self, bits: int, chosen: list[tuple[int, bytes]]) -> list[bytes]:
        operands = [found for index, _ in chosen if (found := self._operands[index]) is not None]
        given = self._lanes[bits].sign(operands, [digest for _, digest in chosen])
        self._calls += 1
        sample = self._calls % len(chosen)
        signature = given[sample]
        if signature is not None and not self._is_right(chosen[sample], signature):
            given = [None] * len(chosen)
            self._count_wrong()
        self.fallbacks += given.count(None)
        return [
            self._plain.sign_one(index, digest) if signature is None else signature
            for (index, digest), signature in zip(chosen, given, strict=True)
        ]

    def _is_right(self, asked: tuple[int, bytes], signature: bytes) -> bool:
        index, digest = asked
        public = self._publics[index]
        assert public is not None
        try:
            public.verify(signature, digest, PADDING, PREHASHED)
        except InvalidSignature:
            return False
        return True

    def _count_wrong(self) -> None:
        self._wrong += 1
        given_up = self._wrong >= WRONG_CALLS
        log.error("crypto_mb gave a wrong signature calls=%d wrong=%d given_up=%s", self._calls, self._wrong, given_up)


def _operands(library: Library, key: PrivateKey) -> Operands | None:
    if not isinstance(key, RSAPrivateKey) or not library.supports(key.key_size):
        return None
    numbers = private_numbers(key)
    return Operands(numbers) if numbers.is_balanced else None


def _why_none(library: Library, keys: Sequence[PrivateKey]) -> str:
    if not any(isinstance(key, RSAPrivateKey) for key in keys):
        return "no key is RSA"
    if not any(library.supports(bits) for bits in ALGORITHMS):
        return f"crypto_mb {library.version} does not support this processor (it needs AVX-512 IFMA or AVX-IFMA)"
    return "no RSA key has a size that crypto_mb supports (2048, 3072 or 4096)"
