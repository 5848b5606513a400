"""`python -m bench record`: measures in turns with the floor and appends one line to bench/record.jsonl.

The file is append-only and committed: what the engine cost at which commit, under which conditions. `compare` and
`check` hold a new measurement against it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.configuration import REPOSITORY
from bench.paired import ROUNDS, measure_paired
from bench.processes import ProcessFailed, machine
from bench.result import show

RECORD = Path(__file__).with_name("record.jsonl")
ALIKE = ("cpu", "cores", "avx512_ifma")
"""Conditions that must be the same for two lines to be compared as they are."""


class RecordError(ValueError):
    """The record cannot be read, or has no such line."""


def read_record(path: Path = RECORD) -> list[dict[str, Any]]:
    """In the order of the file, oldest first. Raises RecordError."""
    if not path.exists():
        return []
    lines = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            float(entry["figures"]["core_ratio"])
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path.name} line {number}: {line[:80]!a} is no record of a measurement") from error
        lines.append(entry)
    return lines


def chosen(record: Sequence[dict[str, Any]], base: str, conditions: dict[str, Any]) -> dict[str, Any]:
    """The line to compare with: of a commit (its first characters), or the last one, of a machine like this if there
    is any. Raises RecordError.
    """
    found = [entry for entry in record if base == "last" or str(entry["commit"]).startswith(base)]
    if not found:
        known = ", ".join(str(entry["commit"])[:12] for entry in record[-5:]) or "none"
        raise RecordError(f"{base[:80]!a}: not in {RECORD.name}; the last commits there: {known}")
    alike = [entry for entry in found if same_machine(entry, conditions)]
    return (alike or found)[-1]


def same_machine(entry: dict[str, Any], conditions: dict[str, Any]) -> bool:
    return all(entry["conditions"].get(name) == conditions.get(name) for name in ALIKE)


def commit() -> str:
    """With a plus sign when files differ from it; "unknown" outside a repository."""
    found = _git("rev-parse", "HEAD")
    return (found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")) if found else "unknown"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def measured(rounds: int, seconds: float) -> dict[str, Any]:
    """A line for the record. Raises ProcessFailed."""
    conditions = machine() | {"signed_with": "RSA-2048", "fsync": "synchronous=FULL", "tls": False}
    with tempfile.TemporaryDirectory(prefix="bench-paired-") as name:
        figures = measure_paired(Path(name), rounds=rounds, seconds=seconds).figures()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"at": at, "commit": commit(), "figures": figures, "conditions": conditions}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench record", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS * 2)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--record", type=Path, default=RECORD)
    arguments = parser.parse_args(words)
    try:
        entry = measured(arguments.rounds, arguments.seconds)
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 2
    with arguments.record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    show(f"recorded in {arguments.record}", entry["figures"] | {"conditions": entry["conditions"]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
