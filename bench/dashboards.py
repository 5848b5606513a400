"""`python -m bench.dashboards`: deploy/grafana/*.json, built with grafana-foundation-sdk (dashboards.in).

Three pictures: what happens now, how well receivers take it, how the machine does. Deterministic: the same code gives
the same bytes, and a test holds the committed files to it. Panels are data (bench/panels.py), so that their
expressions can be run against a real Prometheus without Grafana.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from bench.panels import BOARDS, Board, Panel, Query

FOLDER = Path(__file__).parent.parent / "deploy" / "grafana"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
"""The uid that deploy/compose/grafana/datasources.yml gives it."""
COLUMNS = 24
HEIGHT = 8
STAT_HEIGHT = 4


def build(board: Board) -> str:
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"sokutatsu-{board.name}")
        .description(board.description)
        .tags(["sokutatsu"])
        .refresh("15s")
        .time("now-1h", "now")
        .timezone("browser")
        .editable()
        .with_variable(
            dashboard.QueryVariable("instance")
            .label("instance / インスタンス")
            .query("label_values(sokutatsu_attempts_total, instance)")
            .datasource(SOURCE)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(include_all=True)
            .all_value(".*")
            .multi(multi=True)
        )
    )
    for row in board.rows:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel, COLUMNS // len(row.panels)))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _panel(panel: Panel, span: int) -> stat.Panel | timeseries.Panel | bargauge.Panel:
    if panel.kind == "stat":
        made: stat.Panel | timeseries.Panel | bargauge.Panel = stat.Panel().height(STAT_HEIGHT)
    elif panel.kind == "bars":
        made = bargauge.Panel().height(HEIGHT).orientation(kinds.VizOrientation.HORIZONTAL)
    else:
        made = _series(panel)
    made = made.title(panel.title).description(panel.description).datasource(SOURCE).unit(panel.unit).span(span).min(0)
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(query, "ABCDEFGH"[number], instant=panel.kind == "bars"))
    return made


def _series(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().height(HEIGHT).fill_opacity(15).line_width(1).show_points(kinds.VisibilityMode.NEVER)
    made = made.legend(
        common.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    if panel.kind == "stacked":
        made = made.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    return made


def _target(query: Query, name: str, *, instant: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(name).datasource(SOURCE)
    return made.instant() if instant else made.range()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(build(board), encoding="utf-8")
        print(f"deploy/grafana/{board.name}.json: {sum(len(row.panels) for row in board.rows)} panels")


if __name__ == "__main__":
    main()
