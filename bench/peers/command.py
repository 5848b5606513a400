"""`python -m bench peers`: fetches what is needed, measures each peer and ours, prints and keeps the figures."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.peers.kinds import PEERS
from bench.peers.loops import LOOPS, measure_loop
from bench.peers.measure import Amount, measure_peer
from bench.peers.ours import NAME as OURS
from bench.peers.ours import measure_ours
from bench.peers.packages import fetch_debian, fetch_node
from bench.processes import ProcessFailed, machine
from bench.result import show

FOLDER = Path("bench-run/peers")
NAMES = (OURS, *(peer.name for peer in PEERS), *(loop.name for loop in LOOPS))


def measured(name: str, amount: Amount, folder: Path) -> dict[str, Any]:
    """One of NAMES, with its versions and conditions. Raises ProcessFailed."""
    run = folder / "run" / name
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    conditions = machine()
    try:
        told = _measured(name, amount, folder, run)
    finally:
        shutil.rmtree(run, ignore_errors=True)
    return told | {"conditions": {"size": amount.size, "signed_with": "RSA-2048, relaxed/relaxed", **conditions}}


def _measured(name: str, amount: Amount, folder: Path, run: Path) -> dict[str, Any]:
    if name == OURS:
        return measure_ours(amount, run)
    for loop in LOOPS:
        if loop.name == name:
            return measure_loop(loop, amount, run)
    peer = next(peer for peer in PEERS if peer.name == name)
    debian = fetch_debian(folder / "debian")
    node = fetch_node(folder / "node") if peer.node else {}
    modules = folder / "node" / "node_modules" if peer.node else None
    told = measure_peer(peer, amount, run, folder / "debian" / "tree", modules)
    versions = node if peer.node else debian
    return told | {"versions": {package: versions.get(package, "unknown") for package in peer.packages}}


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"{unknown[0][:80]!a} is none of {', '.join(NAMES)}")
    return names


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench peers", description=__doc__)
    add = parser.add_argument
    add("--messages", type=int, default=5000, help="for each; the slow Python loop gets a tenth (default: %(default)s)")
    add("--size", type=int, default=4096, help="bytes of the signed message on the wire, about")
    add("--only", type=_names, default=list(NAMES), metavar="NAME,NAME", help=f"of {', '.join(NAMES)}")
    add("--folder", type=Path, default=FOLDER, help="packages, runs and figures (default: %(default)s)")
    arguments = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = arguments.folder.resolve()
    good = True
    for name in arguments.only:
        try:
            told = measured(name, Amount(arguments.messages, arguments.size), folder)
        except ProcessFailed as error:
            print(f"{name}: {error}", file=sys.stderr)
            good = False
            continue
        show(told["title"], told)
        good = good and complete(told)
    return 0 if good else 1


def complete(told: dict[str, Any]) -> bool:
    """It delivered and signed everything."""
    verified, _, sample = told["dkim_verified"].partition(" of ")
    return not told["lost"] and told["received"] >= told["accepted"] > 0 and verified == sample != "0"
