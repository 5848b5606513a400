"""LAW.md 2.2 (rows 1, 5 to 12), 2.3 and 2.4, cell by cell, in the order of their columns."""

from __future__ import annotations

import pytest

from suppression.decision import Category, Decision, Verdict
from suppression.events import AddressState, Basis, Covers
from suppression.policy import decide
from suppression.standing import Ground, Refusal, Stand

COLUMNS = ("AD", "AD_MO", "TX_AD", "OTHER_AD", "FREE_AD", "CONFIRM", "TX", "NP")
BOTH = Covers.AD | Covers.MAIL_ORDER

CONSENT = """
OPTIN_REC         +C1_OPTIN -         +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
OPTIN_NOREC       NO_CONSENT_RECORD NO_CONSENT_RECORD +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
MO_REC            +C1_OPTIN +C1_MO    +R6_1 +R6_3 +R6_2 CONFIRM_NEEDLESS +NOT_SPECIFIED +NOT_SPECIFIED
BIZREL            +EX3_BIZREL MO_EX_BIZREL +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
CARD              +EX2_CARD MO_EX_CARD +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
ADDR_GIVEN        ADDR_NOT_WRITTEN ADDR_NOT_WRITTEN +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED         +EX4_PUBLISHED MO_EX_PUBLISHED +R6_1 +EX4_PUBLISHED +R6_2 +EX4_PUBLISHED +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED_NOADS   PUBLISHED_NOADS PUBLISHED_NOADS ~PUBLISHED_NOADS ~PUBLISHED_NOADS ~PUBLISHED_NOADS PUBLISHED_NOADS +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED_PRIVATE PUBLISHED_PRIVATE PUBLISHED_PRIVATE ~PUBLISHED_PRIVATE ~PUBLISHED_PRIVATE PUBLISHED_PRIVATE PUBLISHED_PRIVATE +NOT_SPECIFIED +NOT_SPECIFIED
NONE              NO_CONSENT NO_CONSENT ~NO_CONSENT NO_CONSENT ~NO_CONSENT CONFIRM_NOT_NOTIFIED +NOT_SPECIFIED +NOT_SPECIFIED
"""
REFUSAL = """
TOPIC      OPTOUT_TOPIC OPTOUT_TOPIC ~OPTOUT_TOPIC ~OPTOUT_TOPIC +R6_2 OPTOUT_TOPIC +NOT_SPECIFIED OPTOUT_TOPIC
ALL        OPTOUT_ALL OPTOUT_ALL ~OPTOUT_ALL ~OPTOUT_ALL +R6_2 OPTOUT_ALL +NOT_SPECIFIED OPTOUT_ALL
COMPLAINT  COMPLAINT COMPLAINT ~COMPLAINT COMPLAINT +R6_2 COMPLAINT +NOT_SPECIFIED COMPLAINT
"""


def cells(table):
    for line in table.strip().splitlines():
        row, *words = line.split()
        assert len(words) == len(COLUMNS)
        for category, word in zip(COLUMNS, words, strict=True):
            if word != "-":
                yield row, category, expected(word)


def expected(word):
    if word[0] == "+":
        return Decision(Verdict.SEND, "", word[1:])
    if word[0] == "~":
        return Decision(Verdict.STRIP, word[1:], "")
    return Decision(Verdict.BLOCK, word, "")


@pytest.mark.parametrize(("row", "category", "decision"), list(cells(CONSENT)))
def test_consent(row, category, decision) -> None:
    grounds = frozenset() if row == "NONE" else frozenset({Ground(Basis[row], BOTH)})
    assert decide(category, AddressState.OK, Stand(grounds=grounds)) == decision


@pytest.mark.parametrize(("row", "category", "decision"), list(cells(REFUSAL)))
@pytest.mark.parametrize("basis", [None, *(basis for basis in Basis if basis is not Basis.ADDR_GIVEN)])
def test_a_refusal_overrides_every_ground(row, category, decision, basis) -> None:
    grounds = frozenset() if basis is None else frozenset({Ground(basis, BOTH)})
    assert decide(category, AddressState.OK, Stand(Refusal[row], grounds)) == decision


@pytest.mark.parametrize(
    ("covers", "ad", "mail_order"),
    [
        (Covers.AD, expected("+C1_OPTIN"), expected("MO_NO_ACCEPT")),
        (Covers.MAIL_ORDER, expected("NO_CONSENT"), expected("+C1_MO")),
        (BOTH, expected("+C1_OPTIN"), expected("+C1_MO")),
    ],
)
@pytest.mark.parametrize("basis", [Basis.OPTIN_REC, Basis.MO_REC])
def test_consent_covers_what_it_says_and_nothing_else(basis, covers, ad, mail_order) -> None:
    stand = Stand(grounds=frozenset({Ground(basis, covers)}))
    assert decide("AD", AddressState.OK, stand) == ad
    assert decide("AD_MO", AddressState.OK, stand) == mail_order


def test_a_sign_up_after_the_refusal_may_be_asked_once_more_but_not_after_a_complaint() -> None:
    given = frozenset({Ground(Basis.ADDR_GIVEN, Covers.AD)})
    for refusal in (Refusal.TOPIC, Refusal.ALL):
        assert decide("CONFIRM", AddressState.OK, Stand(refusal, given)) == expected("+R2_CONFIRM")
    assert decide("CONFIRM", AddressState.OK, Stand(Refusal.COMPLAINT, given)) == expected("COMPLAINT")


def test_of_several_grounds_the_best_counts() -> None:
    grounds = frozenset({Ground(Basis.ADDR_GIVEN, BOTH), Ground(Basis.BIZREL, BOTH), Ground(Basis.OPTIN_NOREC, BOTH)})
    assert decide("AD", AddressState.OK, Stand(grounds=grounds)) == expected("+EX3_BIZREL")
    assert decide("AD_MO", AddressState.OK, Stand(grounds=grounds)) == expected("NO_CONSENT_RECORD")


@pytest.mark.parametrize("category", COLUMNS)
@pytest.mark.parametrize(
    ("state", "decision"),
    [
        (AddressState.NULL_MX, expected("ADDR_NULLMX")),
        (AddressState.FICT_CONFIRMED, expected("ADDR_FICTITIOUS")),
        (AddressState.FICT_SUSPECT, Decision(Verdict.HOLD, "ADDR_FICT_REVIEW", "")),
        (AddressState.UNKNOWN_USER, expected("ADDR_UNKNOWN")),
    ],
)
def test_a_bad_mailbox_gets_nothing_whatever_the_rest(state, decision, category) -> None:
    consent = frozenset({Ground(Basis.OPTIN_REC, BOTH)})
    assert decide(category, state, Stand(Refusal.ALL)) == decision
    assert decide(category, state, Stand(grounds=consent)) == decision


@pytest.mark.parametrize("category", ["", "ad", "AD ", "SPAM", "\0"])
def test_an_unknown_category_is_blocked(category) -> None:
    stand = Stand(grounds=frozenset({Ground(Basis.OPTIN_REC, BOTH)}))
    assert decide(category, AddressState.OK, stand) == expected("CAT_UNKNOWN")


def test_every_combination_has_a_decision_that_says_why() -> None:
    for category in Category:
        for state in AddressState:
            for refusal in Refusal:
                for basis in Basis:
                    made = decide(category, state, Stand(refusal, frozenset({Ground(basis, Covers.AD)})))
                    assert bool(made.basis) == (made.verdict is Verdict.SEND)
                    assert bool(made.reason) == (made.verdict is not Verdict.SEND)
