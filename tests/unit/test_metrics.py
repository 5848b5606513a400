"""Names as Prometheus wants them, histograms that add up, an exposition that its own parser reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from engine import kumomta
from engine.buckets import Buckets
from engine.metrics import LABEL_VALUES, METRICS, document, exposition, full_name

ROOT = Path(__file__).parents[2]


def observed() -> dict:
    """A value for every metric; labelled ones with two."""
    found: dict = {}
    for number, metric in enumerate(METRICS, 1):
        value: object = float(number)
        if metric.kind == "histogram":
            value = Buckets((0.1, 1.0))
            for seconds in (0.05, 0.1, 0.5, 7.0):
                value.observe(seconds)
        found[metric.name] = {"one": value, "other": value} if metric.labels else value
    return found


def families() -> dict:
    text = exposition(observed()).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_every_metric_is_exposed_with_kind_help_labels_and_value() -> None:
    found = families()
    for number, metric in enumerate(METRICS, 1):
        family = found[f"sokutatsu_{metric.name}"]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert {tuple(sample.labels) for sample in family.samples if not sample.name.endswith("_bucket")} == {
            metric.labels
        }
        if metric.kind != "histogram":
            assert {(sample.name, sample.value) for sample in family.samples} == {(full_name(metric), float(number))}
    assert {"process_resident_memory_bytes", "python_info"} <= found.keys()


def test_a_histogram_adds_up() -> None:
    samples = {
        (sample.name.rpartition("_")[2], sample.labels.get("le")): sample.value
        for sample in families()["sokutatsu_first_attempt_seconds"].samples
        if sample.labels["priority"] == "one"
    }
    assert samples == {
        ("bucket", "0.1"): 2,
        ("bucket", "1.0"): 3,
        ("bucket", "+Inf"): 4,
        ("count", None): 4,
        ("sum", None): pytest.approx(7.65),
    }


def test_what_was_not_observed_is_our_bug() -> None:
    found = observed()
    del found["attempts"]
    with pytest.raises(KeyError, match="attempts"):
        exposition(found)


def test_names_keep_the_rules_of_promtool() -> None:
    """Those of `promtool check metrics`, and ours: a counter is named without the _total that it gets."""
    for metric in METRICS:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", metric.name), metric.name
        assert metric.help.endswith("."), metric.name
        words = set(metric.name.split("_"))
        assert not words & {"total", "count", "sum", "bucket", "info", "counter", "gauge", "histogram", "summary"}
        assert not words & {"ms", "us", "s", "sec", "secs", "millis", "kb", "mb", "kib", "percent", "minutes", "hours"}
        assert not words & {"milliseconds", "microseconds", "kilobytes", "megabytes", "bits", "days"}
        if metric.kind == "histogram":
            assert metric.name.endswith(("_seconds", "_signatures"))
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)


def test_labels_are_bounded_and_named() -> None:
    assert {label for metric in METRICS for label in metric.labels} == LABEL_VALUES.keys()
    assert all(len(metric.labels) <= 1 for metric in METRICS)
    reserved = {"le", "quantile", "job", "instance", "recipient", "address", "mailing", "domain"}
    assert not LABEL_VALUES.keys() & reserved


def test_the_document_is_made_from_the_list() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == document(), (
        "python -c \"from engine.metrics import document; print(document(), end='')\" > docs/metrics.md"
    )


def aliased() -> dict:
    seen = observed()
    for metric in METRICS:
        if metric.labels and metric.labels[0] in ("outcome", "place", "phase"):
            values = LABEL_VALUES[metric.labels[0]].split(", ")
            seen[metric.name] = dict.fromkeys(values, seen[metric.name]["one"])
    text = kumomta.exposition(seen).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_every_alias_names_a_metric_of_ours_and_is_exposed_under_its_own_name() -> None:
    ours = {metric.name: metric for metric in METRICS}
    found = aliased()
    assert found.keys() == {alias.name for alias in kumomta.ALIASES} | {kumomta.MEMORY}
    for alias in kumomta.ALIASES:
        metric = ours[alias.ours]
        family = found[alias.name]
        assert family.type == ("histogram" if metric.kind == "histogram" else "unknown"), alias.name
        values = {sample.labels.get(alias.label) for sample in family.samples} if alias.label else set()
        assert values == ({alias.value} if alias.value else {"one", "other"} if alias.label else set()), alias.name
        if alias.picked:
            allowed = {value.strip() for value in LABEL_VALUES[metric.labels[0]].split(",")}
            assert set(alias.picked) <= allowed, alias.name


def test_an_alias_sums_what_it_picks_and_scales_it() -> None:
    seen = dict(observed())
    seen["queue_recipients"] = {"waiting": 5.0, "ready": 3.0, "in_flight": 2.0, "held": 1.0}
    seen["outcomes"] = {"delivered": 40.0, "bounced": 4.0, "expired": 1.0, "suppressed": 9.0, "cancelled": 0.0}
    seen["delivery_phase_seconds"] = {"connect": Buckets((1.0,)), "transaction": observed()["dns_seconds"]}
    seen["disk_free_ratio"] = 0.25
    text = kumomta.exposition(seen).decode()
    for line in (
        'total_messages_delivered{service="smtp_client"} 40.0',
        'total_messages_fail{service="smtp_client"} 4.0',
        "scheduled_count_total 6.0",
        'ready_count{service="smtp_client"} 5.0',
        "message_count 11.0",
        'disk_free_percent{name="spool"} 25.0',
        'deliver_message_latency_rollup_count{service="smtp_client"} 4.0',
    ):
        assert line in text.splitlines(), line
    assert re.search(r"^memory_usage [1-9]", text, re.MULTILINE)


def test_the_document_of_the_aliases_is_made_from_the_list() -> None:
    assert (ROOT / "docs" / "metrics-kumomta.md").read_text(encoding="utf-8") == kumomta.document(), (
        "python -c \"from engine.kumomta import document; print(document(), end='')\" > docs/metrics-kumomta.md"
    )


def test_quantiles_are_upper_bounds() -> None:
    buckets = Buckets((1, 2, 5))
    assert buckets.quantile(0.99) == 0.0
    for value in (0.5, 1, 1.5, 4):
        buckets.observe(value)
    assert (buckets.quantile(0.5), buckets.quantile(0.75), buckets.quantile(1.0)) == (1, 2, 5)
    buckets.observe(100)
    assert buckets.quantile(1.0) == float("inf")


# Without a deadline: hypothesis fails an example that takes 200 ms, and on a busy machine that says nothing of histograms.
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0, 10), max_size=50))
def test_no_value_falls_out_of_a_histogram(values) -> None:
    buckets = Buckets((0.5, 1, 5))
    for value in values:
        buckets.observe(value)
    rows = buckets.cumulative()
    assert buckets.count == rows[-1][1] == len(values)
    for bound, count in rows:
        assert count == sum(value <= float(bound.replace("+Inf", "inf")) for value in values)
    assert buckets.total == pytest.approx(sum(values))
