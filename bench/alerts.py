"""`python -m bench.alerts`: deploy/prometheus/rules.yml and rules_test.yml from alerts.toml beside this file.

Rules and their cases stand together there, so that no alert is without a series that makes it fire and one that does
not. The YAML is written by hand, as text: strings in JSON's quotes are YAML too. What promtool says of the files is
asked by tests/observability; this file refuses only what it can see (unknown keys, missing languages).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCE = Path(__file__).with_name("alerts.toml")
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
TESTS = ROOT / "deploy" / "prometheus" / "rules_test.yml"
RUNBOOK = "https://YOUR.HOST/sokutatsu/blob/main/deploy/README.md"
WHERE = {"job": "sokutatsu", "instance": "mta1:9180"}
_COUNT = re.compile(r"x(\d+)")


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    severity: str
    runbook: str
    """A heading of deploy/README.md."""
    wait: str
    expr: str
    en: tuple[str, str]
    """Summary and description."""
    ja: tuple[str, str]
    fires: Mapping[str, str]
    """Series without job and instance -> values by promtool's notation, one a minute."""
    quiet: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the expression keeps beside job and instance, as in `fires`."""

    def annotations(self) -> dict[str, str]:
        place = "{{ $labels.instance }}: "
        return {
            "summary": place + self.en[0],
            "description": self.en[1],
            "summary_ja": place + self.ja[0],
            "description_ja": self.ja[1],
            "runbook_url": f"{RUNBOOK}#{anchor(self.runbook)}",
        }

    def shown(self) -> dict[str, str]:
        """The annotations as they arrive for the case that fires."""
        shown = self.annotations()
        for label, value in {**WHERE, **self.labels}.items():
            shown = {name: text.replace(f"{{{{ $labels.{label} }}}}", value) for name, text in shown.items()}
        return shown


def anchor(heading: str) -> str:
    """As the usual renderers of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def read_alerts(text: str) -> list[Alert]:
    """Raises TypeError for an unknown or missing key, ValueError for what is there and wrong."""
    return [_alert(entry) for entry in tomllib.loads(text)["alert"]]


def _alert(entry: dict[str, Any]) -> Alert:
    entry["wait"] = entry.pop("for")
    entry["expr"] = entry["expr"].strip()
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    alert = Alert(**known)
    if len(alert.en) != 2 or len(alert.ja) != 2:
        raise ValueError(f"{alert.name}: en and ja are each a summary and a description")
    if alert.severity not in {"page", "ticket"}:
        raise ValueError(f"{alert.name}: severity {alert.severity!r} is neither page nor ticket")
    return alert


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _mapping(values: Mapping[str, str], indent: int) -> list[str]:
    return [f"{' ' * indent}{name}: {_quoted(text)}" for name, text in values.items()]


def rules(alerts: list[Alert]) -> str:
    lines = [
        "# Made by `python -m bench.alerts` from bench/alerts.toml.",
        "groups:",
        "  - name: sokutatsu",
        "    rules:",
    ]
    for alert in alerts:
        lines += [f"      - alert: {alert.name}", "        expr: |"]
        lines += [f"          {line}" for line in alert.expr.splitlines()]
        lines += [f"        for: {alert.wait}", "        labels:", f"          severity: {alert.severity}"]
        lines += ["        annotations:", *_mapping(alert.annotations(), 10)]
    return "\n".join((*lines, ""))


def cases(alerts: list[Alert]) -> str:
    lines = ["# Made by `python -m bench.alerts` from bench/alerts.toml; `promtool test rules` runs it."]
    lines += ["rule_files: [rules.yml]", "evaluation_interval: 1m", "tests:"]
    for alert in alerts:
        lines += _case(alert, alert.fires, fires=True)
        lines += _case(alert, alert.quiet, fires=False)
    return "\n".join((*lines, ""))


def _case(alert: Alert, series: Mapping[str, str], *, fires: bool) -> list[str]:
    lines = [f"  - name: {alert.name} {'fires' if fires else 'does not fire'}", "    interval: 1m", "    input_series:"]
    for name, values in series.items():
        lines.append(f"      - series: {_quoted(_placed(name))}")
        lines.append(f"        values: {_quoted(values)}")
    minutes = min(_minutes(values) for values in series.values())
    # Every minute: one that fires for a moment and is well at the end would be seen, too.
    lines.append("    alert_rule_test:")
    for minute in [minutes] if fires else range(0, minutes + 1, max(1, minutes // 10)):
        lines += [f"      - alertname: {alert.name}", f"        eval_time: {minute}m"]
        if not fires:
            lines.append("        exp_alerts: []")
            continue
        lines += ["        exp_alerts:", "          - exp_labels:"]
        lines += _mapping({**WHERE, **alert.labels, "severity": alert.severity}, 14)
        lines += ["            exp_annotations:", *_mapping(alert.shown(), 14)]
    return lines


def _placed(series: str) -> str:
    name, _, labels = series.partition("{")
    own = ",".join(f'{label}="{value}"' for label, value in WHERE.items())
    return f"{name}{{{own}" + (f",{labels}" if labels else "}")


def _minutes(values: str) -> int:
    """The time of the last sample: `1x3` are four."""
    parts = values.split()
    return sum(int(found[1]) + 1 if (found := _COUNT.search(part)) else 1 for part in parts) - 1


def main() -> None:
    alerts = read_alerts(SOURCE.read_text(encoding="utf-8"))
    RULES.parent.mkdir(exist_ok=True)
    RULES.write_text(rules(alerts), encoding="utf-8")
    TESTS.write_text(cases(alerts), encoding="utf-8")
    print(f"{len(alerts)} alerts: {RULES.relative_to(ROOT)}, {TESTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
