"""When which lane may be looked at: waiting counts, next due times and cursors by lane, in memory.

The recipients themselves stay in the spool; a lane (domain and priority) is one small entry however many wait in
it, and a parked lane has no place in the order at all. Every change costs O(log lanes). Time never goes back here:
a wall clock that does keeps lanes due that were due already. Pure: `now` is an argument, the spool is not called,
and lane and cursor are the spool's values, passed through.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

from engine.mail.envelope import Priority

SLACK = 64
"""Outdated places that the order may hold beside one for each lane, before it is made anew."""


class AnyLane(Hashable, Protocol):
    @property
    def priority(self) -> Priority: ...


L = TypeVar("L", bound=AnyLane)
C = TypeVar("C")


class _Entry(Generic[L, C]):
    __slots__ = ("cursor", "due", "held", "lane", "out", "parked", "place", "waiting")

    def __init__(self, lane: L, cursor: C) -> None:
        self.lane = lane
        self.cursor = cursor
        self.waiting = 0
        self.due: int | None = None
        """The earliest due that is known to wait, None when nothing does."""
        self.place: int | None = None
        """The due under which it stands in the order, None when it stands nowhere."""
        self.out = False
        """Popped, its pull not yet reported."""
        self.parked = False
        self.held = False
        """Parked, and counted as such."""


class Timeline(Generic[L, C]):
    """`start` is the cursor of a lane from which nothing was pulled."""

    def __init__(self, start: C) -> None:
        self._start = start
        self._now = -1
        self._entries: dict[L, _Entry[L, C]] = {}
        # By priority; (due, number, entry), the number only so that entries are never compared.
        self._orders: dict[Priority, list[tuple[int, int, _Entry[L, C]]]] = {priority: [] for priority in Priority}
        self._number = 0
        self._total = 0
        self._held = 0

    def add(self, lane: L, count: int, due: int) -> None:
        """`count` more wait in the lane, the first of them at `due`."""
        entry = self._entry(lane)
        self._change(entry, count)
        if entry.due is None or due < entry.due:
            entry.due = due
        self._put(entry)

    def remove(self, lane: L, count: int) -> None:
        """Taken out of the spool without having been pulled, as cancel and expiry do."""
        self._change(self._entry(lane), -count)

    def pop_due(self, now: int, limit: int | None = None) -> list[L]:
        """Up to `limit` lanes that are due, transactional ones first, then by due. Each is out, and not given again,
        until `pulled` or `put_back`.
        """
        self._now = max(self._now, now)
        found: list[L] = []
        for order in self._orders.values():
            while order and order[0][0] <= self._now and (limit is None or len(found) < limit):
                due, _, entry = heappop(order)
                if entry.place == due:
                    entry.place = None
                    entry.out = True
                    entry.due = None
                    found.append(entry.lane)
        return found

    def pulled(self, lane: L, count: int, cursor: C, next_due: int | None) -> None:
        """The answer of the spool's pull. What was added since the pop may or may not be in it: looking once too
        often costs an empty pull, once too little a recipient.
        """
        entry = self._entry(lane)
        entry.out = False
        self._change(entry, -count)
        entry.cursor = cursor
        if next_due is not None and (entry.due is None or next_due < entry.due):
            entry.due = next_due
        self._put(entry)

    def put_back(self, lane: L, due: int) -> None:
        """Popped, but not pulled after all: to be looked at again at `due`."""
        self.pulled(lane, 0, self.cursor(lane), due)

    def park(self, lane: L, *, held: bool = True) -> None:
        """May not go now: keeps its counts and its cursor, costs nothing until unparked. `held`: counted as such."""
        entry = self._entry(lane)
        entry.parked = True
        self._hold(entry, held=held)
        entry.place = None

    def unpark(self, lane: L) -> None:
        entry = self._entry(lane)
        entry.parked = False
        self._hold(entry, held=False)
        self._put(entry)

    def forget(self, lane: L) -> None:
        """Frees a lane in which nothing waits. Only when nothing pulled from it is unsettled: the cursor goes too."""
        entry = self._entries[lane]
        assert entry.waiting == 0
        assert not entry.out
        entry.place = None
        del self._entries[lane]

    def next_due(self) -> int | None:
        """When pop_due has something next; None: only something new changes that. Parked lanes do not count."""
        first = None
        for order in self._orders.values():
            while order and order[0][2].place != order[0][0]:
                heappop(order)
            if order and (first is None or order[0][0] < first):
                first = order[0][0]
        return first

    def cursor(self, lane: L) -> C:
        entry = self._entries.get(lane)
        return self._start if entry is None else entry.cursor

    def waiting(self, lane: L) -> int:
        """May be below zero for a moment: a pull reported before the submit that it read."""
        entry = self._entries.get(lane)
        return 0 if entry is None else entry.waiting

    def is_parked(self, lane: L) -> bool:
        entry = self._entries.get(lane)
        return entry is not None and entry.parked

    def total(self) -> int:
        """Recipients waiting in all lanes."""
        return self._total

    def held(self) -> int:
        """Of them, those in lanes that are parked and held."""
        return self._held

    def __iter__(self) -> Iterator[L]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _change(self, entry: _Entry[L, C], count: int) -> None:
        entry.waiting += count
        self._total += count
        if entry.held:
            self._held += count

    def _hold(self, entry: _Entry[L, C], *, held: bool) -> None:
        if entry.held is not held:
            entry.held = held
            self._held += entry.waiting if held else -entry.waiting

    def _entry(self, lane: L) -> _Entry[L, C]:
        entry = self._entries.get(lane)
        if entry is None:
            entry = self._entries[lane] = _Entry(lane, self._start)
        return entry

    def _put(self, entry: _Entry[L, C]) -> None:
        """Into the order, unless it stands there as early already or has no place now."""
        if entry.due is None or entry.parked or entry.out or (entry.place is not None and entry.place <= entry.due):
            return
        entry.place = entry.due
        self._number += 1
        order = self._orders[entry.lane.priority]
        heappush(order, (entry.due, self._number, entry))
        if len(order) > 2 * len(self._entries) + SLACK:
            self._renew(order)

    @staticmethod
    def _renew(order: list[tuple[int, int, _Entry[L, C]]]) -> None:
        """Drops outdated places; paid for by the puts that made them."""
        current = {entry: (due, number, entry) for due, number, entry in order if entry.place == due}
        order[:] = current.values()
        heapify(order)
