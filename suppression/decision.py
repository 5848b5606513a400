"""The words of a decision: category of a message, verdict, reason, legal basis.

Categories are those of 特定電子メール法 2条2号 and its ordinance; the names are the ones that a sender writes into
each submit. A verdict other than SEND always carries a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    AD = "AD"
    """特定電子メール: advertising (2条2号)."""
    AD_MO = "AD_MO"
    """Mail-order advertising: 特定商取引法 12条の3 applies too."""
    TX_AD = "TX_AD"
    """Contract notice with an incidental advertisement (施行規則6条1号)."""
    OTHER_AD = "OTHER_AD"
    """Other main purpose with an incidental advertisement (施行規則6条3号)."""
    FREE_AD = "FREE_AD"
    """Advertisement added by a free mail provider (施行規則6条2号)."""
    CONFIRM = "CONFIRM"
    """The one mail that asks for consent (施行規則2条1項2号)."""
    TX = "TX"
    """Purely transactional."""
    NP = "NP"
    """Sender without business purpose: outside 2条2号."""


class Verdict(StrEnum):
    SEND = "SEND"
    STRIP = "STRIP"
    """Only the variant without the advertisement may go."""
    HOLD = "HOLD"
    BLOCK = "BLOCK"


@dataclass(frozen=True, slots=True)
class Decision:
    """Equal decisions are one object: comparing and counting cost nothing."""

    verdict: Verdict
    reason: str
    """Reason code such as NO_CONSENT or OPTOUT_ALL; empty for SEND."""
    basis: str
    """Legal basis code of a SEND such as C1_OPTIN or NOT_SPECIFIED; empty otherwise."""
