"""Shaping: which limits hold for one path, from tables of four levels, and where each of them comes from.

The words go from the general to the special: default, provider, site, domain, and at each level what is said for a
source in particular. Tables are KumoMTA's in their keys (match, replace_base, sources, automation); `marks` says of a
value whether a receiver has documented it. Reading collects every error, each naming key, value and remedy. It reads
plain mappings: no file, no TOML here. One path's limits stand in limits.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from engine.policy.automation import MOST_RULES, AutomationRule, read_automation
from engine.policy.limits import Limits, agreed, read_limits, read_values, shown
from engine.policy.provider import Match, Providers, read_matches

__all__ = ["LEVELS", "MARKS", "Limits", "Shaping", "Sheet", "Values", "overlay", "read_limits", "read_shaping"]

MARKS: Final = ("documented", "custom", "guess")
"""Where a shipped value comes from: the receiver says so; senders report it; nobody does."""
LEVELS: Final = ("provider", "site", "domain")

Values = Mapping[str, object]
"""Keys of Limits with values of their types."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: what it says for all sources, and for single ones."""

    values: Values = field(default_factory=dict)
    sources: Mapping[str, Values] = field(default_factory=dict)
    replaces: bool = False
    """replace_base: what more general tables say does not count."""
    marks: Mapping[str, str] = field(default_factory=dict)


class Shaping:
    """`default` holds for all; a sheet of a level holds for its name."""

    __slots__ = ("_default_sources", "_known", "automation", "default", "providers", "sheets")

    def __init__(
        self,
        default: Limits | None = None,
        by_site: Mapping[str, Values] | None = None,
        by_domain: Mapping[str, Values] | None = None,
        *,
        sheets: Mapping[tuple[str, str], Sheet] | None = None,
        matches: Mapping[str, tuple[Match, ...]] | None = None,
        automation: tuple[AutomationRule, ...] = (),
    ) -> None:
        """The tables hold values as Limits does (see read_shaping for text). `sheets` by level and name."""
        self.default: Final = default or Limits()
        self.sheets: Final = dict(sheets or {})
        self.sheets.update({("site", name): Sheet(own) for name, own in (by_site or {}).items()})
        self.sheets.update({("domain", name): Sheet(own) for name, own in (by_domain or {}).items()})
        self._default_sources: Final = self.sheets.get(("default", ""), Sheet()).sources
        self.providers: Final = Providers(matches or {})
        self.automation: Final = automation
        # Names of the operator's only: what strangers' DNS says never becomes a key.
        self._known: Final[dict[tuple[str, ...], Limits]] = {}

    @property
    def site_names(self) -> frozenset[str]:
        """Sites with a table of their own."""
        return frozenset(name for level, name in self.sheets if level == "site")

    @property
    def message_sizes(self) -> dict[str, int]:
        """Provider, site or domain ("default": everybody) -> octets of the largest message there, where one is said."""
        said = {name or level: sheet.values.get("max_message_size", 0) for (level, name), sheet in self.sheets.items()}
        return {name: most for name, most in said.items() if isinstance(most, int) and most}

    def is_own(self, domain: str) -> bool:
        """Whether the domain has a table of its own, and so a path of its own."""
        return ("domain", domain) in self.sheets

    def limits(self, site: str, domain: str, provider: str = "", source: str = "") -> Limits:
        named = tuple(
            name if (level, name) in self.sheets else ""
            for level, name in (("provider", provider), ("site", site), ("domain", domain))
        )
        if not any(named) and source not in self._default_sources:
            return self.default
        name = (*named, source)
        known = self._known.get(name)
        if known is None:
            own = {key: value for _, values in self._layers(*name) for key, value in values.items()}
            base = self.default if not self._replaced(named) else Limits()
            known = self._known[name] = replace(base, **own)  # type: ignore[arg-type]
        return known

    def origins(self, site: str, domain: str, provider: str = "", source: str = "") -> dict[str, str]:
        """Key -> the table that says it, for keys that any table says; with its mark, where it has one."""
        found: dict[str, str] = {}
        for table, values in self._layers(provider, site, domain, source):
            sheet = self._sheet(table)
            for key in values:
                mark = sheet.marks.get(key, "") if sheet else ""
                found[key] = f"{table} ({mark})" if mark else table
        return found

    def _sheet(self, table: str) -> Sheet | None:
        level, _, name = table.partition(" ")
        return self.sheets.get((level, name.partition(", source ")[0]))

    def _replaced(self, named: tuple[str, ...]) -> bool:
        return any(
            sheet.replaces
            for level, name in zip(LEVELS, named, strict=True)
            if (sheet := self.sheets.get((level, name)))
        )

    def _layers(self, provider: str, site: str, domain: str, source: str) -> list[tuple[str, Values]]:
        layers: list[tuple[str, Values]] = []
        for level, name in (("default", ""), ("provider", provider), ("site", site), ("domain", domain)):
            sheet = self.sheets.get((level, name))
            if sheet is None:
                continue
            if sheet.replaces:
                layers.clear()
            table = f"{level} {name}".rstrip()
            layers.append((table, sheet.values))
            if source in sheet.sources:
                layers.append((f"{table}, source {source}", sheet.sources[source]))
        return layers


def overlay(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` laid over `base`, table by table and key by key; lists of automation are joined, own rules first. A table
    that says replace_base stands alone.
    """
    if own.get("replace_base") is True:
        return dict(own)
    merged = dict(base)
    for key, value in own.items():
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = overlay(below, value)
        elif key == "automation" and isinstance(value, list) and isinstance(below, list):
            merged[key] = value + below
        else:
            merged[key] = value
            if isinstance(base.get("marks"), Mapping) and key in base["marks"]:
                # Nobody's mark vouches for a value that was changed.
                merged["marks"] = {name: mark for name, mark in merged["marks"].items() if name != key}
    return merged


def read_shaping(mapping: Mapping[str, object], where: str = "shaping") -> Shaping | list[str]:
    """Tables `default`, `provider."NAME"`, `site."NAME"` and `domain."NAME"`; or every error of all of them."""
    reading = _Reading([], [])
    prefix = f"{where}." if where else ""
    reading.errors.extend(
        f"{prefix}{shown(key)}: not a table of shaping; write default, {', '.join(LEVELS)}"
        for key in mapping
        if key not in ("default", "replace_base", *LEVELS)
    )
    base = Limits()
    sheets: dict[tuple[str, str], Sheet] = {}
    default = reading.sheet(_table(mapping, "default", prefix, reading.errors), f"{prefix}default", "default", "", base)
    sheets["default", ""] = default
    base = replace(base, **default.values)  # type: ignore[arg-type]
    matches: dict[str, tuple[Match, ...]] = {}
    for level in LEVELS:
        for given, own in _table(mapping, level, prefix, reading.errors).items():
            name = given.lower() if level == "domain" else given
            here = f"{prefix}{level}.{shown(given)}"
            if not isinstance(own, Mapping):
                reading.errors.append(f"{here}: {shown(own)} is not a table; write [{prefix}{level}.{shown(given)}]")
                continue
            if level == "provider":
                matches[name] = reading.matches(own, here)
            sheets[level, name] = reading.sheet(own, here, level, name, base)
    if len(reading.automation) > MOST_RULES:
        reading.errors.append(f"{where}: more than {MOST_RULES} automation tables; remove some")
    return reading.errors or Shaping(base, sheets=sheets, matches=matches, automation=tuple(reading.automation))


def _table(mapping: Mapping[str, object], key: str, prefix: str, errors: list[str]) -> Mapping[str, object]:
    found = mapping.get(key, {})
    if isinstance(found, Mapping):
        return found
    errors.append(f"{prefix}{key}: {shown(found)} is not a table; write [{prefix}{key}]")
    return {}


_OWN_KEYS: Final = ("match", "replace_base", "sources", "automation", "marks")


@dataclass(frozen=True, slots=True)
class _Reading:
    errors: list[str]
    automation: list[AutomationRule]

    def matches(self, own: Mapping[str, object], here: str) -> tuple[Match, ...]:
        try:
            return read_matches(own.get("match"))
        except ValueError as error:
            self.errors.append(f"{here}.match: {shown(own.get('match'))}: {error}")
            return ()

    def sheet(self, own: Mapping[str, object], here: str, level: str, name: str, base: Limits) -> Sheet:
        if "match" in own and level != "provider":
            self.errors.append(f"{here}.match: only a provider is matched; remove it")
        values = self._values({key: value for key, value in own.items() if key not in _OWN_KEYS}, here, base)
        sources = {
            source: self._values(table, f"{here}.sources.{shown(source)}", base)
            for source, table in _table(own, "sources", f"{here}.", self.errors).items()
        }
        self._rules(own.get("automation", []), here, level, name)
        replaces = own.get("replace_base", False)
        if not isinstance(replaces, bool):
            self.errors.append(f"{here}.replace_base: {shown(replaces)}: write true or false")
        return Sheet(values, sources, replaces is True, self._marks(own, here))

    def _values(self, table: object, here: str, base: Limits) -> Values:
        if not isinstance(table, Mapping):
            self.errors.append(f"{here}: {shown(table)} is not a table; write [{here}]")
            return {}
        read = read_values(table, here)
        if isinstance(read, list):
            self.errors.extend(read)
            return {}
        together = agreed(replace(base, **read), here)  # type: ignore[arg-type]
        if isinstance(together, list):
            self.errors.extend(together)
            return {}
        return read

    def _rules(self, listed: object, here: str, level: str, name: str) -> None:
        if not isinstance(listed, list):
            self.errors.append(f"{here}.automation: {shown(listed)} is not a list; write [[{here}.automation]]")
            return
        for number, table in enumerate(listed):
            read = read_automation(table, f"{here}.automation[{number}]", level, name)
            if isinstance(read, list):
                self.errors.extend(read)
            else:
                self.automation.append(read)

    def _marks(self, own: Mapping[str, object], here: str) -> dict[str, str]:
        marks = _table(own, "marks", f"{here}.", self.errors)
        for key, mark in marks.items():
            if mark not in MARKS or key not in own:
                self.errors.append(
                    f"{here}.marks.{shown(key)}: {shown(mark)}: write {', '.join(MARKS)} for a key of this table"
                )
        return {key: str(mark) for key, mark in marks.items()}
