"""Suppression under the clock: build, snapshot, start, decide in batches and alone, identify, import, apply.

`python -m bench suppression --entries N`. Entries are consents of made-up addresses; a tenth of the asked are unknown,
a hundredth refused. Times are CPU seconds of this process, except for start, import and apply, which wait for the disk.
With --straight M, M of the N keys go into the index past the ledger: what an index of that size costs, without the half
hour and the eleven gigabytes that a ledger of 100 million takes. Import is then that of N - M.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from suppression import Basis, Consent, Covers, OptOut, Scope, Suppression, SuppressionSettings
from suppression.decision import Verdict

SENDER = "acme"
_BLOCK = 4_000_000
_DOMAINS = ("example.jp", "mail.example", "docomo.example", "ezweb.example", "example.co.jp")


def address(number: int) -> str:
    return f"user{number}@{_DOMAINS[number % len(_DOMAINS)]}"


def measure(entries: int, folder: Path, straight: int = 0) -> dict[str, float]:
    """Figures by name; their unit stands in the name. Start and questions are a process of their own."""
    figures: dict[str, float] = {"entries": entries, "straight": straight}
    suppression = Suppression.open(_settings(folder))
    figures["import_rows_per_s"] = _import(suppression, entries - straight)
    figures["straight_s"] = _timed(lambda: _put_straight(suppression, straight))
    figures["close_s"] = _timed(suppression.close, time.monotonic)
    command = [sys.executable, "-m", "bench.suppression", "--entries", str(entries)]
    command += ["--straight", str(straight), "--reopen", str(folder)]
    figures |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def reopen(entries: int, folder: Path, straight: int = 0) -> dict[str, float]:
    started = time.monotonic()
    suppression = Suppression.open(_settings(folder))
    figures = {"start_s": time.monotonic() - started}
    figures["keys"] = suppression.entries
    figures |= _decisions(suppression, entries - straight, straight)
    figures["resident_mb"] = _resident_mb()
    figures |= asyncio.run(_applies(suppression, entries - straight))
    suppression.close()
    if straight:
        return figures  # no ledger knows these: only the snapshot does
    (folder / "ledger" / "index.snapshot").unlink()
    started = time.monotonic()
    suppression = Suppression.open(_settings(folder))
    figures["start_without_snapshot_s"] = time.monotonic() - started
    suppression.close()
    return figures


def _resident_mb() -> float:
    """Now; the peak that getrusage knows is partly the parent's."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def _settings(folder: Path) -> SuppressionSettings:
    return SuppressionSettings(folder / "ledger", folder / "secret")


def _import(suppression: Suppression, entries: int) -> float:
    consent = Consent("", 0.0, "import", SENDER, Basis.OPTIN_REC, Covers.AD, evidence="form 1")
    rows: Iterator[tuple[str, float]] = ((address(number), 1.7e9 + number % 1000) for number in range(entries))
    imported = suppression.load(consent, rows)
    refusal = OptOut("", 0.0, "import", Scope.SENDER, SENDER)
    suppression.load(refusal, ((address(number), 1.75e9) for number in range(0, entries, 100)))
    return imported.recorded / imported.seconds


def _straight_keys(start: int, stop: int) -> npt.NDArray[np.uint64]:
    """Scattered like keys of addresses, and distinct: an odd factor modulo 2^64 is a permutation."""
    return np.arange(start + 1, stop + 1, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)


def _put_straight(suppression: Suppression, count: int) -> None:
    """With what is known of the first address that was imported."""
    index, ledger = suppression._index, suppression._ledger  # noqa: SLF001 - past the ledger on purpose
    table = index.people_of(ledger.senders[SENDER])
    (key,) = np.frombuffer(suppression.identify([address(1)])[0][:8], dtype=np.uint64)
    number = table.get(int(key))
    assert number >= 0
    for start in range(0, count, _BLOCK):
        keys = _straight_keys(start, min(start + _BLOCK, count))
        table.put_new(keys, np.full(len(keys), number, dtype=np.uint32))
    if count:
        suppression._save()  # noqa: SLF001 - nothing was recorded that would make it due


def _decisions(suppression: Suppression, entries: int, straight: int) -> dict[str, float]:
    """Of the keys that are asked about, as many were put straight as there are of them in the index."""
    step = 7_919
    asked = [address(number * step % int(entries * 1.1)) for number in range(100_000)]
    figures = {"identify_us": _timed(lambda: suppression.identify(asked)) / len(asked) * 1e6}
    identities = suppression.identify(asked)
    if straight:
        share = straight / (entries + straight)
        places = np.arange(100_000, dtype=np.uint64) * np.uint64(step * 104_729) % np.uint64(straight)
        known = [key.tobytes() * 2 for key in (places + np.uint64(1)) * np.uint64(0x9E37_79B9_7F4A_7C15)]
        identities = [known[at] if at * step % 100_000 < share * 100_000 else identities[at] for at in range(100_000)]
    figures["send_share"] = _share_of_send(suppression, identities)
    batches = [identities[start : start + 1000] for start in range(0, len(identities), 1000)]
    decide = suppression.decide_identities
    spent = min(_timed(lambda: [decide(SENDER, "news", "AD", batch) for batch in batches]) for _ in range(5))
    figures["decide_batch_per_s"] = len(identities) / spent
    one = suppression.decide_one
    alone = identities[:20_000]
    spent = min(_timed(lambda: [one(SENDER, "news", "AD", identity) for identity in alone]) for _ in range(3))
    figures["decide_one_us"] = spent / len(alone) * 1e6
    return figures


def _share_of_send(suppression: Suppression, identities: Sequence[bytes]) -> float:
    decisions = suppression.decide_identities(SENDER, "news", "AD", identities)
    return sum(decision.verdict is Verdict.SEND for decision in decisions) / len(decisions)


async def _applies(suppression: Suppression, entries: int) -> dict[str, float]:
    """Opt-outs one call each, a hundred waiting at a time."""
    count = 2_000
    started = time.monotonic()
    gate = asyncio.Semaphore(100)

    async def refuse(number: int) -> None:
        async with gate:
            now = time.time()
            await suppression.apply([OptOut(address(number * 31 % entries), now, "bench", Scope.SENDER, SENDER)])

    await asyncio.gather(*(refuse(number) for number in range(count)))
    return {"apply_per_s": count / (time.monotonic() - started)}


def _timed(call: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    started = clock()
    call()
    return clock() - started


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--entries", type=int, default=1_000_000, help="consents in the ledger (default 1,000,000)")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to put the ledger (default: a temporary folder)"
    )

    parser.add_argument(
        "--straight", type=int, default=0, help="of the entries, so many go into the index past the ledger (default 0)"
    )
    parser.add_argument("--reopen", type=Path, default=None, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    if arguments.reopen is not None:
        print(json.dumps(reopen(arguments.entries, arguments.reopen, arguments.straight)))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="suppression-", dir=arguments.folder))
    try:
        figures = measure(arguments.entries, folder, arguments.straight)
    finally:
        shutil.rmtree(folder)
    for name, value in figures.items():
        print(f"{name:>22}  {value:,.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench suppression", description=__doc__.partition("\n")[0] if __doc__ else None
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
