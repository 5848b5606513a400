"""The record, what is compared with it, and when a loss is a loss."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.check import confirmed_losses
from bench.compare import Comparison
from bench.paired import Paired, Round, quartiles
from bench.record import RecordError, chosen, read_record

HERE = {"cpu": "A", "cores": 2, "avx512_ifma": False}
ELSEWHERE = {"cpu": "B", "cores": 2, "avx512_ifma": True}


def entry(core: float, signer: float = 1.0, commit: str = "aaaa", conditions: dict[str, Any] = HERE) -> dict[str, Any]:
    names = ("core_us", "signer_us", "wire_us", "rsa_us", "rate")
    figures = {"core_ratio": core, "signer_ratio": signer, **dict.fromkeys(names, 1.0)}
    return {"at": "2026-01-01T00:00:00Z", "commit": commit, "figures": figures, "conditions": conditions}


def losses(*measured: dict[str, Any], base: dict[str, Any] | None = None) -> dict[str, float]:
    measurements = iter(measured)
    return confirmed_losses(lambda _: base or entry(4.0), lambda: next(measurements), 0.2)


def test_ratios_are_of_one_round_and_medians_of_all() -> None:
    rounds = [Round(10, 100, 40, 110, 5), Round(20, 100, 100, 110, 6), Round(10, 100, 90, 200, 7)]
    figures = Paired(rounds, 4096).figures()
    assert figures["core_ratio"] == 5.0  # of 4, 5, 9; the medians of µs would give 9
    assert figures["signer_ratio"] == 1.1
    assert figures["rounds"] == 3
    assert figures["core_ratio_quartiles"] == [4.5, 7.0]
    assert quartiles([1.0]) == [1.0]


def test_no_loss_needs_one_measurement_only() -> None:
    assert losses(entry(4.7)) == {}


def test_a_loss_that_a_later_measurement_does_not_show_is_noise() -> None:
    assert losses(entry(6.0), entry(4.5)) == {}
    assert losses(entry(6.0), entry(6.0), entry(4.7)) == {}
    assert losses(entry(6.0), entry(6.0, 2.0), entry(4.0, 2.0)) == {}, "another loss each time"
    assert losses(entry(6.0), entry(4.0, 2.0)) == {}


def test_a_loss_found_each_time_counts_by_its_smallest_figure() -> None:
    assert losses(entry(6.0), entry(5.2), entry(7.0)) == {"core_ratio": pytest.approx(0.3)}
    assert losses(entry(4.0, 1.5), entry(4.0, 1.4), entry(4.0, 1.3)) == {"signer_ratio": pytest.approx(0.3)}


def test_the_signer_is_not_judged_across_kinds_of_machine() -> None:
    other = entry(4.0, 1.0, conditions=ELSEWHERE)
    assert losses(entry(4.0, 9.0), base=other) == {}
    assert not Comparison(other, entry(4.0)).alike


def test_the_last_line_of_a_machine_like_this() -> None:
    record = [entry(1, commit="abc1"), entry(2, commit="abd2"), entry(3, commit="abe3", conditions=ELSEWHERE)]
    assert chosen(record, "last", HERE)["commit"] == "abd2"
    assert chosen(record, "last", ELSEWHERE)["commit"] == "abe3"
    assert chosen(record, "last", {"cpu": "C"})["commit"] == "abe3"
    assert chosen(record, "abc", ELSEWHERE)["commit"] == "abc1"
    with pytest.raises(RecordError, match="abe3"):
        chosen(record, "fff", HERE)
    with pytest.raises(RecordError, match="none"):
        chosen([], "last", HERE)


def test_reading(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    assert read_record(file) == []
    file.write_text(json.dumps(entry(4.0)) + "\n" + json.dumps(entry(5.0)) + "\n")
    assert [line["figures"]["core_ratio"] for line in read_record(file)] == [4.0, 5.0]
    for rubbish in ("rubbish", "[]", "{}", '{"figures": {"core_ratio": null}}'):
        file.write_text(rubbish + "\n")
        with pytest.raises(RecordError, match="line 1"):
            read_record(file)
