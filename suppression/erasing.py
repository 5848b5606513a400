"""Taking what is personal out of recorded events: the address as it was told and the evidence.

Kind, keys, sender, topic, times and source stay, so the index is the same before and after, and a refusal holds as it
did. Everything is looked at again inside the writer's transaction: what changed since it was decided is left alone.
The texts go in the background, when no event names them any more: which ones is known only after looking at all.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from suppression.hold import held_now
from suppression.keeping import is_frozen, orders_of
from suppression.recording import Entry, Writing

_EVENTS_AT_ONCE: Final = 200_000
"""Of a look at all events: some 50 ms."""
_BESIDE: Final = (("signup", "address = NULL, record = ''"), ("hold_event", "address = NULL, evidence = ''"))
"""What else names a person, and what is left of it."""


class Erasure:
    """An act for the ledger. `erased` is set when it is done."""

    def __init__(
        self,
        kind: str,
        recorded: int,
        events: Sequence[tuple[int, int, int]],
        *,
        last_event: int,
        signups: int = 0,
        spared: frozenset[int] = frozenset(),
    ) -> None:
        """`events`: (id, wide key, sender's number). `last_event`: of the ledger when this was decided; a person with a
        later one is left alone. `signups`: the wide key whose sign-ups go too, 0: none; but not those of `spared`.
        """
        self._kind = kind
        self._recorded = recorded
        self._events = events
        self._last_event = last_event
        self._signups = signups
        self._spared = spared
        self.erased = 0

    @property
    def recorded(self) -> int:
        return self._recorded

    def perform(self, writing: Writing) -> Sequence[Entry]:
        database = writing.database
        database.execute("PRAGMA secure_delete = ON")  # what is taken out is overwritten, not only unlinked
        going = list(self._still(database))
        ids = _carray(going)
        nothing = writing.text("")
        database.execute(
            "INSERT OR IGNORE INTO unused_text SELECT evidence FROM event WHERE id IN carray(?) AND evidence <> ?",
            (ids, nothing),
        )
        database.execute("UPDATE event SET address = NULL, evidence = ? WHERE id IN carray(?)", (nothing, ids))
        self.erased = len(going)
        if self._signups:
            self._forget_beside(database)
        if going:
            database.execute(
                "INSERT INTO erasure (kind, at, events) VALUES (?, ?, ?)", (self._kind, self._recorded, len(going))
            )
        writing.forget_texts()
        return ()

    def _forget_beside(self, database: apsw.Connection) -> None:
        """Sign-ups, and holds that were released, of the person; nothing of a sender that is frozen or on hold."""
        orders, held, wide = orders_of(database), held_now(database), self._signups
        for table, columns in _BESIDE:
            query = f"SELECT DISTINCT sender FROM {table} WHERE wide = ?"  # noqa: S608 - two names
            senders: list[Any] = database.execute(query, (wide,)).fetchall()
            for (sender,) in senders:
                held_back = sender in self._spared or held.holds(sender, wide)
                if not held_back and not is_frozen(orders.get(sender, ())):
                    database.execute(f"UPDATE {table} SET {columns} WHERE wide = ? AND sender = ?", (wide, sender))  # noqa: S608 - two names

    def _still(self, database: apsw.Connection) -> Iterator[int]:
        orders, held = orders_of(database), held_now(database)
        changed: dict[int, bool] = {}
        for event, wide, sender in self._events:
            if wide not in changed:
                query = "SELECT count(*) FROM event WHERE wide = ? AND id > ?"
                changed[wide] = bool(database.execute(query, (wide, self._last_event)).get)
            if not changed[wide] and not held.holds(sender, wide) and not is_frozen(orders.get(sender, ())):
                yield event


class Sweep:
    """An act: deletes these texts, and takes all that was looked for off the list."""

    def __init__(self, recorded: int, looked_for: Iterable[int], unused: Iterable[int]) -> None:
        self._recorded = recorded
        self._looked_for = list(looked_for)
        self._unused = list(unused)

    @property
    def recorded(self) -> int:
        return self._recorded

    def perform(self, writing: Writing) -> Sequence[Entry]:
        database = writing.database
        database.execute("PRAGMA secure_delete = ON")
        database.execute("DELETE FROM text WHERE id IN carray(?)", (_carray(self._unused),))
        database.execute("DELETE FROM unused_text WHERE id IN carray(?)", (_carray(self._looked_for),))
        writing.forget_texts()
        return ()


def unused_texts(folder: Path, pause: Callable[[], None]) -> tuple[set[int], set[int]]:
    """What may be unused, and what of it is. A text that was on the list when this began gets no new event, since the
    writer has forgotten its number. Blocks; some 20 seconds for 100 million events.
    """
    database = apsw.Connection(str(folder / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        candidates = {row[0] for row in database.execute("SELECT id FROM unused_text")}
        unused = set(candidates)
        if candidates:
            ids = _carray(candidates)
            for table, column, portions in _references(database):
                for start, end in portions:
                    query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IN carray(?)"  # noqa: S608 - names from the schema
                    bounds = " AND id > ? AND id <= ?" if end else ""
                    unused -= {
                        row[0] for row in database.execute(query + bounds, (ids, *((start, end) if end else ())))
                    }
                    pause()
        return candidates, unused
    finally:
        database.close()


def _references(database: apsw.Connection) -> list[tuple[str, str, list[tuple[int, int]]]]:
    """Every column that names a text, and the portions to look at it in; (0, 0) is all at once."""
    found: list[Any] = database.execute(
        'SELECT s.name, f."from" FROM sqlite_schema s, pragma_foreign_key_list(s.name) f'
        " WHERE s.type = 'table' AND f.\"table\" = 'text'"
    ).fetchall()
    last = database.execute("SELECT coalesce(max(id), 0) FROM event").get
    portions = [(start, start + _EVENTS_AT_ONCE) for start in range(0, last, _EVENTS_AT_ONCE)]
    return [(table, column, portions if table == "event" else [(0, 0)]) for table, column in found]


def _carray(numbers: Iterable[int]) -> Any:
    """SQLite takes no empty one, and no row has the number 0."""
    return apsw.carray(array("q", numbers) or array("q", [0]))
