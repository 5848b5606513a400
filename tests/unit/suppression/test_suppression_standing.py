from __future__ import annotations

import itertools

import pytest

from suppression.events import AddressState, Basis, Covers
from suppression.standing import (
    EVERY,
    NOTHING,
    Fact,
    Ground,
    Kind,
    Refusal,
    Stand,
    Standing,
    ages,
    fold,
    pack_ground,
)

WIDE, EXACT, OTHER = 10, 11, 12
SENDER, NEWS, SHOP = 1, 5, 6
YES = Ground(Basis.OPTIN_REC, Covers.AD)
SEND, ALL, TOPIC, COMPLAINT = (
    Stand(grounds=frozenset({YES})),
    Stand(Refusal.ALL),
    Stand(Refusal.TOPIC),
    Stand(Refusal.COMPLAINT),
)


def out(at, topic=EVERY, sender=SENDER, kind=Kind.OPT_OUT, exact=EXACT) -> Fact:
    return Fact(kind, WIDE, exact, sender, topic, at)


def consent(at, topic=EVERY, basis=Basis.OPTIN_REC, covers=Covers.AD, exact=EXACT) -> Fact:
    return Fact(Kind.CONSENT, WIDE, exact, SENDER, topic, at, pack_ground(basis, covers))


def mailbox(at, state, exact=EXACT) -> Fact:
    return Fact(Kind.ADDRESS, WIDE, exact, EVERY, EVERY, at, state)


def person(*facts, exact=EXACT) -> Standing:
    """In every order of arrival the same."""
    found = {str(fold(order)): fold(order) for order in itertools.permutations(facts)}
    standings = {folded.people[SENDER, exact] for folded in found.values()}
    assert len(standings) == 1
    return standings.pop()


def test_consent_alone_sends() -> None:
    assert person(consent(1)) == Standing(elsewhere=SEND)


@pytest.mark.parametrize(
    ("refusal", "stand"),
    [
        (out(2), ALL),
        (out(2, sender=EVERY), ALL),
        (out(2, kind=Kind.COMPLAINT), COMPLAINT),
        (out(2, kind=Kind.COMPLAINT, sender=EVERY), COMPLAINT),
        (out(2, exact=OTHER), ALL),
    ],
)
def test_a_later_refusal_ends_it_and_a_tie_is_refused(refusal, stand) -> None:
    assert person(consent(1), refusal).elsewhere == stand
    assert person(consent(2), refusal).elsewhere == stand
    assert person(consent(3), refusal).elsewhere == SEND


def test_another_senders_refusal_is_none_of_ours() -> None:
    assert person(consent(1), out(2, sender=2)).elsewhere == SEND


def test_a_topic_refusal_holds_for_its_topic() -> None:
    standing = person(consent(1), out(2, NEWS))
    assert standing.towards(NEWS) == TOPIC
    assert standing.towards(SHOP) == SEND


def test_consent_to_all_later_revives_the_topic() -> None:
    assert person(consent(3), out(2, NEWS)) == Standing(elsewhere=SEND)


def test_consent_to_one_topic_after_a_refusal_of_all_revives_that_topic_only() -> None:
    standing = person(out(2), consent(3, NEWS))
    assert standing.towards(NEWS) == SEND
    assert standing.elsewhere == ALL


def test_a_consent_older_than_the_refusal_stays_dead_when_another_revives() -> None:
    both = person(consent(1, covers=Covers.MAIL_ORDER), out(2), consent(3))
    assert both.elsewhere == SEND


def test_of_several_refusals_the_gravest_that_holds_gives_the_reason() -> None:
    assert person(consent(1), out(2, NEWS), out(3)).towards(NEWS) == ALL
    assert person(out(1), consent(2), out(3, NEWS)).towards(NEWS) == TOPIC
    assert person(out(5), consent(2), out(3, kind=Kind.COMPLAINT)).elsewhere == COMPLAINT


@pytest.mark.parametrize("basis", [Basis.BIZREL, Basis.CARD, Basis.PUBLISHED])
def test_an_exemption_never_survives_a_refusal(basis) -> None:
    assert person(consent(3, basis=basis), out(2)).elsewhere == ALL


@pytest.mark.parametrize("basis", [Basis.OPTIN_NOREC, Basis.ADDR_GIVEN])
def test_an_act_of_the_holder_after_the_refusal_is_known_but_revives_nothing(basis) -> None:
    assert person(consent(3, basis=basis), out(2)).elsewhere == Stand(
        Refusal.ALL, frozenset({Ground(basis, Covers.AD)})
    )
    assert person(consent(2, basis=basis), out(2)).elsewhere == ALL


def test_a_withdrawal_ends_consent_without_being_a_refusal() -> None:
    gone = Fact(Kind.WITHDRAWAL, WIDE, EXACT, SENDER, EVERY, 2)
    assert person(consent(2), gone) == NOTHING
    assert person(consent(3), gone).elsewhere == SEND
    assert person(consent(1), gone._replace(topic=NEWS)).towards(NEWS) == Stand()
    assert person(consent(1), gone._replace(topic=NEWS)).elsewhere == SEND


def test_a_withdrawn_consent_does_not_lift_the_refusal() -> None:
    gone = Fact(Kind.WITHDRAWAL, WIDE, EXACT, SENDER, EVERY, 4)
    assert person(out(1), consent(2), gone).elsewhere == ALL


def test_of_published_addresses_the_latest_look_counts() -> None:
    clean, noads = consent(1, basis=Basis.PUBLISHED), consent(2, basis=Basis.PUBLISHED_NOADS)
    assert person(clean, noads).elsewhere.grounds == {Ground(Basis.PUBLISHED_NOADS, Covers.AD)}
    assert person(clean._replace(at=2), noads).elsewhere.grounds == {Ground(Basis.PUBLISHED_NOADS, Covers.AD)}
    assert person(clean._replace(at=3), noads).elsewhere.grounds == {Ground(Basis.PUBLISHED, Covers.AD)}


@pytest.mark.parametrize(
    ("reports", "state"),
    [
        ([(1, AddressState.UNKNOWN_USER)], AddressState.UNKNOWN_USER),
        ([(1, AddressState.UNKNOWN_USER), (2, AddressState.OK)], AddressState.OK),
        ([(2, AddressState.UNKNOWN_USER), (2, AddressState.OK)], AddressState.UNKNOWN_USER),
        ([(3, AddressState.UNKNOWN_USER), (2, AddressState.OK)], AddressState.UNKNOWN_USER),
        ([(1, AddressState.FICT_CONFIRMED), (2, AddressState.UNKNOWN_USER)], AddressState.UNKNOWN_USER),
    ],
)
def test_the_latest_report_about_a_mailbox_counts(reports, state) -> None:
    facts = [mailbox(at, reported) for at, reported in reports]
    assert fold(facts).addresses == {EXACT: Standing(address=state)}
    assert person(consent(1), *facts).address is state


def test_a_bounce_is_of_one_spelling_only() -> None:
    folded = fold([consent(1), consent(1, exact=OTHER), mailbox(2, AddressState.UNKNOWN_USER)])
    assert folded.people[SENDER, EXACT].address is AddressState.UNKNOWN_USER
    assert folded.people[SENDER, OTHER].address is AddressState.OK


def test_a_refusal_stands_under_the_wide_key_for_whoever_never_consented() -> None:
    folded = fold([consent(3), out(2), out(1, NEWS)])
    assert folded.refused == {(SENDER, WIDE): Standing(elsewhere=ALL)}
    assert folded.people == {(SENDER, EXACT): Standing(elsewhere=SEND)}


def test_a_refusal_by_all_senders_stands_under_each_known_and_under_every() -> None:
    folded = fold([consent(1), out(2, sender=EVERY)])
    assert set(folded.refused) == {(SENDER, WIDE), (EVERY, WIDE)}


def test_a_consent_leaves_a_trace_under_the_wide_key_if_it_is_spelled_otherwise() -> None:
    assert fold([consent(1)]).refused == {(SENDER, WIDE): NOTHING}
    assert fold([consent(1, exact=WIDE)]).refused == {}


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) == ({}, {}, {})
    assert NOTHING.towards(NEWS) == Stand()


DAY = 86_400_000_000
PERIOD = 20_000


def pause(at, until=PERIOD, topic=EVERY) -> Fact:
    return out(at, topic)._replace(detail=until)


def test_a_refusal_for_a_period_suspends_and_kills_nothing() -> None:
    assert person(consent(1), pause(2)).elsewhere == Stand(grounds=SEND.grounds, period=PERIOD)
    card = consent(1, basis=Basis.CARD)
    assert person(card, pause(2)).elsewhere == Stand(grounds=frozenset({Ground(Basis.CARD, Covers.AD)}), period=PERIOD)


def test_consent_after_the_refusal_for_a_period_lifts_it_and_a_tie_does_not() -> None:
    assert person(consent(3), pause(2)).elsewhere == SEND
    assert person(consent(2), pause(2)).elsewhere.period == PERIOD
    assert person(consent(3, basis=Basis.ADDR_GIVEN), pause(2)).elsewhere.period == PERIOD


def test_the_longest_period_counts_and_its_topic_only() -> None:
    standing = person(consent(1), pause(2), pause(3, PERIOD - 5), pause(4, PERIOD + 5, NEWS))
    assert (standing.elsewhere.period, standing.towards(NEWS).period) == (PERIOD, PERIOD + 5)
    assert fold([pause(2)]).refused[SENDER, WIDE] == Standing(elsewhere=Stand(period=PERIOD))


def test_a_period_beside_a_lasting_refusal() -> None:
    assert person(consent(1), pause(2), out(3)).elsewhere == Stand(Refusal.ALL, period=PERIOD)
    assert person(out(1), consent(2), pause(3)).elsewhere == Stand(grounds=SEND.grounds, period=PERIOD)


def test_of_what_grows_old_the_youngest_day_is_kept() -> None:
    many = [consent(day * DAY + 1, basis=Basis.BIZREL) for day in (5, 9, 7)]
    assert person(*many).elsewhere.grounds == {Ground(Basis.BIZREL, Covers.AD, since=9)}
    other = consent(DAY, basis=Basis.BIZREL, covers=Covers.MAIL_ORDER)
    assert len(person(*many, other).elsewhere.grounds) == 2
    looked = consent(3 * DAY, basis=Basis.PUBLISHED)
    assert person(looked).elsewhere.grounds == {Ground(Basis.PUBLISHED, Covers.AD, since=3)}


def test_a_ground_that_names_its_last_day_needs_no_other() -> None:
    fact = consent(5 * DAY, basis=Basis.BIZREL)._replace(detail=pack_ground(Basis.BIZREL, Covers.AD, 99))
    assert not ages(fact)
    assert person(fact).elsewhere.grounds == {Ground(Basis.BIZREL, Covers.AD, until=99)}
    assert not ages(consent(1))
    assert not ages(out(1))
