"""`sokutatsu preflight SENDER`: is this sender fit for a first real mailing? A report with the DNS records to add.

Reads the configuration and the sender's keys, signs a probe, and asks the configured resolvers; it needs no running
engine and sends nothing to anybody. In colour, in Japanese and English, or as JSON. Exit codes: 0 fit (warnings
included), 1 not fit, 2 the configuration or a key is wrong, 3 DNS did not answer everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.checking import settings_of
from engine.cli.preflight_words import WORDS
from engine.config import Settings
from engine.guards import probing, subject_of
from engine.net.dns import DnsClient
from engine.net.fetch import Fetch
from engine.net.preflight import Subject, greet_https, preflight
from engine.policy.readiness import Finding, Level, Report
from engine.signer.backend import OpensslBackend
from engine.signer.keys import KeyFileError, algorithm_of, public_text, read_key, signature_size
from engine.signer.settings import KeyInfo

STYLES = {
    Level.OK: ("green", "✓"),
    Level.NOTE: ("cyan", "·"),
    Level.WARN: ("yellow", "!"),
    Level.REMOVE: ("dark_orange", "−"),
    Level.UNKNOWN: ("magenta", "?"),
    Level.REFUSE: ("red", "✗"),
}
VERDICTS = {
    Level.OK: "送信できます / fit to send",
    Level.NOTE: "送信できます / fit to send",
    Level.WARN: "送信できますが、直すべき点があります / fit to send, with something to mend",
    Level.REMOVE: "「−」の送信元を除いて送信できます / fit to send, but not from the sources marked −",
    Level.UNKNOWN: "確認できない項目があります / not everything could be checked",
    Level.REFUSE: "送信できません / not fit to send",
}
CODES = {Level.REFUSE: 1, Level.UNKNOWN: 3}


def run_preflight(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    if settings is None:
        return 2
    if args.sender not in settings.senders:
        known = ", ".join(sorted(settings.senders))[:200]
        print(f"sokutatsu: no sender {args.sender[:80]!a} in {args.config}; known are {known}", file=sys.stderr)
        return 2
    try:
        keys, backend = own_keys(settings, settings.senders[args.sender].identity.domain)
    except KeyFileError as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2
    subject = subject_of(settings, args.sender, keys)
    report = asyncio.run(_checked(settings, subject, backend, is_wide=args.network))
    if args.json:
        print(json.dumps(as_json(report), ensure_ascii=False, indent=2))
    else:
        show(Console(), report)
    return CODES.get(report.level, 0)


def own_keys(settings: Settings, domain: str) -> tuple[tuple[KeyInfo, ...], OpensslBackend]:
    """The domain's keys, read as the signer reads them. Raises KeyFileError."""
    files = [file for file in settings.signer.keys if file.domain == domain]
    keys = [read_key(file.file) for file in files]
    infos = tuple(
        KeyInfo(index, file.domain, file.selector, algorithm_of(key), signature_size(key), public_text(key))
        for index, (file, key) in enumerate(zip(files, keys, strict=True))
    )
    return infos, OpensslBackend(keys)


async def _checked(settings: Settings, subject: Subject, backend: OpensslBackend, *, is_wide: bool) -> Report:
    dns = DnsClient(settings.resolver.dns)

    async def sign(key: KeyInfo, digest: bytes) -> bytes:
        return await asyncio.to_thread(backend.sign_one, key.index, digest)

    try:
        get, probe = Fetch(dns) if is_wide else None, probing(settings, dns)
        return await preflight(subject, dns, sign, time.time(), greet_https, get, probe=probe)
    finally:
        dns.close()


def as_json(report: Report) -> dict[str, object]:
    findings = [{**asdict(one), "ja": WORDS[one.code][0], "en": WORDS[one.code][1]} for one in report.findings]
    return {"sender": report.sender, "at": report.at, "level": report.level, "findings": findings}


def show(console: Console, report: Report) -> None:
    grid = Table(box=box.SIMPLE, show_header=False, pad_edge=False, padding=(0, 1))
    grid.add_column("")
    grid.add_column("", overflow="fold")
    for level in (Level.REFUSE, Level.REMOVE, Level.UNKNOWN, Level.WARN, Level.NOTE, Level.OK):
        for finding in report.of(level):
            grid.add_row(Text(STYLES[level][1], style=STYLES[level][0]), _words(finding))
    console.print(Text(f"preflight {report.sender}", style="bold"))
    console.print(grid)
    records = list(dict.fromkeys(record for one in report.findings for record in one.records))
    if records:
        console.print(Text("追加・修正する DNS レコード / DNS records to add or to mend", style="bold"))
        for record in records:
            # On one line, whatever the width: it is there to be copied.
            console.print(Text(f"  {record}", style="cyan"), soft_wrap=True)
        console.print()
    console.print(Text(VERDICTS[report.level], style=f"bold {STYLES[report.level][0]}"))


def _words(finding: Finding) -> Text:
    japanese, english = WORDS[finding.code]
    text = Text(japanese).append(f"\n{english}", style="dim")
    about = f"{finding.subject}: {finding.found}" if finding.found else finding.subject
    if finding.level is Level.REMOVE:
        about += f"; source {finding.source}"
    return text.append(f"\n{about}", style="dim italic")
