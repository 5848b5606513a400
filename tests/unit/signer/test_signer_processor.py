"""Which way of multiplying the workers get: measured both ways, and OpenSSL's own choice whenever there is a doubt."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.signer import probe, processor
from engine.signer.processor import VARIABLE, WITHOUT_ADX, choose, environment_of, faster, may_choose, start_probe

BOTH = {VARIABLE: WITHOUT_ADX}
CPUINFO = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2 bmi1 bmi2 adx sha_ni\nbugs\t\t: none\n"


def saying(own: str, other: str):
    """Probes that print these, real processes."""

    def start(environment: Mapping[str, str]) -> subprocess.Popen[str]:
        code = other if environment else own
        return subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    return start


@pytest.mark.parametrize(
    ("own", "other", "wanted"),
    [
        ("print(675.2)", "print(600.1)", BOTH),
        ("print(600)", "print(583)", {}),  # three in a hundred: noise
        ("print(600)", "print(581)", BOTH),
        ("print(600)", "print(675)", {}),
        ("print(600)", "raise SystemExit(1)", {}),
        ("print(600)", "print(100); raise SystemExit(1)", {}),
        ("import os; os.abort()", "print(100)", {}),
        ("print('nan')", "print(100)", {}),
        ("print(600)", "print(-1)", {}),
    ],
)
def test_the_faster_way_is_taken_and_doubt_leaves_it_as_it_is(own, other, wanted) -> None:
    assert choose(saying(own, other)) == wanted


def test_a_difference_that_is_seen_the_second_time_counts(tmp_path: Path) -> None:
    """The first time the machine was busy. Each probe leaves a line, so that the second knows that it is one."""
    seen = tmp_path / "seen"
    count = f"open({str(seen)!r}, 'a').write('x'); n = len(open({str(seen)!r}).read()); "
    assert choose(saying(count + "print(900 if n == 1 else 675)", count + "print(890 if n == 2 else 600)")) == BOTH
    assert seen.read_text() == "xxxx"


def test_a_probe_that_hangs_is_ended(monkeypatch) -> None:
    monkeypatch.setattr(processor, "PROBE_SECONDS", 0.3)
    assert choose(saying("print(600)", "import time; time.sleep(60)")) == {}


@pytest.mark.parametrize(
    ("cpuinfo", "wanted"),
    [
        (CPUINFO, True),
        (CPUINFO.replace(" adx", ""), False),
        (CPUINFO.replace(" avx2", ""), False),
        (CPUINFO.replace(" bmi2", ""), False),
        (CPUINFO.replace("sha_ni", "avx512ifma"), False),
        ("Features\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_only_a_processor_with_both_ways_is_asked(cpuinfo, wanted) -> None:
    assert may_choose(cpuinfo) is wanted


def test_the_operators_word_stands(monkeypatch) -> None:
    faster.cache_clear()
    monkeypatch.setenv(VARIABLE, "")
    assert faster() == {}
    faster.cache_clear()


def test_a_real_probe_tells_a_cost_and_sees_our_environment() -> None:
    with start_probe(BOTH) as process:
        told, _ = process.communicate(timeout=30)
    assert 10 < float(told) < 1e6
    root = Path(probe.__file__).parents[2]
    assert environment_of({"X": "1"})["PYTHONPATH"].split(":")[0] == str(root)
    assert environment_of({"X": "1"})["X"] == "1"
