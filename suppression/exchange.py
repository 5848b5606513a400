"""Lists of consents and of refusals as files: CSV with its columns in the first line, or JSON Lines. Streams.

A line that cannot be read is a Fault with its number; the lines around it go on. What a consent's line must say is
the law's (consents.py), what it may say are the columns here; columns of our own export that say nothing new are read
over. Times are ISO 8601 with an offset (without one: local time) or Unix seconds.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TextIO

LINE_LIMIT: Final = 1 << 20

CONSENT_COLUMNS: Final = (
    *("address", "at", "source", "basis", "covers", "topics", "method", "form", "url", "ip", "user_agent"),
    *("checkbox_default", "displayed_sender", "privacy_policy_url", "acquired_url", "third_parties", "evidence_ref"),
    *("evidence", "doi_sent_at", "doi_clicked_at"),
)
OPT_OUT_COLUMNS: Final = ("address", "at", "sender", "topic", "channel", "message_id", "evidence")
EXPORTED: Final = frozenset(
    {"event", "kind", "sender", "topic", "at_jst", "recorded_at", "asked_at", "doi_ip", "doi_user_agent", "source"}
)
"""Columns of an export that an import reads over."""

_TIMES: Final = frozenset({"at", "doi_sent_at", "doi_clicked_at"})
_WORDS: Final = frozenset({"covers", "topics"})
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DIGEST: Final = re.compile(r"(hmac-)?sha256:([0-9a-fA-F]{64})")
_HASHED: Final = ("sha256:", "hmac-sha256:")


class FileRefused(ValueError):  # noqa: N818 - the file, not a line of it
    """Cannot be read as such a list at all: says why and what to do."""


@dataclass(frozen=True, slots=True)
class Fault:
    number: int
    reason: str
    address: str = ""


class Line(NamedTuple):
    number: int
    address: str
    at: str
    """As it stands there; empty when not given."""
    rest: tuple[tuple[str, str], ...]
    """Column and value of all others that say something. Equal for many lines, so made into fields once."""


def read_lines(
    stream: TextIO, *, json_lines: bool, columns: Sequence[str], needed: Sequence[str]
) -> Iterator[Line | Fault]:
    """Raises FileRefused. The stream is opened with errors="surrogateescape", so that a wrong byte is one line's."""
    lines = _Bounded(stream)
    found = _read_json(lines, columns, needed) if json_lines else _read_csv(lines, columns, needed)
    for line in found:
        if lines.has_faults:
            yield from lines.faults()
        if isinstance(line, Line) and (line.rest or not line.address.isascii()) and _is_undecoded(line):
            yield Fault(line.number, "bytes that are not of this encoding; say --encoding, for example cp932")
        else:
            yield line
    yield from lines.faults()


class _Bounded:
    """Lines of a stream; what is too long is left out and told of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._faults: list[Fault] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(LINE_LIMIT):
            self.number += 1
            if len(line) < LINE_LIMIT or line.endswith("\n"):
                yield line
                continue
            self._faults.append(Fault(self.number, f"longer than {LINE_LIMIT} characters"))
            while (line := self._stream.readline(LINE_LIMIT)) and not line.endswith("\n"):
                pass

    @property
    def has_faults(self) -> bool:
        return bool(self._faults)

    def faults(self) -> list[Fault]:
        found, self._faults = self._faults, []
        return found


def _read_csv(lines: _Bounded, columns: Sequence[str], needed: Sequence[str]) -> Iterator[Line | Fault]:
    rows = csv.reader(iter(lines), strict=True)
    try:
        head = [name.strip().lower() for name in next(rows, [])]
    except csv.Error as error:
        raise FileRefused(f"the first line names the columns, and cannot be read: {error}") from None
    _check_head(head, columns, needed)
    at_address, at_time = head.index("address"), head.index("at") if "at" in head else -1
    others = [
        (place, name) for place, name in enumerate(head) if name in columns and place not in (at_address, at_time)
    ]
    width = len(head)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Fault(lines.number, f"not CSV: {error}; check the quotes")
            continue
        if len(row) == width:
            rest = tuple([(name, row[place]) for place, name in others if row[place]]) if others else ()
            yield Line(lines.number, row[at_address].strip(), row[at_time].strip() if at_time >= 0 else "", rest)
        elif row:
            yield Fault(lines.number, f"{len(row)} columns where the first line has {width}")


def _check_head(head: Sequence[str], columns: Sequence[str], needed: Sequence[str]) -> None:
    for name in needed:
        if name not in head:
            raise FileRefused(f"no column {name}; columns are {', '.join(columns)}")
    for name in head:
        if head.count(name) > 1:
            raise FileRefused(f"column {name[:40]!a} is there twice; keep one")
        if name not in columns and name not in EXPORTED:
            raise FileRefused(f"column {name[:40]!a} is unknown; columns are {', '.join(columns)}")


def _read_json(lines: _Bounded, columns: Sequence[str], needed: Sequence[str]) -> Iterator[Line | Fault]:
    for line in lines:
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Fault(lines.number, f"not JSON: {error}")
            continue
        yield _json_line(lines.number, found, columns, needed)


def _json_line(number: int, found: object, columns: Sequence[str], needed: Sequence[str]) -> Line | Fault:
    if not isinstance(found, dict):
        return Fault(number, 'not a map; write {"address": ..., "at": ..., ...}')
    values: dict[str, str] = {}
    for name, value in found.items():
        if name not in columns and name not in EXPORTED:
            return Fault(number, f"field {name[:40]!a} is unknown; fields are {', '.join(columns)}")
        if name in columns and value is not None:
            values[name] = _text(name, value)
    missing = [name for name in needed if not values.get(name)]
    if missing:
        return Fault(number, f"{missing[0]}: missing", values.get("address", ""))
    rest = tuple((name, values[name]) for name in columns if name not in ("address", "at") and values.get(name))
    return Line(number, values["address"].strip(), values.get("at", ""), rest)


def _text(name: str, value: object) -> str:
    if isinstance(value, list):
        return ("|" if name == "third_parties" else " ").join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _is_undecoded(line: Line) -> bool:
    return any(not text.isascii() and _SURROGATE.search(text) for text in (line.address, *dict(line.rest).values()))


def seconds(text: str) -> int:
    """Raises ValueError with the remedy."""
    if text.isdecimal() and text.isascii():
        return int(text[:20])
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text[:40]!a}; write 2026-04-01T10:15:00+09:00 or Unix seconds") from None


@lru_cache(maxsize=4096)
def consent_fields(rest: tuple[tuple[str, str], ...]) -> Mapping[str, Any]:
    """The fields of a ConsentRecord beside address and at. Raises ValueError."""
    return {name: _reading(name)(name, value) for name, value in rest}


def _reading(name: str) -> Callable[[str, str], Any]:
    if name in _TIMES:
        return _seconds_of
    if name in _WORDS:
        return lambda _, value: value.split()
    if name == "third_parties":
        return lambda _, value: [party.strip() for party in value.split("|") if party.strip()]
    return _form_of if name == "form" else lambda _, value: value


def _seconds_of(name: str, value: str) -> int:
    try:
        return seconds(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _form_of(_: str, value: str) -> bytes:
    try:
        found = bytes.fromhex(value)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise ValueError(f"form: {value[:80]!a} is not a SHA-256 in hexadecimal; `sokutatsu form list` shows them")
    return found


class Hash(NamedTuple):
    digest: bytes
    is_keyed: bool
    """HMAC-SHA256."""


def hash_of(address: str) -> Hash | None:
    """Of sha256:HEX or hmac-sha256:HEX in the place of an address. Raises ValueError for what only begins so."""
    if not address.startswith(_HASHED):
        return None
    found = _DIGEST.fullmatch(address)
    if found is None:
        kind = address.partition(":")[0]
        raise ValueError(f"{address[:80]!a} is no hash: 64 hexadecimal digits follow {kind}:")
    return Hash(bytes.fromhex(found[2]), bool(found[1]))


def write_csv(into: TextIO, columns: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> int:
    """As read_lines reads it again."""
    writer = csv.writer(into, lineterminator="\r\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_text(name, row[name]) if row.get(name) is not None else "" for name in columns])
        count += 1
    return count


def write_json(into: TextIO, rows: Iterator[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        told = {name: value for name, value in row.items() if value not in ("", None)}
        into.write(json.dumps(told, ensure_ascii=False) + "\n")
        count += 1
    return count
