"""`python -m bench check`: fails (1) when the engine costs a fifth more CPU per message than recorded, by its ratio
to the floor of the same run.

Seven rounds in turns with the floor, medians, 20 % tolerance. A loss must be found twice: when the first measurement
shows one, a second is made, and only what both show fails. Nothing recorded, nothing to fail against: 0, and it says
so.
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
"""Of one measurement; two and the starts stay within ninety."""


def confirmed_losses(
    base: Callable[[dict[str, Any]], dict[str, Any]], measure: Callable[[], dict[str, Any]], tolerance: float
) -> dict[str, float]:
    """What two measurements in a row show; the smaller of both changes."""
    first = measure()
    comparison = Comparison(base(first["conditions"]), first)
    print_comparison(comparison)
    suspected = comparison.losses(tolerance)
    if not suspected:
        return {}
    print(f"suspected: {_worded(suspected)}; measuring once more", file=sys.stderr)
    again = Comparison(comparison.base, measure())
    print_comparison(again)
    second = again.losses(tolerance)
    return {name: min(change, second[name]) for name, change in suspected.items() if name in second}


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
        print(f"dearer than recorded, twice in a row: {_worded(losses)} ({seconds:.0f} s)", file=sys.stderr)
        return 1
    print(f"no loss beyond {arguments.tolerance:.0%} ({seconds:.0f} s)", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
