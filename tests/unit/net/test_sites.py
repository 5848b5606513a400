from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.net.sites import LONGEST, provider_of, site_of

GMAIL = ["gmail-smtp-in.l.google.com", *(f"alt{n}.gmail-smtp-in.l.google.com" for n in range(1, 5))]


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        (GMAIL, "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"),
        (["mx.a.jp"], "mx.a.jp"),
        (["mx2.a.jp", "mx1.a.jp", "mx1.a.jp"], "(mx1|mx2).a.jp"),
        (["mx1.a.jp", "mx2.a.jp", "b.jp"], "(mx1|mx2).a.jp,b.jp"),
        (["a.b", "x.a.b", "y.a.b"], "(x|y)?.a.b"),
        (["a.b", "x.a.b"], "x.a.b,a.b"),
        (["localhost"], "localhost"),
        (["p", "x.p", "a.x.p", "b.x.p", "y.p", "a.y.p", "b.y.p"], "p,(a|b)?.x.p,(a|b)?.y.p"),
    ],
)
def test_names(hosts: list[str], name: str) -> None:
    assert site_of(hosts) == name
    assert site_of(reversed(hosts)) == name, "the order says nothing"


def test_long_names_are_cut_and_stay_different() -> None:
    one, other = [f"mx{n}.provider{n}.example" for n in range(20)], [f"mx{n}.provider{n}.example" for n in range(19)]
    assert len(site_of(one)) == LONGEST
    assert site_of(one) != site_of(other)


def test_different_sets_have_different_names() -> None:
    """All sets of up to four hosts out of a family that folds in every way."""
    family = ["p", "a.p", "b.p", "a.a.p", "b.a.p", "a.b.p", "b.b.p", "a.a.a.p", "q"]
    sets = [found for size in range(1, 8) for found in itertools.combinations(family, size)]
    assert len({site_of(found) for found in sets}) == len(sets)


_HOSTS = st.sets(st.lists(st.sampled_from(["a", "b", "c", "mx1"]), min_size=1, max_size=5).map(".".join), min_size=1)


@settings(max_examples=100, deadline=None)
@given(_HOSTS, _HOSTS)
def test_two_names_are_equal_only_for_equal_sets(one: set[str], other: set[str]) -> None:
    assert (site_of(one) == site_of(other)) == (one == other)


PROVIDERS = {
    "google": [".google.com", ".googlemail.com"],
    "one": ["mx.one.example"],
}


@pytest.mark.parametrize(
    ("hosts", "provider"),
    [
        (GMAIL, "google"),
        ([*GMAIL, "aspmx2.googlemail.com"], "google"),
        ([*GMAIL, "mx.own.example"], ""),
        (["mx.one.example"], "one"),
        (["a.mx.one.example"], ""),
        (["evilgoogle.com"], ""),
        (["google.com"], ""),
        ([], ""),
    ],
)
def test_provider(hosts: list[str], provider: str) -> None:
    assert provider_of(hosts, PROVIDERS) == provider
