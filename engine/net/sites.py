"""Names for receivers: the set of MX hosts rolled up into one name, and the provider that hosts belong to.

Domains with the same MX hosts are one receiver, however they rank them: KumoMTA's idea, which big receivers confirm
(they count by the host that is connected to, not by the domain behind the @). Two different sets never have the same
name: whoever could make his domain look like another receiver would get that receiver's mail. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import Final

LONGEST: Final = 120
"""Characters of a name: it stands in journal, status and metrics."""


def site_of(hosts: Iterable[str]) -> str:
    """`hosts` are valid host names in lower case, and so have none of the characters ( ) | , ? and ~."""
    whole = sorted(set(hosts))
    by_parent: dict[str, list[str]] = {}
    for host in whole:
        first, _, parent = host.partition(".")
        by_parent.setdefault(parent, []).append(first)
    # A host that is the parent of several others is their "?" form, and stands only there.
    optional = {parent for parent in whole if len(by_parent.get(parent, ())) > 1}
    parts = []
    for parent, labels in sorted(by_parent.items()):
        own = [label for label in labels if (f"{label}.{parent}" if parent else label) not in optional]
        if own:
            shown = own[0] if len(own) == 1 and parent not in optional else f"({'|'.join(own)})"
            parts.append(f"{shown}{'?' * (parent in optional)}{'.' * bool(parent)}{parent}")
        elif parent in optional:
            parts.append(parent)
    name = ",".join(parts)
    if len(name) <= LONGEST:
        return name
    digest = sha256(name.encode()).hexdigest()[:16]
    return f"{name[: LONGEST - 17]}~{digest}"


def provider_of(hosts: Collection[str], providers: Mapping[str, Iterable[str]]) -> str:
    """The first provider to whose suffixes all hosts belong, or "". A suffix such as ".google.com" stands for every
    host below it, a whole name for itself alone. One host elsewhere, and the domain is nobody's but its own.
    """
    for name, suffixes in providers.items():
        known = tuple(suffixes)
        if hosts and all(_belongs(host, known) for host in hosts):
            return name
    return ""


def _belongs(host: str, suffixes: Iterable[str]) -> bool:
    return any(host.endswith(suffix) if suffix.startswith(".") else host == suffix for suffix in suffixes)
