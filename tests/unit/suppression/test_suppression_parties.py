"""Who speaks for whom: what a refusal reaches, and from where a sender has refusals that were told to others."""

from __future__ import annotations

import pytest

from suppression.events import Complaint, Consent, EventError, HardBounce, OptOut, Scope
from suppression.parties import ALONE, Parties, Party

# Agency A mails for X and Y, agency B for X too; Z mails for itself, and X has a sender of its own name.
HOUSE = Parties(
    {
        "x-by-a": Party("x", "a"),
        "x-by-b": Party("x", "b"),
        "x": Party(),
        "y": Party("", "a"),
        "z": Party(),
    }
)


def refused(sender: str, **more) -> OptOut:
    return OptOut("taro@example.jp", 5.0, "mail", more.pop("scope", Scope.SENDER), sender, **more)


@pytest.mark.parametrize(
    ("told", "reached"),
    [
        ("x-by-a", {"x-by-a", "x-by-b", "x", "client/x"}),
        ("x", {"x", "x-by-a", "x-by-b"}),
        ("y", {"y"}),
        ("z", {"z"}),
        ("agency/a", {"agency/a", "x-by-a", "x-by-b", "x", "y"}),
        ("agency/b", {"agency/b", "x-by-a", "x-by-b", "x"}),
        ("gone", {"gone"}),
    ],
)
def test_what_a_refusal_reaches(told, reached) -> None:
    assert set(HOUSE.reached(told)) == reached
    assert len(HOUSE.reached(told)) == len(reached)
    events = list(HOUSE.spread(refused(told)))
    assert {event.sender for event in events} == reached
    assert all(event.at == 5.0 and event.source == "mail" for event in events)


def test_a_topic_and_a_complaint_go_the_same_way_and_other_events_do_not() -> None:
    topic = list(HOUSE.spread(refused("x", scope=Scope.TOPIC, topic="news")))
    assert {(event.sender, event.topic) for event in topic} == {(name, "news") for name in ("x", "x-by-a", "x-by-b")}
    assert len(list(HOUSE.spread(Complaint("a@b.jp", 5.0, "arf", "x")))) == 3
    for event in (
        Consent("a@b.jp", 5.0, "web", "x"),
        HardBounce("a@b.jp", 5.0, "smtp"),
        OptOut("a@b.jp", 5.0, "web", Scope.GLOBAL),
        Complaint("a@b.jp", 5.0, "arf"),
    ):
        assert list(HOUSE.spread(event)) == [event]


def test_an_agency_that_nobody_has_is_a_mistake() -> None:
    with pytest.raises(EventError, match="agency: 'c' mails for nobody here; configured are a, b"):
        list(HOUSE.spread(refused("agency/c")))
    with pytest.raises(EventError, match="configured are none"):
        list(ALONE.spread(refused("agency/a")))


def test_from_where_a_sender_has_what_was_told_to_others() -> None:
    assert HOUSE.origins() == {
        "x-by-a": ("agency/a", "agency/b", "client/x", "x", "x-by-b"),
        "x-by-b": ("agency/a", "agency/b", "client/x", "x", "x-by-a"),
        "x": ("agency/a", "agency/b", "x-by-a", "x-by-b"),
        "y": ("agency/a",),
    }
    assert ALONE.origins() == {}


def test_equal_by_what_they_say() -> None:
    assert Parties({"a": Party("x")}) == Parties({"a": Party("x")})
    assert hash(Parties({"a": Party("x")})) == hash(Parties({"a": Party("x")}))
    assert Parties({"a": Party("x")}) != Parties({"a": Party("y")})
    assert ALONE != "alone"
    assert HOUSE.agencies == {"a", "b"}
