"""[admin] of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AdminSettings:
    listen: str = "127.0.0.1:9180"
    """host:port; empty switches the listener off. Another host than loopback shows mailing names to the network."""
    hosts: tuple[str, ...] = ()
    """Further names that a request's Host field may carry."""
    token_file: Path = Path("admin.token")
    """Who shows the token in it may act on the live page; relative to engine.state."""
