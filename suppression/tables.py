"""The decision tables as values: what a lawyer wrote in suppression/rules/*.toml, and which of it is in force on a day.

A table is valid from a day on until a newer one of its name is; rules.py reads and checks them, policy.py asks them.
Every cell knows the article that it rests on and how sure that is: documented, custom, or our guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from suppression.day import number_of
from suppression.decision import Category, Decision
from suppression.events import Basis, Covers


class Mark(StrEnum):
    DOCUMENTED = "documented"
    """The law or the ordinance says so."""
    CUSTOM = "custom"
    """Usual practice, or the cautious of several readings."""
    GUESS = "guess"
    """Ours. Ask counsel; change it in a table of your own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """None as a decision: this row says nothing, the next one is asked."""

    decision: Decision | None
    mail_order: Decision | None
    """If the advertisement may be for mail order; equal to `decision` unless the table says otherwise."""
    later: Decision | None
    """Opt-outs: if the holder gave the address again afterwards."""
    article: str
    mark: Mark
    override: Decision | None = None
    """States of a mailbox: if the submit says expressly that it is to go all the same."""


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    ja: str
    en: str
    article: str
    mark: Mark
    cells: Mapping[Category, Cell]
    """Empty in a row of the precedence that asks another table."""


@dataclass(frozen=True, slots=True)
class Cover:
    """What a ground must cover to count for a category."""

    needs: Covers
    otherwise: Decision
    article: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Age:
    """A basis that ends so many days after it was found."""

    days: int
    reason: str
    article: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Region:
    key: str
    ja: str
    en: str
    article: str
    mark: Mark
    refuses: Mapping[str, Decision]
    """Basis code -> decision instead."""


@dataclass(frozen=True, slots=True)
class Text:
    code: str
    kind: str
    ja: str
    en: str
    article: str


@dataclass(frozen=True, slots=True)
class Table:
    """One file. What its name does not call for is empty."""

    name: str
    effective_from: date
    file: str
    rows: tuple[Row, ...] = ()
    covers: Mapping[Category, Cover] = field(default_factory=dict)
    ages: Mapping[Basis, Age] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    texts: tuple[Text, ...] = ()


CONSENT: Final = "consent"
OPTOUT: Final = "optout"
PRECEDENCE: Final = "precedence"
REGIONS: Final = "regions"
TEXTS: Final = "texts"
NAMES: Final = (PRECEDENCE, CONSENT, OPTOUT, REGIONS, TEXTS)
OVERRIDABLE: Final = frozenset({"FICT_SUSPECT", "UNKNOWN_USER"})
"""Rows of the precedence that a submit may set aside where their cell says so."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is in force on one day."""

    tables: Mapping[str, Table]
    precedence: Sequence[Row]
    consent: Mapping[str, Row]
    optout: Mapping[str, Row]
    covers: Mapping[Category, Cover]
    ages: Mapping[Basis, Age]
    regions: Mapping[str, Region]
    texts: Mapping[str, Text]


def in_force(tables: Iterable[Table], day: int) -> Rules | None:
    """None when a table is missing on this day: then nothing is decided, and nothing sent."""
    newest: dict[str, Table] = {}
    for table in tables:
        known = newest.get(table.name)
        if number_of(table.effective_from) <= day and (known is None or table.effective_from >= known.effective_from):
            newest[table.name] = table
    if newest.keys() != set(NAMES):
        return None
    return Rules(
        tables=newest,
        precedence=newest[PRECEDENCE].rows,
        consent={row.key: row for row in newest[CONSENT].rows},
        optout={row.key: row for row in newest[OPTOUT].rows},
        covers=newest[CONSENT].covers,
        ages=newest[CONSENT].ages,
        regions={region.key: region for region in newest[REGIONS].regions},
        texts={text.code: text for text in newest[TEXTS].texts},
    )
