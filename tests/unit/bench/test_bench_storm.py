"""Who opts out in a storm, and which arrival is too late; when memory is flat."""

import pytest

from bench.receipts import Receipt
from bench.scenario import Scenario, ScenarioError, parse_scenario
from bench.soak import Soak, growth, soak_figures
from bench.storm import Storm, chosen, hold_against, storm_figures


def storm_of(recipients: int, opt_outs: int) -> Scenario:
    return Scenario("x", "x", recipients, opt_outs=opt_outs, opt_outs_per_second=10)


@pytest.mark.parametrize(("recipients", "opt_outs"), [(10, 10), (10, 3), (1000, 200), (7, 1)])
def test_as_many_as_wished_and_nobody_twice(recipients: int, opt_outs: int) -> None:
    numbers = list(chosen(storm_of(recipients, opt_outs)))
    assert len(set(numbers)) == len(numbers) == opt_outs
    assert set(numbers) <= set(range(recipients))
    assert numbers[0] == recipients - 1


def test_late_arrivals() -> None:
    storm = Storm(answered={1: 100.0, 2: 100.0, 3: 100.0})
    receipts = [(99.0, 1), (101.0, 2), (103.5, 3), (200.0, 4)]
    hold_against(storm, (Receipt(at, f"person{n}@d0.bench.example", "", "", answered=True) for at, n in receipts))
    assert storm.arrived_after == [1.0, 3.5]
    assert storm.forbidden == 1
    assert storm_figures(storm)["latest_after_ms"] == 3500.0


def test_transactional_mail_is_not_stopped_by_an_opt_out() -> None:
    storm = Storm(answered={1: 100.0})
    hold_against(storm, [Receipt(200.0, "urgent1@d0.bench.example", "", "", answered=True)])
    assert storm.arrived_after == []


def test_growth_is_of_the_last_quarter_over_the_second() -> None:
    assert growth([(float(at), 100.0) for at in range(100)]) == 0.0
    assert growth([(float(at), 50.0 if at < 25 else 100.0) for at in range(100)]) == 0.0  # warming up is no growth
    assert growth([(float(at), float(at)) for at in range(101)]) == pytest.approx(50.5)
    assert growth([(1.0, 5.0)] * 3) is None


def test_a_soak_loses_what_was_accepted_and_did_not_come() -> None:
    figures = soak_figures(Soak(2, 100, [(1.0, 10.0), (2.0, 10.0)]), 97)
    assert figures["lost"] == 3
    assert figures["core_growth_mb"] is None


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"opt_outs": 5}, "both or none"),
        ({"opt_outs_per_second": 5}, "both or none"),
        ({"opt_outs": 50, "opt_outs_per_second": 5}, "at most as many"),
        ({"opt_outs": 5, "opt_outs_per_second": 5, "until": "soak"}, "only with until"),
        ({"dead": True}, "dead: which share"),
    ],
)
def test_contradictions(table: dict[str, object], word: str) -> None:
    with pytest.raises(ScenarioError, match=word):
        parse_scenario("x", {"description": "x", "recipients": 10, **table})
