"""Who must get mail, who may, and when a crash run is good."""

import pytest

from bench.crash import _good
from bench.inject import Injection
from bench.mailing import People
from bench.run import _allowed, _due, opted_out
from bench.scenario import Scenario

GOOD = {
    "lost": 0,
    "never_acknowledged": 0,
    "signers_that_outlived_their_core": 0,
    "duplicates": 5,
    "bound": 10,
    "in_doubt_found_by_the_engine": 5,
}


def scenario(**values: object) -> Scenario:
    return Scenario("x", "x", 1000, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 10), (0.5, 500), (1.0, 1000)])
def test_opted_out_share(share: float, count: int) -> None:
    assert sum(opted_out(scenario(opted_out=share), number) for number in range(1000)) == count


def test_allowed_is_accepted_and_not_opted_out() -> None:
    given = Injection(People(4, 1), bytearray(b"\x01\x00\x01\x01"))
    assert list(_allowed(scenario(opted_out=0.5), given)) == [1, 0, 1, 0]
    assert list(_allowed(scenario(), given)) == [1, 0, 1, 1]
    assert list(given.accepted) == [1, 0, 1, 1]


def test_due_leaves_out_whom_the_receiver_refuses_for_good() -> None:
    people = People(1000, 5, stalled=10)
    allowed = bytearray(b"\x01" * 1010)
    assert _due(scenario(), people, allowed) == b"\x01" * 1000 + bytes(10)
    some = _due(scenario(shares=("550=0.1", "451-1=0.5")), people, allowed)
    assert 850 < some.count(1) < 950
    assert _due(scenario(until="queued"), people, allowed) == bytes(1010)
    assert _due(scenario(), people, bytearray(1010)) == bytes(1010)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"lost": 1}, False),
        ({"never_acknowledged": 1}, False),
        ({"signers_that_outlived_their_core": 1}, False),
        ({"duplicates": 11, "in_doubt_found_by_the_engine": 99}, False),
        ({"duplicates": 6}, False),
    ],
)
def test_a_good_crash_run(change: dict[str, int], good: bool) -> None:
    assert _good({**GOOD, **change}) is good
