"""The day of the last advertisement, on disk before it is sent (特定電子メール法施行規則 4条2項).

A sheet of letters is noted while it is signed and its intent is synced, so a note costs no time of its own. It is made
for the day in Japan half an hour ahead, and the letter is good until a quarter of an hour before that day ends: longer
than a transaction may take. A letter that comes later is made anew, and noted anew. So the day on disk may be later
than that of the send (harmless: kept longer) and never earlier. Mail without advertising is not noted. The engine's
clock never jumps, so that it stays behind the wall's where a machine was suspended or started with a wrong time: the
later of both counts.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.mail.envelope import Recipient
from suppression import LedgerFailed
from suppression.day import begins, day_of
from suppression.decision import Category

AHEAD_SECONDS = 1800.0
"""What is made in the last half hour of a day counts for the next: else all letters of midnight were made twice."""
ON_THE_WIRE_SECONDS = 900.0
"""RFC 5321 4.5.3.2: MAIL and RCPT may take five minutes each, DATA two."""

PATIENCE = 0.01
"""Seconds that a note waits for others: what it costs is per write. Letters are being signed meanwhile."""
ENOUGH = 128
"""Addresses worth a write at once."""

MOST_BEHIND = 366 * 86400.0
"""Seconds that the wall clock is believed to be ahead: a day must fit where days are kept."""

UNNOTED = frozenset({Category.TX, Category.NP})


class Store(Protocol):
    def note(
        self, sender: str, day: int, identities: Sequence[bytes], *, mail_order: bool
    ) -> asyncio.Future[None] | None:
        """None: on disk already. Raises LedgerFailed, as the future does."""
        ...


class LastSent:
    def __init__(self, store: Store, *, wall: Callable[[], float]) -> None:
        """`wall`: Unix seconds as the machine has them now."""
        self._store = store
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._groups: defaultdict[tuple[str, int, bool], list[bytes]] = defaultdict(list)
        """(sender, day, mail order) -> identities that wait for company."""
        self._count = 0
        self._synced: asyncio.Future[None] | None = None
        """Of all that wait now."""
        self._timer: asyncio.TimerHandle | None = None

    def note(
        self, recipients: Sequence[Recipient], now: float, *, urgent: bool
    ) -> tuple[asyncio.Future[None] | None, float]:
        """What to wait for before any of these is sent, and the time after which none may begin to be. A failed store
        is a failed future.
        """
        behind = min(max(0.0, self._wall() - now), MOST_BEHIND)
        day = day_of(now + behind + AHEAD_SECONDS)
        groups = self._groups
        count = 0
        for recipient in recipients:
            batch = recipient.batch
            if batch.category not in UNNOTED:
                groups[batch.sender, day, batch.category == Category.AD_MO].append(recipient.who)
                count += 1
        if not count:
            return None, math.inf
        self._count += count
        synced = self._synced = self._synced or self._loop.create_future()
        if urgent or self._count >= ENOUGH:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(PATIENCE, self._flush)
        return synced, begins(day + 1) - behind - ON_THE_WIRE_SECONDS

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        synced, groups = self._synced, list(self._groups.items())
        assert synced is not None
        self._synced, self._count = None, 0
        self._groups.clear()
        writing: list[asyncio.Future[None]] = []
        for (sender, day, mail_order), who in groups:
            try:
                written = self._store.note(sender, day, who, mail_order=mail_order)
            except LedgerFailed as error:
                _tell(synced, error)
                return
            if written is not None:
                writing.append(written)
        _Company(synced, writing)


class _Company:
    """All writes of one flush; the future is done when the last one is."""

    __slots__ = ("_left", "_synced")

    def __init__(self, synced: asyncio.Future[None], writing: Sequence[asyncio.Future[None]]) -> None:
        self._synced = synced
        self._left = len(writing)
        if not writing:
            _tell(synced, None)
        for written in writing:
            written.add_done_callback(self._written)

    def _written(self, written: asyncio.Future[None]) -> None:
        self._left -= 1
        error = written.exception()
        if error is not None or not self._left:
            _tell(self._synced, error)


def _tell(synced: asyncio.Future[None], error: BaseException | None) -> None:
    if synced.done():
        return
    if error is None:
        synced.set_result(None)
    else:
        synced.set_exception(error)
