"""`make demo`: the main job from nothing, on this machine alone, in less than two minutes.

Makes a key, starts a receiver and the engine as processes of their own, records consents and opt-outs over the
socket, sends a Japanese newsletter to 20,000 people of eight kinds, and shows what became of each kind, held against
what the receiver got. The last line is one JSON object; the exit code is 1 when anything is lost or the sums do not
add up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.demo_mail import MESSAGE, SENDER, SENDER_DOMAIN, TOPIC, configuration, merge_fields
from bench.processes import Child, ProcessFailed, free_port, started, tail
from bench.rig import RunningSink, running_sink
from bench.verify import verify_folder
from engine.client import AsyncClient, Terms
from engine.journal import read_records, segments
from suppression.reasons import text

FOLDER = Path("demo-run")
SECONDS = 100.0
"""After so long without an end the demo gives up and says so."""
CONSENTS = 10_000
"""Records of one request."""
FINAL = ("Delivery", "Bounce", "Suppressed", "Expiration", "Cancelled")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of recipient: `share` of all, and what must become of them."""

    name: str
    local: str
    """Local part of the address before its number; the receiver knows some of them as orders to misbehave."""
    share: float
    ends: str
    """The journal's record type of their end."""
    what: str
    reason: str = ""
    """Why it must not go."""
    basis: str | None = "OPTIN_REC"
    """What the recorded consent rests on; None: nothing is recorded."""
    refusal: Mapping[str, str] | None = None
    """What its opt-out names beside the address."""


LAST_DAY = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 90 * 86400))
KINDS = (
    Kind("reader", "reader", 0.865, "Delivery", "consented"),
    Kind("left", "left", 0.03, "Suppressed", "consented, then refused this sender", "OPTOUT_ALL",
         refusal={"sender": SENDER}),
    Kind("left-topic", "topic", 0.01, "Suppressed", "refused this newsletter", "OPTOUT_TOPIC",
         refusal={"sender": SENDER, "topic": TOPIC}),
    Kind("pausing", "pausing", 0.01, "Suppressed", f"refused until {LAST_DAY}", "OPTOUT_PERIOD",
         refusal={"sender": SENDER, "until": LAST_DAY}),
    Kind("no-consent", "stranger", 0.03, "Suppressed", "never consented", "NO_CONSENT", basis=None),
    Kind("no-record", "norecord", 0.01, "Suppressed", "consent without a record", "NO_CONSENT_RECORD",
         basis="OPTIN_NOREC"),
    Kind("refused", "bounce-", 0.015, "Bounce", "the receiver says 550"),
    Kind("deferred", "defer-1-", 0.03, "Delivery", "the receiver says 451 once"),
)  # fmt: skip


def address(kind: Kind, number: int) -> str:
    return f"{kind.local}{number}@d{number % 40}.example.jp"


def people(count: int) -> Iterator[tuple[Kind, int]]:
    """Numbers 0 to `count`, each of one kind, the last kind taking the rest of the rounding."""
    number = 0
    for kind in KINDS:
        size = round(count * kind.share) if kind is not KINDS[-1] else count - number
        for _ in range(size):
            yield kind, number
            number += 1


class Demo:
    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.everybody = list(people(count))
        self.admin = free_port()
        self.console = Console(stderr=True)
        self.socket = folder / "state" / "socket" / "sokutatsu.sock"
        self.dns: dict[str, str] = {}
        self.submitted: dict[str, Any] = {}
        self.engine: Child | None = None

    # -- preparing -----------------------------------------------------------------------------------------

    def make_key(self) -> None:
        """With the command that an operator uses."""
        key = self.folder / "dkim.pem"
        command = [sys.executable, "-m", "engine", "dkim", "keygen", SENDER_DOMAIN, "--selector", "demo"]
        done = subprocess.run([*command, "--out", str(key)], check=True, capture_output=True, text=True)
        texts = "".join(part for part in done.stdout.split('"')[1::2])
        self.dns = {f"demo._domainkey.{SENDER_DOMAIN}": texts}

    def configure(self, sink: RunningSink) -> Path:
        file = self.folder / "sokutatsu.toml"
        file.write_text(configuration(route=f"127.0.0.1:{sink.ports[0]}", admin=f"127.0.0.1:{self.admin}"), "utf-8")
        return file

    # -- the job -------------------------------------------------------------------------------------------

    async def send(self) -> dict[str, Any]:
        """Consents, opt-outs, the mailing, and waiting until everybody has an end; the engine's last status."""
        async with AsyncClient(str(self.socket)) as client:
            await self._record(client)
            stored = await client.put_message(MESSAGE)
            terms = Terms(sender=SENDER, category="AD", topic=TOPIC, mailing="aki-no-kanshasai", message=stored.message)
            return await self._mail(client, terms)

    async def _record(self, client: AsyncClient) -> None:
        at = int(time.time()) - 86400
        consenting = [
            {"address": address(kind, number), "at": at, "source": "web", "basis": kind.basis,
             "topics": [TOPIC], "evidence": "form:demo-2026"}
            for kind, number in self.everybody if kind.basis
        ]  # fmt: skip
        for start in range(0, len(consenting), CONSENTS):
            await client.consent(SENDER, consenting[start : start + CONSENTS])
        leaving = [
            {"address": address(kind, number), **kind.refusal} for kind, number in self.everybody if kind.refusal
        ]
        for start in range(0, len(leaving), 100):
            await asyncio.gather(*(client.call("suppress", refusal) for refusal in leaving[start : start + 100]))
        self.console.print(
            f"recorded [bold]{len(consenting):,}[/] consents, [bold]{len(leaving):,}[/] opt-outs, all synced to disk"
        )

    async def _mail(self, client: AsyncClient, terms: Terms) -> dict[str, Any]:
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        total = len(self.everybody)
        with Progress(*columns, console=self.console, refresh_per_second=5) as progress:
            accepting = progress.add_task("accepted", total=total)
            settling = progress.add_task("settled", total=total)
            began = time.monotonic()
            recipients = ((address(kind, number), merge_fields(number)) for kind, number in self.everybody)
            refused = accepted = 0
            async for answer in client.submit_many(recipients, terms):
                accepted += answer.accepted
                refused += len(answer.refused)
                progress.update(accepting, completed=accepted)
            while True:
                status = dict((await client.status())["engine"])
                progress.update(settling, completed=ended(status))
                if ended(status) >= accepted:
                    break
                if time.monotonic() - began > SECONDS:
                    raise ProcessFailed(f"not settled after {SECONDS:.0f} s: {status}")
                await asyncio.sleep(0.1)
        self.submitted = {"accepted": accepted, "refused": refused, "seconds": time.monotonic() - began}
        return status

    # -- looking -------------------------------------------------------------------------------------------

    def wait_until_ready(self) -> None:
        assert self.engine is not None
        end = time.monotonic() + 30
        while not self.socket.is_socket():
            self.engine.check()
            if time.monotonic() > end:
                raise ProcessFailed(f"the engine does not listen:\n{tail(self.engine.log)}")
            time.sleep(0.02)

    def journal(self) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        """(kind, record type) -> how many, and (kind, reason) of the suppressed, from the journal's files."""
        found: Counter[tuple[str, str]] = Counter()
        reasons: Counter[tuple[str, str]] = Counter()
        for segment in segments(self.folder / "state" / "journal"):
            for record in read_records(segment):
                if record.recipient:
                    found[kind_of(record.recipient), record.type] += 1
                    if record.type == "Suppressed":
                        reasons[kind_of(record.recipient), record.reason] += 1
        return found, reasons

    def report(self, sink: RunningSink, status: Mapping[str, Any]) -> dict[str, Any]:
        sink.flushed()
        counts = sink.counts()
        received = Counter(kind_of(receipt.recipient) for receipt in sink.read())
        verified = verify_folder(sink.samples, self.dns)
        journal, reasons = self.journal()
        self._table(journal, received)
        self._reasons(reasons)
        expected = Counter(kind.name for kind, _ in self.everybody)
        lost = sum(max(0, expected[kind.name] - received[kind.name]) for kind in KINDS if kind.ends == "Delivery")
        forbidden = sum(received[kind.name] for kind in KINDS if kind.ends != "Delivery")
        settled = sum(number for (_, what), number in journal.items() if what in FINAL)
        right = all(journal[kind.name, kind.ends] == expected[kind.name] for kind in KINDS)
        right &= all(reasons[kind.name, kind.reason] == expected[kind.name] for kind in KINDS if kind.reason)
        accepted = self.submitted["accepted"]
        balance = status["balance"] == 0 and settled == accepted == ended(status) and right
        return {
            "accepted": accepted,
            "delivered": status["delivered"],
            "suppressed": status["suppressed"],
            "bounced": status["bounced"],
            "lost": lost,
            "duplicates": counts["duplicates"],
            "rate": round(accepted / self.submitted["seconds"], 1),
            "dkim_verified": verified.good,
            "dkim_sampled": verified.messages,
            "retried": journal["deferred", "TransientFailure"],
            "forbidden_mail_sent": forbidden,
            "sums_add_up": balance,
        }

    def _table(self, journal: Mapping[tuple[str, str], int], received: Mapping[str, int]) -> None:
        table = Table(title="What happened to each kind", title_justify="left")
        for name in ("who", "recipients", "journal says", "received"):
            table.add_column(name, justify="right" if name in ("recipients", "received") else "left")
        expected = Counter(kind.name for kind, _ in self.everybody)
        for kind in KINDS:
            says = "\n".join(f"{what} {count:,}" for (who, what), count in sorted(journal.items()) if who == kind.name)
            table.add_row(kind.what, f"{expected[kind.name]:,}", says, f"{received[kind.name]:,}")
        self.console.print(table)

    def _reasons(self, reasons: Mapping[tuple[str, str], int]) -> None:
        table = Table(title="Why these did not go  送信しなかった理由", title_justify="left")
        table.add_column("code")
        table.add_column("recipients", justify="right")
        table.add_column("理由 / reason", overflow="fold")
        for (_, code), count in sorted(reasons.items(), key=lambda entry: -entry[1]):
            table.add_row(code, f"{count:,}", "\n".join(text(code)))
        self.console.print(table)


def kind_of(recipient: str) -> str:
    return next(kind.name for kind in KINDS if recipient.startswith(kind.local))


def ended(status: Mapping[str, Any]) -> int:
    return sum(int(status[name]) for name in ("delivered", "bounced", "suppressed", "expired", "cancelled"))


def run(folder: Path, count: int) -> dict[str, Any]:
    """Blocks. Raises ProcessFailed with the engine's last words."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    demo = Demo(folder, count)
    demo.make_key()
    with running_sink(folder, "receiver", ["--self-signed"], SECONDS) as sink:
        command = [sys.executable, "-m", "engine", "run", "--config", str(demo.configure(sink))]
        with started("engine", command, folder / "engine.log") as demo.engine:
            demo.wait_until_ready()
            demo.console.print(
                f"engine: http://127.0.0.1:{demo.admin}/metrics and /status while it runs", soft_wrap=True
            )
            status = asyncio.run(demo.send())
            figures = demo.report(sink, status)
            figures["rate_unit"] = "recipients/s, consent and opt-out checked, RSA-2048 signed, TLS, synced to disk"
            demo.engine.stop(30)
    _where(demo.console, folder)
    return figures


def _where(console: Console, folder: Path) -> None:
    console.print(
        f"\n[bold]Where to look[/] (all in {folder}/)\n"
        "  sokutatsu.toml             the configuration that this ran with\n"
        "  state/journal/*.jsonl.zst  what happened to everybody, one JSON line an event: zstd -dc … | jq\n"
        "  receiver.samples/*.eml     some of the mail as it arrived\n"
        "  engine.log                 what the engine said\n",
        soft_wrap=True,
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench demo", description=__doc__)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args(words)
    try:
        figures = run(arguments.folder, arguments.recipients)
    except ProcessFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures, ensure_ascii=False), flush=True)
    bad = figures["lost"] or figures["forbidden_mail_sent"] or not figures["sums_add_up"]
    return 1 if bad or figures["dkim_verified"] != figures["dkim_sampled"] else 0
