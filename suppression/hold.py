"""Legal holds: evidence that a proceeding needs is neither purged nor erased, until a named officer releases it.

A hold concerns one sender, one person (every spelling of an address), or one person towards one sender, in one matter;
several matters may hold the same, and each is released by itself. It stops nothing from being sent: orders do that
(order.py). Rows are never changed; the last of a matter says whether it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import apsw

from suppression.events import MAX_EVIDENCE, EventError, check_name
from suppression.recording import Entry, Writing, microseconds
from suppression.standing import EVERY

NOBODY: Final = 0
"""As wide key: whatever the address."""
_SELECT: Final = (
    "SELECT h.matter, coalesce(s.name, ''), h.wide, h.released, h.at, h.officer, h.evidence, h.recorded, h.address"
    " FROM hold_event h LEFT JOIN sender s ON s.id = h.sender ORDER BY h.id"
)


class HoldRow(NamedTuple):
    """One row of hold_event. Times are microseconds."""

    matter: str
    sender: str
    """Empty: whatever the sender."""
    wide: int
    """As SQLite has it, signed; 0: whatever the address."""
    released: bool
    at: int
    officer: str
    evidence: str
    recorded: int
    address: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """What holds now, by the numbers of the ledger: (sender, wide key), 0 for whatever."""

    places: frozenset[tuple[int, int]] = frozenset()

    def holds(self, sender: int, wide: int) -> bool:
        places = self.places
        return bool(places) and not places.isdisjoint({(sender, wide), (sender, NOBODY), (EVERY, wide)})


@dataclass(frozen=True, slots=True)
class HoldWish:
    matter: str
    sender: str
    address: str
    officer: str
    at: float
    evidence: str = ""
    release: bool = False


def check_hold(wish: HoldWish, now: float, tolerance: float = 300.0) -> None:
    """Raises EventError."""
    check_name("matter", wish.matter)
    check_name("officer", wish.officer)
    if wish.sender:
        check_name("sender", wish.sender)
    if not wish.sender and not wish.address:
        raise EventError("address: missing; a hold names a sender, an address, or both")
    if not 0 <= wish.at <= now + tolerance:
        raise EventError(f"at: {wish.at!r} is not a Unix time up to now ({now:.0f}); check the clock that wrote it")
    if len(wish.evidence) > MAX_EVIDENCE:
        raise EventError(f"evidence: {len(wish.evidence)} characters, at most {MAX_EVIDENCE}; refer to it instead")


class HoldAct:
    """Implements recording.Act. The wish has passed check_hold. `fault` says why nothing was recorded."""

    def __init__(self, wish: HoldWish, identity: bytes, now: float) -> None:
        """`identity`: of the address; empty for none."""
        self._wish = wish
        self._wide = int.from_bytes(identity[8:], "little", signed=True) if identity else NOBODY
        self.recorded = microseconds(now)
        self.fault = ""

    def perform(self, writing: Writing) -> Sequence[Entry]:
        wish = self._wish
        sender = writing.sender(wish.sender)
        there = (wish.matter, sender, self._wide) in _open_matters(writing.database)
        if there is not wish.release:
            self.fault = (
                "matter: holds already; nothing is recorded twice"
                if there
                else "matter: holds no such sender and address; `hold` with action list shows what is held"
            )
            return ()
        evidence = wish.evidence.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        at = min(microseconds(wish.at), self.recorded)
        writing.database.execute(
            "INSERT INTO hold_event (matter, sender, wide, released, at, officer, evidence, recorded, address)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            (
                *(wish.matter, sender, self._wide, int(wish.release), at),
                *(wish.officer, evidence, self.recorded, wish.address or None),
            ),
        )
        return ()


def held_now(database: apsw.Connection) -> Held:
    return Held(frozenset((sender, wide) for _, sender, wide in _open_matters(database)))


def read_holds(database: apsw.Connection) -> list[HoldRow]:
    """All of them, the oldest first; they are few."""
    rows: Iterable[Any] = database.execute(_SELECT)
    return [HoldRow(matter, sender, wide, bool(released), *rest) for matter, sender, wide, released, *rest in rows]


def in_force(rows: Iterable[HoldRow]) -> list[HoldRow]:
    """The rows that hold now, of each matter, sender and person the one that began it."""
    found: dict[tuple[str, str, int], HoldRow] = {}
    for row in rows:
        if row.released:
            found.pop(row[:3], None)
        else:
            found[row[:3]] = row
    return list(found.values())


def _open_matters(database: apsw.Connection) -> set[tuple[str, int, int]]:
    """(matter, sender, wide) of whatever holds now."""
    found: set[tuple[str, int, int]] = set()
    rows: Iterable[Any] = database.execute("SELECT matter, sender, wide, released FROM hold_event ORDER BY id")
    for matter, sender, wide, released in rows:
        (found.discard if released else found.add)((matter, sender, wide))
    return found
