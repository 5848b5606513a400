"""[return_path]: what is checked when the file is read, and what the listener needs when the engine starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from engine.config.opening import load_certificate
from engine.config.settings import ReturnPathTable, SenderSettings
from engine.flow.returnpath import Directory, ReturnPathSettings
from engine.mail.address import AddressError, parse_address
from engine.policy.throttle import Rate
from engine.tables import Problems, parse_listen, shown


def check_return_path(table: ReturnPathTable, folder: Path, problems: Problems) -> ReturnPathTable:
    """Paths become absolute; `folder` is what they are relative to."""
    for key, check in (("listen", parse_listen), ("max_client_rate", Rate.parse)):
        value = getattr(table, key)
        try:
            check(value)
        except ValueError as error:
            problems.add(f"return_path.{key}", f"{shown(value)}: {error}")
    for key in ("optout_addresses", "addresses"):
        for address in getattr(table, key):
            try:
                parse_address(address)
            except AddressError as error:
                problems.add(f"return_path.{key}", f"{error}; write an address such as stop@news.example.jp")
    if (table.certificate is None) != (table.key is None):
        problems.add("return_path", "certificate and key belong together; give both or none")
    return replace(
        table,
        certificate=table.certificate and folder / table.certificate,
        key=table.key and folder / table.key,
    )


def open_return_path(
    table: ReturnPathTable,
    senders: Mapping[str, SenderSettings],
    ehlo_name: str,
    verp_secret: bytes,
) -> Directory:
    """Raises SubmissionUnusable when the certificate cannot be used."""
    host, port = parse_listen(table.listen)
    settings = ReturnPathSettings(
        host=host,
        port=port,
        hostname=table.hostname or ehlo_name,
        optout_addresses=_lower((*table.optout_addresses, *_mailtos(senders))),
        addresses=_lower(table.addresses),
        size_limit=table.size_limit,
        connections=table.connections,
        rate=Rate.parse(table.max_client_rate),
        timeout=table.timeout,
        tls=load_certificate(table.certificate, table.key, "return_path") if table.certificate and table.key else None,
    )
    domains = _by_domain((sender.identity.return_path_domain, name) for name, sender in senders.items())
    homes = _by_domain(
        (domain, name)
        for name, sender in senders.items()
        for domain in (
            sender.identity.domain,
            sender.identity.from_address.rpartition("@")[2].lower(),
            sender.identity.unsubscribe_mailto.lower(),
        )
        if domain
    )
    return Directory(domains, homes, settings, verp_secret)


def _mailtos(senders: Mapping[str, SenderSettings]) -> list[str]:
    """Where List-Unsubscribe lets people write to."""
    return [sender.identity.unsubscribe_mailto for sender in senders.values() if sender.identity.unsubscribe_mailto]


def _lower(addresses: Iterable[str]) -> frozenset[str]:
    return frozenset(address.lower() for address in addresses)


def _by_domain(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for domain, name in pairs:
        found.setdefault(domain, {})[name] = None
    return {domain: tuple(names) for domain, names in found.items()}
