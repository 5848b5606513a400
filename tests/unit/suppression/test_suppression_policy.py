"""Every cell of the decision, written out here a second time and independently of suppression/rules/*.toml."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from suppression.day import number_of
from suppression.decision import Category, Decision, Verdict
from suppression.events import AddressState, Basis, Covers
from suppression.order import OrderKind, OrderState
from suppression.policy import Circumstances, decide, explain
from suppression.reasons import packaged_tables
from suppression.standing import Ground, Refusal, Stand
from suppression.tables import in_force

TODAY = number_of(date(2026, 7, 1))
RULES = in_force(packaged_tables(), TODAY)
NOW = Circumstances(TODAY)
NO_MAIL_ORDER = replace(NOW, mail_order=False)
COLUMNS = ("AD", "AD_MO", "TX_AD", "OTHER_AD", "FREE_AD", "CONFIRM", "TX", "NP")
BOTH = Covers.AD | Covers.MAIL_ORDER
OK = AddressState.OK

# "+X" sends on the basis X, "~X" sends without the advertisement, "?X" holds, "X" blocks. "a|b": a if the incidental
# advertisement may be for mail order, b if the sender has declared that it is not.
CONSENT = """
OPTIN_REC         +C1_OPTIN +C1_MO +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
OPTIN_NOREC       NO_CONSENT_RECORD NO_CONSENT_RECORD +R6_1 ~MO_INCIDENTAL|+R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
MO_REC            +C1_OPTIN +C1_MO +R6_1 +R6_3 +R6_2 CONFIRM_NEEDLESS +NOT_SPECIFIED +NOT_SPECIFIED
BIZREL            +EX3_BIZREL MO_EX_BIZREL +R6_1 ~MO_INCIDENTAL|+R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
CARD              +EX2_CARD MO_EX_CARD +R6_1 ~MO_INCIDENTAL|+R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
ADDR_GIVEN        ADDR_NOT_WRITTEN ADDR_NOT_WRITTEN +R6_1 ~MO_INCIDENTAL|+R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED         +EX4_PUBLISHED MO_EX_PUBLISHED +R6_1 ~MO_INCIDENTAL|+EX4_PUBLISHED +R6_2 +EX4_PUBLISHED +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED_NOADS   PUBLISHED_NOADS PUBLISHED_NOADS ~PUBLISHED_NOADS ~PUBLISHED_NOADS ~PUBLISHED_NOADS PUBLISHED_NOADS +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED_PRIVATE PUBLISHED_PRIVATE PUBLISHED_PRIVATE ~PUBLISHED_PRIVATE ~PUBLISHED_PRIVATE PUBLISHED_PRIVATE PUBLISHED_PRIVATE +NOT_SPECIFIED +NOT_SPECIFIED
NONE              NO_CONSENT NO_CONSENT ~NO_CONSENT NO_CONSENT ~NO_CONSENT CONFIRM_NOT_NOTIFIED +NOT_SPECIFIED +NOT_SPECIFIED
"""
REFUSAL = """
PERIOD     OPTOUT_PERIOD OPTOUT_PERIOD ~OPTOUT_PERIOD|+R6_1 ~OPTOUT_PERIOD +R6_2 OPTOUT_PERIOD +NOT_SPECIFIED OPTOUT_PERIOD
TOPIC      OPTOUT_TOPIC OPTOUT_TOPIC ~OPTOUT_TOPIC|+R6_1 ~OPTOUT_TOPIC +R6_2 OPTOUT_TOPIC +NOT_SPECIFIED OPTOUT_TOPIC
ALL        OPTOUT_ALL OPTOUT_ALL ~OPTOUT_ALL|+R6_1 ~OPTOUT_ALL +R6_2 OPTOUT_ALL +NOT_SPECIFIED OPTOUT_ALL
COMPLAINT  COMPLAINT COMPLAINT ~COMPLAINT COMPLAINT +R6_2 COMPLAINT +NOT_SPECIFIED COMPLAINT
"""
MAILBOX = """
BAD_SYNTAX     ADDR_SYNTAX ADDR_SYNTAX ADDR_SYNTAX ADDR_SYNTAX ADDR_SYNTAX ADDR_SYNTAX ADDR_SYNTAX ADDR_SYNTAX
NULL_MX        ADDR_NULLMX ADDR_NULLMX ADDR_NULLMX ADDR_NULLMX ADDR_NULLMX ADDR_NULLMX ADDR_NULLMX ADDR_NULLMX
FICT_CONFIRMED ADDR_FICTITIOUS ADDR_FICTITIOUS ADDR_FICTITIOUS ADDR_FICTITIOUS ADDR_FICTITIOUS ADDR_FICTITIOUS ADDR_FICTITIOUS ADDR_FICTITIOUS
FICT_SUSPECT   ?ADDR_FICT_REVIEW ?ADDR_FICT_REVIEW ?ADDR_FICT_REVIEW ?ADDR_FICT_REVIEW ?ADDR_FICT_REVIEW ?ADDR_FICT_REVIEW ?ADDR_FICT_REVIEW ?ADDR_FICT_REVIEW
UNKNOWN_USER   ADDR_UNKNOWN ADDR_UNKNOWN ADDR_UNKNOWN ADDR_UNKNOWN ADDR_UNKNOWN ADDR_UNKNOWN ADDR_UNKNOWN ADDR_UNKNOWN
"""
# To somebody whose consent covers everything.
ORDER = """
ORDER7  ORDER7_HOLD ORDER7_HOLD +R6_1 ORDER7_HOLD +R6_2 ORDER7_HOLD +NOT_SPECIFIED +NOT_SPECIFIED
INSTR14 +C1_OPTIN INSTR14_HOLD +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
SUSP15  +C1_OPTIN TOKUSHO_SUSPENDED ~TOKUSHO_SUSPENDED|+R6_1 ~TOKUSHO_SUSPENDED|+R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
"""
# After an order to improve was released, by the one ground there is.
RELEASED = """
OPTIN_REC         +C1_OPTIN +C1_MO +R6_1 +R6_3 +R6_2 +R2_CONFIRM +NOT_SPECIFIED +NOT_SPECIFIED
OPTIN_NOREC       - - +R6_1 - +R6_2 - +NOT_SPECIFIED +NOT_SPECIFIED
MO_REC            +C1_OPTIN +C1_MO +R6_1 +R6_3 +R6_2 CONFIRM_NEEDLESS +NOT_SPECIFIED +NOT_SPECIFIED
BIZREL            - - +R6_1 - +R6_2 - +NOT_SPECIFIED +NOT_SPECIFIED
CARD              - - +R6_1 - +R6_2 - +NOT_SPECIFIED +NOT_SPECIFIED
ADDR_GIVEN        - - +R6_1 - +R6_2 - +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED         - - +R6_1 - +R6_2 - +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED_NOADS   - - ~PUBLISHED_NOADS - ~PUBLISHED_NOADS - +NOT_SPECIFIED +NOT_SPECIFIED
PUBLISHED_PRIVATE - - ~PUBLISHED_PRIVATE - PUBLISHED_PRIVATE - +NOT_SPECIFIED +NOT_SPECIFIED
NONE              NO_CONSENT NO_CONSENT ~NO_CONSENT NO_CONSENT ~NO_CONSENT CONFIRM_NOT_NOTIFIED +NOT_SPECIFIED +NOT_SPECIFIED
""".replace(" - ", " ORDER7_CONSENT_ONLY ").replace(" - ", " ORDER7_CONSENT_ONLY ")
# By the basis on which it would go.
REGION = """
basis          JP US CA         AU         EU         GB
C1_OPTIN       .  .  .          .          .          .
C1_MO          .  .  .          .          .          .
EX2_CARD       .  .  REGION_CA  .          REGION_EU  REGION_GB
EX3_BIZREL     .  .  .          .          REGION_EU  REGION_GB
EX4_PUBLISHED  .  .  REGION_CA  .          REGION_EU  REGION_GB
R6_1           .  .  .          .          ~REGION_EU ~REGION_GB
R6_2           .  .  .          .          ~REGION_EU ~REGION_GB
R6_3           .  .  ~REGION_CA .          ~REGION_EU ~REGION_GB
R2_CONFIRM     .  .  REGION_CA  REGION_AU  .          .
NOT_SPECIFIED  .  .  .          .          .          .
"""
GOES = {
    "C1_OPTIN": ("AD", Basis.OPTIN_REC),
    "C1_MO": ("AD_MO", Basis.MO_REC),
    "EX2_CARD": ("AD", Basis.CARD),
    "EX3_BIZREL": ("AD", Basis.BIZREL),
    "EX4_PUBLISHED": ("AD", Basis.PUBLISHED),
    "R6_1": ("TX_AD", Basis.ADDR_GIVEN),
    "R6_2": ("FREE_AD", Basis.ADDR_GIVEN),
    "R6_3": ("OTHER_AD", Basis.OPTIN_REC),
    "R2_CONFIRM": ("CONFIRM", Basis.ADDR_GIVEN),
    "NOT_SPECIFIED": ("TX", Basis.ADDR_GIVEN),
}


def lines(table):
    return [line.split() for line in table.strip().splitlines()]


def cells(table):
    """Row, category, whether mail order is possible, decision."""
    for row, *words in lines(table):
        assert len(words) == len(COLUMNS), row
        for category, word in zip(COLUMNS, words, strict=True):
            strict, _, declared = word.partition("|")
            yield row, category, NOW, expected(strict)
            yield row, category, NO_MAIL_ORDER, expected(declared or strict)


def expected(word):
    verdict = {"+": Verdict.SEND, "~": Verdict.STRIP, "?": Verdict.HOLD}.get(word[0], Verdict.BLOCK)
    if verdict is Verdict.SEND:
        return Decision(verdict, "", word[1:])
    return Decision(verdict, word.lstrip("~?"), "")


def on(*bases, covers=BOTH, **days):
    return Stand(grounds=frozenset(Ground(basis, covers, **days) for basis in bases))


@pytest.mark.parametrize(("row", "category", "now", "decision"), list(cells(CONSENT)))
def test_consent(row, category, now, decision) -> None:
    stand = Stand() if row == "NONE" else on(Basis[row])
    assert decide(RULES, category, OK, stand, now) == decision


@pytest.mark.parametrize(("row", "category", "now", "decision"), list(cells(REFUSAL)))
def test_a_refusal_overrides_every_ground(row, category, now, decision) -> None:
    for basis in (None, *(basis for basis in Basis if basis is not Basis.ADDR_GIVEN)):
        grounds = on(basis).grounds if basis else frozenset()
        stand = Stand(grounds=grounds, period=TODAY) if row == "PERIOD" else Stand(Refusal[row], grounds)
        assert decide(RULES, category, OK, stand, now) == decision, basis


@pytest.mark.parametrize(("row", "category", "now", "decision"), list(cells(MAILBOX)))
def test_a_bad_mailbox_gets_nothing_whatever_the_rest(row, category, now, decision) -> None:
    for stand in (Stand(), Stand(Refusal.ALL), on(Basis.OPTIN_REC)):
        assert decide(RULES, category, AddressState[row], stand, now) == decision


@pytest.mark.parametrize(
    ("state", "basis"), [(AddressState.UNKNOWN_USER, "+TX_UNKNOWN"), (AddressState.FICT_SUSPECT, "+TX_REVIEW")]
)
def test_an_express_override_lets_a_transactional_mail_go_and_nothing_else(state, basis) -> None:
    plain = decide(RULES, "TX", state, Stand(), NOW)
    for category in COLUMNS:
        said = decide(RULES, category, state, on(Basis.OPTIN_REC), replace(NOW, override=state.name))
        assert said == (expected(basis) if category == "TX" else decide(RULES, category, state, Stand(), NOW))
    for other in ("", "UNKNOWN_USER" if state is AddressState.FICT_SUSPECT else "FICT_SUSPECT", "NULL_MX"):
        assert decide(RULES, "TX", state, Stand(), replace(NOW, override=other)) == plain
    assert decide(RULES, "TX", OK, Stand(), replace(NOW, override=state.name)) == expected("+NOT_SPECIFIED")


@pytest.mark.parametrize("state", [AddressState.BAD_SYNTAX, AddressState.NULL_MX, AddressState.FICT_CONFIRMED])
def test_no_override_reaches_a_mailbox_that_cannot_be(state) -> None:
    for override in ("UNKNOWN_USER", "FICT_SUSPECT", state.name):
        assert decide(RULES, "TX", state, Stand(), replace(NOW, override=override)).verdict is Verdict.BLOCK


def test_an_override_is_still_asked_everything_else() -> None:
    over = replace(NOW, override="UNKNOWN_USER")
    unknown = AddressState.UNKNOWN_USER
    for now, word in (
        (replace(over, identity="IDENTITY_SPF"), "IDENTITY_SPF"),
        (replace(over, display="DISPLAY_NAME"), "DISPLAY_NAME"),
        (replace(over, regions=("XX",)), "REGION_UNKNOWN"),
    ):
        assert decide(RULES, "TX", unknown, Stand(), now) == expected(word)
    found = explain(RULES, "TX", unknown, Stand(Refusal.ALL), over)
    assert (found.decision, found.row) == (expected("+TX_UNKNOWN"), "UNKNOWN_USER")


@pytest.mark.parametrize(("row", "category", "now", "decision"), list(cells(ORDER)))
def test_an_order_stops_its_categories(row, category, now, decision) -> None:
    now = replace(now, orders=OrderState(held=frozenset({OrderKind[row]})))
    assert decide(RULES, category, OK, on(Basis.OPTIN_REC), now) == decision


@pytest.mark.parametrize("kind", list(OrderKind))
@pytest.mark.parametrize("category", COLUMNS)
def test_an_order_lets_nothing_wait_for_its_release(kind, category) -> None:
    """What is queued ends; mail that waited would leave by itself when the order is released."""
    ordered = replace(NOW, orders=OrderState(held=frozenset({kind})))
    found = explain(RULES, category, OK, on(Basis.OPTIN_REC), ordered)
    assert found.decision.verdict is not Verdict.HOLD
    if found.row == kind.name:
        assert found.decision.verdict in {Verdict.BLOCK, Verdict.STRIP}


@pytest.mark.parametrize(("row", "category", "now", "decision"), list(cells(RELEASED)))
def test_after_an_order_only_recorded_consent_counts(row, category, now, decision) -> None:
    now = replace(now, orders=OrderState(released=frozenset({OrderKind.ORDER7})))
    stand = Stand() if row == "NONE" else on(Basis[row])
    assert decide(RULES, category, OK, stand, now) == decision


def test_after_an_order_an_exemption_beside_the_consent_does_not_count() -> None:
    now = replace(NOW, orders=OrderState(released=frozenset({OrderKind.ORDER7})))
    stand = Stand(grounds=on(Basis.OPTIN_REC, covers=Covers.MAIL_ORDER).grounds | on(Basis.BIZREL).grounds)
    assert decide(RULES, "AD", OK, stand, NOW) == expected("+EX3_BIZREL")
    assert decide(RULES, "AD", OK, stand, now) == expected("NO_CONSENT")
    ended = Stand(grounds=on(Basis.OPTIN_REC, until=TODAY - 1).grounds | on(Basis.CARD).grounds)
    assert decide(RULES, "AD", OK, ended, now) == expected("ORDER7_CONSENT_ONLY")


@pytest.mark.parametrize("kind", [OrderKind.INSTR14, OrderKind.SUSP15])
def test_the_release_of_the_other_orders_leaves_nothing(kind) -> None:
    now = replace(NOW, orders=OrderState(released=frozenset({kind})))
    assert decide(RULES, "AD", OK, on(Basis.BIZREL), now) == expected("+EX3_BIZREL")


@pytest.mark.parametrize("category", COLUMNS)
def test_a_sender_without_identity_sends_nothing(category) -> None:
    now = replace(NOW, identity="IDENTITY_SPF", orders=OrderState(held=frozenset(OrderKind)))
    assert decide(RULES, category, OK, on(Basis.OPTIN_REC), now) == expected("IDENTITY_SPF")


@pytest.mark.parametrize("category", COLUMNS)
def test_a_message_without_its_display_is_not_sent(category) -> None:
    now = replace(NOW, display="DISPLAY_NAME")
    assert decide(RULES, category, OK, on(Basis.OPTIN_REC), now) == expected("DISPLAY_NAME")
    assert decide(RULES, "AD", OK, Stand(), now) == expected("NO_CONSENT")
    assert decide(RULES, "TX_AD", OK, Stand(), now) == expected("DISPLAY_NAME"), "not even stripped"


def region_cells():
    (_, *regions), *rows = lines(REGION)
    for basis, *words in rows:
        for region, word in zip(regions, words, strict=True):
            yield basis, region, word


@pytest.mark.parametrize(("basis", "region", "word"), list(region_cells()))
def test_the_region_of_the_recipient(basis, region, word) -> None:
    category, ground = GOES[basis]
    decision = expected("+" + basis if word == "." else word)
    assert decide(RULES, category, OK, on(ground), replace(NOW, regions=(region,))) == decision
    assert decide(RULES, category, OK, on(ground), replace(NOW, regions=("JP", region))) == decision


def test_of_several_regions_the_strictest_and_an_unknown_one_blocks() -> None:
    other = replace(NOW, regions=("EU", "CA"))
    assert decide(RULES, "OTHER_AD", OK, on(Basis.OPTIN_REC), other) == expected("~REGION_EU")
    assert decide(RULES, "CONFIRM", OK, on(Basis.ADDR_GIVEN), other) == expected("REGION_CA")
    for category in COLUMNS:
        unknown = replace(NOW, regions=("JP", "XX"))
        assert decide(RULES, category, OK, on(Basis.OPTIN_REC), unknown) == expected("REGION_UNKNOWN")


@pytest.mark.parametrize(
    ("covers", "ad", "mail_order"),
    [
        (Covers.AD, "+C1_OPTIN", "MO_NO_ACCEPT"),
        (Covers.MAIL_ORDER, "NO_CONSENT", "+C1_MO"),
        (BOTH, "+C1_OPTIN", "+C1_MO"),
    ],
)
@pytest.mark.parametrize("basis", [Basis.OPTIN_REC, Basis.MO_REC])
def test_consent_covers_what_it_says_and_nothing_else(basis, covers, ad, mail_order) -> None:
    stand = on(basis, covers=covers)
    assert decide(RULES, "AD", OK, stand, NOW) == expected(ad)
    assert decide(RULES, "AD_MO", OK, stand, NOW) == expected(mail_order)


def test_a_sign_up_after_the_refusal_may_be_asked_once_more_but_not_after_a_complaint_or_in_a_period() -> None:
    given = on(Basis.ADDR_GIVEN).grounds
    for refusal in (Refusal.TOPIC, Refusal.ALL):
        assert decide(RULES, "CONFIRM", OK, Stand(refusal, given), NOW) == expected("+R2_CONFIRM")
    assert decide(RULES, "CONFIRM", OK, Stand(Refusal.COMPLAINT, given), NOW) == expected("COMPLAINT")
    assert decide(RULES, "CONFIRM", OK, Stand(grounds=given, period=TODAY), NOW) == expected("OPTOUT_PERIOD")
    over = frozenset({Ground(Basis.ADDR_GIVEN, BOTH, 0, TODAY - 1)})
    assert decide(RULES, "CONFIRM", OK, Stand(Refusal.ALL, over), NOW) == expected("OPTOUT_ALL")


def test_a_period_ends_by_itself_and_yields_to_a_lasting_refusal() -> None:
    grounds = on(Basis.OPTIN_REC).grounds
    for period, refusal, word in (
        (TODAY, Refusal.NONE, "OPTOUT_PERIOD"),
        (TODAY - 1, Refusal.NONE, "+C1_OPTIN"),
        (TODAY, Refusal.TOPIC, "OPTOUT_TOPIC"),
        (TODAY - 1, Refusal.ALL, "OPTOUT_ALL"),
    ):
        assert decide(RULES, "AD", OK, Stand(refusal, grounds, period), NOW) == expected(word)


def test_of_several_grounds_the_best_counts() -> None:
    stand = on(Basis.ADDR_GIVEN, Basis.BIZREL, Basis.OPTIN_NOREC)
    assert decide(RULES, "AD", OK, stand, NOW) == expected("+EX3_BIZREL")
    assert decide(RULES, "AD_MO", OK, stand, NOW) == expected("NO_CONSENT_RECORD")


@pytest.mark.parametrize(
    ("basis", "days", "sent", "reason"),
    [(Basis.BIZREL, 365, "+EX3_BIZREL", "BIZREL_ENDED"), (Basis.PUBLISHED, 90, "+EX4_PUBLISHED", "PUBLISHED_STALE")],
)
def test_an_exemption_in_the_present_tense_grows_old(basis, days, sent, reason) -> None:
    assert decide(RULES, "AD", OK, on(basis, since=TODAY - days), NOW) == expected(sent)
    old = on(basis, since=TODAY - days - 1)
    for category, word in (("AD", reason), ("AD_MO", reason), ("TX_AD", "~" + reason), ("TX", "+NOT_SPECIFIED")):
        assert decide(RULES, category, OK, old, NOW) == expected(word)


def test_a_ground_with_a_last_day_holds_up_to_it_however_old() -> None:
    stand = on(Basis.BIZREL, since=0, until=TODAY)
    assert decide(RULES, "AD", OK, stand, NOW) == expected("+EX3_BIZREL")
    assert decide(RULES, "AD", OK, stand, Circumstances(TODAY + 1)) == expected("BIZREL_ENDED")
    consent = on(Basis.OPTIN_REC, until=TODAY - 1)
    assert decide(RULES, "AD", OK, consent, NOW) == expected("CONSENT_ENDED")
    assert decide(RULES, "AD", OK, Stand(grounds=consent.grounds | on(Basis.CARD).grounds), NOW) == expected(
        "+EX2_CARD"
    )


@pytest.mark.parametrize(
    ("address", "stand", "now", "word"),
    [
        (AddressState.UNKNOWN_USER, Stand(Refusal.ALL), NOW, "ADDR_UNKNOWN"),
        (OK, Stand(Refusal.ALL), replace(NOW, orders=OrderState(frozenset({OrderKind.ORDER7}))), "ORDER7_HOLD"),
        (AddressState.FICT_SUSPECT, Stand(), replace(NOW, identity="IDENTITY_X"), "IDENTITY_X"),
        (OK, Stand(Refusal.ALL), replace(NOW, display="DISPLAY_X"), "OPTOUT_ALL"),
    ],
)
def test_the_first_decisive_row_wins(address, stand, now, word) -> None:
    assert decide(RULES, "AD", address, stand, now) == expected(word)


def test_what_is_stripped_is_still_blocked_by_what_comes_later() -> None:
    suspended = replace(NOW, orders=OrderState(frozenset({OrderKind.SUSP15})))
    assert decide(RULES, "TX_AD", AddressState.NULL_MX, Stand(), suspended) == expected("ADDR_NULLMX")
    assert decide(RULES, "OTHER_AD", OK, Stand(), suspended) == expected("NO_CONSENT")
    assert decide(RULES, "TX_AD", OK, Stand(Refusal.ALL), suspended) == expected("~TOKUSHO_SUSPENDED")


@pytest.mark.parametrize("category", ["", "ad", "AD ", "SPAM", "\0"])
def test_an_unknown_category_is_blocked(category) -> None:
    found = explain(RULES, category, OK, on(Basis.OPTIN_REC), NOW)
    assert (found.decision, found.row) == (expected("CAT_UNKNOWN"), "CATEGORY")


def test_the_finding_names_the_row_and_the_article() -> None:
    found = explain(RULES, "AD_MO", OK, on(Basis.BIZREL), NOW)
    assert (found.row, found.article) == ("BIZREL", "特定商取引法12条の3第1項")
    found = explain(RULES, "AD", OK, Stand(Refusal.ALL), NOW)
    assert (found.row, found.article) == ("ALL", "特定電子メール法3条3項")


def test_every_combination_has_a_decision_that_says_why() -> None:
    for category in Category:
        for state in AddressState:
            for refusal in Refusal:
                for basis in Basis:
                    found = explain(RULES, category, state, replace(on(basis, covers=Covers.AD), refusal=refusal), NOW)
                    made = found.decision
                    assert bool(made.basis) == (made.verdict is Verdict.SEND)
                    assert bool(made.reason) == (made.verdict is not Verdict.SEND)
                    assert found.article
