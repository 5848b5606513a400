"""Ours, measured like the others: everything durable and signed, with suppression asked for every recipient.

The bulk comes over the socket as one template and merge fields, which is how it is meant to be handed over; all else is
as for the peers. Consents of all recipients are recorded, so this run does more than the others, not less.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.figures import figures
from bench.peers.measure import INTERVAL_MS, SINGLE_MAILS, Amount
from bench.run import run_scenario
from bench.scenario import Scenario

NAME = "sokutatsu"


def measure_ours(amount: Amount, run: Path) -> dict[str, Any]:
    """Blocks. Raises ProcessFailed. Four times as many messages as the others, lest it is over too soon."""
    messages = amount.messages * 4
    bulk = Scenario(
        "peers",
        "ours",
        messages,
        message_bytes=amount.size,
        seconds=amount.seconds,
        suppression_entries=messages,
    )
    told = figures(run_scenario(bulk, run / "bulk"))
    single = Scenario(
        "single",
        "ours",
        100,
        message_bytes=amount.size,
        seconds=amount.seconds,
        category="TX",
        transactional=SINGLE_MAILS,
        transactional_interval_ms=INTERVAL_MS,
        until="transactional",
    )
    alone = figures(run_scenario(single, run / "single"))
    return {
        "peer": NAME,
        "title": "Sokutatsu",
        "messages": messages,
        "accepted": told["accepted"],
        "received": told["received"],
        "rate": told["rate"],
        "cpu_us": round(told["core_us"] + told["signer_us"], 1),
        "core_us": told["core_us"],
        "signer_us": told["signer_us"],
        "sink_us": told["sink_us"],
        "sender_us": told["injector_us"],
        "memory_mb": round(told["core_resident_mb"] + told["signer_resident_mb"], 1),
        "wire_bytes": told["conditions"]["wire_bytes"],
        "durable": "synced before the answer",
        "lost": told["lost"],
        "duplicates": told["duplicates"],
        "dkim_verified": told["dkim_verified"],
        "first_attempt_p50_ms": alone["transactional_p50_ms"],
        "first_attempt_p99_ms": alone["transactional_p99_ms"],
        "single_mails": f"{SINGLE_MAILS} of {SINGLE_MAILS}" if not alone["lost"] else f"{alone['lost']} lost",
        "signed_by": told["conditions"]["signed_with"],
        **({"warning": told["warning"]} if "warning" in told else {}),
        "versions": {NAME: "this checkout"},
    }
