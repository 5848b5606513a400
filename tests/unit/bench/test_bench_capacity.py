"""The arithmetic of the capacity model, by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity import Assumptions, Cost, cost_of, main, plan
from bench.record import RecordError

COST = Cost(core_us=100.0, signer_us=700.0, wire_bytes=4000.0, journal_bytes=100.0, disk_bytes=1000.0)
PLAIN = Assumptions(
    window_hours=10, peak=2, attempts=1, cores=4, utilisation=0.5, engine_utilisation=0.5, spare_machines=1,
    wire_overhead=1, journal_days=10, spooled_hours=5, spooled_bytes=400, domains=3600, lookups=5, dns_hours=1,
    commits_per_second=50,
)  # fmt: skip


def test_by_hand() -> None:
    found = plan(36_000_000, COST, PLAIN)  # 1,000/s on average, 2,000/s at the peak
    assert found.average_rate == pytest.approx(1000)
    assert found.peak_rate == pytest.approx(2000)
    assert found.cores_busy == pytest.approx(1.6)
    assert found.engines == 1  # 0.2 cores of loop at half use
    assert found.machines == 2  # 1.6 of 2 cores, and the spare one
    assert found.megabit == pytest.approx(64)
    assert found.terabytes == pytest.approx(0.144)
    assert found.journal_gb == pytest.approx(36)
    assert found.spool_gb == pytest.approx(7.2)
    assert found.written_mb == pytest.approx(2)
    assert found.syncs == 50
    assert found.dns == pytest.approx(5)


def test_the_loop_bounds_where_signing_is_cheap() -> None:
    found = plan(360_000_000, replace(COST, core_us=400.0, signer_us=0.0), PLAIN)  # 20,000/s: 8 cores of loop
    assert found.engines == 16
    assert found.machines == 5


def test_repeated_attempts_cost_processors_network_and_journal() -> None:
    once, twice = plan(36_000_000, COST, PLAIN), plan(36_000_000, COST, replace(PLAIN, attempts=2))
    assert twice.cores_busy == pytest.approx(once.cores_busy * 2)
    assert twice.megabit == pytest.approx(once.megabit * 2)
    assert twice.journal_gb == pytest.approx(once.journal_gb * 2)
    assert twice.spool_gb == pytest.approx(once.spool_gb)


def test_few_messages_ask_no_more_of_dns_than_they_have_domains() -> None:
    assert plan(3600, COST, PLAIN).dns == pytest.approx(0.2 * 5)


def test_grows_with_the_volume() -> None:
    small, large = plan(10_000_000, COST, Assumptions()), plan(1_000_000_000, COST, Assumptions())
    assert large.peak_rate == pytest.approx(small.peak_rate * 100)
    assert large.machines > small.machines >= 2


def test_cost_of_a_result_and_of_the_record() -> None:
    flat = {
        "core_us": 150,
        "signer_us": 690,
        "disk_bytes": 1400,
        "journal_bytes": 33,
        "conditions": {"wire_bytes": 4153},
    }
    assert cost_of(flat) == Cost(150.0, 690.0, 4153.0, 33.0, 1400.0)
    recorded = {"figures": {"core_us": 150, "signer_us": 690, "wire_bytes": 4128}}
    assert cost_of(recorded) == Cost(150.0, 690.0, 4128.0)


@pytest.mark.parametrize(
    "result", [{}, {"core_us": 1}, {"core_us": "x", "signer_us": 1, "conditions": {"wire_bytes": 1}}]
)
def test_a_result_without_costs_is_refused(result: dict[str, object]) -> None:
    with pytest.raises(RecordError, match="bench run"):
        cost_of(result)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result"
    file.write_text("words\n" + json.dumps({"core_us": 100, "signer_us": 700, "conditions": {"wire_bytes": 4000}}))
    assert main(["10000000", "--result", str(file), "--cores", "16"]) == 0
    said = capsys.readouterr().err
    assert "10 M a day" in said
    assert "window_hours 10" in said
    assert "cores 16" in said


@pytest.mark.parametrize("words", [["--cores", "0"], ["--peak", "-1"], ["0"], ["--result", "/nonexistent"]])
def test_impossible_wishes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err
