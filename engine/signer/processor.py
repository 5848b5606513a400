"""Which of OpenSSL's ways of multiplying signs faster on this processor: measured, since no model tells.

Where a processor has ADX, OpenSSL multiplies with that, and takes its AVX2 code only where ADX is missing. That is
right for some processors and not for others: an AMD Zen 3 signs RSA-2048 in 600 µs with AVX2 and in 675 with ADX, and
the signature is two thirds of what a message costs. OpenSSL reads OPENSSL_ia32cap(3) when it is loaded, so each way is
tried in a process of its own (probe.py), once in the life of this one, and the workers are started with the better.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

VARIABLE: Final = "OPENSSL_ia32cap"
WITHOUT_ADX: Final = ":~0x80000"
"""Bit 19 of the second word is ADX: the processor is taken as one that does not have it."""
CHOICE_NEEDS: Final = frozenset({"avx2", "adx", "bmi2"})
IFMA: Final = "avx512ifma"
"""Where it is, OpenSSL uses it for RSA, and so does crypto_mb: nothing is left to choose."""
GAIN: Final = 0.97
"""Less than three in a hundred is not told from noise: then OpenSSL's own choice stays."""
PROBE_SECONDS: Final = 10.0
TRIES: Final = 2

Probe = Callable[[Mapping[str, str]], "subprocess.Popen[str]"]


@functools.cache
def faster() -> Mapping[str, str]:
    """What the workers' environment gets. Blocks for half a second at the first call; call it in a thread."""
    if VARIABLE in os.environ or not may_choose(_cpuinfo()):
        return {}
    return choose(start_probe)


def may_choose(cpuinfo: str) -> bool:
    """Whether the processor, as /proc/cpuinfo describes it, has both ways."""
    found = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = frozenset(found[1].split()) if found else frozenset[str]()
    return flags >= CHOICE_NEEDS and IFMA not in flags


def choose(start: Probe) -> Mapping[str, str]:
    """One after the other: at the same time they share a core's units on many machines, and nothing is told apart. A
    machine that is busy otherwise hides a difference too, so that none is believed only when it is not seen twice.
    """
    own, other = inf, inf
    for _ in range(TRIES):
        costs = _cost(start({})), _cost(start({VARIABLE: WITHOUT_ADX}))
        if None in costs:
            log.warning("signer: what multiplies faster here could not be measured; OpenSSL's own choice stays")
            return {}
        own, other = min(own, costs[0] or inf), min(other, costs[1] or inf)
        if other <= own * GAIN:
            log.info("signer: RSA by AVX2 takes %.0f us, by ADX %.0f: AVX2 (%s=%s)", other, own, VARIABLE, WITHOUT_ADX)
            return {VARIABLE: WITHOUT_ADX}
    return {}


def start_probe(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.signer.probe"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=environment_of(environment),
    )


def environment_of(more: Mapping[str, str]) -> dict[str, str]:
    """Ours with these: for a process of our own modules."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


def _cost(probe: subprocess.Popen[str]) -> float | None:
    """CPU µs; None when it told nothing, which a processor that lacks what it says may bring about."""
    with probe:
        try:
            told, _ = probe.communicate(timeout=PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            probe.kill()
            return None
    found = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*", told)
    return float(found[1]) if found and probe.returncode == 0 else None


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # another system: OpenSSL's own choice stays
