"""[senders.NAME] and their keys. Each sender is a 送信者 in the law's sense, with a name, an address and a key.

A key belongs to its domain: two senders of one domain may share it, and the one of them that names it serves both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parseaddr
from pathlib import Path

from engine.config.profile import read_profile
from engine.config.settings import KeyTable, SenderSettings, SenderTable
from engine.mail.identity import TOKEN, IdentityError, SenderIdentity, check_identity, is_link
from engine.mail.profile import Profile, text_faults
from engine.signer.settings import KeyFile
from engine.tables import Problems, dotted, read_table, shown

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
KEYS_OF_A_DOMAIN = 4
"""Each is one signature more on every message."""


def read_senders(
    table: object, folder: Path, problems: Problems
) -> tuple[dict[str, SenderSettings], tuple[KeyFile, ...]]:
    """`folder`: what paths of keys are relative to."""
    senders: dict[str, SenderSettings] = {}
    keys: dict[tuple[str, str], KeyFile] = {}
    if not isinstance(table, Mapping) or not table:
        problems.add("senders", "no sender; add a table [senders.NAME]")
        return senders, ()
    for name, entry in table.items():
        where = dotted("senders", name)
        if not isinstance(entry, Mapping):
            problems.add(where, f"not a table; write [{where}]")
            continue
        if not _NAME.fullmatch(name):
            problems.add(where, "a sender's name has letters, digits and ._- only, 64 at most; legal_name has the rest")
        own = {key: value for key, value in entry.items() if key not in ("dkim", "profile")}
        read = read_table(SenderTable, own, where, problems)
        profile = read_profile(entry["profile"], f"{where}.profile", problems) if "profile" in entry else None
        sender = read and _sender(name, read, profile, where, problems)
        if sender:
            senders[name] = sender
            for key in _keys(entry.get("dkim", []), where, sender.identity.domain, folder, problems):
                if keys.setdefault((key.domain, key.selector), key) != key:
                    problems.add(
                        f"{where}.dkim", f"selector {key.selector!a} of {key.domain} has two key files; keep one"
                    )
    _check_keys(senders, keys, problems)
    return senders, tuple(keys.values())


def _sender(
    name: str, table: SenderTable, profile: Profile | None, where: str, problems: Problems
) -> SenderSettings | None:
    if not table.legal_name.strip():
        problems.add(f"{where}.legal_name", "is empty; write the sender's registered name (送信者の氏名又は名称)")
    for wrong in text_faults(table.legal_name):
        problems.add(f"{where}.legal_name", f"{shown(table.legal_name)}: {wrong}")
    for field, party in (("client", table.client), ("agency", table.agency)):
        if party and not _NAME.fullmatch(party):
            problems.add(f"{where}.{field}", f"{shown(party)}: letters, digits and ._- only, 64 at most")
    if not table.categories:
        problems.add(f"{where}.categories", "is empty; nothing could be sent: name some, or leave it out for all")
    display, address = parseaddr(table.address)
    domain = table.domain or address.rpartition("@")[2]
    identity = SenderIdentity(
        name=name,
        from_address=address,
        from_display=display,
        domain=domain,
        return_path_domain=table.return_path_domain or domain,
        message_id_domain=table.message_id_domain or domain,
        unsubscribe_url=table.unsubscribe_url,
        unsubscribe_mailto=table.unsubscribe_mailto,
        feedback_id=table.feedback_id,
        legal_name=table.legal_name,
        profile=profile,
    )
    if "@" not in address:
        problems.add(f"{where}.address", f"{shown(table.address)}: write news@example.jp or 店名 <news@example.jp>")
        return None
    try:
        check_identity(identity)
    except IdentityError as error:
        field = "address" if error.field in ("from", "from_address") else error.field
        problems.add(f"{where}.{field}", str(error))
        return None
    if table.confirm_url and (not is_link(table.confirm_url) or TOKEN not in table.confirm_url):
        problems.add(f"{where}.confirm_url", f"{shown(table.confirm_url)}: write an https URL with {TOKEN} in it")
    pools = (table.pool, table.pool_transactional or table.pool)
    return SenderSettings(
        identity,
        table.legal_name,
        frozenset(table.categories),
        table.confirm_url,
        table.mail_order,
        table.regions,
        table.lint,
        *pools,
        table.client,
        table.agency,
        table.tx_that_sells,
    )


def _keys(entries: object, where: str, domain: str, folder: Path, problems: Problems) -> list[KeyFile]:
    keys = []
    if not isinstance(entries, list):
        problems.add(f"{where}.dkim", f"{shown(entries)} is not a list of tables; write [[{where}.dkim]]")
        return []
    for number, entry in enumerate(entries):
        place = f"{where}.dkim[{number}]"
        read = read_table(KeyTable, entry, place, problems)
        if read is None:
            continue
        if not _SELECTOR.fullmatch(read.selector):
            problems.add(f"{place}.selector", f"{shown(read.selector)}: letters, digits and hyphens, 63 at most")
        keys.append(KeyFile(domain, read.selector.lower(), folder / read.key))
    return keys


def _check_keys(
    senders: Mapping[str, SenderSettings], keys: Mapping[tuple[str, str], KeyFile], problems: Problems
) -> None:
    domains = [domain for domain, _ in keys]
    for name, sender in senders.items():
        where, domain = dotted("senders", name), sender.identity.domain
        if domain not in domains:
            problems.add(where, f"no key to sign for {domain}; add [[{where}.dkim]] with selector and key")
        if domains.count(domain) > KEYS_OF_A_DOMAIN:
            problems.add(
                where, f"{domain} has {domains.count(domain)} keys; at most {KEYS_OF_A_DOMAIN}, each costs a signature"
            )
