"""The decision: may a message of this category go to an address that stands so? (LAW.md 2.2 to 2.4)

特定電子メール法 3条, 6条, 施行規則2条・3条・6条; 特定商取引法 12条の3. Two tables by category, one for a refusal and
one for the ground to send, read in the order of precedence of LAW.md 2.2; several grounds give the best of their cells.
Not asked here yet: identity, orders, display, region (rows 2 to 4, 13, 14). Whatever has no row is blocked.
"""

from __future__ import annotations

from typing import Final

from suppression.decision import Category, Decision, Verdict
from suppression.events import AddressState, Basis, Covers
from suppression.standing import Ground, Refusal, Stand

_AD, _AD_MO, _TX_AD, _OTHER_AD = Category.AD, Category.AD_MO, Category.TX_AD, Category.OTHER_AD
_FREE_AD, _CONFIRM, _TX, _NP = Category.FREE_AD, Category.CONFIRM, Category.TX, Category.NP


def _send(basis: str) -> Decision:
    return Decision(Verdict.SEND, "", basis)


def _strip(reason: str) -> Decision:
    return Decision(Verdict.STRIP, reason, "")


def _block(reason: str) -> Decision:
    return Decision(Verdict.BLOCK, reason, "")


CAT_UNKNOWN: Final = _block("CAT_UNKNOWN")
ADDR_SYNTAX: Final = _block("ADDR_SYNTAX")
UNAVAILABLE: Final = _block("SUPPRESSION_UNAVAILABLE")

MAILBOX: Final[dict[AddressState, Decision]] = {
    AddressState.NULL_MX: _block("ADDR_NULLMX"),
    AddressState.FICT_CONFIRMED: _block("ADDR_FICTITIOUS"),
    AddressState.FICT_SUSPECT: Decision(Verdict.HOLD, "ADDR_FICT_REVIEW", ""),
    AddressState.UNKNOWN_USER: _block("ADDR_UNKNOWN"),
}
"""Rows 5 to 8: whatever the category (特電法6条 covers any bulk mail for business)."""

_R6_1, _R6_2, _R6_3 = _send("R6_1"), _send("R6_2"), _send("R6_3")
_FREE: Final = _send("NOT_SPECIFIED")
_ONCE: Final = _send("R2_CONFIRM")
_NO_CONSENT, _NO_RECORD = _block("NO_CONSENT"), _block("NO_CONSENT_RECORD")
_C1, _C1_MO = _send("C1_OPTIN"), _send("C1_MO")
_NOADS, _PRIVATE = _block("PUBLISHED_NOADS"), _block("PUBLISHED_PRIVATE")


def _refused(reason: str) -> dict[Category, Decision]:
    """One row of LAW.md 2.4. TX_AD: 施行規則6条1号 would let it go, 12条の3 2項 not if the advertisement is for mail
    order, and nobody says here which it is: the ad comes out (A1). OTHER_AD: against the will is doubtful now.
    """
    blocked, stripped = _block(reason), _strip(reason)
    return {
        **dict.fromkeys((_AD, _AD_MO, _CONFIRM, _NP), blocked),
        **dict.fromkeys((_TX_AD, _OTHER_AD), stripped),
        _FREE_AD: _R6_2,
        _TX: _FREE,
    }


REFUSED: Final[dict[Refusal, dict[Category, Decision]]] = {
    Refusal.TOPIC: _refused("OPTOUT_TOPIC"),
    Refusal.ALL: _refused("OPTOUT_ALL"),
    # Row 9 of 2.2 lets no OTHER_AD go after a complaint.
    Refusal.COMPLAINT: {**_refused("COMPLAINT"), _OTHER_AD: _block("COMPLAINT")},
}

_INCIDENTAL: Final = {_TX_AD: _R6_1, _OTHER_AD: _R6_3, _FREE_AD: _R6_2, _TX: _FREE, _NP: _FREE}
"""What may go to whoever gave the address or is a party, without consent to advertising."""


def _exempt(basis: str, mail_order: str) -> dict[Category, Decision]:
    """2 to 4号: advertising may go, mail-order advertising never (leaflet ※1)."""
    return {**_INCIDENTAL, _AD: _send(basis), _AD_MO: _block(mail_order), _CONFIRM: _ONCE}


GROUNDS: Final[dict[Basis, dict[Category, Decision]]] = {
    Basis.OPTIN_REC: {**_INCIDENTAL, _AD: _C1, _AD_MO: _C1_MO, _CONFIRM: _ONCE},
    Basis.MO_REC: {**_INCIDENTAL, _AD: _C1, _AD_MO: _C1_MO, _CONFIRM: _block("CONFIRM_NEEDLESS")},
    Basis.OPTIN_NOREC: {**_INCIDENTAL, _AD: _NO_RECORD, _AD_MO: _NO_RECORD, _CONFIRM: _ONCE},
    Basis.BIZREL: _exempt("EX3_BIZREL", "MO_EX_BIZREL"),
    Basis.CARD: _exempt("EX2_CARD", "MO_EX_CARD"),
    Basis.ADDR_GIVEN: {
        **_INCIDENTAL,
        _AD: _block("ADDR_NOT_WRITTEN"),
        _AD_MO: _block("ADDR_NOT_WRITTEN"),
        _CONFIRM: _ONCE,
    },
    Basis.PUBLISHED: {
        **_exempt("EX4_PUBLISHED", "MO_EX_PUBLISHED"),
        _OTHER_AD: _send("EX4_PUBLISHED"),
        _CONFIRM: _send("EX4_PUBLISHED"),
    },
    # TX_AD to these two may go to a party of the contract only; that is another ground of its own (BIZREL, ADDR_GIVEN).
    Basis.PUBLISHED_NOADS: {
        **dict.fromkeys((_AD, _AD_MO, _CONFIRM), _NOADS),
        **dict.fromkeys((_TX_AD, _OTHER_AD, _FREE_AD), _strip("PUBLISHED_NOADS")),
        **dict.fromkeys((_TX, _NP), _FREE),
    },
    Basis.PUBLISHED_PRIVATE: {
        **dict.fromkeys((_AD, _AD_MO, _CONFIRM, _FREE_AD), _PRIVATE),
        **dict.fromkeys((_TX_AD, _OTHER_AD), _strip("PUBLISHED_PRIVATE")),
        **dict.fromkeys((_TX, _NP), _FREE),
    },
}
"""LAW.md 2.3, a row for each basis."""

NO_GROUND: Final[dict[Category, Decision]] = {
    **dict.fromkeys((_AD, _AD_MO, _OTHER_AD), _NO_CONSENT),
    **dict.fromkeys((_TX_AD, _FREE_AD), _strip("NO_CONSENT")),
    _CONFIRM: _block("CONFIRM_NOT_NOTIFIED"),
    _TX: _FREE,
    _NP: _FREE,
}
"""The row NONE of LAW.md 2.3."""

_NEEDED: Final = {_AD: Covers.AD, _AD_MO: Covers.MAIL_ORDER}
_UNCOVERED: Final = {_AD: _NO_CONSENT, _AD_MO: _block("MO_NO_ACCEPT")}

_RANK: Final = {Verdict.SEND: 3, Verdict.STRIP: 2, Verdict.HOLD: 1, Verdict.BLOCK: 0}


def decide(category: str, address: AddressState, stand: Stand) -> Decision:
    """Total: any category text, known or not, gives a decision."""
    try:
        known = Category(category)
    except ValueError:
        return CAT_UNKNOWN
    if address is not AddressState.OK:
        return MAILBOX[address]
    if stand.refusal is not Refusal.NONE:
        return _refused_decision(known, stand)
    return _best([_cell(known, ground) for ground in sorted(stand.grounds)], NO_GROUND[known])


def _refused_decision(category: Category, stand: Stand) -> Decision:
    """A refused address may be asked once more when its holder signed up after the refusal: the fold keeps an
    address given only if it is later.
    """
    asked = any(ground.basis is Basis.ADDR_GIVEN for ground in stand.grounds)
    if category is _CONFIRM and asked and stand.refusal is not Refusal.COMPLAINT:
        return _ONCE
    return REFUSED[stand.refusal][category]


def _cell(category: Category, ground: Ground) -> Decision:
    decision = GROUNDS[ground.basis][category]
    needed = _NEEDED.get(category)
    if needed is None or decision.verdict is not Verdict.SEND or ground.covers & needed:
        return decision
    return _UNCOVERED[category]


def _best(cells: list[Decision], otherwise: Decision) -> Decision:
    """The first of the best, so that the reason is that of the strongest basis."""
    return max(cells, key=lambda cell: _RANK[cell.verdict], default=otherwise)
