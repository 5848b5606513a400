"""Refusals among senders of one client or agency, in a real ledger: at once, for senders that come later, after a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from suppression import Complaint, Consent, EventError, OptOut, Scope, Suppression
from suppression.hashed import HashedOptOut, RecordHashed
from suppression.parties import Parties, Party
from suppression.spreading import TakeOver
from tests.unit.suppression.conftest import NOW

Open = Callable[[], Suppression]
TWO = Parties({"x-by-a": Party("x", "a"), "x-by-b": Party("x", "b"), "y": Party("", "a"), "z": Party()})
MORE = Parties({"x-by-a": Party("x", "a"), "x-by-c": Party("x", "c"), "w": Party("", "a"), "z": Party()})


def consented(suppression: Suppression, *senders: str, at: float = NOW - 100, who: str = "taro@example.jp") -> None:
    suppression.apply_now([Consent(who, at, "web", sender) for sender in senders])


def refuse(suppression: Suppression, sender: str, at: float = NOW - 50, who: str = "taro@example.jp", **more) -> None:
    suppression.apply_now([OptOut(who, at, "mail", more.pop("scope", Scope.SENDER), sender, **more)])


def reasons(suppression: Suppression, *senders: str, who: str = "taro@example.jp", topic: str = "") -> list[str]:
    return [suppression.decide(sender, topic, "AD", [who])[0].reason for sender in senders]


def test_a_refusal_about_a_client_holds_whoever_mails_for_it(opened: Open) -> None:
    suppression = opened()
    suppression.parties = TWO
    consented(suppression, "x-by-a", "x-by-b", "y", "z")
    refuse(suppression, "x-by-a")
    assert reasons(suppression, "x-by-a", "x-by-b", "y", "z") == ["OPTOUT_ALL", "OPTOUT_ALL", "", ""]


def test_a_refusal_that_names_only_the_agency_holds_for_all_its_clients(opened: Open) -> None:
    suppression = opened()
    suppression.parties = TWO
    consented(suppression, "x-by-a", "x-by-b", "y", "z")
    refuse(suppression, "agency/a")
    assert reasons(suppression, "x-by-a", "x-by-b", "y", "z") == ["OPTOUT_ALL", "OPTOUT_ALL", "OPTOUT_ALL", ""]
    consented(suppression, "y", at=NOW - 10)
    assert reasons(suppression, "x-by-a", "y") == ["OPTOUT_ALL", ""], (
        "a later consent revives the one that it was given to"
    )


def test_an_import_spreads_too_and_a_topic_stays_one(opened: Open) -> None:
    suppression = opened()
    suppression.parties = TWO
    consented(suppression, "x-by-a", "x-by-b")
    event = OptOut("", 0.0, "import", Scope.TOPIC, "x-by-b", "news")
    suppression.load(event, [("taro@example.jp", NOW - 20)])
    assert reasons(suppression, "x-by-a", topic="news") == ["OPTOUT_TOPIC"]
    assert reasons(suppression, "x-by-a", topic="shop") == [""]


def test_a_sender_that_comes_later_takes_over_what_was_told_and_only_once(opened: Open) -> None:
    suppression = opened()
    suppression.parties = TWO
    refuse(suppression, "agency/a", who="unspecific@example.jp")
    refuse(suppression, "x-by-b", who="of-x@example.jp")
    refuse(suppression, "y", who="of-y@example.jp")
    suppression.apply_now([Complaint("cross@example.jp", NOW - 9, "arf", "x-by-a")])
    people = ("unspecific@example.jp", "of-x@example.jp", "of-y@example.jp", "cross@example.jp")
    for who in people:
        consented(suppression, "x-by-c", "w", who=who)
    suppression.parties = MORE
    assert suppression.take_over(MORE) > 0
    assert [reasons(suppression, "x-by-c", "w", who=who) for who in people] == [
        ["OPTOUT_ALL", "OPTOUT_ALL"],
        ["OPTOUT_ALL", ""],
        ["", ""],
        ["COMPLAINT", ""],
    ]
    assert suppression.take_over(MORE) == 0
    suppression.close()
    again = opened()
    again.parties = MORE
    assert again.take_over(MORE) == 0
    assert reasons(again, "x-by-c", who="of-x@example.jp") == ["OPTOUT_ALL"], "also after a restart"


def test_long_lists_are_taken_over_in_stretches(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TakeOver, "ROWS", 3)
    suppression = opened()
    people = [f"p{number}@example.jp" for number in range(10)]
    suppression.apply_now([OptOut(who, NOW - 5, "mail", Scope.SENDER, "z") for who in people])
    suppression.apply_now([Consent(who, NOW - 50, "web", "new") for who in people])
    house = Parties({"z": Party("z"), "new": Party("z")})
    assert suppression.take_over(house) == 10
    assert {reasons(suppression, "new", who=who)[0] for who in people} == {"OPTOUT_ALL"}


def test_refusals_known_by_hash_alone_are_taken_over_and_met(opened: Open) -> None:
    suppression = opened()
    digest = hashlib.sha256(b"taro@example.jp").digest()
    consented(suppression, "new")
    suppression.perform_now(RecordHashed([HashedOptOut(digest, NOW - 5, "partner", "z")], NOW))
    assert reasons(suppression, "new") == [""]
    house = Parties({"z": Party("z"), "new": Party("z")})
    suppression.take_over(house)
    assert reasons(suppression, "new") == ["OPTOUT_ALL"]
    assert suppression.take_over(house) == 1, "and what it met is told to the other sender of the client"
    assert suppression.take_over(house) == 0


def test_an_agency_that_nobody_has_records_nothing(opened: Open) -> None:
    suppression = opened()
    suppression.parties = TWO
    epoch = suppression.epoch
    with pytest.raises(EventError, match="agency"):
        refuse(suppression, "agency/q")
    assert suppression.epoch == epoch
