"""The purge: the records of consents that nobody relies on any more and that the law does not ask to keep any longer.

特定電子メール法施行規則 4条2項, 特定商取引法施行規則 30条2項; 個人情報保護法 22条 (what is not needed is deleted). Only
what was refused or withdrawn is looked at: a consent in force is never purged, however old, and a refusal never at all.
Each record is asked for in the queue, then its last days are read again, then it goes. Blocks: for a thread of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from suppression.day import date_of, day_of
from suppression.erasing import Erasure, Sweep, unused_texts
from suppression.face import Suppression
from suppression.keeping import Keeping, Kept, RetentionSettings, queued
from suppression.pages import merge
from suppression.recording import microseconds
from suppression.retention import components
from suppression.sent import SentStore
from suppression.standing import Kind

_EVENTS_AT_ONCE: Final = 50_000
_PEOPLE_AT_ONCE: Final = 500

_REFUSED: Final = (
    "SELECT DISTINCT r.wide FROM event r JOIN event c ON c.wide = r.wide WHERE r.id > ?1 AND r.id <= ?2"  # noqa: S608 - constants
    f" AND r.kind IN ({Kind.OPT_OUT:d}, {Kind.WITHDRAWAL:d}, {Kind.COMPLAINT:d}) AND c.kind = {Kind.CONSENT:d}"
    " AND c.address IS NOT NULL AND (c.sender = r.sender OR r.sender = 0)"
)


@dataclass(slots=True)
class Purged:
    """Records (the consents of one address towards one sender) that a pass looked at, and what became of them."""

    examined: int = 0
    purged: int = 0
    events: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    """By the rule that asks for longest."""
    texts: int = 0
    """Evidence that no event names any more, deleted."""
    noted: int = 0
    """Addresses whose last day was merged out of the log."""


class Purge:
    def __init__(
        self,
        folder: Path,
        suppression: Suppression,
        sent: SentStore,
        settings: RetentionSettings,
        *,
        clock: Callable[[], float],
        waiting: Callable[[frozenset[str]], frozenset[str]],
    ) -> None:
        """`waiting`: of these addresses those that a message waits for in the queue."""
        self._folder = folder
        self._suppression = suppression
        self._sent = sent
        self._settings = settings
        self._clock = clock
        self._waiting = waiting

    def run(self, pause: Callable[[], None], *, is_rehearsal: bool = False) -> Purged:
        """`pause` is called between portions; what it raises ends the pass, and nothing is half done. Raises
        LedgerFailed.
        """
        purged = Purged()
        purged.noted = merge(self._sent, day_of(self._clock()), pause)
        for wides, last_event in self._people(pause):
            self._portion(wides, last_event, purged, is_rehearsal=is_rehearsal)
            pause()
        if not is_rehearsal:
            purged.texts = self.sweep(pause)
        return purged

    def sweep(self, pause: Callable[[], None]) -> int:
        """Deletes the texts that no event names any more."""
        candidates, unused = unused_texts(self._folder, pause)
        if candidates:
            self._suppression.perform_now(Sweep(microseconds(self._clock()), candidates, unused))
        return len(unused)

    def _people(self, pause: Callable[[], None]) -> Iterator[tuple[Sequence[int], int]]:
        """Wide keys of those whose consent somebody refused or withdrew, and the ledger's last event then."""
        start = 0
        while True:
            with self._keeping() as keeping:
                last_event = keeping.last_event
                rows: list[Any] = keeping.database.execute(_REFUSED, (start, start + _EVENTS_AT_ONCE)).fetchall()
            wides = [row[0] for row in rows]
            for first in range(0, len(wides), _PEOPLE_AT_ONCE):
                yield wides[first : first + _PEOPLE_AT_ONCE], last_event
            start += _EVENTS_AT_ONCE
            if start >= last_event:
                return
            pause()

    def _portion(self, wides: Sequence[int], last_event: int, purged: Purged, *, is_rehearsal: bool) -> None:
        today = date_of(day_of(self._clock()))
        with self._keeping() as keeping:
            records = [record for record in keeping.records(wides) if record.addresses]
            numbers = {name: number for number, name in keeping.senders.items()}
        due = [record for record in records if record.until(self._settings.margin_days) < today]
        if due:
            # The queue first, then the days: what leaves the queue in between has its day on disk.
            due = queued(due, self._waiting(frozenset[str]().union(*(record.addresses for record in due))))
            due = keeping.with_days(due)
        going = [record for record in due if record.until(self._settings.margin_days) < today]
        gone = {id(record) for record in going}
        looked_at = {(record.sender, record.exact): record for record in (*records, *due)}
        purged.examined += len(looked_at)
        purged.purged += len(going)
        purged.kept.update(_reason(record) for record in looked_at.values() if id(record) not in gone)
        if going and not is_rehearsal:
            events = [(event, record.wide, numbers[record.sender]) for record in going for event in record.events]
            erasure = Erasure(
                "purge", microseconds(self._clock()), events, last_event=min(last_event, keeping.last_event)
            )
            self._suppression.perform_now(erasure)
            purged.events += erasure.erased

    def _keeping(self) -> Keeping:
        return Keeping(self._folder, self._sent, self._settings)


def _reason(record: Kept) -> str:
    return components(record.facts)[0].rule
