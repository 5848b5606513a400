"""Lists that people signed up for, lists that were made up, old and bought ones: the score tells them apart."""

from __future__ import annotations

import random

import pytest

from engine.policy.listscore import GOOD, LEAST, LIMITS, LOWEST, Counted, score, unlikeness
from engine.policy.listwords import DISPOSABLE, MISSPELT, ROLES

FAMILY = "sato suzuki takahashi tanaka ito watanabe yamamoto nakamura kobayashi kato yoshida yamada sasaki".split()
GIVEN = "haruto yuto sota hina yui aoi ren minato sakura mei akari taro jiro hanako ichiro kenji naoko".split()
DOMAINS = "gmail.com yahoo.co.jp docomo.ne.jp icloud.com ezweb.ne.jp softbank.ne.jp outlook.jp example.co.jp".split()


def people(count: int) -> list[str]:
    """As people choose their addresses: a name, at times with a year or a few letters."""
    chance = random.Random(7)
    found: dict[str, None] = {}
    while len(found) < count:
        local = chance.choice((".", "_", "")).join((chance.choice(FAMILY), chance.choice(GIVEN)))
        tail = chance.choice(
            ("", str(chance.randrange(1960, 2010)), chance.choice(GIVEN)[:3], chance.choice(FAMILY)[:4])
        )
        found[f"{local}{tail}{chance.choice('abcdefghijklmnopqrstuvwxyz')}@{chance.choice(DOMAINS)}"] = None
    return list(found)


def counted(addresses: list[str], **more) -> Counted:
    return Counted(len(addresses) + more.get("faults", 0), more.pop("faults", 0), addresses, **more)


def test_a_list_that_people_signed_up_for_is_good() -> None:
    found = score(counted(people(2000), unknown=4, refused=20))
    assert found.points >= 95, (found.points, found.told, found.shares)
    assert found.is_judged


@pytest.mark.parametrize(
    ("spoilt", "name"),
    [
        ([f"user{number:04}@gmail.com" for number in range(400)], "sequential"),
        ([f"{name}@{domain}" for name in FAMILY + GIVEN for domain in DOMAINS], "crossed"),
        ([f"{'x9k2' * 2}q{number}z{number % 7}w3@gmail.com" for number in range(1000, 1800)], "random"),
        (
            [f"{name}@firm{number}.example" for number in range(40) for name in ("info", "admin", "sales", "it")],
            "roles",
        ),
        ([f"{name}@gmial.com" for name in GIVEN * 6], "misspelt"),
        ([f"{name}{number}@yopmail.com" for number, name in enumerate(FAMILY * 10)], "disposable"),
        (people(2000)[:700], "duplicates"),
    ],
)
def test_each_way_to_spoil_a_list_is_told_and_costs_points(spoilt, name) -> None:
    clean = score(counted(people(2000))).points
    found = score(counted(people(2000) + spoilt))
    assert name in found.told, found.shares
    assert found.points < clean


def test_dead_domains_and_people_never_mailed_cost_points() -> None:
    assert score(counted(people(2000), dead=200)).told == ["dead"]
    assert score(counted(people(2000), dead=200)).points < LOWEST
    assert score(counted(people(2000), dead=0, new=1000)).told == []
    assert score(counted(people(2000), new=2000)).points == score(counted(people(2000))).points - LIMITS["new"].points


def test_a_list_unlike_the_senders_earlier_ones_costs_points() -> None:
    mine, made_up = people(4000), [f"{number:x}@gmail.com" for number in range(1000, 3000)]
    like = unlikeness(mine[::2], mine[1::2])
    assert like is not None
    assert like < 0.1
    other = unlikeness(made_up, mine)
    assert other is not None
    assert other > 0.8
    assert score(counted(people(2000), unlike=like)).told == []
    assert score(counted(people(2000), unlike=other)).told == ["unlike"]
    assert unlikeness(mine[: LEAST - 1], mine) is None
    assert unlikeness(mine, mine[: LEAST - 1]) is None
    assert unlikeness(["@x.jp"] * LEAST, ["@x.jp"] * LEAST) == 0.0


@pytest.mark.parametrize(
    "more", [{"faults": 500}, {"unknown": 120}, {"refused": 1500}, {"old": 2000}, {"unknown": 60, "refused": 500}]
)
def test_what_is_known_of_the_addresses_costs_points(more) -> None:
    found = score(counted(people(2000), **more))
    assert found.points < GOOD
    assert found.told


def test_a_made_up_list_is_below_what_is_taken() -> None:
    made_up = [f"{name}{number:03}@docomo.ne.jp" for name in ("a", "b", "c") for number in range(500)]
    assert score(counted(made_up)).points < LOWEST
    crossed = [f"{name}@{domain}" for name in FAMILY + GIVEN for domain in DOMAINS]
    assert score(counted(crossed)).points < LOWEST


def test_numbers_that_people_chose_are_no_row() -> None:
    years = [f"yamada{year}@gmail.com" for year in (1961, 1975, 1988, 1999, 2001, 7, 77, 1234, 555, 31, 12)]
    assert score(counted(years)).shares["sequential"] == 0


def test_what_nobody_could_look_up_is_not_counted() -> None:
    assert "unknown" not in score(counted(people(300))).shares
    assert score(counted(people(300), unknown=0)).shares["unknown"] == 0


def test_a_short_list_is_not_judged_and_an_empty_one_breaks_nothing() -> None:
    assert not score(counted(people(LEAST - 1))).is_judged
    assert score(counted(people(LEAST))).is_judged
    assert score(Counted(0, 0, [])).points == 100
    assert score(Counted(500, 500, [])).points < GOOD
    assert score(counted(["nobody"] * 300)).shares["syntax"] == 1.0


def test_every_count_has_its_limits_and_words() -> None:
    everything = score(counted(people(300), unknown=0, refused=0, dead=0, new=0, unlike=0.0)).shares
    assert everything.keys() == LIMITS.keys()
    for limit in LIMITS.values():
        assert 0 <= limit.fine < limit.bad <= 1
        assert limit.en.isascii()
        assert not limit.ja.isascii()
    assert not (ROLES & MISSPELT) | (MISSPELT & DISPOSABLE)
    assert "gmail.com" not in MISSPELT
