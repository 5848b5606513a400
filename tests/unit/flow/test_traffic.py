"""Labels with an end, counters that never go back: who is shown, and what becomes of those that are forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.flow.counts import PathCounts, Tally
from engine.flow.traffic import BUSIEST, MOST_SHOWN, OTHER, SHOW_EVERY, Traffic, busiest, survey
from engine.spool.port import Outcome

ENDS = (Outcome.DELIVERED, None, Outcome.BOUNCED)


def path(site: str, provider: str = "", *, ready: int = 0, connections: int = 0) -> Any:
    queues = ([0] * ready, [0] if ready else [])
    return SimpleNamespace(
        site=site,
        provider=provider,
        counts=PathCounts(),
        pool=SimpleNamespace(connections=set(range(connections)), paused_until=9.0 if site == "c" else 0.0),
        ready=SimpleNamespace(queues=queues),
        in_flight=connections,
    )


def made(traffic: Traffic, site: str, delivered: int = 0, provider: str = "") -> Any:
    one = path(site, provider)
    traffic.adopt(one)
    for _ in range(delivered):
        one.counts.note(Outcome.DELIVERED)
    one.counts.tick()
    return one


def show(traffic: Traffic, paths: Iterable[Any]) -> None:
    """The surveys of some seconds."""
    seen = traffic.survey()
    for one in paths:
        seen.add(one, 0.0)
    for _ in range(SHOW_EVERY):
        traffic.saw(seen)


def test_a_site_is_shown_from_the_time_on_when_it_is_large_and_what_it_did_before_stays_in_other() -> None:
    traffic = Traffic()
    one = made(traffic, "mx", 3)
    assert traffic.by_site("delivered") == {OTHER: 3}
    show(traffic, [one])
    one.counts.note(Outcome.DELIVERED)
    one.counts.note(None)
    one.counts.note(Outcome.EXPIRED)
    assert traffic.by_site("delivered") == {"mx": 1, OTHER: 3}
    assert (traffic.by_site("deferred"), traffic.by_site("failed")) == ({"mx": 1, OTHER: 0}, {"mx": 1, OTHER: 0})


def test_a_forgotten_path_loses_nothing_and_a_new_one_counts_on() -> None:
    traffic = Traffic()
    show(traffic, [made(traffic, "mx", 1, "gmail")])
    made(traffic, "mx", 4, "gmail")
    assert traffic.by_site("delivered") == {"mx": 4, OTHER: 1}
    assert traffic.by_provider("delivered") == {"gmail": 5, OTHER: 0}


def test_paths_of_several_sources_to_one_site_share_its_tally() -> None:
    traffic = Traffic()
    first, second = made(traffic, "mx", 1), made(traffic, "mx", 1)
    show(traffic, [first, second])
    first.counts.note(Outcome.DELIVERED)
    second.counts.note(Outcome.DELIVERED)
    assert traffic.by_site("delivered") == {"mx": 2, OTHER: 2}


def test_small_ones_are_not_shown_beside_large_ones() -> None:
    traffic = Traffic()
    large = [made(traffic, f"large{number}", 5) for number in range(BUSIEST)]
    show(traffic, large)
    for one in large:
        one.counts.note(Outcome.DELIVERED)
        one.counts.note(Outcome.DELIVERED)
        one.counts.tick()
    small, new = made(traffic, "small", 2), made(traffic, "new", 3)
    show(traffic, [*large, small, new, made(traffic, "idle")])
    assert set(traffic.sites) == {f"large{number}" for number in range(BUSIEST)} | {"new"}


def test_there_is_an_end_to_those_that_are_shown() -> None:
    traffic = Traffic()
    for step in range(2 * MOST_SHOWN):
        show(traffic, [made(traffic, f"site{step}", step + 1)])
    assert len(traffic.sites) == MOST_SHOWN
    assert OTHER in traffic.by_site("delivered")


def test_a_site_with_the_name_other_is_no_other() -> None:
    traffic = Traffic()
    one = made(traffic, OTHER, 2)
    show(traffic, [one])
    one.counts.note(Outcome.DELIVERED)
    assert traffic.by_site("delivered") == {OTHER: 3}
    assert busiest({OTHER: 4, "mx": 1}) == {OTHER: 4, "mx": 1}


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(ENDS), st.integers(1, 5), st.booleans(), st.booleans()),
        max_size=80,
    )
)
def test_no_counter_ever_goes_back_and_nothing_is_lost(steps) -> None:
    """Notes on any site, paths that are forgotten and made again, scrapes in between."""
    traffic = Traffic()
    paths: dict[int, Any] = {}
    before: dict[tuple[str, str], int] = {}
    total = 0
    for site, end, times, forget, scrape in steps:
        one = paths.get(site) or paths.setdefault(site, made(traffic, f"s{site}", provider=f"p{site % 3}"))
        for _ in range(times):
            one.counts.note(end)
        total += times
        if forget:
            del paths[site]
        one.counts.tick()
        if scrape:
            show(traffic, paths.values())
            shown = {
                (name, label): value
                for name in ("delivered", "deferred", "failed")
                for label, value in traffic.by_site(name).items()
            }
            assert all(shown[key] >= value for key, value in before.items())
            assert sum(shown.values()) == total == sum(tally.ended for tally in traffic.providers.values())
            before = shown


def test_a_survey_sums_by_site_and_provider() -> None:
    paths = [
        path("a", "gmail", ready=3, connections=2),
        path("a", "gmail", connections=1),
        path("b", ready=1),
        path("c"),
    ]
    found = survey(paths, 5.0)
    assert (found.paused, survey(paths, 9.0).paused) == (1, 0)
    assert (found.recipients, found.connections) == ({"a": 7, "b": 2}, {"a": 3})
    assert (found.provider_recipients, found.provider_connections) == ({"gmail": 7, OTHER: 2}, {"gmail": 3})


def test_the_busiest_are_named_and_the_rest_is_other() -> None:
    shown = busiest({f"s{number}": number for number in range(30)})
    assert len(shown) == BUSIEST + 1
    assert (shown["s29"], shown[OTHER]) == (29, sum(range(10)))
    assert busiest({}) == {OTHER: 0}


def test_a_tally_begins_empty() -> None:
    assert Tally().ended == 0
