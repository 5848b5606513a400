"""The shared library crypto_mb of the wheel `ipp-crypto`, by ctypes: found, loaded, asked what this processor can.

The library names four runtime libraries of Intel's compiler as NEEDED and takes no symbol from them; their package is
large and under a closed licence. A private copy without these names is made in anonymous memory and loaded from there:
nothing stays on disk that could be tampered with or outlive its original. The library binds all symbols at load, so a
version that does take something from them fails here, as a reason to sign by OpenSSL, and not later.
"""

from __future__ import annotations

import ctypes
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from engine.signer.backend import BackendUnavailable
from engine.signer.elf import ElfError, without_needed

PACKAGE = "ipp-crypto"
FILE_NAME = "libcrypto_mb.so"
UNUSED = frozenset({"libsvml.so", "libirng.so", "libimf.so", "libintlc.so.5"})
IMAGE_LIMIT = 64 << 20
LANES = 8
ALGORITHMS = {2048: 1, 3072: 2, 4096: 3}
"""enum MBX_ALGO of cpu_features.h by modulus bits."""

Pointers = ctypes.c_void_p * LANES
CRT_ARGUMENTS = (ctypes.POINTER(ctypes.c_void_p),) * 7 + (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
"""from, to, p, q, dp, dq, iq: eight pointers each; modulus bits; method; scratch buffer."""


class Version(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
        ("patch", ctypes.c_int),
        ("target_cpu", ctypes.c_char * 4),
        ("name", ctypes.c_char_p),
        ("build_date", ctypes.c_char_p),
        ("text", ctypes.c_char_p),
    )


class Library:
    """The few functions that are used, with their types. `sign` must not be called unless `supports` says yes."""

    __slots__ = ("_algorithm_info", "buffer_size", "loaded", "method", "sign")

    def __init__(self, loaded: Any) -> None:
        self.loaded = loaded
        self._algorithm_info = loaded.mbx_get_algo_info
        self._algorithm_info.argtypes = (ctypes.c_int,)
        self._algorithm_info.restype = ctypes.c_uint64
        self.method = loaded.mbx_RSA_private_crt_Method
        self.method.argtypes = (ctypes.c_int,)
        self.method.restype = ctypes.c_void_p
        self.buffer_size = loaded.mbx_RSA_Method_BufSize
        self.buffer_size.argtypes = (ctypes.c_void_p,)
        self.buffer_size.restype = ctypes.c_int
        self.sign = loaded.mbx_rsa_private_crt_mb8
        self.sign.argtypes = CRT_ARGUMENTS
        self.sign.restype = ctypes.c_uint32

    def supports(self, bits: int) -> bool:
        """Asks the library, which asks the processor and the operating system."""
        return bits in ALGORITHMS and bool(self._algorithm_info(ALGORITHMS[bits]) & LANES)

    @property
    def version(self) -> str:
        get = self.loaded.mbx_getversion
        get.restype = ctypes.POINTER(Version)
        found = get().contents
        return f"{found.major}.{found.minor}.{found.patch}"


def load_library(package: str = PACKAGE) -> Library:
    """Raises BackendUnavailable."""
    file = find_library(package)
    try:
        with file.open("rb") as stream:
            image = without_needed(stream.read(IMAGE_LIMIT), UNUSED)
        return Library(_load_image(image))
    except (OSError, ElfError, AttributeError) as error:
        raise BackendUnavailable(f"{FILE_NAME} of {package} cannot be loaded ({_one_line(error)})") from None


def find_library(package: str = PACKAGE) -> Path:
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise BackendUnavailable(f"the package {package} is not installed (extra crypto-mb)") from None
    for file in files:
        if file.name == FILE_NAME:
            return Path(str(file.locate())).resolve()
    raise BackendUnavailable(f"the package {package} holds no {FILE_NAME}")


def _load_image(image: bytes) -> ctypes.CDLL:
    descriptor = os.memfd_create(FILE_NAME, os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            stream.write(image)
        return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)  # the mapping keeps the memory


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
