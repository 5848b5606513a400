"""The report's page, and which parts of a report are measured again."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.page import page
from bench.processes import ProcessFailed, noise
from bench.publish import SHORT, kept, main, parts, run_parts
from bench.scenario import read_scenario

WHEN = {"at": "2026-01-01T00:00:00Z", "commit": "abcdef"}


def peer(name: str, rate: float, **more: object) -> dict[str, Any]:
    result = {"peer": name, "title": f"<{name}>", "rate": rate, "durable": "synced", "versions": {name: "1"}, **more}
    return {"part": f"peer-{name}", **WHEN, "result": result}


def test_fastest_first_and_escaped() -> None:
    text = page({"peer-a": peer("a", 10.0), "peer-sokutatsu": peer("sokutatsu", 99.0)}, {})
    assert text.index("&lt;sokutatsu&gt;") < text.index("&lt;a&gt;")
    assert "<a>" not in text
    assert '<tr class="ours">' in text


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = page({"peer-a": peer("a", 10.0)}, {"rate": b"\x89PNG"})
    assert 'src="data:image/png;base64,iVBORw' in text
    assert "http" not in text


def test_what_failed_and_what_was_disturbed_is_said() -> None:
    failed = {"part": "peer-b", **WHEN, "error": "no <greeting>"}
    text = page({"peer-a": peer("a", 10.0, **noise(1.0)), "peer-b": failed}, {})
    assert "not measured: no &lt;greeting&gt;" in text
    assert "not quiet" in text
    assert "not quiet" not in page({"peer-a": peer("a", 10.0, **noise(0.1))}, {})


def test_an_empty_report_is_a_page_too() -> None:
    assert "Bench report" in page({}, {})


def test_only_what_is_missing_or_failed_is_measured(tmp_path: Path) -> None:
    calls: list[str] = []

    def good(name: str) -> dict[str, Any]:
        calls.append(name)
        return {"name": name}

    def bad() -> dict[str, Any]:
        calls.append("bad")
        raise ProcessFailed("it ended")

    chosen = {"a": lambda: good("a"), "bad": bad, "b": lambda: good("b")}
    assert not run_parts(chosen, tmp_path, again=[])
    assert calls == ["a", "bad", "b"]
    assert kept(tmp_path)["bad"]["error"] == "ProcessFailed: it ended"
    assert kept(tmp_path)["a"]["result"] == {"name": "a"}
    calls.clear()
    assert not run_parts(chosen, tmp_path, again=["b"])
    assert calls == ["bad", "b"]
    assert run_parts({"a": chosen["a"]}, tmp_path, again=["all"])
    assert calls == ["bad", "b", "a"]


def test_each_part_has_a_scenario_that_can_be_shortened() -> None:
    names = parts(1000)
    assert len(names) == 1 + 7 + 2 + len(SHORT)
    for name, short in SHORT.items():
        assert all(hasattr(read_scenario(name), key) for key in short)


def test_unknown_part_or_no_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "rubbish", "--report", str(tmp_path)]) == 2
    assert "matplotlib" in (said := capsys.readouterr().err) or "parts: floor" in said
    assert json.dumps(kept(tmp_path)) == "{}"
