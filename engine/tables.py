"""TOML tables to frozen settings, with every error at once.

Each module declares its own settings as a frozen dataclass; this file fills them. An error names the line, the key,
the value and the remedy; unknown keys are errors and are answered with the nearest known one. Nothing is half read:
either the settings or the errors.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.policy.duration import parse_duration

T = TypeVar("T")

LARGEST = 2**53 - 1
"""What every reader of JSON and every C long still holds."""

_TABLE_LINE = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_AROUND_DOT = re.compile(r"\s*\.\s*")
_KEY_LINE = re.compile(r"""^\s*([A-Za-z0-9_.-]+|"[^"]*"|'[^']*')\s*=""")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number may be. A `seconds` may be written as a duration such as "5m"."""

    lowest: float = 0
    highest: float = LARGEST
    seconds: bool = False


def line_numbers(text: str) -> dict[str, int]:
    """Where each table and key stands, by dotted name without quotes; the first occurrence counts, and of a list of
    tables each one as NAME[0], NAME[1]. A guide for messages, not a parser: tomllib has already accepted the text.
    """
    found: dict[str, int] = {}
    listed: dict[str, int] = {}
    tables = [""]
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE_LINE.match(line):
            name = _AROUND_DOT.sub(".", unquoted(match[2]))
            tables = [name]
            if match[1] == "[[":
                place = listed[name] = listed.get(name, -1) + 1
                tables.append(f"{name}[{place}]")
            for table in tables:
                found.setdefault(table, number)
        elif match := _KEY_LINE.match(line):
            key = unquoted(match[1])
            for table in tables:
                found.setdefault(f"{table}.{key}" if table else key, number)
    return found


def unquoted(name: str) -> str:
    return name.replace('"', "").replace("'", "")


@dataclass(slots=True)
class Problems:
    """Errors gathered while reading one file."""

    file: str
    lines: Mapping[str, int]
    texts: list[str] = field(default_factory=list)

    def add(self, where: str, text: str) -> None:
        """`where` is the dotted name of table or key; the line is its own or that of the nearest table around it."""
        name = unquoted(where)
        while name and name not in self.lines:
            name = name.rpartition(".")[0]
        place = f"{self.file}:{self.lines[name]}" if name else self.file
        self.texts.append(f"{place}: {where}: {text}")

    def extend(self, texts: list[str]) -> None:
        """Errors of a reader that names keys itself, as "where.key: text"."""
        for text in texts:
            where, _, rest = text.partition(": ")
            self.add(where, rest)


def shown(value: object) -> str:
    """A value from a file, safe and short enough for a terminal."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def dotted(where: str, key: str) -> str:
    """The name of a key that comes from a file."""
    plain = re.fullmatch(r"[A-Za-z0-9_.:@*\[\]-]{1,80}", key)
    return f"{where}.{key if plain else shown(key)}"


def parse_listen(text: str) -> tuple[str, int]:
    """host:port or [IPv6]:port to listen on; port 0 is any. Raises ValueError with the remedy."""
    host, _, port = text.rpartition(":")
    is_number = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536
    bare = host.removeprefix("[").removesuffix("]")
    is_bracketed = host == f"[{bare}]"
    fits = re.fullmatch(r"[0-9A-Fa-f:.]+", bare) if is_bracketed else re.fullmatch(r"[A-Za-z0-9._-]+", bare)
    if not is_number or not fits:
        raise ValueError("write host:port such as 127.0.0.1:9180, or [::1]:9180")
    return bare, int(port)


def read_table(
    kind: type[T],
    table: object,
    where: str,
    problems: Problems,
    *,
    bounds: Mapping[str, Bounds] | None = None,
    given: Mapping[str, object] | None = None,
) -> T | None:
    """`bounds` by key, of numbers; without one a number must be zero or more. `given` are fields that the program
    sets; the file may not name them. None after an error.
    """
    if not isinstance(table, Mapping):
        problems.add(where, f"{shown(table)} is not a table; write [{where}]")
        return None
    hints = get_type_hints(kind)
    values = dict(given or {})
    known = {entry.name: entry for entry in fields(kind) if entry.name not in values}  # type: ignore[arg-type]
    before = len(problems.texts)
    for key, value in table.items():
        if key not in known:
            problems.add(dotted(where, key), _unknown(key, list(known)))
            continue
        try:
            values[key] = _convert(hints[key], value, (bounds or {}).get(key, Bounds()))
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


def _convert(hint: Any, value: object, bounds: Bounds) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert(next(kind for kind in get_args(hint) if kind is not types.NoneType), value, bounds)
    if origin in (tuple, frozenset):
        if not isinstance(value, list):
            raise ValueError("write a list, in [brackets]")
        return origin(_convert(get_args(hint)[0], entry, bounds) for entry in value)
    if issubclass(hint, StrEnum):
        if isinstance(value, str) and value in list(hint):
            return hint(value)
        raise ValueError("write one of " + ", ".join(hint))
    if hint is int or hint is float:
        return _number(hint, value, bounds)
    return _PLAIN[hint](value)


def _number(hint: type[int | float], value: object, bounds: Bounds) -> int | float:
    number: object = parse_duration(value) if bounds.seconds and isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError("write a number" + (' of seconds, or a duration such as "5m"' if bounds.seconds else ""))
    # TOML has nan, too: compared this way round, it is out of bounds.
    if not bounds.lowest <= number <= bounds.highest:
        raise ValueError(f"must be {bounds.lowest:.16g} to {bounds.highest:.16g}")
    if hint is int and number != int(number):
        raise ValueError("write a whole number" + (" of seconds" if bounds.seconds else ""))
    if hint is int and isinstance(value, float):
        raise ValueError("write a whole number without a point")
    return hint(number)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("write true or false")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('write text in "quotes"')
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value):
        raise ValueError("control characters are not allowed")
    return value


def _path(value: object) -> Path:
    text = _text(value)
    if not text:
        raise ValueError("is empty; name a file or folder")
    return Path(text)


_PLAIN: Mapping[type, Callable[[object], object]] = {bool: _flag, str: _text, Path: _path}
