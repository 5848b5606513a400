"""Secrets of the engine: made on the first start, read again on every other, refused when others may read them."""

from __future__ import annotations

from pathlib import Path

from suppression.secret import create_secret, read_secret


def secret_at(path: Path) -> bytes:
    """32 bytes. Raises SecretError with file and remedy."""
    return read_secret(path) or create_secret(path)
