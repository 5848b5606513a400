"""[sources.NAME] and [pools.NAME]: the addresses that mail leaves from, and who shares them.

Without sources there is one, "default", of [engine] source_address and ehlo_name; without pools there is one,
"default", of all sources. So the smallest configuration names neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.config.settings import EngineSettings
from engine.net.resolver import is_address
from engine.policy.source import DEFAULT, MOST_WEIGHT, Pool, Source, make_pool
from engine.policy.warmup import Warmup, read_warmup
from engine.tables import Problems, dotted, read_table, shown

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
MOST = 1000


@dataclass(frozen=True, slots=True)
class SourceTable:
    """[sources.NAME]"""

    address: str = ""
    """Local IP address to send from; empty: as the system routes."""
    ehlo_name: str = ""
    """The name that it greets with; default: engine.ehlo_name."""


def read_sources(table: object, engine: EngineSettings, problems: Problems) -> dict[str, Source]:
    if not isinstance(table, Mapping) or len(table) > MOST:
        problems.add("sources", f"{shown(table)}: write tables [sources.NAME], {MOST} at most")
        return {}
    sources = {}
    for name, entry in table.items():
        where = dotted("sources", name)
        if not isinstance(entry, Mapping) or not _NAME.fullmatch(name):
            problems.add(where, "write a table with a name of letters, digits and ._-, 64 at most")
            continue
        own = {key: value for key, value in entry.items() if key != "warmup"}
        read = read_table(SourceTable, own, where, problems)
        warmup = _warmup(entry, where, problems)
        if read is None:
            continue
        if read.address and not is_address(read.address):
            problems.add(f"{where}.address", f"{shown(read.address)}: write an IP address of this machine")
        sources[name] = Source(name, read.address, read.ehlo_name or engine.ehlo_name, warmup)
    return sources or {DEFAULT: Source(DEFAULT, engine.source_address, engine.ehlo_name)}


def _warmup(entry: Mapping[str, object], where: str, problems: Problems) -> Warmup | None:
    if "warmup" not in entry:
        return None
    try:
        return read_warmup(entry["warmup"])
    except ValueError as error:
        problems.add(f"{where}.warmup", f"{shown(entry['warmup'])}: {error}")
        return None


def read_pools(table: object, sources: Mapping[str, Source], problems: Problems) -> dict[str, Pool]:
    if not isinstance(table, Mapping) or len(table) > MOST:
        problems.add("pools", f"{shown(table)}: write tables [pools.NAME], {MOST} at most")
        return {}
    pools = {}
    for name, entry in table.items():
        where = dotted("pools", name)
        weights = entry.get("sources") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or entry.keys() != {"sources"} or not isinstance(weights, Mapping):
            problems.add(where, f"{shown(entry)}: write sources = {{ NAME = WEIGHT, ... }}")
            continue
        wrong = [source for source, weight in weights.items() if source not in sources or not _is_weight(weight)]
        for source in wrong:
            known = ", ".join(sorted(sources))
            text = f"{shown(weights[source])}: write a source ({known[:80]}) and a weight from 1 to {MOST_WEIGHT}"
            problems.add(f"{where}.sources.{shown(source)}", text)
        if not wrong and weights:
            pools[name] = make_pool(name, weights)
        elif not weights:
            problems.add(f"{where}.sources", "is empty; name at least one source")
    if DEFAULT not in pools and sources:
        pools[DEFAULT] = make_pool(DEFAULT, dict.fromkeys(sources, 1))
    return pools


def _is_weight(weight: object) -> bool:
    return isinstance(weight, int) and not isinstance(weight, bool) and 1 <= weight <= MOST_WEIGHT
