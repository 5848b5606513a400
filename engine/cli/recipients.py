"""Files that a command line is given: messages, recipients. Read as a stream, a line at a time.

A line that cannot be read is a value (a Fault with its number and the reason), so that one bad line among a million
is reported and the others go. A file that cannot be read at all raises FileError with the remedy.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

ADDRESS_COLUMNS = ("address", "email", "mail", "メールアドレス")
LINE_LIMIT = 1 << 20


class FileError(Exception):
    """One line for the person at the terminal: file, fault, remedy."""


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    address: str
    fields: dict[str, str]
    region: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a file of recipients has what is no merge field."""

    address: str | None = None
    """None: the first there is of ADDRESS_COLUMNS, in JSON lines `address`."""
    region: str | None = None
    """None: nothing is stated of anybody."""


@dataclass(frozen=True, slots=True)
class Fault:
    number: int
    reason: str


def read_message(path: Path) -> dict[str, Any]:
    """A message map from .json, .toml or .eml. What may stand in it is the engine's to say."""
    try:
        content = path.read_bytes()
        match path.suffix.lower():
            case ".eml":
                return {"raw": content}
            case ".json":
                message = json.loads(content)
            case ".toml":
                message = tomllib.loads(content.decode())
            case _:
                raise FileError(f"{path}: a message is a .json, .toml or .eml file")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise FileError(f"{path} cannot be read: {error}") from None
    if not isinstance(message, dict):
        raise FileError(f"{path}: a message is a map of subject, text, html and headers")
    return message


def read_recipients(path: Path, stream: TextIO, fields: Sequence[str], columns: Columns) -> Iterator[Line | Fault]:
    """Of each line the address, the merge fields named, and the region. Raises FileError."""
    reading = _read_jsonl if path.suffix.lower() in {".jsonl", ".ndjson"} else _read_csv
    try:
        yield from reading(path, stream, fields, columns)
    except UnicodeDecodeError as error:
        raise _not_encoded(path, error) from None


def _not_encoded(path: Path, error: UnicodeDecodeError) -> FileError:
    return FileError(f"{path} is not {error.encoding}: say --encoding, for example cp932")


def _read_csv(path: Path, stream: TextIO, fields: Sequence[str], columns: Columns) -> Iterator[Line | Fault]:
    rows = csv.reader(stream, strict=True)
    head = _csv_row(path, rows)
    if head is None:
        raise FileError(f"{path} is empty: the first line names the columns")
    at = _address_column(path, head, columns.address)
    where = _region_column(path, head, columns.region)
    missing = [field for field in fields if field not in head]
    if missing:
        raise FileError(f"{path} has no column {missing[0]!r}, which the message merges: columns are {', '.join(head)}")
    places = [(field, head.index(field)) for field in fields]
    while (row := _csv_row(path, rows)) is not None:
        if not row:
            continue
        if len(row) != len(head):
            yield Fault(rows.line_num, f"{len(row)} columns where the first line has {len(head)}")
        else:
            region = "" if where is None else row[where].strip()
            yield Line(rows.line_num, row[at].strip(), {field: row[place] for field, place in places}, region)


def _csv_row(path: Path, rows: Any) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise FileError(f"{path}:{rows.line_num}: {error}: check the quotes, the rest cannot be read safely") from None


def _address_column(path: Path, head: list[str], column: str | None) -> int:
    wanted = [column] if column else ADDRESS_COLUMNS
    for name in wanted:
        if name in head:
            return head.index(name)
    raise FileError(f"{path} has no column {' or '.join(wanted)}: name it with --address-column")


def _region_column(path: Path, head: list[str], column: str | None) -> int | None:
    if column is not None and column not in head:
        raise FileError(f"{path} has no column {column!r}, which --region-column names: columns are {', '.join(head)}")
    return None if column is None else head.index(column)


def _read_jsonl(_path: Path, stream: TextIO, fields: Sequence[str], columns: Columns) -> Iterator[Line | Fault]:
    number = 0
    while line := stream.readline(LINE_LIMIT):
        number += 1
        if len(line) == LINE_LIMIT and not line.endswith("\n"):
            yield Fault(number, f"longer than {LINE_LIMIT} characters; the rest of the file is not read")
            return
        if line.strip():
            yield _json_line(number, line, fields, columns)


def _json_line(number: int, line: str, fields: Sequence[str], columns: Columns) -> Line | Fault:
    name = columns.address or "address"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Fault(number, f"not JSON: {error}")
    if not isinstance(found, dict) or not isinstance(found.get(name), str):
        return Fault(number, f"not a map with the text {name!r}")
    values = found["fields"] if isinstance(found.get("fields"), dict) else found
    # what is missing is left out: the engine says which field the message wants
    region = found.get(columns.region, "") if columns.region else ""
    if not isinstance(region, str):
        return Fault(number, f"{columns.region!r} is no text: write the region as EU, or leave it out")
    return Line(number, found[name], {field: str(values[field]) for field in fields if field in values}, region)


def seconds(text: str) -> int:
    """Unix seconds from digits or from an ISO 8601 date (without an offset: local time). Raises ValueError."""
    if text.isdecimal():
        return int(text)
    moment = dt.datetime.fromisoformat(text)
    return int(moment.timestamp())
