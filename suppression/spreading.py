"""A sender that was configured later takes over the refusals that reach it through its client or agency.

Whatever is told from now on is recorded for all of them at once (parties.py); this brings in what was told before. In
stretches, so that nobody's refusal waits long; how far it has come stands in the ledger, and another set of origins
begins anew. What a sender has already is left alone, so that any stretch may be repeated.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Final

from suppression.recording import Entry, Writing, microseconds
from suppression.standing import Kind

_PAIR: Final = struct.Struct("<qq")
_HASHED: Final = (
    "INSERT INTO hashed_optout SELECT digest, ?1, topic, at, recorded, source, evidence FROM hashed_optout"
    " WHERE sender IN (SELECT id FROM sender WHERE name IN (SELECT value FROM json_each(?2)))"
    " ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at > at"
)
_ROWS: Final = (
    "SELECT e.id, e.kind, e.exact, e.wide, coalesce(t.name, ''), e.at, e.detail, src.content, ev.content, e.address"  # noqa: S608 - our numbers
    " FROM event e LEFT JOIN topic t ON t.id = e.topic"
    " JOIN text src ON src.id = e.source JOIN text ev ON ev.id = e.evidence"
    f" WHERE e.id > ?1 AND e.id <= ?2 AND e.kind IN ({int(Kind.OPT_OUT)}, {int(Kind.COMPLAINT)})"
    " AND e.sender IN (SELECT id FROM sender WHERE name IN (SELECT value FROM json_each(?3)))"
    " AND NOT EXISTS (SELECT 1 FROM event o WHERE o.wide = e.wide AND o.kind = e.kind AND o.sender = ?4"
    " AND o.topic = e.topic AND o.at = e.at AND o.detail = e.detail AND o.exact = e.exact) ORDER BY e.id LIMIT ?5"
)


class TakeOver:
    """Implements recording.Act: one stretch. `is_over` when it was the last."""

    ROWS = 5_000

    def __init__(self, sender: str, origins: Sequence[str], now: float) -> None:
        self._sender = sender
        self._origins = json.dumps(sorted(origins))
        self.recorded = microseconds(now)
        self.is_over = False
        self.taken = 0
        self.hashed = 0
        """Refusals known by hash alone, to be compared with the consents there are."""

    def perform(self, writing: Writing) -> Sequence[Entry]:
        database = writing.database
        name = f"spread:{self._sender}"
        after, known = json.loads(
            database.execute("SELECT coalesce((SELECT value FROM meta WHERE name = ?), '[0, \"\"]')", (name,)).get
        )
        after = after if known == self._origins else 0
        last = int(database.execute("SELECT coalesce(max(id), 0) FROM event").get)
        number = writing.sender(self._sender)
        rows: list[Any] = database.execute(_ROWS, (after, last, self._origins, number, self.ROWS)).fetchall()
        self.is_over = len(rows) < self.ROWS
        reached = last if self.is_over else rows[-1][0]
        if (reached, self._origins) != (after, known):
            database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps([reached, self._origins])))
        self.taken = len(rows)
        if self.is_over:
            before = database.total_changes()
            database.execute(_HASHED, (number, self._origins))
            self.hashed = database.total_changes() - before
        return [
            Entry(kind, _PAIR.pack(exact, wide), self._sender, topic, at, detail, source, evidence, address)
            for _, kind, exact, wide, topic, at, detail, source, evidence, address in rows
        ]
