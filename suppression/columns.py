"""Decisions kept ready: for whoever asks in the same words, one list with the answer for every standing.

A list is made from the tables in force on the day, the sender's own state (SenderState), its orders, and what the
caller says of message and region; asking is then one look-up. Whatever of this changes, the lists are thrown away and
`moves` grows, so that the epoch moves. Readers and the ledger's writer are different threads: a reader keeps the
dictionary that it looked into, so what it makes from old facts never gets into the new one.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from suppression import policy
from suppression.decision import Category, Decision
from suppression.order import NO_ORDER, OrderRow, order_state
from suppression.policy import HOME, Circumstances, Finding
from suppression.standing import EVERY, Standing
from suppression.tables import Rules, Table, in_force

Asked = tuple[str, str, str, str, str, str]
"""Sender, topic, category, display, region, override."""

_CATEGORIES: Final = frozenset(Category)
_NOBODY: Final = -1
"""Number of a sender that the ledger has never heard of."""
_MAX_CELLS: Final = 1_000_000
"""Decisions kept ready; beyond, they are made anew."""
_MAX_READY: Final = 100_000


@dataclass(frozen=True, slots=True)
class SenderState:
    """What is known of a sender beside its orders. Not in the ledger: whoever establishes it says it at each start."""

    identity: str = ""
    """Why its identity is not established (IDENTITY_...); empty: it is."""
    mail_order: bool = True
    """Whether incidental advertisements may be for mail order (通信販売). False only if the sender has declared so."""
    regions: tuple[str, ...] = (HOME,)
    """Whose law applies to all of its recipients, beside what is said of each."""


class Column:
    __slots__ = ("category", "decisions", "now", "sender", "topic")

    def __init__(self, sender: int, topic: int, category: str, now: Circumstances) -> None:
        self.sender = sender
        self.topic = topic
        self.category = category
        self.now = now
        self.decisions: list[Decision] = []


class Columns:
    def __init__(
        self,
        tables: Sequence[Table],
        standings: Sequence[Standing],
        senders: Mapping[str, int],
        topics: Mapping[str, int],
        day: int,
    ) -> None:
        """`standings`, `senders` and `topics` grow; the numbers in them stay."""
        self._tables = tables
        self._standings = standings
        self._senders = senders
        self._topics = topics
        self._states: dict[str, SenderState] = {}
        self._orders: dict[str, list[OrderRow]] = {}
        self._changing = threading.Lock()
        self._made: dict[tuple[Circumstances, int, str], list[Decision]] = {}
        self.ready: dict[Asked, Column] = {}
        self.moves = 0
        self.day = day
        self.rules: Rules | None = in_force(tables, day)

    def column(self, asked: Asked) -> Column:
        ready = self.ready
        column = ready.get(asked)
        if column is None:
            sender, topic, category, *_ = asked
            number = self._senders.get(sender, _NOBODY)
            column = Column(number, self._topics.get(topic, EVERY), category, self.circumstances(asked))
            if len(ready) >= _MAX_READY:
                ready.clear()
            ready[asked] = column
        return column

    def decisions(self, column: Column) -> list[Decision]:
        """For every standing. Call it after the standings' numbers were looked up."""
        if len(column.decisions) < len(self._standings):
            column.decisions = self._grown(column)
        return column.decisions

    def circumstances(self, asked: Asked) -> Circumstances:
        sender, topic, _, display, region, override = asked
        state = self._states.get(sender, _UNSAID)
        rows = self._orders.get(sender)
        orders = order_state(rows, topic) if rows else NO_ORDER
        regions = (*state.regions, region) if region and region not in state.regions else state.regions
        return Circumstances(self.day, orders, state.identity, display, state.mail_order, regions, override)

    def explain(self, asked: Asked, number: int) -> Finding:
        """The decision for one standing with the row that gave it."""
        standing, rules = self._standings[number], self.rules
        if rules is None:
            return Finding(policy.RULES_NONE)
        stand = standing.towards(self._topics.get(asked[1], EVERY))
        return policy.explain(rules, asked[2], standing.address, stand, self.circumstances(asked))

    def turn(self, day: int) -> None:
        """A new day in Japan. Days never go back."""
        with self._changing:
            if day > self.day:
                self.day, self.rules = day, in_force(self._tables, day)
                self._made = {}
                self._forget()

    def use_tables(self, tables: Sequence[Table]) -> None:
        with self._changing:
            if tables != self._tables:
                self._tables, self.rules = tables, in_force(tables, self.day)
                self._made = {}
                self._forget()

    def set_sender(self, name: str, state: SenderState) -> None:
        with self._changing:
            if self._states.get(name, _UNSAID) != state:
                self._states = {**self._states, name: state}
                self._forget()

    def set_orders(self, rows: Sequence[OrderRow]) -> None:
        """All of them, of all senders."""
        orders: defaultdict[str, list[OrderRow]] = defaultdict(list)
        for row in rows:
            orders[row.sender].append(row)
        with self._changing:
            self._orders = dict(orders)
            self._forget()

    def names_grew(self) -> None:
        """A sender or topic has its first event. Before the epoch says so."""
        with self._changing:
            self.ready = {}

    def _forget(self) -> None:
        self.ready = {}
        self.moves += 1

    def _grown(self, column: Column) -> list[Decision]:
        key = (column.now, column.topic, column.category)
        known, rules = self._made.get(key, []), self.rules
        more = self._standings[len(known) :]
        if column.category not in _CATEGORIES:
            return [policy.CAT_UNKNOWN] * (len(known) + len(more))
        if rules is None:
            return [policy.RULES_NONE] * (len(known) + len(more))
        if not more:
            return known
        grown = known + [
            policy.decide(rules, column.category, one.address, one.towards(column.topic), column.now) for one in more
        ]
        if sum(map(len, self._made.values())) > _MAX_CELLS:
            self._made, self.ready = {}, {}
        self._made[key] = grown
        return grown


_UNSAID: Final = SenderState()
