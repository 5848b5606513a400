"""What `sokutatsu lint` does: the display check, as accept would make it, and its report.

Needs the configuration (for the sender's profile), not a running engine. Exit codes: 0 nothing that blocks, 1 with
--strict when there are warnings, 2 findings that block, or a file or an argument that is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from engine.cli.preflight_words import WORDS
from engine.cli.recipients import FileError, read_message
from engine.config import SenderSettings, Settings, read_configuration
from engine.flow.display import refusing
from engine.lint import Finding, Severity, check, opt_out_links, rule_texts
from engine.lint.finding import block, warn
from engine.mail.message import MessageError, decode_message
from engine.mail.template import compile_message
from engine.net.dns import DnsClient
from engine.net.fetch import Fetch
from engine.net.landing import landing
from engine.policy.readiness import Level
from suppression.decision import Category

_COLOURS = {Severity.BLOCK: "bold red", Severity.WARN: "yellow"}
MOST_PLACES = 10
_ENOUGH = 40
"""Characters of an excerpt that find its line in the file."""


def run_lint(options: argparse.Namespace) -> int:
    try:
        settings = _settings(options)
        sender = _sender(options, settings)
        findings = _findings(options, sender, settings)
    except FileError as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2
    blocking = sum(finding.severity is Severity.BLOCK for finding in findings)
    if options.json:
        told = {"sender": options.sender, "category": options.category, "blocking": blocking}
        fields = [{**finding.fields(), "file_line": _line_in_file(finding, options.message)} for finding in findings]
        print(json.dumps({**told, "warnings": len(findings) - blocking, "findings": fields}, ensure_ascii=False))
    else:
        _report(options, sender, findings, blocking)
    return 2 if blocking else 1 if findings and options.strict else 0


def _settings(options: argparse.Namespace) -> Settings:
    settings = read_configuration(options.config)
    if isinstance(settings, list):
        raise FileError("\n".join(settings))
    return settings


def _sender(options: argparse.Namespace, settings: Settings) -> SenderSettings:
    sender = settings.senders.get(options.sender)
    if sender is None:
        known = ", ".join(sorted(settings.senders))
        raise FileError(f"sender {options.sender!a} is not in {options.config}: use one of {known}")
    return sender


def _findings(options: argparse.Namespace, sender: SenderSettings, settings: Settings) -> list[Finding]:
    try:
        spec = decode_message(read_message(options.message))
        mail_order = options.category == Category.AD_MO
        compiled = compile_message(spec, sender.identity, mail_order=mail_order)
    except MessageError as error:
        raise FileError(f"{options.message}: {error}") from None
    is_raw = spec.raw is not None
    regions = options.region or sender.regions
    found = check(
        compiled,
        sender.identity,
        options.category,
        is_raw=is_raw,
        regions=regions,
        sizes=settings.shaping.message_sizes,
    )
    if options.network:
        links = opt_out_links(compiled, sender.identity, options.category, is_raw=is_raw)
        found += asyncio.run(_landings(settings, links))
        found.sort(key=lambda finding: (finding.severity is not Severity.BLOCK, finding.rule))
    return found


async def _landings(settings: Settings, links: Sequence[tuple[str, int, str]]) -> list[Finding]:
    """D02, as far as only the network can tell. Each place is asked once."""
    places = {target: (part, line) for part, line, target in reversed(links)}
    dns = DnsClient(settings.resolver.dns)
    get = Fetch(dns)
    try:
        found = await asyncio.gather(*(landing(dns, get, target) for target in list(places)[:MOST_PLACES]))
    finally:
        dns.close()
    told = []
    for one, (target, place) in zip(found, list(places.items())[:MOST_PLACES], strict=True):
        ja, en = WORDS[one.code]
        words = (f"{ja}（{one.found}）。" if one.found else f"{ja}。", f"{en}: {one.found}" if one.found else en)
        if one.level is not Level.OK:
            # What cannot be reached now, a reader cannot use now.
            is_doubt = one.level is Level.UNKNOWN or one.code in ("optout.moved", "optout.unknown_token")
            told.append((warn if is_doubt else block)("D02", *place, words, target))
    return told


def _report(options: argparse.Namespace, sender: SenderSettings, findings: Sequence[Finding], blocking: int) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{options.message}: {sender.legal_name} ({options.sender}), {options.category}"))
    names = rule_texts()
    for finding in findings:
        _, ja, en = names[finding.rule]
        line = _line_in_file(finding, options.message)
        head = Text(f"\n{finding.severity.upper():<5} {finding.rule} ", style=_COLOURS[finding.severity])
        head.append(f"{ja} / {en}", style="bold")
        head.append(f"  {finding.place}" + (f"  {options.message}:{line}" if line else ""), style="cyan")
        console.print(head)
        console.print(Text(f"      {finding.ja}\n      {finding.en}"))
        if finding.excerpt:
            console.print(Text(f"      > {finding.excerpt}", style="dim"))
        if finding.article:
            console.print(Text(f"      {finding.article}", style="dim"))
    console.print(Text(f"\n{_verdict(options.category, sender, findings, blocking)}"))


def _verdict(category: str, sender: SenderSettings, findings: Sequence[Finding], blocking: int) -> str:
    if not findings:
        return "問題は見つかりませんでした。 / Nothing found."
    numbers = f"blocking {blocking}, warnings {len(findings) - blocking}"
    if not blocking:
        return f"送信できます（警告あり）。 / May be sent. {numbers}"
    if refusing(findings, sender.lint, category, sender.selling):
        return f"このままでは受け付けられません。 / Would be refused. {numbers}"
    return f"問題がありますが、lint = {sender.lint} なので受け付けられます。 / Would be taken all the same. {numbers}"


def _line_in_file(finding: Finding, file: Path) -> int:
    """Where the finding's line stands in the file; 0 when it does not stand there as it is shown."""
    wanted = finding.excerpt.removesuffix("…")[:_ENOUGH].strip()
    if not wanted:
        return 0
    lines = file.read_text("utf-8", "replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if wanted in line), 0)
