"""Which segments of the journal a legal hold keeps: those that may hold a record of a held sender or person.

Asked before retention deletes a segment, in the journal's own thread for that and never beside a write. The holds are
read from the ledger each time, so that they count over a restart, and with them the senders on hold by the settings. A
segment is read once for each set of holds, until the first record that they cover; what was found is kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from engine.journal import Record, read_records
from suppression.hold import NOBODY, HoldRow, in_force

PORTION: Final = 2000
"""Records between two rests: some milliseconds."""

Places = frozenset[tuple[str, int]]
"""(sender, wide key): "" and 0 for whatever."""


class HeldSegments:
    def __init__(
        self,
        holds: Callable[[], list[HoldRow]],
        identify: Callable[[Sequence[str]], list[bytes]],
        senders: Callable[[], Sequence[str]],
    ) -> None:
        """`holds`: all of the ledger. `identify`: as suppression does. `senders`: on hold by the settings."""
        self._holds = holds
        self._identify = identify
        self._senders = senders
        self._places: Places = frozenset()
        self._known: dict[str, bool] = {}
        """Segment -> whether those places keep it."""

    def keeps(self, segment: Path, rest: Callable[[], None]) -> bool:
        """Blocks, seconds for a large segment; `rest` is called now and then, and what it raises ends it. Raises what
        the ledger raises.
        """
        places = self._now()
        if places != self._places:
            self._places, self._known = places, {}
        if not places:
            return False
        if segment.name not in self._known:
            self._known[segment.name] = self._covers(places, segment, rest)
        # A hold that came meanwhile has not been looked for yet: the next pass does.
        return self._known[segment.name] or self._now() != places

    def _now(self) -> Places:
        placed = {(row.sender, row.wide) for row in in_force(self._holds())}
        return frozenset(placed | {(sender, NOBODY) for sender in self._senders()})

    def _covers(self, places: Places, segment: Path, rest: Callable[[], None]) -> bool:
        senders = {sender for sender, wide in places if wide == NOBODY}
        people = {place for place in places if place[1] != NOBODY}
        records = read_records(segment)
        is_empty = True
        while portion := list(islice(records, PORTION)):
            is_empty = False
            # Of a record without a sender nobody can say that it is not of a held one.
            if senders and any(record.legal_sender in senders or not record.legal_sender for record in portion):
                return True
            if people and any(self._is_of(people, portion)):
                return True
            rest()
        return is_empty  # what cannot be read may be anybody's

    def _is_of(self, people: set[tuple[str, int]], portion: Sequence[Record]) -> Iterator[bool]:
        named = [(record.legal_sender, address) for record in portion for address in _addresses(record)]
        identities = self._identify([address for _, address in named])
        for (sender, _), identity in zip(named, identities, strict=True):
            wide = int.from_bytes(identity[8:], "little", signed=True)
            yield not identity or any(wide == held and (not of or not sender or of == sender) for of, held in people)


def _addresses(record: Record) -> Iterator[str]:
    if record.recipient:
        yield record.recipient
    if record.feedback_report:
        yield from record.feedback_report.original_rcpto_to
