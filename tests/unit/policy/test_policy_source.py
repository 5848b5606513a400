from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pytest

from engine.policy.directive import Directive, Scope, Verb, youngest
from engine.policy.provider import Match, Providers, Share, ends, read_matches
from engine.policy.source import State, choose, make_pool
from engine.policy.throttle import Rate
from engine.policy.warmup import Budget, Warmup, read_warmup

DAY = datetime(2026, 4, 1, 12, tzinfo=UTC).timestamp()


def test_turns_are_interleaved_by_weight() -> None:
    pool = make_pool("p", {"a": 4, "b": 2, "c": 2})
    assert pool.order == ("a", "b", "c", "a")
    assert Counter(pool.turn(number) for number in range(1000)) == {"a": 500, "b": 250, "c": 250}
    assert pool.others(0) == ["b", "c"]
    assert pool.others(1) == ["c", "a"]
    assert make_pool("p", {"a": 7}).order == ("a",)


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        ({"a": "open", "b": "open"}, ("a", "open")),
        ({"a": "full", "b": "open"}, ("b", "open")),
        ({"a": "cold", "b": "open"}, ("b", "open")),
        ({"a": "blocked", "b": "open"}, ("a", "blocked")),
        ({"a": "full", "b": "full"}, ("a", "full")),
        ({"a": "cold", "b": "blocked"}, ("a", "cold")),
    ],
)
def test_only_who_has_no_room_passes_the_turn_on(states: dict[str, str], chosen: tuple[str, str]) -> None:
    pool = make_pool("p", {"a": 1, "b": 1})
    assert choose(pool, 0, lambda name: State(states[name])) == (chosen[0], State(chosen[1]))


# -- warm-up ---------------------------------------------------------------------------------------------------


def warmup(**more: Any) -> Warmup:
    return read_warmup({"start": date(2026, 4, 1), "schedule": [10, 20], "zone": "UTC", **more})


def test_the_days_of_a_schedule() -> None:
    plan = warmup(provider={"gmail": [2, 4, 8]})
    assert [plan.day(DAY + n * 86400) for n in (-1, 0, 1)] == [0, 1, 2]
    assert [plan.allowance(DAY + n * 86400) for n in (-1, 0, 1, 2)] == [0, 10, 20, None]
    assert [plan.allowance(DAY + n * 86400, "gmail") for n in (-1, 0, 1, 2, 3)] == [0, 2, 4, 8, None]
    assert plan.allowance(DAY, "yahoo") is None
    assert plan.midnight(DAY) == DAY + 12 * 3600
    assert read_warmup({"start": date(2026, 4, 1), "schedule": [1]}).midnight(DAY) == DAY + 3 * 3600, "Tokyo"


def test_a_budget_is_used_up_turns_with_the_day_and_never_back() -> None:
    budget = Budget(warmup(provider={"gmail": [2, 4]}))
    assert (budget.left(DAY), budget.left(DAY, "gmail"), budget.left(DAY, "yahoo")) == (10, 2, 10)
    budget.take(DAY, "gmail", 2)
    budget.take(DAY, "yahoo", 7)
    assert (budget.left(DAY), budget.left(DAY, "gmail"), budget.left(DAY, "yahoo")) == (1, 0, 1)
    budget.take(DAY, "", 5)
    assert budget.left(DAY) == 0
    assert budget.left(DAY + 86400, "gmail") == 4
    assert budget.left(DAY, "gmail") == 2, "a clock that goes back gives its day's allowance, less what was used since"
    budget.take(DAY + 86400, "gmail")
    assert budget.left(DAY, "gmail") == 1
    assert budget.left(DAY + 2 * 86400) is None
    kept = Budget(warmup(), budget.day, {"": 3})
    assert kept.left(DAY + 86400) is not None


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (1, "write {start = 2026-04-01"),
        ({"start": date(2026, 4, 1)}, "write {start = 2026-04-01"),
        ({"start": date(2026, 4, 1), "schedule": [1], "nyaan": 1}, "unknown key 'nyaan'"),
        ({"start": "2026-04-01", "schedule": [1]}, "start: write the first day"),
        ({"start": datetime(2026, 4, 1, tzinfo=UTC), "schedule": [1]}, "start: write the first day"),
        ({"start": date(2026, 4, 1), "schedule": []}, "schedule: write the messages of each day"),
        ({"start": date(2026, 4, 1), "schedule": [0]}, "schedule: write the messages of each day"),
        ({"start": date(2026, 4, 1), "schedule": [1], "zone": 9}, "zone: write a time zone"),
        ({"start": date(2026, 4, 1), "schedule": [1], "zone": "Nyaan"}, "no time zone"),
        ({"start": date(2026, 4, 1), "schedule": [1], "provider": 1}, "provider: write a table"),
        ({"start": date(2026, 4, 1), "schedule": [1], "provider": {"gmail": 1}}, "schedule: write the messages"),
    ],
)
def test_a_wrong_warmup_says_what_to_write(table: object, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_warmup(table)
    assert error in str(caught.value)


# -- providers -------------------------------------------------------------------------------------------------


def test_suffixes_end_at_a_label() -> None:
    assert ends("docomo.ne.jp", "docomo.ne.jp")
    assert ends("mail.docomo.ne.jp", "docomo.ne.jp")
    assert not ends("notdocomo.ne.jp", "docomo.ne.jp")
    assert ends("mx.google.com", ".google.com")
    assert not ends("google.com", ".google.com")


def test_every_exchanger_must_fit_and_the_first_provider_wins() -> None:
    providers = Providers(
        {
            "host": [Match("HostName", "mx.one.example")],
            "suffix": [Match("MXSuffix", ".big.example"), Match("MXSuffix", ".big2.example")],
            "domain": [Match("DomainSuffix", "d.example")],
        }
    )
    assert providers.of("x.example", ("mx.one.example",)) == "host"
    assert providers.of("x.example", ("a.big.example", "b.big.example")) == "suffix"
    assert providers.of("x.example", ("a.big2.example",)) == "suffix"
    assert providers.of("x.example", ("a.big.example", "mine.example")) == ""
    assert [providers.of("sub.d.example", ()) for _ in range(2)] == ["domain", "domain"]
    assert providers.of("", ()) == ""
    for number in range(20_001):
        providers.of(f"x{number}.example", ())
    assert providers.of("sub.d.example", ()) == "domain"


@pytest.mark.parametrize(
    "value",
    [None, [], [1], [{}], [{"MXSuffix": 1}], [{"MXSuffix": "a b.example"}], [{"Nyaan": "x.example"}],
     [{"MXSuffix": "a..b"}], [{"MXSuffix": "x.example", "HostName": "x.example"}], [{"MXSuffix": "ü.example"}]],
)  # fmt: skip
def test_a_wrong_match_says_what_to_write(value: object) -> None:
    with pytest.raises(ValueError, match="write a list such as"):
        read_matches(value)


def test_a_match_is_read() -> None:
    assert read_matches([{"MXSuffix": ".Google.com"}, {"HostName": "MX.example."}]) == (
        Match("MXSuffix", ".google.com"), Match("HostName", "mx.example"),
    )  # fmt: skip


def test_a_share_of_connections_calls_whoever_waits_once() -> None:
    share = Share(1, Rate(1, 1, 1))
    called: list[str] = []

    def look() -> None:
        called.append("look")

    assert share.throttle is not None
    assert share.take()
    assert not share.take()
    share.call_again(look)
    share.call_again(look)
    share.give()
    assert called == ["look"]
    assert share.take()
    share.give()
    assert called == ["look"]
    free = Share(0, None)
    assert free.throttle is None
    assert all(free.take() for _ in range(100))


# -- directives ------------------------------------------------------------------------------------------------


def test_a_scope_fits_what_agrees_with_all_that_it_names() -> None:
    facts = Scope("d.example", "p", "s", "a", "shop", "m")
    assert Scope().covers(facts)
    assert facts.covers(facts)
    for name in ("domain", "provider", "site", "source", "sender", "mailing"):
        assert Scope(**{name: getattr(facts, name)}).covers(facts)
        assert not Scope(**{name: "other"}).covers(facts)
    assert (Scope(sender="x").is_of_senders, Scope(mailing="x").is_of_senders, Scope("d").is_of_senders) == (
        True, True, False,
    )  # fmt: skip
    assert str(Scope()) == "everything"
    assert str(Scope(domain="d.example", sender="shop")) == "domain d.example, sender shop"


def test_the_youngest_that_fits() -> None:
    def order(number: int, verb: Verb, scope: Scope, until: float | None = None) -> Directive:
        return Directive(number, verb, scope, 0.0, until, "", "operator")

    orders = {
        1: order(1, Verb.SUSPEND, Scope(domain="d")), 2: order(2, Verb.SUSPEND, Scope(), 10.0),
        3: order(3, Verb.BOUNCE, Scope(domain="d")),
    }  # fmt: skip
    assert youngest(orders, Verb.SUSPEND, Scope(domain="d")) is orders[2]
    assert youngest(orders, Verb.BOUNCE, Scope(domain="x")) is None
    assert (orders[1].is_over(1e9), orders[2].is_over(9.9), orders[2].is_over(10.0)) == (False, False, True)


def test_other_limits_of_a_share_and_the_same_rate_goes_on_where_it_is() -> None:
    share = Share(1, Rate(1, 1, 1))
    assert share.throttle
    share.throttle.take(0.0)
    share.adopt(2, Rate(1, 1, 1))
    assert share.limit == 2
    assert share.throttle.take(0.0) > 0.0
    share.adopt(2, Rate(9, 1, 9))
    assert share.throttle.take(0.0) == 0.0
    share.adopt(0, None)
    assert share.throttle is None
