"""crypto_mb: the real library is loaded and asked; the call itself is made, by its C signature, to a stand-in.

The stand-in reads the pointers as C would and does the arithmetic in Python, so a wrong order of arguments, a wrong
byte order or a dangling buffer shows, on any processor.
"""

import ctypes
import hashlib
from collections.abc import Sequence
from functools import cache

import pytest

from engine.signer.backend import BackendUnavailable, OpensslBackend
from engine.signer.choice import choose
from engine.signer.keys import PrivateKey, generate_key
from engine.signer.library import CRT_ARGUMENTS, LANES, Library, Version, load_library
from engine.signer.multibuffer import WRONG_CALLS, MultiBufferBackend

METHOD = 0x1234
SCRATCH = 4096


@cache
def keys() -> tuple[PrivateKey, ...]:
    return (generate_key("rsa"), generate_key("ed25519"), generate_key("rsa"))


def asked(count: int, indexes: Sequence[int] = (0, 1, 2)) -> list[tuple[int, bytes]]:
    return [(indexes[n % len(indexes)], hashlib.sha256(str(n).encode()).digest()) for n in range(count)]


def number(address: int, size: int) -> int:
    return int.from_bytes(ctypes.string_at(address, size), "little")


class StandIn:
    """What `ctypes.CDLL` would give, for a processor that has it all. `faults` lanes report an error, and from call
    `wrong_after` on every signature is off by one bit.
    """

    def __init__(self, *, width: int = LANES, wrong_after: int = 1 << 30, faults: frozenset[int] = frozenset()) -> None:
        self.calls = 0
        self.width = width
        self.wrong_after = wrong_after
        self.faults = faults
        self.faults_from = 2  # the first calls are the self-check
        self._version = Version(13, 3, 1, b"k1", b"crypto_mb", b"today", b"text")
        self.mbx_get_algo_info = self._function(ctypes.c_uint64, [ctypes.c_int], lambda _: self.width)
        self.mbx_RSA_private_crt_Method = self._function(ctypes.c_void_p, [ctypes.c_int], lambda _: METHOD)
        self.mbx_RSA_Method_BufSize = self._function(ctypes.c_int, [ctypes.c_void_p], lambda _: SCRATCH)
        self.mbx_rsa_private_crt_mb8 = self._function(ctypes.c_uint32, CRT_ARGUMENTS, self._sign)
        self.mbx_getversion = self._function(ctypes.c_void_p, [], lambda: ctypes.addressof(self._version))

    @staticmethod
    def _function(result, arguments, body):
        return ctypes.CFUNCTYPE(result, *arguments)(body)

    def _sign(self, source, to, *rest) -> int:
        *parts, bits, method, scratch = rest
        assert method == METHOD
        ctypes.memset(scratch, 0xAA, SCRATCH)
        self.calls += 1
        status = 0
        for lane in range(LANES):
            primes = [number(part[lane], bits // 16) for part in parts]
            if self.calls > self.faults_from and lane in self.faults:
                status |= 2 << (4 * lane)
            ctypes.memmove(to[lane], self._one(source[lane], bits // 8, primes), bits // 8)
        return status

    def _one(self, source: int, size: int, primes: list[int]) -> bytes:
        p, q, dp, dq, iq = primes
        message = int.from_bytes(ctypes.string_at(source, size), "big")
        of_p, of_q = pow(message % p, dp, p), pow(message % q, dq, q)
        signature = of_q + q * ((of_p - of_q) * iq % p)
        return (signature ^ (self.calls > self.wrong_after)).to_bytes(size, "big")


def backend(stand_in: StandIn, chosen: Sequence[PrivateKey] | None = None) -> MultiBufferBackend:
    chosen = keys() if chosen is None else chosen
    return MultiBufferBackend(Library(stand_in), chosen, OpensslBackend(chosen))


@pytest.mark.parametrize("count", [1, 5, 12, 17, 30])
def test_mixed_keys_and_kinds_give_what_openssl_gives(count: int) -> None:
    fast = backend(StandIn())
    assert fast.sign(asked(count)) == OpensslBackend(keys()).sign(asked(count))
    assert fast.fallbacks == 0
    assert fast.coverage == "2 of 3 keys"


def test_few_signatures_are_not_worth_a_call() -> None:
    stand_in = StandIn()
    fast = backend(stand_in)
    before = stand_in.calls
    assert fast.sign(asked(2, [0])) == OpensslBackend(keys()).sign(asked(2, [0]))
    assert stand_in.calls == before
    fast.sign(asked(9, [0]))
    assert stand_in.calls == before + 1  # eight in one call, the ninth alone


def test_a_lane_with_an_error_is_signed_by_openssl() -> None:
    fast = backend(StandIn(faults=frozenset({0, 3})))
    assert fast.sign(asked(8, [0, 2])) == OpensslBackend(keys()).sign(asked(8, [0, 2]))
    assert fast.fallbacks == 2


def test_wrong_signatures_never_leave_and_end_the_use_of_the_library() -> None:
    stand_in = StandIn(wrong_after=2)
    fast = backend(stand_in)
    for round_ in range(1, WRONG_CALLS + 3):
        assert fast.sign(asked(8, [0, 2])) == OpensslBackend(keys()).sign(asked(8, [0, 2]))
        assert fast.fallbacks == 8 * min(round_, WRONG_CALLS)
    assert stand_in.calls == 2 + WRONG_CALLS


def test_a_library_that_differs_from_openssl_at_the_start_is_not_used() -> None:
    choice = choose("auto", keys(), lambda: Library(StandIn(wrong_after=0)))
    assert choice.backend.name == "cryptography"
    assert "same signatures" in choice.reason


def test_a_processor_without_it_is_never_asked_to_sign() -> None:
    stand_in = StandIn(width=0)
    choice = choose("auto", keys(), lambda: Library(stand_in))
    assert choice.backend.name == "cryptography"
    assert "does not support this processor" in choice.reason
    assert stand_in.calls == 0
    with pytest.raises(BackendUnavailable, match=r"demanded, but .*processor.*; set the backend to auto"):
        choose("crypto_mb", keys(), lambda: Library(stand_in))


def test_the_choice_says_why() -> None:
    assert choose("cryptography", keys()).reason == "as configured"
    fast = choose("auto", keys(), lambda: Library(StandIn()))
    assert fast.backend.name == "crypto_mb"
    assert fast.reason == "crypto_mb 13.3.1 gives the same signatures as OpenSSL for 2 of 3 keys"
    assert "no key is RSA" in choose("auto", [keys()[1]], lambda: Library(StandIn())).reason


def test_the_real_library_loads_without_intels_runtime_and_answers() -> None:
    real = load_library()
    assert real.version.count(".") == 2
    assert not real.supports(2560)
    assert real.supports(2048) in {True, False}
    assert real.buffer_size(real.method(2048)) > 2048
    # Whatever this processor is, the choice must come out usable.
    choice = choose("auto", keys())
    assert choice.backend.name == ("crypto_mb" if real.supports(2048) else "cryptography")
    assert choice.backend.sign(asked(12)) == OpensslBackend(keys()).sign(asked(12))


def test_a_missing_or_foreign_package_is_a_reason_not_a_crash() -> None:
    assert "not installed" in choose("auto", keys(), lambda: load_library("no-such-package-here")).reason
    assert "holds no libcrypto_mb.so" in choose("auto", keys(), lambda: load_library("cryptography")).reason
