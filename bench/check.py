"""`python -m bench check`: fails (1) when the engine costs a fifth more CPU per message than recorded, by its ratio
to the floor of the same run.

Seven rounds in turns with the floor, medians, 20 % tolerance. A loss must be found three times in a row: a busy
neighbour alone was seen to make the core 19 % dearer for a minute. Only what every measurement shows fails. Nothing
recorded, nothing to fail against: 0, and it says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.compare import TOLERANCE, Comparison, print_comparison
from bench.paired import ROUNDS
from bench.processes import ProcessFailed
from bench.record import RECORD, RecordError, chosen, measured, read_record

SECONDS = 40.0
"""Of one measurement, with the starts about 45; nearly always one is enough."""
MOST = 3
"""Measurements, each of which must show the loss."""


def confirmed_losses(
    base: Callable[[dict[str, Any]], dict[str, Any]], measure: Callable[[], dict[str, Any]], tolerance: float
) -> dict[str, float]:
    """What all measurements show, by the smallest of the changes; none that shows nothing is followed by another."""
    first = measure()
    comparison = Comparison(base(first["conditions"]), first)
    print_comparison(comparison)
    losses = comparison.losses(tolerance)
    for _ in range(MOST - 1):
        if not losses:
            break
        print(f"suspected: {_worded(losses)}; measuring once more", file=sys.stderr)
        comparison = Comparison(comparison.base, measure())
        print_comparison(comparison)
        found = comparison.losses(tolerance)
        losses = {name: min(change, found[name]) for name, change in losses.items() if name in found}
    return losses


def _worded(losses: dict[str, float]) -> str:
    return ", ".join(f"{name} {change:+.0%}" for name, change in losses.items())


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench check", description=__doc__)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="0.2 = a fifth (default)")
    parser.add_argument("--record", type=Path, default=RECORD)
    arguments = parser.parse_args(words)
    began = time.monotonic()
    try:
        record = read_record(arguments.record)
        if not record:
            print(f"{arguments.record}: nothing recorded yet; python -m bench record", file=sys.stderr)
            return 0
        losses = confirmed_losses(
            lambda conditions: chosen(record, "last", conditions),
            lambda: measured(ROUNDS, SECONDS),
            arguments.tolerance,
        )
    except (RecordError, ProcessFailed) as error:
        print(error, file=sys.stderr)
        return 2
    seconds = time.monotonic() - began
    if losses:
        print(f"dearer than recorded, {MOST} times in a row: {_worded(losses)} ({seconds:.0f} s)", file=sys.stderr)
        return 1
    print(f"no loss beyond {arguments.tolerance:.0%} ({seconds:.0f} s)", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
