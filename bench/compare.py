"""`python -m bench compare BASE`: measures now and shows it beside a recorded run; BASE is a commit, or `last`.

What is compared are ratios to the floor of the same run (bench/paired.py), so that a slower machine is not taken for
a slower engine. On another kind of processor the ratios differ too; the table then says so, and `check` lets the
signer go unjudged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.paired import ROUNDS
from bench.processes import ProcessFailed
from bench.record import RECORD, RecordError, chosen, measured, read_record, same_machine

TOLERANCE = 0.20
RATIOS = ("core_ratio", "signer_ratio")
SHOWN = (*RATIOS, "core_us", "signer_us", "wire_us", "rsa_us", "rate")


@dataclass(frozen=True, slots=True)
class Comparison:
    base: dict[str, Any]
    now: dict[str, Any]

    @property
    def alike(self) -> bool:
        return same_machine(self.base, self.now["conditions"])

    def change(self, name: str) -> float:
        """0.1 = a tenth more than the base."""
        return float(self.now["figures"][name] / self.base["figures"][name] - 1)

    def losses(self, tolerance: float) -> dict[str, float]:
        """Ratios that grew by more than that. Of another kind of machine only the core is judged."""
        judged = RATIOS if self.alike else RATIOS[:1]
        return {name: self.change(name) for name in judged if self.change(name) > tolerance}


def print_comparison(comparison: Comparison) -> None:
    base, now = comparison.base, comparison.now
    table = Table(title=f"against {base['commit'][:12]} of {base['at']}", title_justify="left")
    for name in ("", "then", "now", "change"):
        table.add_column(name, justify="left" if not name else "right")
    for name in SHOWN:
        change = f"{comparison.change(name):+.1%}"
        table.add_row(name, f"{base['figures'][name]:,}", f"{now['figures'][name]:,}", change)
    console = Console(stderr=True)
    console.print(table)
    if not comparison.alike:
        console.print(f"another kind of machine then: {base['conditions']['cpu']}; ratios are only roughly comparable")
    print(json.dumps(now | {"base": base["commit"], "change": {n: round(comparison.change(n), 3) for n in SHOWN}}))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench compare", description=__doc__)
    parser.add_argument("base", nargs="?", default="last", help="a recorded commit, or last (default)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--record", type=Path, default=RECORD)
    arguments = parser.parse_args(words)
    try:
        record = read_record(arguments.record)
        chosen(record, arguments.base, {})  # a misspelt base is found before minutes are spent
        now = measured(arguments.rounds, arguments.seconds)
        comparison = Comparison(chosen(record, arguments.base, now["conditions"]), now)
    except (RecordError, ProcessFailed) as error:
        print(error, file=sys.stderr)
        return 2
    print_comparison(comparison)
    return 0


if __name__ == "__main__":
    sys.exit(main())
