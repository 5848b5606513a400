"""`python -m bench connections`: what an open connection that has nothing to do costs in memory, plain and over TLS.

The engine's own opener and sessions in a process of their own, against the bench's sink: a few to warm up, then many,
each greeted, EHLO'd and, with TLS, encrypted, then idle. Resident memory after, less before, over their number.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.configuration import REPOSITORY
from bench.processes import ProcessFailed, machine, resident
from bench.rig import running_sink
from engine.net.connection import Connection
from engine.net.negotiate import Refused, TlsContexts, open_connection
from engine.net.resolver import Target, TlsMode

WARM = 50
AT_ONCE = 50
HOSTS = 20
"""Addresses of the sink: sessions of TLS are kept by host, and a kernel has ports for each."""
GOALS_KB = {"plain": 60.0, "tls": 150.0}


async def _held(count: int, port: int, mode: TlsMode) -> dict[str, Any]:
    """Raises ProcessFailed when one is refused."""
    contexts = TlsContexts.load()
    places, room = [f"127.0.1.{1 + number}" for number in range(HOSTS)], asyncio.Semaphore(AT_ONCE)

    async def opened(number: int) -> Connection:
        async with room:
            place = places[number % HOSTS]
            target = Target(f"{place}.example", port, place, mode)
            found = await open_connection(target, ehlo_name="bench.example", tls=mode, contexts=contexts)
            if isinstance(found, Refused):
                raise ProcessFailed(f"connection {number}: {found}")
            return found

    kept = [await opened(number) for number in range(WARM)]
    gc.collect()
    before, began, spent = resident(os.getpid()), time.monotonic(), time.process_time()
    kept += await asyncio.gather(*(opened(number) for number in range(count)))
    seconds, spent = time.monotonic() - began, time.process_time() - spent
    gc.collect()
    await asyncio.sleep(1.0)
    held = resident(os.getpid()) - before
    alive = sum(not connection.is_closed for connection in kept)
    for connection in kept:
        connection.abort()
    return {
        "connections": count,
        "alive": alive - WARM,
        "kb_each": round(held / count / 1024, 1),
        "opening_us_each": round(spent / count * 1e6),
        "opened_per_second": round(count / seconds),
    }


def measured(count: int, *, tls: bool, folder: Path) -> dict[str, Any]:
    """In a fresh process: what the allocator keeps of an earlier run would be counted for nothing."""
    words = ["--self-signed"] * tls
    places = [f"127.0.1.{1 + number}" for number in range(HOSTS)]
    with running_sink(folder, f"sink-{tls:d}", words, 300.0, places=places) as sink:
        command = [sys.executable, "-m", "bench.connections", "--count", str(count), "--held", str(sink.ports[0])]
        done = subprocess.run(
            [*command, *["--tls"] * tls], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise ProcessFailed(done.stderr[-800:])
    return {"kind": "tls" if tls else "plain", **json.loads(done.stdout)}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench connections", description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--tls", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--held", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if arguments.held:
        mode = TlsMode.REQUIRED_INSECURE if arguments.tls else TlsMode.DISABLED
        print(json.dumps(uvloop.run(_held(arguments.count, arguments.held, mode))))
        return 0
    try:
        with tempfile.TemporaryDirectory() as place:
            points = [measured(arguments.count, tls=tls, folder=Path(place)) for tls in (False, True)]
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 2
    for point in points:
        goal = GOALS_KB[point["kind"]]
        point["goal"] = f"{'met' if point['kb_each'] <= goal else 'missed'}: {point['kb_each']} <= {goal:g} KB"
    print(json.dumps({"points": points, "conditions": machine()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
