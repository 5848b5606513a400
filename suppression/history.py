"""What the ledger holds of one address, read beside the writer: a connection of its own that can only read.

For people who ask why (特定電子メール法 28条 asks too). It finds by the wide key, so every spelling of the address and
everything said about it comes, in order of its time. It changes nothing and waits for nobody; SQLite's WAL gives it a
consistent view. Blocks: call it from a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from suppression.day import date_of
from suppression.events import AddressState, Basis, Covers
from suppression.hold import HoldRow, read_holds
from suppression.order import OrderRow
from suppression.orders import read_orders
from suppression.standing import Kind

MOST: Final = 1_000
"""Events of one answer, the latest."""

_EVENTS: Final = """
SELECT event.id, kind, coalesce(sender.name, ''), coalesce(topic.name, ''), at, detail, recorded, source.content,
       evidence.content, coalesce(address, ''), exact = ?
FROM event
LEFT JOIN sender ON sender.id = event.sender
LEFT JOIN topic ON topic.id = event.topic
JOIN text AS source ON source.id = event.source
JOIN text AS evidence ON evidence.id = event.evidence
WHERE wide = ? ORDER BY at DESC, event.id DESC LIMIT ?
"""


class Recorded(NamedTuple):
    """One event as it stands in the ledger, in words. Times in microseconds UTC."""

    id: int
    what: str
    """Kind of the event: OPT_OUT, CONSENT, ..."""
    sender: str
    """Empty: all senders."""
    topic: str
    """Empty: all topics."""
    at: int
    recorded: int
    basis: str
    covers: str
    state: str
    until: date | None
    source: str
    evidence: str
    address: str
    """As it was told; empty once the person is forgotten."""
    same_spelling: bool


class History:
    def __init__(self, path: Path) -> None:
        """`path`: the ledger's database."""
        self._path = path

    def events(self, exact: int, wide: int) -> list[Recorded]:
        """The latest first. Keys as the identity has them. Raises apsw.Error."""
        with self._opened() as database:
            rows: list[Any] = database.execute(_EVENTS, (_signed(exact), _signed(wide), MOST)).fetchall()
        return [_recorded(*row) for row in rows]

    def orders(self) -> list[OrderRow]:
        with self._opened() as database:
            return read_orders(database)

    def holds(self) -> list[HoldRow]:
        with self._opened() as database:
            return read_holds(database)

    @contextmanager
    def _opened(self) -> Iterator[apsw.Connection]:
        """Opened for each question: a reader that stays would keep the WAL from being taken back."""
        database = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.set_busy_timeout(5_000)
            yield database
        finally:
            database.close()


def _recorded(
    number: int,
    kind: int,
    sender: str,
    topic: str,
    at: int,
    detail: int,
    recorded: int,
    source: str,
    evidence: str,
    address: str,
    same: int,
) -> Recorded:
    basis = covers = state = ""
    last = 0
    if kind == Kind.CONSENT:
        basis, last = Basis(detail & 0xFF).name, detail >> 16
        covers = ",".join(cover.name or "" for cover in Covers(detail >> 8 & 0xFF))
    elif kind == Kind.OPT_OUT:
        last = detail
    elif kind == Kind.ADDRESS:
        state = AddressState(detail).name
    until = date_of(last) if last else None
    what = Kind(kind).name
    return Recorded(
        number, what, sender, topic, at, recorded, basis, covers, state, until, source, evidence, address, bool(same)
    )


def _signed(key: int) -> int:
    return key - (1 << 64) if key >> 63 else key
