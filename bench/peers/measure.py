"""One server measured: warmed up, loaded until the last message has arrived, then asked for single mails.

The same sender, sink and definitions for all. Rate: messages at the sink from the first MAIL to the last arrival. CPU:
of everything in the cell until one second after that. Lost: answered with 250 and without a receipt. Signed: a sample
kept by the sink, verified by dkimpy. Time to first attempt: of single mails, when nothing else waits.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.configuration import make_key
from bench.mailing import number_of
from bench.peers.cell import Cell, cell
from bench.peers.kinds import Peer, lay_out
from bench.processes import ProcessFailed, busy_seconds, cpu_seconds, free_port, noise, started, tail
from bench.receipts import Receipt
from bench.result import quantile
from bench.rig import RunningSink, running_sink
from bench.verify import verify_folder

MB = 1024 * 1024
SINGLE_MAILS = 40
INTERVAL_MS = 50
SETTLE_SECONDS = 1.0
STILL_SECONDS = 15.0
"""So long without any arrival, and the run is over."""


@dataclass(frozen=True, slots=True)
class Amount:
    messages: int
    size: int = 4096
    seconds: float = 60.0
    """Limit of the loaded part."""


def measure_peer(peer: Peer, amount: Amount, run: Path, packages: Path, modules: Path | None) -> dict[str, Any]:
    """Blocks. `run` is an empty folder. Raises ProcessFailed."""
    keys = make_key(run / "dkim.pem")
    port = free_port()
    with running_sink(run, "sink", [], amount.seconds * 2 + 60) as sink:
        lay_out(peer, run, port=port, sink=sink.ports[0])
        with cell(peer.name, packages, run, modules) as made:
            made.await_greeting(port)
            told = loaded(peer, amount, run, made, sink, port)
            told |= single_mails(run, made, sink, port, amount.size)
        sink.flushed()
        verification = verify_folder(sink.samples, keys)
    told["dkim_verified"] = f"{verification.good} of {verification.messages}"
    told["dkim_problems"] = verification.problems[:3]
    told["cpu_counted_by"] = made.counted_by
    return told


def loaded(peer: Peer, amount: Amount, run: Path, made: Cell, sink: RunningSink, port: int) -> dict[str, Any]:
    send = Sending(run, port, amount.size, peer.connections)
    send.run("warm", max(1, min(peer.warm_up, amount.messages // 2)), sink, made, amount.seconds)
    sink.control.ask("reset")
    sink.news()
    before, machine_before, sink_before = made.cpu_seconds(), busy_seconds(), cpu_seconds(sink.child.pid)
    began = time.monotonic()
    result, memory = send.run("load", amount.messages, sink, made, amount.seconds)
    counts = sink.counts()
    time.sleep(SETTLE_SECONDS)
    cpu, machine = made.cpu_seconds() - before, busy_seconds() - machine_before
    sink_cpu, took = cpu_seconds(sink.child.pid) - sink_before, time.monotonic() - began
    received = max(counts["received"], 1)
    truth = held_against(result["accepted"], amount.messages, sink.news())
    span = max(counts["last_at"] - result["began"], 1e-9)
    return {
        "peer": peer.name,
        "title": peer.title,
        "messages": amount.messages,
        "accepted": result["accepted"],
        "refused": result["refused"],
        "received": counts["received"],
        "rate": round(counts["received"] / span, 1),
        "cpu_us": round(cpu / received * 1e6, 1),
        "machine_us": round(machine / received * 1e6, 1),
        "sink_us": round(sink_cpu / received * 1e6, 1),
        "sender_us": round(result["cpu_seconds"] / received * 1e6, 1),
        "memory_mb": round(memory / MB, 1),
        "wire_bytes": counts["bytes"] // received,
        "durable": peer.durable,
        **truth,
        **noise((machine - cpu - sink_cpu - result["cpu_seconds"]) / took),
    }


@dataclass(frozen=True, slots=True)
class Sending:
    """The sender as a process, and the wait until all that it sent has arrived."""

    run_folder: Path
    port: int
    size: int
    connections: int

    def run(
        self, name: str, messages: int, sink: RunningSink, made: Cell, seconds: float
    ) -> tuple[dict[str, Any], int]:
        """What the sender says, and the most memory that was seen. Raises ProcessFailed."""
        result = self.run_folder / f"{name}.json"
        words = ["--messages", str(messages), "--connections", str(self.connections), "--identity", name]
        command = sender_command(self.port, self.size, result, *words)
        before = sink.counts()["received"]
        most = 0
        with started("sender", command, self.run_folder / "sender.log") as sender:

            def look() -> None:
                nonlocal most
                most = max(most, made.memory_bytes())

            received = arrive(sink, before + messages, made.child.check, look, seconds)
            with contextlib.suppress(subprocess.TimeoutExpired):
                sender.popen.wait(10 if received >= before + messages else 1)
        if not result.exists():
            raise ProcessFailed(f"the sender did not come to its end:\n{tail(self.run_folder / 'sender.log')}")
        return json.loads(result.read_text()), most


def sender_command(port: int, size: int, result: Path, *words: str) -> list[str]:
    fixed = ["--port", str(port), "--size", str(size), "--result", str(result)]
    return [sys.executable, "-m", "bench.peers.sender", *fixed, *words]


def arrive(sink: RunningSink, wanted: int, check: Callable[[], None], look: Callable[[], None], seconds: float) -> int:
    """Waits for `wanted` messages, or until nothing moves; `look` is called every now and then. How many came."""
    end = time.monotonic() + seconds
    looked = moved = time.monotonic()
    seen = -1
    while (now := time.monotonic()) < end and now - moved < STILL_SECONDS:
        check()
        received = int(sink.counts()["received"])
        if received >= wanted:
            look()
            return received
        if received != seen:
            seen, moved = received, now
        if now - looked > 2:
            look()
            looked = now
        time.sleep(0.05)
    return max(seen, 0)


def held_against(accepted: int, messages: int, receipts: list[Receipt]) -> dict[str, int]:
    """Lost and duplicates, by recipient. Exact when all were accepted; else whoever is missing may be a refused one."""
    numbers = [number for kind, number in (number_of(receipt.recipient) for receipt in receipts) if kind == "person"]
    unique = len(set(numbers))
    return {"lost": max(0, min(accepted, messages) - unique), "duplicates": len(numbers) - unique}


def single_mails(run: Path, made: Cell, sink: RunningSink, port: int, size: int) -> dict[str, Any]:
    result = run / "single.json"
    before = sink.counts()["received"]
    words = ["--paced", str(SINGLE_MAILS), "--interval-ms", str(INTERVAL_MS), "--identity", "single"]
    with started("sender", sender_command(port, size, result, *words), run / "sender.log") as sender:
        arrive(sink, before + SINGLE_MAILS, made.child.check, lambda: None, 20)
        sender.popen.wait(20)
    begun: list[float] = json.loads(result.read_text())["begun"]
    arrived: dict[int, float] = {}
    for receipt in sink.news():
        kind, number = number_of(receipt.recipient)
        if kind == "urgent":
            arrived.setdefault(number, receipt.at)
    return first_attempts(begun, arrived)


def first_attempts(begun: list[float], arrived: dict[int, float]) -> dict[str, Any]:
    """Milliseconds from the beginning of the handing over to the arrival, of those that arrived."""
    waits = sorted(arrived[number] - at for number, at in enumerate(begun) if at and number in arrived)
    p50, p99 = quantile(waits, 0.5), quantile(waits, 0.99)
    return {
        "single_mails": f"{len(waits)} of {len(begun)}",
        "first_attempt_p50_ms": None if p50 is None else round(p50 * 1000, 1),
        "first_attempt_p99_ms": None if p99 is None else round(p99 * 1000, 1),
    }
