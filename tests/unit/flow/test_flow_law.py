"""why_not and order: what is asked, what is answered, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgpack
import pytest

from engine import wire
from engine.flow import law
from engine.wire import Refusal
from suppression import EventError, LedgerFailed
from tests.fakes.accepting import NOW, Served, served

WHY = {"type": "why_not", "id": 1, "address": "a@example.jp", "sender": "shop", "category": "AD", "topic": "news"}
ADD = {"type": "order", "id": 1, "action": "add", "sender": "shop", "kind": "SUSP15", "day": "2027-01-14"}
RELEASE = {"type": "order", "id": 1, "action": "release", "sender": "shop", "kind": "SUSP15", "officer": "山田"}
LIST = {"type": "order", "id": 1, "action": "list"}


def asked(behind: Served, request: Mapping[str, Any]) -> dict[str, Any]:
    return dict(asyncio.run(behind.requests.answer(wire.decode_request(msgpack.packb(request)))))


def refused(behind: Served, request: Mapping[str, Any]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        asked(behind, request)
    return caught.value.code, caught.value.field


def test_why_not_answers_decision_words_article_and_what_is_recorded_towards_this_sender() -> None:
    behind = served()
    told = asked(behind, {**WHY, "region": "EU"})
    assert behind.suppression.asked == [("shop", "news", "AD", b"exact---wide----", "EU", "")]
    assert (told["verdict"], told["reason"], told["basis"]) == ("BLOCK", "OPTOUT_TOPIC", "")
    assert told["texts"] == {"ja": "受信者がこの配信リストを拒否しています", "en": "The recipient refused this topic"}
    assert (told["row"], told["article"], told["at"], told["epoch"]) == ("TOPIC", "特定電子メール法3条3項", NOW, 7)
    assert [event["what"] for event in told["events"]] == ["OPT_OUT", "CONSENT"], "another sender's is not ours"
    assert told["events"][1] == {
        "what": "CONSENT", "sender": "shop", "topic": "news", "at": 1_799_990_000.0, "recorded": 0.0,
        "basis": "BIZREL", "covers": "AD", "state": "", "until": "2027-12-31", "source": "web",
        "evidence": "form 12", "address": "a@example.jp", "same_spelling": False,
    }  # fmt: skip
    assert (told["orders"], told["truncated"]) == ([], False)


def test_the_override_of_a_submit_may_be_asked_about_and_is_bounded_as_there() -> None:
    behind = served()
    asked(behind, {**WHY, "category": "TX", "override": "UNKNOWN_USER"})
    assert behind.suppression.asked == [("shop", "news", "TX", b"exact---wide----", "", "UNKNOWN_USER")]
    assert refused(behind, {**WHY, "override": "UNKNOWN_USER"}) == ("bad_request", "override"), "TX only"
    assert refused(behind, {**WHY, "category": "TX", "override": "COMPLAINED"}) == ("bad_request", "override")


def test_what_cannot_be_an_address_has_no_records() -> None:
    assert asked(served(), {**WHY, "address": "a b"})["events"] == []


def test_the_answer_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(law, "MOST_EVENTS", 1)
    monkeypatch.setattr(law, "MOST_EVIDENCE", 4)
    told = asked(served(), WHY)
    assert (len(told["events"]), told["truncated"], told["events"][0]["evidence"]) == (1, True, "form")


def test_an_order_and_its_release() -> None:
    behind = served()
    told = asked(behind, {**ADD, "scope": ["news"], "evidence": "file 3"})
    assert told["epoch"] == 8
    assert told["in_force"] == [{"sender": "shop", "topic": "news", "kind": "SUSP15", "state": "held"}]
    assert told["orders"] == [
        {
            "sender": "shop", "kind": "SUSP15", "what": "received", "at": NOW, "day": "2027-01-14", "scope": ["news"],
            "officer": "", "evidence": "file 3",
        }
    ]  # fmt: skip
    assert asked(behind, WHY)["orders"] == told["orders"]
    assert refused(behind, {**RELEASE, "kind": "ORDER7"}) == ("bad_request", "kind")
    assert refused(behind, {**RELEASE, "scope": ["shop"]}) == ("bad_request", "kind")
    told = asked(behind, RELEASE)
    assert [order["what"] for order in told["orders"]] == ["received", "released"]
    assert told["orders"][1]["officer"] == "山田"
    assert told["in_force"] == [{"sender": "shop", "topic": "news", "kind": "SUSP15", "state": "released"}]
    assert asked(behind, LIST) == told
    assert asked(behind, {**LIST, "sender": "other"})["orders"] == []


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        ({**WHY, "sender": "nobody"}, "unknown_sender", "sender"),
        ({**ADD, "sender": "nobody"}, "unknown_sender", "sender"),
        ({**ADD, "sender": ""}, "unknown_sender", "sender"),
        ({**ADD, "day": "14.1.2027"}, "bad_request", "day"),
        ({**ADD, "kind": None}, "bad_request", "kind"),
        ({**ADD, "kind": "ORDER8"}, "bad_request", "kind"),
        (RELEASE, "bad_request", "kind"),
        ({**LIST, "action": "drop"}, "bad_request", "action"),
    ],
)
def test_refusals_name_the_field(request_, code, field) -> None:
    assert refused(served(), request_) == (code, field)


def test_what_the_ledger_says_becomes_a_refusal() -> None:
    behind = served()
    behind.suppression.failing = EventError("officer: empty; this event needs one")
    assert refused(behind, ADD) == ("bad_request", "officer")
    behind.suppression.failing = LedgerFailed("disk")
    assert refused(behind, ADD) == ("unavailable", "")


SUPPRESS = {"type": "suppress", "id": 1, "address": "a@example.jp", "sender": "shop"}


def test_a_refusal_for_a_period_names_its_last_day_and_its_sender() -> None:
    behind = served()
    asked(behind, {**SUPPRESS, "until": "2027-01-31"})
    asked(behind, SUPPRESS)
    assert behind.ledger.untils == [date(2027, 1, 31), None]
    assert refused(behind, {**SUPPRESS, "until": "31.1.2027"}) == ("bad_request", "until")
    assert refused(behind, {**SUPPRESS, "sender": None, "until": "2027-01-31"}) == ("bad_request", "until")
