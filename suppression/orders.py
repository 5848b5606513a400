"""Orders in the ledger: written as an act of its writer, read back as rows.

特定電子メール法 7条, 特定商取引法 14条, 15条. Append-only, as the events are: a release is a row of its own. Retention
reads the same table. What the rows mean together is order.py's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw

from suppression.order import OrderRow
from suppression.recording import Entry, Writing

_INSERT: Final = (
    "INSERT INTO order_event (sender, kind, at, day, scope, officer, evidence, recorded) VALUES (?,?,?,?,?,?,?,?)"
)
_SELECT: Final = (
    "SELECT sender.name, kind, at, day, scope, officer, evidence, recorded "
    "FROM order_event JOIN sender ON sender.id = order_event.sender ORDER BY order_event.id"
)


@dataclass(frozen=True, slots=True)
class OrderAct:
    """Implements recording.Act."""

    row: OrderRow

    @property
    def recorded(self) -> int:
        return self.row.recorded

    def perform(self, writing: Writing) -> Sequence[Entry]:
        sender = writing.sender(self.row.sender)
        writing.database.execute(_INSERT, (sender, *self.row[1:4], json.dumps(self.row.scope), *self.row[5:]))
        return ()


def read_orders(database: apsw.Connection) -> list[OrderRow]:
    """All of them; they are few."""
    rows: Iterator[Any] = database.execute(_SELECT)
    return [
        OrderRow(sender, kind, at, day, tuple(json.loads(scope)), *rest) for sender, kind, at, day, scope, *rest in rows
    ]
