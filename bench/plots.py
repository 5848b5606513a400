"""The report's pictures, drawn with matplotlib from the kept parts: one PNG a question.

Ours is coloured, the others are grey, every bar carries its number. Titles are in English, and in Japanese too where
a font with kanji is installed; the page around them says everything in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

OURS, OTHERS, SECOND = "#c8321f", "#8a94a3", "#2b5c8a"
INK, FAINT = "#1d2430", "#d9dee5"
_FONTS = ("Noto Sans CJK JP", "IPAexGothic", "Noto Sans JP", "TakaoPGothic")
_SIZE = (9.0, 4.4)
_DPI = 160

Parts = Mapping[str, Mapping[str, Any]]


def draw_all(parts: Parts, folder: Path) -> dict[str, str]:
    """Picture name -> file name, of those for which there are figures."""
    font = _japanese_font()
    mpl.rcParams["font.family"] = [font, "DejaVu Sans"] if font else ["DejaVu Sans"]
    mpl.rcParams["axes.unicode_minus"] = False
    drawn = {}
    for name, (draw, english, japanese) in PICTURES.items():
        figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
        axes = figure.subplots()
        if not draw(axes, parts):
            continue
        title = f"{english}\n{japanese}" if font else english
        axes.set_title(title, loc="left", fontsize=11, color=INK, pad=12, linespacing=1.5)
        figure.savefig(folder / f"{name}.png", dpi=_DPI, metadata={"Software": None})
        drawn[name] = f"{name}.png"
    return drawn


def _japanese_font() -> str:
    known = {entry.name for entry in font_manager.fontManager.ttflist}
    return next((name for name in _FONTS if name in known), "")


def _peers(parts: Parts) -> list[Mapping[str, Any]]:
    return [part["result"] for name, part in parts.items() if name.startswith("peer-") and "result" in part]


def _bars(axes: Axes, rows: list[tuple[str, float, bool]], unit: str) -> bool:
    """Longest on top when more is better is the caller's affair: rows come in their order, first on top."""
    if not rows:
        return False
    labels = [label for label, _, _ in rows]
    values = [value for _, value, _ in rows]
    colours = [OURS if ours else OTHERS for _, _, ours in rows]
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    bars = axes.barh(labels, values, color=colours, height=0.62)
    axes.bar_label(bars, labels=[_number(value) for value in values], padding=5, fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.set_xlabel(unit, fontsize=9, color=INK)
    axes.set_xlim(0, max(values) * 1.14)
    _plain(axes, "x")
    return True


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _plain(axes: Axes, grid: Literal["x", "y"]) -> None:
    for side in ("top", "right", "left" if grid == "x" else "top"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.grid(axis=grid, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)


def _by(name: str, unit: str, *, best_is_most: bool) -> Callable[[Axes, Parts], bool]:
    def draw(axes: Axes, parts: Parts) -> bool:
        found = [told for told in _peers(parts) if told.get(name)]
        found.sort(key=lambda told: float(told[name]), reverse=best_is_most)
        rows = [(_label(told), float(told[name]), told["peer"] == "sokutatsu") for told in found]
        return _bars(axes, rows, unit)

    return draw


def _label(told: Mapping[str, Any]) -> str:
    return f"{told['title']}{' *' if told['durable'] == 'no queue' else ''}"


def _growth(kind: str, unit: str) -> Callable[[Axes, Parts], bool]:
    def draw(axes: Axes, parts: Parts) -> bool:
        points = parts.get(f"growth-{kind}", {}).get("result", {}).get("points", [])
        if not points:
            return False
        across = [point[kind] for point in points]
        for name, label, colour in (("core_us", "core", OURS), ("signer_us", "signer (RSA-2048)", SECOND)):
            up = [point[name] for point in points]
            axes.plot(across, up, marker="o", color=colour, linewidth=2, label=label)
            for x, y in zip(across, up, strict=True):
                axes.annotate(_number(y), (x, y), textcoords="offset points", xytext=(0, 8), ha="center", fontsize=9)
        axes.set_xscale("log")
        axes.set_xticks(across, [f"{value:,}" for value in across])
        axes.minorticks_off()
        axes.set_ylim(0, max(max(point["core_us"], point["signer_us"]) for point in points) * 1.25)
        axes.set_xlabel(unit, fontsize=9, color=INK)
        axes.set_ylabel("CPU µs per message", fontsize=9, color=INK)
        axes.legend(frameon=False, fontsize=9, loc="lower right")
        _plain(axes, "y")
        return True

    return draw


def _scenarios(axes: Axes, parts: Parts) -> bool:
    found = {
        name.removeprefix("scenario-"): part["result"]
        for name, part in parts.items()
        if name.startswith("scenario-") and part.get("result", {}).get("rate")
    }
    rows = [
        (f"{name.replace('_', ' ')}  ({told['conditions']['wire_bytes'] / 1000:,.1f} kB)", float(told["rate"]), True)
        for name, told in sorted(found.items(), key=lambda pair: -float(pair[1]["rate"]))
        if name not in ("transactional", "soak", "opt_out_storm")
    ]
    return _bars(axes, rows, "messages per second")


PICTURES: dict[str, tuple[Callable[[Axes, Parts], bool], str, str]] = {
    "rate": (
        _by("rate", "messages per second, signed, at the sink", best_is_most=True),
        "Rate: signed messages per second at one sink",
        "送信速度: 署名済みメールの毎秒通数(受信側で計測)",
    ),
    "cpu": (
        _by("cpu_us", "µs of CPU per message, all processes of the system", best_is_most=False),
        "CPU time per message, signing included",
        "1通あたりのCPU時間(署名を含む)",
    ),
    "first_attempt": (
        _by("first_attempt_p50_ms", "ms, median", best_is_most=False),
        "Time from handing over to arrival, single mails, empty queue",
        "投入から到着までの時間(単発メール、キューは空)",
    ),
    "memory": (
        _by("memory_mb", "MB, most seen under load", best_is_most=False),
        "Memory under load",
        "負荷時のメモリ使用量",
    ),
    "growth_queue": (
        _growth("queue", "recipients waiting in the queue"),
        "Cost per message as the queue grows",
        "キューの長さと1通あたりのコスト",
    ),
    "growth_domains": (
        _growth("domains", "recipient domains"),
        "Cost per message as the number of domains grows",
        "宛先ドメイン数と1通あたりのコスト",
    ),
    "scenarios": (
        _scenarios,
        "Sokutatsu: rate by scenario",
        "速達: シナリオ別の送信速度",
    ),
}
