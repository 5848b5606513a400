"""The port behind /c/{token}: double opt-in, where the holder of an address confirms a request for consent.

特定電子メール法 3条1項1号, 2項: the confirmed request is the record of consent. The page asks what a token is about
without any effect (link scanners look, too), and confirms on a button only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Confirmed(StrEnum):
    NOW = "now"
    BEFORE = "before"
    """It had been confirmed already: nothing new is recorded."""
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    """Not one of ours, cut, or for a request that was withdrawn."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What would be confirmed."""

    sender: str
    topics: tuple[str, ...] = ()
    """Empty: all of the sender's."""
    address: str = ""
    """Empty before it is confirmed where the token does not hold it: then the page shows the sender alone."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    result: Confirmed
    asked: Asked | None = None
    """What was confirmed, now or before."""


class Confirmations(Protocol):
    async def asked(self, token: str, now: float) -> Asked | None:
        """Changes nothing. None: unknown or expired."""
        ...

    async def confirm(self, token: str, *, source: str, user_agent: str, now: float) -> Confirmation:
        """After the sync. Raises Refusal "unavailable" when the ledger cannot be written."""
        ...


class NoConfirmations:
    """Nobody asks for consent here: every link is unknown."""

    async def asked(self, token: str, now: float) -> Asked | None:
        del token, now
        return None

    async def confirm(self, token: str, *, source: str, user_agent: str, now: float) -> Confirmation:
        del token, source, user_agent, now
        return Confirmation(Confirmed.UNKNOWN)
