"""Which backend signs here, and why: decided once by each worker at its start, told in the start-up log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.signer.backend import Backend, BackendUnavailable, OpensslBackend
from engine.signer.keys import PrivateKey
from engine.signer.library import Library, load_library
from engine.signer.multibuffer import MultiBufferBackend


@dataclass(frozen=True, slots=True)
class Choice:
    backend: Backend
    reason: str
    """One line."""


def choose(wanted: str, keys: Sequence[PrivateKey], load: Callable[[], Library] = load_library) -> Choice:
    """`wanted` is one of settings.BACKENDS. Raises BackendUnavailable when crypto_mb is demanded and cannot run."""
    plain = OpensslBackend(keys)
    if wanted == "cryptography":
        return Choice(plain, "as configured")
    try:
        library = load()
        fast = MultiBufferBackend(library, keys, plain)
    except BackendUnavailable as unavailable:
        if wanted == "crypto_mb":
            text = f"signer backend crypto_mb is demanded, but {unavailable}; set the backend to auto"
            raise BackendUnavailable(text) from None
        return Choice(plain, str(unavailable))
    return Choice(fast, f"crypto_mb {library.version} gives the same signatures as OpenSSL for {fast.coverage}")
