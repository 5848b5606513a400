"""`python -m bench WORD …`: the list of what can be measured. Each word's own --help says more."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence

WORDS = {
    "demo": "the main job, from nothing: what `make demo` runs",
    "run": "sink and engine as processes, one scenario: rate, CPU, memory, lost, duplicates",
    "floor": "what signing, a bare session and the sink cost: the most that this machine can do",
    "record": "the engine's CPU in turns with the floor's, one line more in record.jsonl",
    "compare": "the same, beside a recorded run",
    "check": "the same, and it fails on a loss of a fifth",
    "capacity": "machines, network, disks and DNS for so many messages a day",
    "lookups": "what finding out where a domain takes mail costs",
    "connections": "memory of an open connection, plain and over TLS",
    "growth": "cost per message as queue and number of domains grow",
    "publish": "all of it, part by part, into bench/report/ with plots",
    "crash": "kill -9 the engine again and again under load: lost, duplicates",
    "sink": "the receiving server alone",
    "peers": "other mail servers beside ours: rate, CPU, memory, delivered, signed",
    "verify": "verify the DKIM signatures of kept messages",
    "suppression": "the suppression index alone",
    "returns": "bounces and complaints against labels: recognised, hard, reason, recipient",
}


def main(words: Sequence[str]) -> int:
    known = {word: what for word, what in WORDS.items() if importlib.util.find_spec(f"bench.{word}")}
    if not words or words[0] not in known:
        print("python -m bench WORD …\n" + "\n".join(f"  {word:12} {what}" for word, what in known.items()))
        return 2
    return int(importlib.import_module(f"bench.{words[0]}").main(words[1:]) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
