"""`check`: reads the configuration and every file that it names, without the engine.

Exit codes: 0 in order, 2 wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from engine.cli.speaking import tell
from engine.config import (
    Settings,
    SubmissionTable,
    SubmissionUnusable,
    cautions,
    open_return_path,
    open_submission,
    read_configuration,
)
from engine.signer.keys import KeyFileError, algorithm_of, read_key
from suppression.reasons import open_tables
from suppression.rules import RulesError


def settings_of(options: argparse.Namespace) -> Settings | None:
    settings = read_configuration(options.config)
    if isinstance(settings, list):
        for line in settings:
            print(line, file=sys.stderr)
        return None
    return settings


def check(options: argparse.Namespace) -> int:
    settings = read_configuration(options.config)
    if isinstance(settings, list):
        return _wrong(options, settings)
    problems: list[str] = []
    keys = _keys(settings, problems)
    try:
        open_tables(settings.suppression.rules)
    except RulesError as error:
        problems += [f"{settings.file}: suppression.rules: {line}" for line in error.errors]
    if settings.submission:
        try:
            open_submission(settings.submission, settings.engine.ehlo_name)
        except SubmissionUnusable as error:
            problems.append(f"{settings.file}: {error}")
    if settings.return_path:
        try:
            open_return_path(settings.return_path, settings.senders, settings.engine.ehlo_name, b"")
        except SubmissionUnusable as error:
            problems.append(f"{settings.file}: {error}")
    if problems:
        return _wrong(options, problems)
    effect = [*_in_effect(settings), *_mail(settings, keys)]
    told = {
        "file": str(settings.file),
        "errors": [],
        "in_effect": [list(pair) for pair in effect],
        "cautions": list(cautions(settings)),
    }
    lines = [f"{settings.file}: in order\n", *(f"  {name:<18} {value}".rstrip() for name, value in effect)]
    tell(options, told, *lines, *(f"\ncaution: {text}" for text in cautions(settings)))
    return 0


def _wrong(options: argparse.Namespace, errors: list[str]) -> int:
    for line in errors:
        print(line, file=sys.stderr)
    if options.json:
        tell(options, {"file": str(options.config), "errors": errors})
    return 2


def _keys(settings: Settings, problems: list[str]) -> dict[str, list[str]]:
    """Domain -> its keys in words, each read as the signer will read it."""
    found: dict[str, list[str]] = {}
    for key in settings.signer.keys:
        try:
            words = f"{key.selector} ({algorithm_of(read_key(key.file))}, {key.file})"
        except KeyFileError as error:
            problems.append(f"{settings.file}: {error}")
            continue
        found.setdefault(key.domain, []).append(words)
    return found


def _in_effect(settings: Settings) -> Iterator[tuple[str, str]]:
    engine, submission, limits = settings.engine, settings.submission, settings.shaping.default
    yield "state", f"{engine.state} (node {engine.node}, at most {engine.max_recipients:,} recipients)"
    yield "greeting", f"EHLO {engine.ehlo_name}, from {engine.source_address or 'the address that the system chooses'}"
    yield "socket", f"{settings.door.path}"
    yield "submission", _submission(submission) if submission else "off"
    yield "opt-outs", settings.unsubscribe.listen if settings.unsubscribe else "off: unsubscribe_url leads elsewhere"
    yield "return path", settings.return_path.listen if settings.return_path else "off"
    yield "admin", settings.admin.listen or "off"
    yield "signer", f"{settings.signer.workers or 'one per core'}, {settings.signer.backend}"
    yield "journal", f"{settings.journal.folder}, kept {_duration(settings.journal.keep_seconds)}"
    yield "disk", f"no submits below {settings.spool.disk_floor:.0%} free"
    yield "expiry", f"after {_duration(settings.accept.max_age)} unless the submit says otherwise"
    yield "to each site", f"{limits.connection_limit} connections, {limits.max_message_rate or 'unlimited'} messages"


def _submission(table: SubmissionTable) -> str:
    tls = "no TLS" if table.certificate is None else "TLS from the first byte" if table.implicit_tls else "STARTTLS"
    return f"{table.listen}, {tls}, users of {table.users}"


def _duration(seconds: float) -> str:
    if not seconds:
        return "for ever"
    days, rest = divmod(seconds, 86400)
    return f"{days:g} days" if days and not rest else f"{seconds:,g} seconds"


def _mail(settings: Settings, keys: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    for name, sender in settings.senders.items():
        identity = sender.identity
        yield f"sender {name}", f"{sender.legal_name}, From {identity.from_display} <{identity.from_address}>"
        yield "", f"signed as {identity.domain}: {', '.join(keys[identity.domain])}"
        yield "", f"bounces to {identity.return_path_domain}, categories {' '.join(sorted(sender.categories))}"
    for domain, route in settings.routes.items():
        login = f", login {route.credentials.username}" if route.credentials else ""
        yield f"route {domain}", f"{route.site}, {route.tls}{login}"
    if settings.resolver.mx and "*" not in settings.routes:
        servers = ", ".join(f"{host}:{port}" for host, port in settings.resolver.dns.servers) or "/etc/resolv.conf"
        yield "all other domains", f"by MX, port {settings.resolver.mx.port}, asking {servers}"
