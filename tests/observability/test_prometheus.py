"""A real Prometheus beside a real engine that a bench run keeps busy: every expression that we ship is asked.

Needs prometheus and promtool (Debian: prometheus) and dashboards.in; `make observability` looks for both.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bench import alerts, dashboards
from bench.configuration import fill_suppression
from bench.inject import inject
from bench.mailing import People, urgent_address
from bench.panels import BOARDS
from bench.processes import free_port
from bench.rig import Rig, rig
from bench.scenario import read_scenario

ROOT = Path(__file__).parents[2]
SECONDS = 40.0
OFTEN_EMPTY = {
    # What a healthy short run on loopback has none of; all of it must still be understood.
    *("warmup_left", "optout", "provider_", "returns", "suppressed_total"),
}


def promtool(*words: str, given: bytes = b"") -> str:
    done = subprocess.run(["promtool", *words], input=given, capture_output=True, timeout=120, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_dashboards_in_the_tree_are_what_the_code_builds(board: Any) -> None:
    assert (dashboards.FOLDER / f"{board.name}.json").read_text(encoding="utf-8") == dashboards.build(board), (
        "python -m bench.dashboards"
    )


def test_the_rules_are_right_and_each_alert_fires_and_does_not() -> None:
    known = alerts.read_alerts(alerts.SOURCE.read_text(encoding="utf-8"))
    assert f"{len(known)} rules found" in promtool("check", "rules", str(alerts.RULES))
    assert "SUCCESS" in promtool("test", "rules", str(alerts.TESTS))


def test_a_rule_that_never_fires_is_found(tmp_path: Path) -> None:
    """The cases can fail: each alert in turn gets an expression that is never true, and one that always is."""
    known = alerts.read_alerts(alerts.SOURCE.read_text(encoding="utf-8"))
    for wrong in ("absent(up) == 2", 'sum by (job, instance) ({job="sokutatsu"}) < Inf'):
        broken = [replace(alert, expr=wrong, wait="0m") for alert in known]
        (tmp_path / "rules.yml").write_text(alerts.rules(broken), encoding="utf-8")
        (tmp_path / "rules_test.yml").write_text(alerts.cases(known), encoding="utf-8")
        words = ["promtool", "test", "rules", str(tmp_path / "rules_test.yml")]
        done = subprocess.run(words, capture_output=True, timeout=120, check=False)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode != 0
        assert {alert.name for alert in known if f"alertname: {alert.name}," in said} == {alert.name for alert in known}


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    port = free_port()
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{json.dumps(str(alerts.RULES))}]\n"
        "scrape_configs:\n"
        f"  - {{job_name: sokutatsu, static_configs: [{{targets: [{json.dumps(target)}]}}]}}\n"
        f"  - {{job_name: kumomta, params: {{view: [kumomta]}}, static_configs: [{{targets: [{json.dumps(target)}]}}]}}\n"
    )
    promtool("check", "config", str(configuration))
    words = [f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *words], stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def asked(base: str, page: str, **parameters: str) -> Any:
    with urllib.request.urlopen(f"{base}/api/v1/{page}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        found = json.load(answer)
    assert found["status"] == "success", found
    return found["data"]


def until(reached: Any, seconds: float) -> Any:
    """Polls: the only clock here is that of other processes."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if found := reached():
                return found
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.2)


def keep_busy(made: Rig, people: People, base: str) -> None:
    scenario = made.scenario
    uvloop.run(inject(scenario, people, made.place.socket, label="watched"))
    wanted = 0.95 * scenario.recipients
    query = 'sum(sokutatsu_outcomes_total{job="sokutatsu"})'

    def through() -> bool:
        found = asked(base, "query", query=query)["result"]
        return bool(found) and float(found[0]["value"][1]) >= wanted

    until(through, SECONDS)


def shown(expr: str) -> str:
    return expr.replace("$__rate_interval", "30s").replace("$instance", ".*")


def test_every_expression_runs_on_what_a_real_engine_exposes(tmp_path: Path) -> None:
    scenario = replace(read_scenario("deferrals"), recipients=3000, suppression_entries=4000, transactional=5)
    people = People(scenario.recipients, scenario.domains, 0, "")
    with rig(scenario, tmp_path / "run") as made:
        consenting = [people.address(number) for number in range(people.total)]
        fill_suppression(made.place, [*consenting, *map(urgent_address, range(5))], [], 4000, len(consenting) + 5)
        made.start()
        with prometheus(tmp_path, f"127.0.0.1:{made.admin}") as base:
            until(lambda: asked(base, "query", query='up{job="sokutatsu"} == 1')["result"], SECONDS)
            keep_busy(made, people, base)
            until(lambda: asked(base, "query", query="sokutatsu_attempts_total")["result"], SECONDS)
            for view in ("metrics", "metrics?view=kumomta"):
                promtool("check", "metrics", given=made.get(view).encode())
            silent = [
                f"{board.name}: {panel.title}: {query.expr}"
                for board in BOARDS
                for row in board.rows
                for panel in row.panels
                for query in panel.queries
                if not asked(base, "query", query=shown(query.expr))["result"]
                and not any(word in query.expr for word in OFTEN_EMPTY)
            ]
            assert silent == [], "these show nothing on a busy engine"
            groups = asked(base, "rules")["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert {rule["name"] for rule in rules} == {
                alert.name for alert in alerts.read_alerts(alerts.SOURCE.read_text())
            }
            assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
            assert {rule["health"] for rule in rules} == {"ok"}
            assert asked(base, "query", query='total_messages_delivered{job="kumomta"} > 0')["result"]
        made.stop()
