"""TOML tables to frozen settings, with every error at once.

Each module declares its own settings as a frozen dataclass; this file fills them. An error names the line, the key,
the value and the remedy; unknown keys are errors and are answered with the nearest known one. Nothing is half read:
either the settings or the errors.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_TABLE_LINE = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_KEY_LINE = re.compile(r"""^\s*([A-Za-z0-9_.-]+|"[^"]*"|'[^']*')\s*=""")


def line_numbers(text: str) -> dict[str, int]:
    """Where each table and key stands, by dotted name without quotes; the first occurrence counts. A guide for
    messages, not a parser: tomllib has already accepted the text.
    """
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE_LINE.match(line):
            table = match[1].replace('"', "").replace("'", "").replace(" ", "")
            found.setdefault(table, number)
        elif match := _KEY_LINE.match(line):
            key = match[1].strip("\"'")
            found.setdefault(f"{table}.{key}" if table else key, number)
    return found


@dataclass(slots=True)
class Problems:
    """Errors gathered while reading one file."""

    file: str
    lines: Mapping[str, int]
    texts: list[str] = field(default_factory=list)

    def add(self, where: str, text: str) -> None:
        parts = where.split(".")
        numbers = (self.lines.get(".".join(parts[:n])) for n in range(len(parts), 0, -1))
        line = next((number for number in numbers if number), None)
        self.texts.append(f"{self.file}:{line}: {where}: {text}" if line else f"{self.file}: {where}: {text}")

    def extend(self, texts: list[str]) -> None:
        """Errors of a reader that names keys itself, as "where.key: text"."""
        for text in texts:
            where, _, rest = text.partition(": ")
            self.add(where, rest)


def shown(value: object) -> str:
    """A value from a file, safe and short enough for a terminal."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def read_table(kind: type[T], table: object, where: str, problems: Problems, **given: object) -> T | None:
    """`given` are fields that the program sets; the file may not name them. None after an error."""
    if not isinstance(table, Mapping):
        problems.add(where, f"{shown(table)} is not a table; write [{where}]")
        return None
    hints = get_type_hints(kind)
    known = {entry.name: entry for entry in fields(kind) if entry.name not in given}  # type: ignore[arg-type]
    before = len(problems.texts)
    values = dict(given)
    for key, value in table.items():
        if key not in known:
            problems.add(f"{where}.{key}", _unknown(key, list(known)))
            continue
        try:
            values[key] = _convert(hints[key], value)
        except ValueError as error:
            problems.add(f"{where}.{key}", f"{shown(value)}: {error}")
    for name, entry in known.items():
        if name not in table and entry.default is MISSING and entry.default_factory is MISSING:
            problems.add(where, f"{name} is missing; add it")
    if len(problems.texts) > before:
        return None
    try:
        return kind(**values)
    except ValueError as error:  # a settings class may refuse combinations in __post_init__
        problems.add(where, str(error))
        return None


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key[:64], known, n=1)
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key; remove it"


def _convert(hint: Any, value: object) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert(next(kind for kind in get_args(hint) if kind is not type(None)), value)
    if origin in (tuple, frozenset):
        if not isinstance(value, list):
            raise ValueError("write a list")
        return origin(_convert(get_args(hint)[0], entry) for entry in value)
    if hint is Path:
        return Path(_text(value))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if isinstance(value, str) and value in list(hint):
            return hint(value)
        raise ValueError("write one of " + ", ".join(hint))
    return _scalar(hint, value)


def _scalar(hint: Any, value: object) -> object:
    if hint is str:
        return _text(value)
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ValueError("write true or false")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("write a number")
    if value < 0:
        raise ValueError("must not be negative")
    if hint is float:
        return float(value)
    if hint is int:
        if isinstance(value, int):
            return value
        raise ValueError("write a whole number")
    raise AssertionError(f"settings of type {hint} cannot stand in a file")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("write text in quotes")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        raise ValueError("control characters are not allowed")
    return value
