"""Alerts and panels without a Prometheus: the files in the tree, the names they use, the runbook they point to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import alerts
from bench.panels import BOARDS
from engine.metrics import LABEL_VALUES, METRICS, full_name

ROOT = Path(__file__).parents[3]
KNOWN = alerts.read_alerts(alerts.SOURCE.read_text(encoding="utf-8"))
PANELS = [panel for board in BOARDS for row in board.rows for panel in row.panels]
HISTOGRAMS = {full_name(metric) for metric in METRICS if metric.kind == "histogram"}
NAMES = {full_name(metric) for metric in METRICS if metric.kind != "histogram"} | {
    f"{name}_{end}" for name in HISTOGRAMS for end in ("bucket", "count", "sum")
}
EXPRESSIONS = [alert.expr for alert in KNOWN] + [query.expr for panel in PANELS for query in panel.queries]


def test_the_files_in_the_tree_are_made_from_the_list() -> None:
    assert alerts.RULES.read_text(encoding="utf-8") == alerts.rules(KNOWN), "python -m bench.alerts"
    assert alerts.TESTS.read_text(encoding="utf-8") == alerts.cases(KNOWN), "python -m bench.alerts"


@pytest.mark.parametrize("alert", KNOWN, ids=lambda alert: alert.name)
def test_an_alert_is_for_people(alert: alerts.Alert) -> None:
    assert re.fullmatch(r"Sokutatsu[A-Z]\w+", alert.name)
    assert alert.ja[1].endswith("。")
    assert alert.en[1].endswith((".", "。"))
    assert all(re.search(r"[ぁ-ん一-龥]", text) for text in alert.ja)
    runbook = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    headings = [line.lstrip("#").strip() for line in runbook.splitlines() if re.match(r"#{2,4} ", line)]
    assert alert.runbook in {re.sub(r" \(.*\)$", "", heading) for heading in headings}
    assert alerts.anchor(
        headings[[re.sub(r" \(.*\)$", "", h) for h in headings].index(alert.runbook)]
    ) == alerts.anchor(alert.runbook), "the anchor is made of the whole heading"


def test_names_are_those_of_metrics_and_all_that_is_asked_for_exists() -> None:
    used = {name for expr in EXPRESSIONS for name in re.findall(r"sokutatsu_\w+", expr)}
    assert used <= NAMES, used - NAMES
    bounded = {
        label: values.split(", ") for label, values in LABEL_VALUES.items() if label in ("outcome", "place", "phase")
    }
    for expr in EXPRESSIONS:
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', expr):
            assert value in bounded.get(label, [value]), expr


def test_names_of_alerts_are_not_used_twice_and_titles_have_both_languages() -> None:
    assert len({alert.name for alert in KNOWN}) == len(KNOWN)
    assert [panel.title for panel in PANELS if " / " not in panel.title] == []
    assert {panel.kind for panel in PANELS} == {"stat", "lines", "stacked", "bars"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"severity": "critical"}, "neither page nor ticket"),
        ({"ja": ["一つだけ"]}, "summary and a description"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_entry_is_refused(change: dict, error: str) -> None:
    entry = {
        "name": "SokutatsuX", "severity": "page", "runbook": "x", "for": "1m", "expr": "up == 0", "en": ["a", "b"],
        "ja": ["あ", "い"], "fires": {"up": "1"}, "quiet": {"up": "1"},
    }  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=error):
        alerts._alert({**entry, **change})


def test_the_anchor_of_a_heading() -> None:
    assert alerts.anchor("A site blocks or slows us") == "a-site-blocks-or-slows-us"
    assert alerts.anchor("recovered_in_doubt") == "recovered_in_doubt"
