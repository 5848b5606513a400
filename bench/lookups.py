"""`python -m bench lookups`: processor time that finding out where a domain takes mail costs the engine.

100,000 domains behind 200 receivers, each asked for once as a mailing asks (MX record, and the record of MTA-STS), in
the bench's own DNS server, a process beside. Processor time, not wall time: the server's is not counted, other
programs' only through the caches they spoil. Per message it is that divided by the domain's messages: a newsletter's
hundred thousand domains have ten recipients each, if not more.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.processes import machine, started
from engine.flow.lookups import Lookups
from engine.net.address import parse_networks
from engine.net.dns import DnsClient, DnsSettings
from engine.net.mx import MxResolver, MxSettings
from engine.net.resolver import StaticRoutes
from engine.net.sts import StsPolicies, Trouble
from engine.net.trust import Trusting

MESSAGES_EACH = 10
BUSY_SECONDS = 0.004
"""So long the loop does something else at a time, as one that sends mail does; answers come in meanwhile. It sleeps,
which costs no processor time.
"""
GARBAGE_THRESHOLDS = (50_000, 20, 50)
"""The engine's own."""


async def _no_policy(_domain: str) -> bytes | Trouble:
    return Trouble("sts-policy-fetch-error", "there is none in this bench")


async def _asked(domains: int, port: int, folder: Path, *, sts: bool) -> dict[str, Any]:
    dns = DnsClient(DnsSettings((("127.0.0.1", port),)))
    table = StaticRoutes({}, dns)
    found = MxResolver(table, dns, MxSettings(allowed=parse_networks(["127.0.0.0/8"]), domains=domains))
    policies = StsPolicies(dns, _no_policy, folder / "sts", clock=time.time)
    lookups = Lookups(Trusting(found, policies).look_up if sts else found.look_up)
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    lookups.on_known = lambda _domain: done.set() if lookups.done >= domains else None

    def busy() -> None:
        time.sleep(BUSY_SECONDS)
        if not done.is_set():
            loop.call_soon(busy)

    gc.collect()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    began = time.process_time()
    busy()
    for number in range(domains):
        lookups.want(f"d{number}.bench.example")
    await done.wait()
    spent = time.process_time() - began
    dns.close()
    unknown = sum(found.route(f"d{number}.bench.example") is None for number in range(domains))
    micros = spent / domains * 1e6
    return {
        "mta_sts": sts,
        "domains": domains,
        "questions": dns.counts.queries,
        "us_per_domain": round(micros, 1),
        "us_per_message_at_10_each": round(micros / MESSAGES_EACH, 1),
        "unknown": unknown,
    }


def measured(domains: int, sites: int) -> list[dict[str, Any]]:
    """Without and with MTA-STS. Raises ProcessFailed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, "-m", "bench.names", "--domains", str(domains), "--sites", str(sites)]
        with started("names", [*command, "--seconds", "600"], folder / "names.log", pipe=True) as child:
            port = int(child.first_line()["port"])
            return [uvloop.run(_asked(domains, port, folder, sts=sts)) for sts in (False, True)]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench lookups", description=__doc__)
    parser.add_argument("--domains", type=int, default=100_000)
    parser.add_argument("--sites", type=int, default=200)
    arguments = parser.parse_args(words)
    points = measured(arguments.domains, arguments.sites)
    print(json.dumps({"points": points, "conditions": machine()}))
    return 1 if any(point["unknown"] for point in points) else 0


if __name__ == "__main__":
    sys.exit(main())
