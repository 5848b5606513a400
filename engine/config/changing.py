"""What a reload may change: two configurations compared, table by table and key by key.

Paths, listeners, the sizes and threads of stores and the number of signing processes are taken at the start and nowhere
else; a reload that asks for another one is refused, each key by its name, because half a configuration in force is what
nobody can reason about. Secrets are never shown: values stand in the text only where they are numbers, names or paths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from engine.config.settings import Settings
from engine.tables import shown

FIXED: Mapping[str, str] = {
    "engine": "engine",
    "door": "socket",
    "submission": "submission",
    "return_path": "return_path",
    "spool": "spool",
    "settle": "settle",
    "journal": "journal",
    "suppression": "suppression",
    "retention": "retention",
    "confirm": "confirm",
    "signer": "signer",
    "admin": "admin",
    "unsubscribe": "unsubscribe",
    "tlsrpt": "tlsrpt",
}
"""Field of Settings -> its table in the file. The others (senders, routes, resolver, ...) change as a whole."""
LIVE: Mapping[str, frozenset[str]] = {
    "engine": frozenset({"max_recipients", "stop_seconds", "log_level"}),
    "submission": frozenset({"users"}),
    "suppression": frozenset({"rules"}),
    "signer": frozenset({"keys", "backend", "nice", "start_seconds", "restart_wait", "stall_seconds"}),
}
WHOLE = ("routes", "shaping", "sources", "pools", "accept", "resolver", "tls", "guard", "preflight")
REMEDY = "cannot change while the engine runs: restart it (systemctl restart sokutatsu), or put back what was"


def fixed_changes(old: Settings, new: Settings) -> list[str]:
    """One line for each key that only a restart can change; empty: a reload may go on."""
    found: list[str] = []
    for field, table in FIXED.items():
        before, after = getattr(old, field), getattr(new, field)
        if (before is None) != (after is None):
            found.append(f"{table}: the table {'is new' if before is None else 'is gone'}, which {REMEDY}")
        elif before is not None:
            found += _of_table(table, before, after, LIVE.get(field, frozenset()))
    return found


def restart_only() -> list[str]:
    """Every table of which something is taken at the start alone, with the keys that a reload takes nevertheless: the
    one list of what needs a restart, for people.
    """
    return [
        f"[{table}]" + (f" (but {', '.join(sorted(live))})" if (live := LIVE.get(field)) else "")
        for field, table in FIXED.items()
    ]


def _of_table(table: str, before: Any, after: Any, live: frozenset[str]) -> Iterator[str]:
    for field in dataclasses.fields(before):
        was, is_now = getattr(before, field.name), getattr(after, field.name)
        if was != is_now and field.name not in live:
            yield f"{table}.{field.name}: {_value(was)} to {_value(is_now)} {REMEDY}"


def _value(value: object) -> str:
    return shown(value if isinstance(value, int | float | str) else str(value))


def live_changes(old: Settings, new: Settings) -> list[str]:
    """What is new, for people: senders by name, other tables by theirs."""
    found: list[str] = []
    for what, names in (
        ("new", new.senders.keys() - old.senders.keys()),
        ("gone, their mail waits", old.senders.keys() - new.senders.keys()),
        (
            "changed",
            {name for name in new.senders.keys() & old.senders.keys() if new.senders[name] != old.senders[name]},
        ),
    ):
        if names:
            found.append(f"senders {what}: {', '.join(sorted(names))}")
    found += [f"{name} changed" for name in WHOLE if name != "shaping" and getattr(old, name) != getattr(new, name)]
    if not same_shaping(old, new):
        found.append("shaping changed")
    for field, keys in LIVE.items():
        before, after = getattr(old, field), getattr(new, field)
        if before is not None and after is not None:
            found += [
                f"{FIXED[field]}.{key} changed"
                for key in sorted(keys)
                if key != "keys" and getattr(before, key) != getattr(after, key)
            ]
    return found


def same_shaping(old: Settings, new: Settings) -> bool:
    before, after = old.shaping, new.shaping
    return (before.default, before.sheets, before.automation, before.providers.matches) == (
        after.default, after.sheets, after.automation, after.providers.matches,
    )  # fmt: skip
