"""Scenario files: the shipped ones are valid, misspelt ones are not."""

from pathlib import Path

import pytest

from bench.scenario import FOLDER, Scenario, ScenarioError, parse_scenario, read_scenario

SHIPPED = sorted(path.stem for path in FOLDER.glob("*.toml"))
LEAST = {"description": "x", "recipients": 10}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenario(name: str) -> None:
    scenario = read_scenario(name)
    assert scenario.name == name
    assert scenario.description
    if scenario.baseline:
        assert scenario.baseline in SHIPPED


def test_what_the_issue_asks_for_is_there() -> None:
    asked = (
        "steady",
        "tls",
        "transactional",
        "million",
        "many_sites",
        "many_domains",
        "deferrals",
        "stalled_site",
        "start_full",
    )
    assert set(asked) <= set(SHIPPED)


def test_values() -> None:
    scenario = parse_scenario(
        "x", {**LEAST, "tls": True, "latency_ms": 5, "shares": ["451=0.1"], "goal": {"core_us": 9}}
    )
    assert scenario.tls is True
    assert scenario.latency_ms == 5.0
    assert scenario.shares == ("451=0.1",)
    assert scenario.goal.core_us == 9.0
    assert scenario == Scenario("x", "x", 10, tls=True, latency_ms=5.0, shares=("451=0.1",), goal=scenario.goal)


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({**LEAST, "mx": True, "tls": True}, "neither with tls"),
        ({**LEAST, "goal": {"core_us_over_baseline": 5}}, "core_us_over_baseline"),
        ({"recipient": 1}, "'recipient': unknown key"),
        ({"recipients": 0}, "recipients: at least 1"),
        ({"recipients": True}, "recipients: True is not a int"),
        ({"recipients": -1}, "recipients: -1 is not"),
        ({"recipients": "many"}, "recipients: 'many'"),
        ({"tls": 1}, "tls: 1 is not a bool"),
        ({"latency_ms": "x"}, "latency_ms"),
        ({"shares": "451=1"}, "shares"),
        ({"shares": [1]}, "shares"),
        ({"shares": ["451"]}, "share '451'"),
        ({"stalled_fault": "rubbish"}, "rubbish"),
        ({"goal": 1}, "goal: must be a table"),
        ({"goal": {"speed": 1}}, "goal.'speed': unknown key"),
        ({"goal": {"rate_to_baseline": 1}}, "which baseline"),
        ({"until": "never"}, "until"),
        ({"until": "transactional"}, "transactional: how many"),
        ({"category": "SPAM"}, "category"),
        ({"parked": True}, "parked"),
        ({"restart": True}, "restart"),
        ({"hold_seconds": 26}, "hold_seconds: at most 25"),
        ({"hold_seconds": 5, "parked": True, "until": "queued"}, "hold_seconds, parked"),
        ({"sites": 0}, "sites"),
        ({"sites": 30}, "domains: at least"),
        ({"opted_out": 1.5}, "opted_out"),
        ({"seconds": 1e9}, "seconds"),
    ],
)
def test_refused(table: dict[str, object], word: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario("x", {**LEAST, **table})
    assert word in str(caught.value)


def test_all_errors_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario("x", {"a": 1, "b": 2, "tls": "no"})
    assert len(str(caught.value).splitlines()) == 5


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('description = "mine"\nrecipients = 5\n')
    assert read_scenario(str(file)).name == "own"
    file.write_text("description =")
    with pytest.raises(ScenarioError):
        read_scenario(str(file))
    with pytest.raises(ScenarioError, match="steady"):
        read_scenario("unknown")
