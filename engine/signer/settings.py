"""What the signer is told and what it tells about itself: plain values, shared by the core and the workers.

No key material stands here: a key is named by its file, and what comes back is public (RFC 6376 3.6.1). This file
imports no cryptography, so that the core process never has the means to read a private key by accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BACKENDS = ("auto", "cryptography", "crypto_mb")
BACKEND_VARIABLE = "SOKUTATSU_SIGNER_BACKEND"
"""Environment variable that overrides `backend`, for measuring and for emergencies."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One private key in PEM form; `domain` and `selector` are the d= and s= that it signs for."""

    domain: str
    selector: str
    file: Path


@dataclass(frozen=True, slots=True)
class SignerSettings:
    keys: tuple[KeyFile, ...]
    workers: int = 0
    """0: one per core that this process may use."""
    backend: str = "auto"
    nice: int = 5
    """How far the workers stand back behind the core process, which must stay prompt."""
    start_seconds: float = 30.0
    """A worker that has not said that it is ready by then counts as failed."""
    restart_wait: float = 0.1
    """Seconds after a failed attempt to replace a worker; doubles with each further one."""
    stall_seconds: float = 30.0
    """A worker that owes signatures and gives none for so long is killed and replaced."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as the core knows it. `index` is what `sign` takes."""

    index: int
    domain: str
    selector: str
    algorithm: str
    """As in a=: "rsa-sha256" or "ed25519-sha256"."""
    size: int
    """Bytes of one signature."""
    public: str
    """Base64, as it stands in p= of the DNS record."""


def key_infos(files: tuple[KeyFile, ...], described: object) -> tuple[KeyInfo, ...]:
    """`described` is what a worker says in its greeting of the keys that it has read, in the order of `files`."""
    assert isinstance(described, list)
    return tuple(
        KeyInfo(
            index=index,
            domain=file.domain,
            selector=file.selector,
            algorithm=key["algorithm"],
            size=key["size"],
            public=key["public"],
        )
        for index, (file, key) in enumerate(zip(files, described, strict=True))
    )
