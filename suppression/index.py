"""The index: for every key that the ledger knows, the number of its standing, in memory, asked in batches or alone.

A table is a few frozen runs plus a small dictionary of what came since. A run is ordered linear probing over 64-bit
keys: keys sorted, each at or after its home slot, free slots hold the largest number, so a probe walks upwards until
it is not below the key. Twelve bytes a slot, 0.75 full: 16 bytes a key, built by one sort, merged piece by piece. A
key lives in one place only; its number is changed there in place. One thread writes; readers take each table's tuple
of runs once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from suppression.standing import EVERY, NOTHING, Fact, Folded, Standing, fold

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]

_FREE: Final = 0xFFFF_FFFF_FFFF_FFFF
_SLACK: Final = 16
"""Free slots behind the last key at least; a window of probes may read over it."""
_WINDOW: Final = 8
_LOAD: Final = 0.75
OVERLAY_LIMIT: Final = 32_768
_PIECE: Final = 1 << 20
"""Keys that a merge moves at a time."""
_GROWTH: Final = 4
"""A run is merged into the one before when it has reached a quarter of it: each key moves a few times in its life."""


class Run:
    """Frozen keys with numbers that may change. `keys` and `numbers` may lie in mapped memory."""

    __slots__ = ("_key_at", "_number_at", "_windows", "capacity", "count", "keys", "numbers")

    def __init__(self, keys: Keys, numbers: Numbers, capacity: int, count: int) -> None:
        self.keys = keys
        self.numbers = numbers
        self.capacity = capacity
        self.count = count
        self._key_at = keys.data  # reading one integer is thrice as fast as through numpy
        self._number_at = numbers.data
        self._windows = np.lib.stride_tricks.sliding_window_view(keys, _WINDOW)

    @classmethod
    def build(cls, pieces: Iterable[tuple[Keys, Numbers]], count: int) -> Run:
        """Of `count` keys in all, distinct and sorted, over the pieces too. Beside its own memory it needs that of a
        piece.
        """
        capacity = max(int(count / _LOAD), _SLACK)
        keys, numbers = _space(capacity)
        free = 0
        for more, valued in pieces:
            if not len(more):
                continue
            slots = _home(more, capacity)
            step = np.arange(len(more), dtype=np.int64)
            slots -= step
            slots[0] = max(int(slots[0]), free)
            np.maximum.accumulate(slots, out=slots)
            slots += step
            free = int(slots[-1]) + 1
            if free + _SLACK > len(keys):
                keys, numbers = _longer(keys, numbers, free)
            keys[slots] = more
            numbers[slots] = valued
        return cls(keys, numbers, capacity, count)

    def find(self, keys: Keys) -> tuple[npt.NDArray[np.int64], Mask]:
        """Slots, and whether the key is there."""
        slots = _home(keys, self.capacity)
        found = self.keys[slots]
        below = np.flatnonzero(found < keys)
        while below.size:
            wanted = keys[below]
            start = slots[below]
            steps = (self._windows[start] < wanted[:, None]).sum(axis=1)
            slots[below] = start + steps
            below = below[steps == _WINDOW]
        return slots, self.keys[slots] == keys

    def slot(self, key: int) -> int:
        """The key's slot, or -1."""
        key_at = self._key_at
        slot = ((key >> 32) * self.capacity) >> 32
        while key_at[slot] < key:
            slot += 1
        return slot if key_at[slot] == key else -1

    def number(self, key: int) -> int:
        """The key's number, or -1. Searches as slot() does instead of asking it: a call more costs a sixth."""
        key_at = self._key_at
        slot = ((key >> 32) * self.capacity) >> 32
        while key_at[slot] < key:
            slot += 1
        return self._number_at[slot] if key_at[slot] == key else -1

    @classmethod
    def mapped(cls, keys: memoryview, numbers: memoryview, capacity: int, count: int) -> Run:
        """Over memory that lives elsewhere, writable."""
        return cls(np.frombuffer(keys, dtype=np.uint64), np.frombuffer(numbers, dtype=np.uint32), capacity, count)

    def memory(self) -> tuple[memoryview, memoryview]:
        """Keys and numbers as bytes, for a snapshot."""
        return self.keys.data.cast("B"), self.numbers.data.cast("B")

    def piece(self, first: int, behind: int) -> tuple[Keys, Numbers]:
        """Entries from one key up to, and without, another; in order."""
        start = self._reached(first)
        end = len(self.keys) if behind > _FREE else self._reached(behind)
        keys = self.keys[start:end]
        used = keys != _FREE
        return keys[used], self.numbers[start:end][used]

    def _reached(self, key: int) -> int:
        """The first slot that holds this key or a larger one, or nothing: no smaller key lies behind it."""
        slot = ((key >> 32) * self.capacity) >> 32
        while self._key_at[slot] < key:
            slot += 1
        return slot


def _home(keys: Keys, capacity: int) -> npt.NDArray[np.int64]:
    """Rises with the key, so that order in the table is order of keys. Below 2^32 slots."""
    return (((keys >> np.uint64(32)) * np.uint64(capacity)) >> np.uint64(32)).astype(np.int64)


def _space(slots: int) -> tuple[Keys, Numbers]:
    size = slots + 2 * _SLACK
    return np.full(size, _FREE, dtype=np.uint64), np.zeros(size, dtype=np.uint32)


def _longer(keys: Keys, numbers: Numbers, slots: int) -> tuple[Keys, Numbers]:
    """Keys crowd at the end."""
    more_keys, more_numbers = _space(slots)
    more_keys[: len(keys)] = keys
    more_numbers[: len(numbers)] = numbers
    return more_keys, more_numbers


def _merged(old: Run, new: Run) -> Run:
    """Piece by piece, so that a hundred million keys need twice their memory for a moment, not five times."""
    count = old.count + new.count
    step = -(-(1 << 64) // max(1, count // _PIECE))

    def pieces() -> Iterator[tuple[Keys, Numbers]]:
        for first in range(0, 1 << 64, step):
            keys, numbers = old.piece(first, first + step)
            more_keys, more_numbers = new.piece(first, first + step)
            places = np.searchsorted(keys, more_keys)
            yield np.insert(keys, places, more_keys), np.insert(numbers, places, more_numbers)

    return Run.build(pieces(), count)


class Table:
    """Keys of one kind towards one sender."""

    __slots__ = ("_limit", "_state")

    def __init__(self, runs: tuple[Run, ...] = (), overlay_limit: int = OVERLAY_LIMIT) -> None:
        self._limit = overlay_limit
        self._state: tuple[tuple[Run, ...], dict[int, int]] = (runs, {})

    def __len__(self) -> int:
        runs, overlay = self._state
        return sum(run.count for run in runs) + len(overlay)

    def get(self, key: int) -> int:
        """The number, or -1."""
        runs, overlay = self._state
        for run in runs:
            number = run.number(key)
            if number >= 0:
                return number
        return overlay.get(key, -1)

    def get_many(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Numbers, -1 for what is not there."""
        runs, overlay = self._state
        numbers = np.full(len(keys), -1, dtype=np.int64)
        missing = np.arange(len(keys))
        for run in runs:
            slots, there = run.find(keys[missing])
            numbers[missing[there]] = run.numbers[slots[there]]
            missing = missing[~there]
            if not missing.size:
                return numbers
        if overlay:
            get = overlay.get
            numbers[missing] = [get(key, -1) for key in keys[missing].tolist()]
        return numbers

    def put(self, key: int, number: int) -> None:
        runs, overlay = self._state
        for run in runs:
            slot = run.slot(key)
            if slot >= 0:
                run.numbers[slot] = number
                return
        overlay[key] = number
        if len(overlay) >= self._limit:
            keys = np.fromiter(overlay.keys(), dtype=np.uint64, count=len(overlay))
            numbers = np.fromiter(overlay.values(), dtype=np.uint32, count=len(overlay))
            self._add(keys, numbers, {})

    def put_new(self, keys: Keys, numbers: Numbers) -> None:
        """Many keys at once, distinct and none of them in the table."""
        overlay = self._state[1]
        if len(keys) + len(overlay) < self._limit:
            overlay.update(zip(keys.tolist(), numbers.tolist(), strict=True))
        else:
            self._add(keys, numbers, overlay)

    def compacted(self) -> Run:
        """Everything as one run."""
        runs, overlay = self._state
        if overlay or len(runs) != 1:
            keys = np.fromiter(overlay.keys(), dtype=np.uint64, count=len(overlay))
            numbers = np.fromiter(overlay.values(), dtype=np.uint32, count=len(overlay))
            run = _sorted_run(keys, numbers)
            for other in reversed(runs):
                run = _merged(other, run)
            self._state = ((run,), {})
        return self._state[0][0]

    def _add(self, keys: Keys, numbers: Numbers, overlay: dict[int, int]) -> None:
        runs = [*self._state[0], _sorted_run(keys, numbers)]
        while len(runs) > 1 and runs[-1].count * _GROWTH >= runs[-2].count:
            last = runs.pop()
            runs[-1] = _merged(runs[-1], last)
        self._state = (tuple(runs), overlay)


def _sorted_run(keys: Keys, numbers: Numbers) -> Run:
    order = np.argsort(keys, kind="stable")
    return Run.build([(keys[order], numbers[order])], len(keys))


class Index:
    """Three kinds of tables. `people`: exact keys that have consents, with all that is known of them, so that one
    probe answers. `refused`: wide keys. `addresses`: exact keys of bad mailboxes.
    """

    __slots__ = ("_numbers", "addresses", "people", "refused", "standings")

    def __init__(self) -> None:
        self.standings: list[Standing] = [NOTHING]
        self._numbers: dict[Standing, int] = {NOTHING: 0}
        self.people: dict[int, Table] = {}
        self.refused: dict[int, Table] = {}
        self.addresses = Table()

    def intern(self, standing: Standing) -> int:
        number = self._numbers.get(standing)
        if number is None:
            number = len(self.standings)
            self.standings.append(standing)
            self._numbers[standing] = number
        return number

    def install(self, folded: Folded) -> None:
        """Replaces what is held of one wide key."""
        for exact, standing in folded.addresses.items():
            self.addresses.put(exact, self.intern(standing))
        for (sender, wide), standing in folded.refused.items():
            self.refusals_of(sender).put(wide, self.intern(standing))
        for (sender, exact), standing in folded.people.items():
            self.people_of(sender).put(exact, self.intern(standing))

    def __len__(self) -> int:
        tables = [self.addresses, *self.people.values(), *self.refused.values()]
        return sum(map(len, tables))

    def install_fresh(self, facts: Sequence[Fact], identities: bytes) -> list[int]:
        """Installs the same facts for many addresses that nothing is known of, and answers the positions of the
        others, whose standing has to be folded from all that is recorded. The facts' own keys are placeholders.
        """
        exact, wide = np.ascontiguousarray(np.frombuffer(identities, dtype="<u8").reshape(-1, 2).T)
        fresh = exact == wide
        first = np.zeros(len(exact), dtype=np.bool_)
        first[np.unique(exact, return_index=True)[1]] = True
        fresh &= first
        for table in self._touched(facts[0]):
            fresh &= table.get_many(exact) < 0
        keys = exact[fresh].astype(np.uint64)
        folded = fold(fact._replace(exact=0, wide=0) for fact in facts)
        for exact_standing in folded.addresses.values():
            self.addresses.put_new(keys, self._same(exact_standing, len(keys)))
        for (sender, _), standing in folded.refused.items():
            self.refusals_of(sender).put_new(keys, self._same(standing, len(keys)))
        for (sender, _), standing in folded.people.items():
            self.people_of(sender).put_new(keys, self._same(standing, len(keys)))
        return [int(position) for position in np.flatnonzero(~fresh)]

    def _same(self, standing: Standing, count: int) -> Numbers:
        return np.full(count, self.intern(standing), dtype=np.uint32)

    def _touched(self, fact: Fact) -> Iterator[Table]:
        """Where an address may be known so that this fact does not stand alone. A refusal by all, and the state of a
        mailbox, reach every sender's tables.
        """
        yield self.addresses
        for tables in (self.people, self.refused):
            for sender, table in tables.items():
                if fact.sender == EVERY or sender in (EVERY, fact.sender):
                    yield table

    def tables(self) -> Iterator[tuple[str, int, Run]]:
        """For a snapshot: kind, sender, everything as one run."""
        yield "addresses", EVERY, self.addresses.compacted()
        for sender, table in self.people.items():
            yield "people", sender, table.compacted()
        for sender, table in self.refused.items():
            yield "refused", sender, table.compacted()

    def restore(self, standings: Sequence[Standing], tables: Iterable[tuple[str, int, Run]]) -> None:
        """Into an empty index, from a snapshot."""
        for standing in standings:
            self.intern(standing)
        for kind, sender, run in tables:
            if kind == "addresses":
                self.addresses = Table((run,))
            else:
                (self.people if kind == "people" else self.refused)[sender] = Table((run,))

    def people_of(self, sender: int) -> Table:
        return self.people.setdefault(sender, Table())

    def refusals_of(self, sender: int) -> Table:
        return self.refused.setdefault(sender, Table())

    def find(self, sender: int, exact: int, wide: int) -> int:
        """Number of the standing of one address towards one sender."""
        people = self.people.get(sender)
        if people is not None:
            number = people.get(exact)
            if number > 0:
                return number
        number = self.addresses.get(exact)
        if number > 0:
            return number
        for key in (sender, EVERY):
            refused = self.refused.get(key)
            if refused is not None:
                number = refused.get(wide)
                if number > 0:
                    return number
        return 0

    def find_many(self, sender: int, identities: bytes) -> npt.NDArray[np.int64]:
        """The same for many, concatenated."""
        pairs = np.frombuffer(identities, dtype="<u8").reshape(-1, 2)
        numbers = np.zeros(len(pairs), dtype=np.int64)
        missing: npt.NDArray[np.int64] | None = None
        for table, column in self._order(sender):
            keys = np.ascontiguousarray(pairs[:, column] if missing is None else pairs[missing, column])
            found = table.get_many(keys)
            if missing is None:
                numbers = found
            else:
                numbers[missing] = found
            missing = np.flatnonzero(numbers <= 0)
            if not missing.size:
                return numbers
        return np.maximum(numbers, 0)

    def _order(self, sender: int) -> Iterator[tuple[Table, int]]:
        """Tables in the order of asking, with the key's column."""
        asked = (
            (self.people.get(sender), 0),
            (self.addresses, 0),
            (self.refused.get(sender), 1),
            (self.refused.get(EVERY), 1),
        )
        for table, column in asked:
            if table is not None and len(table):
                yield table, column
