"""Forgetting a person (個人情報保護法 22条, 35条5項; GDPR art. 17): plain address and evidence leave the ledger.

The keyed hashes stay, so that a refusal goes on being one: without the secret they lead to nobody, and whoever asks to
be forgotten does not ask for more mail. What the law demands to keep (同意を証する記録, 特定電子メール法 3条2項) stays
until its day, and the answer names it. All spellings that reach the same mailbox are one person. It does not touch the
journal and the queue, which have ends of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from suppression.day import date_of, day_of
from suppression.erasing import Erasure
from suppression.events import EventError, Withdrawal
from suppression.face import Suppression
from suppression.keeping import Keeping, Kept, RetentionSettings, queued
from suppression.recording import microseconds
from suppression.retention import Rule, components
from suppression.sent import SentStore

_ROWS: Final = "SELECT id, sender, address IS NOT NULL FROM event WHERE wide = ?"


@dataclass(frozen=True, slots=True)
class Remaining:
    """A record that is still needed."""

    sender: str
    until: date
    rule: Rule


@dataclass(frozen=True, slots=True)
class Forgotten:
    known: int
    """Events recorded of this person."""
    erased: int
    """Of which so many have lost address and evidence now."""
    remaining: tuple[Remaining, ...]


class Forget:
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
        """As Purge."""
        self._folder = folder
        self._suppression = suppression
        self._sent = sent
        self._settings = settings
        self._clock = clock
        self._waiting = waiting

    def run(self, address: str, *, withdraw: bool = False) -> Forgotten:
        """`withdraw`: consents in force end first, so that their time begins to run. Blocks. Raises EventError,
        LedgerFailed.
        """
        _, wide = identity_of(self._suppression, address)
        if withdraw:
            self._withdraw(address, wide)
        with Keeping(self._folder, self._sent, self._settings) as keeping:
            records = keeping.records([wide])
            last_event = keeping.last_event
            rows: list[Any] = keeping.database.execute(_ROWS, (wide,)).fetchall()
        needed = self._needed(keeping, records)
        kept = {event for record in needed for event in record.events}
        going = [
            (event, wide, sender)
            for event, sender, is_there in rows
            # Nothing that is frozen or on hold, refusals included.
            if is_there and event not in kept and not keeping.held(sender, wide)
        ]
        erasure = Erasure(
            "forget",
            microseconds(self._clock()),
            going,
            last_event=last_event,
            signups=0 if needed else wide,
            spared=keeping.spared,
        )
        self._suppression.perform_now(erasure)
        return Forgotten(len(rows), erasure.erased, tuple(map(self._remaining, needed)))

    def _needed(self, keeping: Keeping, records: Sequence[Kept]) -> list[Kept]:
        addresses = frozenset[str]().union(*(record.addresses for record in records))
        if addresses:
            records = keeping.with_days(queued(records, self._waiting(addresses)))
        today = date_of(day_of(self._clock()))
        return [record for record in records if record.addresses and record.until(self._settings.margin_days) >= today]

    def _withdraw(self, address: str, wide: int) -> None:
        with Keeping(self._folder, self._sent, self._settings) as keeping:
            relied = {record.sender for record in keeping.records([wide]) if record.facts.decided is None}
        now = self._clock()
        self._suppression.apply_now([Withdrawal(address, now, "forget", sender) for sender in sorted(relied)])

    def _remaining(self, record: Kept) -> Remaining:
        return Remaining(record.sender, record.until(self._settings.margin_days), components(record.facts)[0].rule)


def identity_of(suppression: Suppression, address: str) -> tuple[int, int]:
    """Exact and wide key as the ledger has them. Raises EventError."""
    identity = suppression.identify([address])[0]
    if not identity:
        raise EventError(f"address: {address[:80]!a} cannot be an address; correct it")
    return int.from_bytes(identity[:8], "little", signed=True), int.from_bytes(identity[8:], "little", signed=True)
