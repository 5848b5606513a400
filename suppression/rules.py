"""Reads the decision tables: TOML text -> Table, checked in full, with every error at once.

A table is refused unless each of its rows has a known verdict for each category, each row that the law calls for is
there once, and every code has its text in Japanese and English. The rows of the precedence stand in the order that
policy.py asks them. The text is the caller's to read; nothing here knows what the law says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Final, TypeVar

from suppression.decision import Category, Decision, Verdict
from suppression.events import Basis, Covers
from suppression.standing import AGEING, Refusal
from suppression.tables import (
    CONSENT,
    NAMES,
    OPTOUT,
    OVERRIDABLE,
    PRECEDENCE,
    REGIONS,
    TEXTS,
    Age,
    Cell,
    Cover,
    Mark,
    Region,
    Row,
    Table,
    Text,
)

NO_GROUND: Final = "NONE"
STEPS: Final = (
    "CATEGORY",
    "IDENTITY",
    "SUSP15",
    "ORDER7",
    "INSTR14",
    "BAD_SYNTAX",
    "NULL_MX",
    "FICT_CONFIRMED",
    "FICT_SUSPECT",
    "UNKNOWN_USER",
    "OPTOUT",
    "ORDER7_RELEASED",
    "CONSENT",
    "DISPLAY",
    "REGION",
)
OWN_REASONS: Final = ("CONSENT_ENDED", "REGION_UNKNOWN", "RULES_NONE", "SUPPRESSION_UNAVAILABLE")
"""Those that no table gives."""
_ASKING: Final = {"OPTOUT": OPTOUT, "CONSENT": CONSENT, "REGION": REGIONS}
_ROWS: Final = {
    CONSENT: (*Basis.__members__, NO_GROUND),
    OPTOUT: tuple(refusal.name for refusal in Refusal if refusal is not Refusal.NONE),
    PRECEDENCE: STEPS,
}
_LISTS: Final = {CONSENT: ("row", "cover", "age"), OPTOUT: ("row",), PRECEDENCE: ("row",), REGIONS: ("region",)}
_ROW_KEYS: Final = frozenset({"key", "ja", "en", "article", "mark", *Category})
_CELL_KEYS: Final = frozenset({"decision", "mail_order", "later", "override", "article", "mark"})
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_MOST: Final = 1_000
"""Entries of one list."""
_LONGEST: Final = 1_000
"""Characters of a text."""
_OLDEST: Final = 36_500
"""Days."""

Raw = Mapping[str, Any]
_T = TypeVar("_T")
_K = TypeVar("_K")


class RulesError(ValueError):
    """The tables are wrong; `errors` holds everything that is."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors: Final = tuple(errors)


def read_table(text: str, file: str) -> Table:
    """Raises RulesError with all that is wrong in this file."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError([f"{file}: not TOML: {error}"]) from error
    reader = _Reader(file)
    table = reader.table(raw)
    if reader.errors:
        raise RulesError(reader.errors)
    return table


def check_tables(tables: Sequence[Table]) -> None:
    """What only all of them together can show. Raises RulesError."""
    errors = [f"{name}: no such table; one file must say table = {name!r}" for name in NAMES if not _of(tables, name)]
    known = {(text.kind, text.code) for table in _of(tables, TEXTS) for text in table.texts}
    errors += [
        f"{code}: the program gives this reason; add a [[text]] for it"
        for code in OWN_REASONS
        if _of(tables, TEXTS) and ("reason", code) not in known
    ]
    for table in tables:
        for decision in _decisions(table):
            kind, code = ("reason", decision.reason) if decision.reason else ("basis", decision.basis)
            if (kind, code) not in known:
                errors.append(f"{table.file}: {code}: has no text; add a [[text]] of kind {kind!r} for it")
    if errors:
        raise RulesError(list(dict.fromkeys(errors)))


def _of(tables: Sequence[Table], name: str) -> list[Table]:
    return [table for table in tables if table.name == name]


def _decisions(table: Table) -> list[Decision]:
    cells = [cell for row in table.rows for cell in row.cells.values()]
    told = ((cell.decision, cell.mail_order, cell.later, cell.override) for cell in cells)
    found = [decision for some in told for decision in some if decision]
    found += [cover.otherwise for cover in table.covers.values()]
    found += [_made(Verdict.BLOCK, age.reason) for age in table.ages.values()]
    return found + [decision for region in table.regions for decision in region.refuses.values()]


@lru_cache(maxsize=1_000)
def _made(verdict: Verdict, code: str) -> Decision:
    """One object for equal decisions."""
    return Decision(verdict, "", code) if verdict is Verdict.SEND else Decision(verdict, code, "")


class _Reader:
    """Collects what is wrong; what it returns then is of no use."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[str] = []

    def wrong(self, place: str, value: object, remedy: str) -> None:
        self.errors.append(f"{self.file}: {place}: {ascii(value)[:80]} {remedy}")

    def table(self, raw: Raw) -> Table:
        name = raw.get("table")
        if name not in NAMES:
            self.wrong("table", name, f"is no table; use one of {', '.join(NAMES)}")
            return Table("", date.min, self.file)
        since = raw.get("effective_from")
        if type(since) is not date:
            self.wrong("effective_from", since, "is no date; write it as 2025-06-01, without quotes")
            since = date.min
        lists = _LISTS.get(name, ("text",))
        self._unknown("", raw, {"table", "effective_from", *lists})
        return Table(
            name,
            since,
            self.file,
            rows=self._rows(name, raw) if name in _ROWS else (),
            covers=self._once("cover", self._each(raw, "cover", self._cover)) if name == CONSENT else {},
            ages=self._once("age", self._each(raw, "age", self._age)) if name == CONSENT else {},
            regions=tuple(self._once("region", self._each(raw, "region", self._region)).values()),
            texts=tuple(self._once("text", self._each(raw, "text", self._text)).values()),
        )

    def _rows(self, name: str, raw: Raw) -> tuple[Row, ...]:
        rows = self._each(raw, "row", lambda place, given: self._row(name, place, given))
        keys = [row.key for row in rows]
        wanted = list(_ROWS[name])
        for key in wanted:
            if keys.count(key) != 1:
                self.wrong("row", key, f"stands there {keys.count(key)} times; write exactly one row with this key")
        if name == PRECEDENCE and sorted(keys) == sorted(wanted) and keys != wanted:
            self.wrong("row", keys, f"is another order; keep {', '.join(wanted)}")
        return tuple(rows)

    def _row(self, name: str, place: str, raw: Raw) -> Row:
        key, ja, en = (self._words(place, raw, field) for field in ("key", "ja", "en"))
        article, mark = self._words(place, raw, "article"), self._mark(place, raw.get("mark"))
        cells: dict[Category, Cell] = {}
        if key not in _ROWS[name]:
            self.wrong(f"{place}.key", key, f"is not known; use one of {', '.join(_ROWS[name])}")
        elif name == PRECEDENCE and key in _ASKING:
            self._unknown(place, raw, (_ROW_KEYS - set(Category)) | {"asks"})
            if raw.get("asks") != _ASKING[key]:
                self.wrong(f"{place}.asks", raw.get("asks"), f"must be {_ASKING[key]!r}")
        elif name == PRECEDENCE and "every" in raw:
            self._unknown(place, raw, (_ROW_KEYS - set(Category)) | {"every"})
            cell = self._cell(f"{place}.every", raw["every"], article, mark, passing=False)
            cells = dict.fromkeys(Category, cell)
        else:
            self._unknown(place, raw, _ROW_KEYS)
            for category in Category:
                where = f"{place} ({key}).{category}"
                cells[category] = self._cell(where, raw.get(category), article, mark, passing=name == PRECEDENCE)
                if cells[category].override is not None and key not in OVERRIDABLE:
                    self.wrong(where, key, f"cannot be overridden; only {' and '.join(sorted(OVERRIDABLE))} can")
        return Row(key, ja, en, article, mark, cells)

    def _cell(self, place: str, raw: object, article: str, mark: Mark, *, passing: bool) -> Cell:
        given: Raw = raw if isinstance(raw, Mapping) else {"decision": raw}
        self._unknown(place, given, _CELL_KEYS)
        decision = self._decision(f"{place}.decision", given.get("decision"), passing=passing)
        mail_order, later = decision, None
        if "mail_order" in given:
            mail_order = self._decision(f"{place}.mail_order", given["mail_order"], passing=passing)
        if "later" in given:
            later = self._decision(f"{place}.later", given["later"], passing=False)
        override = self._override(f"{place}.override", given["override"]) if "override" in given else None
        article = self._words(place, given, "article") if "article" in given else article
        mark = self._mark(place, given["mark"]) if "mark" in given else mark
        return Cell(decision, mail_order, later, article, mark, override)

    def _override(self, place: str, raw: object) -> Decision | None:
        decision = self._decision(place, raw)
        if decision is not None and decision.verdict is not Verdict.SEND:
            self.wrong(place, raw, "does not send; an override only can")
        return decision

    def _decision(self, place: str, raw: object, *, passing: bool = False) -> Decision | None:
        if passing and raw == "-":
            return None
        words = raw.split() if isinstance(raw, str) else []
        if len(words) != 2 or words[0] not in Verdict.__members__ or not _CODE.fullmatch(words[1]):
            known = ", ".join(Verdict)
            self.wrong(place, raw, f'is no decision; write a verdict ({known}) and a code, such as "BLOCK NO_CONSENT"')
            return None
        return _made(Verdict(words[0]), words[1])

    def _cover(self, place: str, raw: Raw) -> tuple[Category, Cover]:
        self._unknown(place, raw, {"category", "needs", "otherwise", "article", "mark"})
        category = self._one_of(place, raw, "category", Category.__members__)
        needs = self._one_of(place, raw, "needs", Covers.__members__)
        cover = Cover(needs, self._certain(place, raw, "otherwise"), *self._rests_on(place, raw))
        return category, cover

    def _age(self, place: str, raw: Raw) -> tuple[Basis, Age]:
        self._unknown(place, raw, {"basis", "days", "reason", "article", "mark"})
        basis = self._one_of(place, raw, "basis", {basis.name: basis for basis in sorted(AGEING)})
        days, reason = raw.get("days"), raw.get("reason")
        if type(days) is not int or not 0 < days <= _OLDEST:
            self.wrong(f"{place}.days", days, f"is no number of days from 1 to {_OLDEST}")
        if not isinstance(reason, str) or not _CODE.fullmatch(reason):
            self.wrong(f"{place}.reason", reason, "is no reason code; write it in capitals")
        return basis, Age(days or 0, str(reason), *self._rests_on(place, raw))

    def _region(self, place: str, raw: Raw) -> tuple[str, Region]:
        self._unknown(place, raw, {"key", "ja", "en", "article", "mark", "refuses"})
        key, ja, en = (self._words(place, raw, field) for field in ("key", "ja", "en"))
        refuses = raw.get("refuses")
        if not isinstance(refuses, Mapping):
            self.wrong(f"{place}.refuses", refuses, "is missing; write refuses = {} for none")
            refuses = {}
        made = {code: self._certain(f"{place}.refuses", refuses, code) for code in refuses}
        for code, decision in made.items():
            if decision.verdict is Verdict.SEND:
                self.wrong(f"{place}.refuses.{code}", "SEND", "allows; an overlay can only refuse")
        return key, Region(key, ja, en, *self._rests_on(place, raw), made)

    def _text(self, place: str, raw: Raw) -> tuple[str, Text]:
        self._unknown(place, raw, {"kind", "code", "ja", "en", "article"})
        kind, code, ja, en = (self._words(place, raw, field) for field in ("kind", "code", "ja", "en"))
        if kind not in {"reason", "basis"}:
            self.wrong(f"{place}.kind", kind, "is neither reason nor basis")
        return code, Text(code, kind, ja, en, self._words(place, raw, "article", empty=True))

    def _certain(self, place: str, raw: Raw, field: str) -> Decision:
        return self._decision(f"{place}.{field}", raw.get(field)) or _made(Verdict.BLOCK, "CAT_UNKNOWN")

    def _rests_on(self, place: str, raw: Raw) -> tuple[str, Mark]:
        return self._words(place, raw, "article"), self._mark(place, raw.get("mark"))

    def _mark(self, place: str, raw: object) -> Mark:
        if not isinstance(raw, str) or raw not in set(Mark):
            self.wrong(f"{place}.mark", raw, f"is not known; use one of {', '.join(Mark)}")
            return Mark.GUESS
        return Mark(raw)

    def _words(self, place: str, raw: Raw, field: str, *, empty: bool = False) -> str:
        words = raw.get(field)
        if not isinstance(words, str) or not (words or empty) or len(words) > _LONGEST or not words.isprintable():
            self.wrong(f"{place}.{field}", words, f"is no text of 1 to {_LONGEST} printable characters")
            return ""
        return words

    def _one_of(self, place: str, raw: Raw, field: str, known: Mapping[str, Any]) -> Any:
        given = raw.get(field)
        if not isinstance(given, str) or given not in known:
            self.wrong(f"{place}.{field}", given, f"is not known; use one of {', '.join(known)}")
            return next(iter(known.values()))
        return known[given]

    def _unknown(self, place: str, raw: Raw, known: frozenset[str] | set[str]) -> None:
        for key in raw.keys() - known:
            self.wrong(f"{place}.{key}".lstrip("."), raw[key], "is an unknown key; take it out")

    def _once(self, name: str, pairs: Sequence[tuple[_K, _T]]) -> dict[_K, _T]:
        """Those of a file that has none of this name are read as none."""
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [str(key) for key, _ in pairs]
            self.wrong(name, sorted({key for key in keys if keys.count(key) > 1}), "stands there twice; keep one")
        return found

    def _each(self, raw: Raw, name: str, read: Callable[[str, Raw], _T]) -> list[_T]:
        entries = raw.get(name, [])
        if (
            not isinstance(entries, list)
            or len(entries) > _MOST
            or not all(isinstance(one, Mapping) for one in entries)
        ):
            self.wrong(name, entries, f"is no list of at most {_MOST} tables; write each as [[{name}]]")
            return []
        return [read(f"{name} {number}", one) for number, one in enumerate(entries, 1)]
