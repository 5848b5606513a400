"""Directives on disk: what operators (and automation) have ordered survives a restart, and so does a warm-up's day.

One small JSON file, written whole to a neighbour, synced, renamed over, the folder synced: after a crash it is the old
one or the new one. A file that cannot be read stops the start: mail that somebody suspended must not go because of a
damaged file.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.policy.directive import MOST_DIRECTIVES, Directive

MOST_BYTES = 4 << 20


Aside = Callable[[Callable[[Path, bytes], None], Path, bytes], Awaitable[None]]


class DirectivesUnreadable(OSError):  # noqa: N818 - a file's state
    """Names the file and the remedy."""


class _Day(msgspec.Struct, forbid_unknown_fields=True):
    day: int
    used: dict[str, Annotated[int, Meta(ge=0)]]


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    number: Annotated[int, Meta(ge=0)]
    directives: Annotated[list[Directive], Meta(max_length=MOST_DIRECTIVES)]
    budgets: dict[str, _Day] = {}


@dataclass(slots=True)
class Kept:
    """The file's content. `number` is the last one given."""

    number: int = 0
    directives: list[Directive] = field(default_factory=list)
    budgets: Mapping[str, Any] = field(default_factory=dict)


class DirectiveFile:
    """Without a path nothing is kept (tests)."""

    def __init__(self, path: Path | None, aside: Aside = asyncio.to_thread) -> None:
        """`aside` calls what blocks without holding the loop."""
        self._path = path
        self._aside = aside
        self._lock = asyncio.Lock()
        self.writes = 0

    def read(self) -> Kept:
        if self._path is None or not self._path.exists():
            return Kept()
        remedy = "put back a copy, or remove it and give the orders again (sokutatsu suspend)"
        try:
            raw = self._path.read_bytes()[: MOST_BYTES + 1]
            found = msgspec.json.decode(raw, type=_Kept, strict=True)
        except (OSError, msgspec.DecodeError) as error:
            text = f"directives {str(self._path)!r}: {ascii(str(error))[1:-1][:120]}; {remedy}"
            raise DirectivesUnreadable(text) from error
        budgets = {name: {"day": entry.day, "used": entry.used} for name, entry in found.budgets.items()}
        return Kept(found.number, found.directives, budgets)

    async def write(self, number: int, directives: Sequence[Directive], budgets: Mapping[str, Any]) -> None:
        """Returns after the sync. Raises OSError. Calls keep their order."""
        if self._path is None:
            return
        kept = {"number": number, "directives": [asdict(one) for one in directives], "budgets": dict(budgets)}
        raw = json.dumps(kept, ensure_ascii=False, indent=1).encode("utf-8", "replace")
        async with self._lock:
            await self._aside(replace_whole, self._path, raw)
            self.writes += 1


def replace_whole(path: Path, raw: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as opened:
        opened.write(raw)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
