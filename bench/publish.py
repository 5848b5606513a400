"""`python -m bench publish`: everything measured, part by part, and put into bench/report/ as HTML and PNG.

Floor, the peers and ours, growth with the queue and with domains, and the scenarios in a short form: some ten minutes
on a quiet machine. Each part's figures are kept as JSON in bench/report/parts/; a run that was interrupted goes on
where it stopped, `--again` measures parts anew, `--draw` only draws. Plots need matplotlib (the extra `bench`).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import floor, growth
from bench.page import page, pictures_in
from bench.peers.command import FOLDER as PEERS_FOLDER
from bench.peers.command import NAMES as PEERS
from bench.peers.command import measured as measured_peer
from bench.peers.measure import Amount
from bench.record import commit
from bench.run import run_named
from bench.scenario import read_scenario

REPORT = Path(__file__).with_name("report")
RUNS = Path("bench-run/publish")
SHORT: dict[str, dict[str, Any]] = {
    "steady": {"recipients": 30_000, "suppression_entries": 1_000_000},
    "small": {"recipients": 30_000},
    "large": {"recipients": 6_000},
    "tls": {"recipients": 20_000},
    "far_sites": {"recipients": 30_000},
    "deferrals": {"recipients": 20_000},
    "dead_site": {"recipients": 20_000},
    "transactional": {"recipients": 100_000, "suppression_entries": 200_000, "transactional": 200},
    "opt_out_storm": {"recipients": 40_000, "suppression_entries": 200_000, "opt_outs": 10_000},
    "soak": {"recipients": 10_000, "seconds": 45.0},
}
"""What each scenario is shortened to; its baseline is the report's own steady."""


def parts(messages: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """In the order in which they are run. Each may raise what its measurement raises."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    found["floor"] = partial(floor.measure, messages=50_000, seconds=2.0, size=4096)
    for name in PEERS:
        found[f"peer-{name}"] = partial(measured_peer, name, Amount(messages), PEERS_FOLDER.resolve())
    for kind in ("queue", "domains"):
        found[f"growth-{kind}"] = partial(growth.measured, kind, RUNS.resolve() / kind)
    for name in SHORT:
        found[f"scenario-{name}"] = partial(_scenario, name)
    return found


def _scenario(name: str) -> dict[str, Any]:
    scenario = read_scenario(name)
    goal = replace(scenario.goal, rate_to_baseline=0.0)
    return run_named(replace(scenario, baseline="", goal=goal, **SHORT[name]), RUNS, keep=False)


def kept(report: Path) -> dict[str, dict[str, Any]]:
    """The parts that were measured, by name. Raises ValueError for a damaged file."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((report / "parts").glob("*.json"))}


def run_parts(chosen: dict[str, Callable[[], dict[str, Any]]], report: Path, *, again: Sequence[str]) -> bool:
    """Those that are not kept already. False when one of them failed; the reason is kept in its place."""
    (report / "parts").mkdir(parents=True, exist_ok=True)
    already, good = kept(report), True
    for name, measure in chosen.items():
        if name in already and "error" not in already[name] and name not in again and "all" not in again:
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        began = time.time()
        told: dict[str, Any] = {"part": name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))}
        told["commit"] = commit()
        try:
            told["result"] = measure()
        except Exception as error:  # noqa: BLE001 - one part's failure is its result; it is kept, shown and tried again
            told["error"] = f"{type(error).__name__}: {error}"[:2000]
            print(f"{name}: {error}", file=sys.stderr)
            good = False
        told["seconds"] = round(time.time() - began, 1)
        (report / "parts" / f"{name}.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return good


def draw(report: Path) -> None:
    """PNGs and the page, of what is kept."""
    measured = kept(report)
    pictures = importlib.import_module("bench.plots").draw_all(measured, report)
    (report / "index.html").write_text(page(measured, pictures_in(report, pictures)), "utf-8")


def _measured(chosen: dict[str, Callable[[], dict[str, Any]]], report: Path, again: Sequence[str]) -> bool:
    try:
        return run_parts(chosen, report, again=again)
    finally:
        shutil.rmtree(RUNS, ignore_errors=True)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench publish", description=__doc__)
    add = parser.add_argument
    add("--messages", type=int, default=5000, help="for each peer (default: %(default)s)")
    add("--only", default="", metavar="PART,PART", help="parts whose names begin so: peer, growth, scenario-tls, …")
    add("--again", default="", metavar="PART,PART", help="measure these again though they are kept; or all")
    add("--draw", action="store_true", help="measure nothing, draw what is kept")
    add("--report", type=Path, default=REPORT)
    arguments = parser.parse_args(words)
    if importlib.util.find_spec("matplotlib") is None:
        print("plots need matplotlib: pip install --require-hashes -r requirements-bench.lock", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    only = tuple(filter(None, arguments.only.split(",")))
    chosen = {name: part for name, part in parts(arguments.messages).items() if not only or name.startswith(only)}
    if not chosen:
        print(f"{arguments.only[:80]!a}: no part begins so; parts: {', '.join(parts(0))}", file=sys.stderr)
        return 2
    good = arguments.draw or _measured(chosen, arguments.report, arguments.again.split(","))
    draw(arguments.report)
    print(arguments.report / "index.html")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
