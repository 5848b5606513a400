"""The canary: of the addresses that a mailing is the first to reach, a random sample goes before the others.

A list that was bought, guessed or generated shows itself in its first few hundred unknown users; the rest of it never
leaves. Asked at promote, after suppression: once a mailing has passed at a provider, the question is one look into a
set. Who is held goes back to the spool and lets other mailings pass. First all are held, so that it is known how many
they are; then lots are drawn (policy/lot.py) and a walk makes the sample due; when that has passed, another makes all
others due. So a mailing of a million costs two writes a recipient, and no scan. A mailing that is no larger than the
sample is the sample, and nobody of it waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from engine.flow.lastsent import UNNOTED
from engine.mail.envelope import Batch, Recipient
from engine.policy.guard import GuardSettings, Passing, judge_canary
from engine.policy.lot import Lots, share_of

Newcomers = Callable[[str, Sequence[bytes]], Awaitable[list[bool]]]
"""Sender, identities -> whether each was never mailed; some milliseconds."""

HOLD_SECONDS = 600
"""When somebody is looked at again without having been released: after a restart, or while the canary still waits."""
MOST_BATCHES = 10_000
FORGET_SECONDS = 900.0
"""Of the sample, who has given no final reply for so long is replaced: greylisted, or cancelled meanwhile."""
MOST_PASSED = 100_000
QUIET_SECONDS = 2.0
"""Nobody new has come to the canary for so long: all there are have been looked at, or all the sample has left."""
MOST_OF_IT = 0.8
"""Of the sample must have answered before it may have passed."""
LONGEST_LOOK = 30.0
"""A mailing that still comes in then is drawn from as far as it has come."""


@dataclass(slots=True)
class Canary:
    """Of one mailing at one provider."""

    began: float
    passing: Passing = Passing.OPEN
    replies: int = 0
    unknown: int = 0
    share: float = 0.0
    """Who has a lot below it may be of the sample; 0.0: nothing is drawn yet."""
    known: int = 0
    """Never-mailed ones that were looked at, since the start."""
    looked: float = 0.0
    """When the last of them was."""
    out: set[int] = field(default_factory=set)
    """Recipients of the sample that have gone, without a final reply yet."""
    last: float = 0.0
    """When the sample last grew."""
    held: set[int] = field(default_factory=set)
    """Batches of whom somebody waits; beyond MOST_BATCHES they wait for their time."""

    def take(self, recipient: int, now: float, size: int) -> bool:
        """Whether it may go as one of the sample."""
        if recipient in self.out:
            return True
        self._replace_silent(size, now)
        if self.is_full(size):
            return False
        self.out.add(recipient)
        self.last = now
        return True

    @property
    def is_open(self) -> bool:
        return self.passing is Passing.OPEN

    def is_full(self, size: int) -> bool:
        return self.replies + len(self.out) >= size

    def _replace_silent(self, size: int, now: float) -> None:
        if self.is_full(size) and now - self.last >= FORGET_SECONDS:
            self.out.clear()

    def falls_short(self, size: int, now: float) -> bool:
        """Too few are drawn, and no more come by themselves."""
        self._replace_silent(size, now)
        if self.passing is not Passing.OPEN or self.share >= 1.0 or not self.held or self.is_full(size):
            return False
        return now - self.looked >= QUIET_SECONDS or (not self.share and now - self.began >= LONGEST_LOOK)

    def widen(self, size: int, now: float) -> None:
        self.share = share_of(size, self.known, self.share)
        self.looked = now

    def note(self, recipient: int, settings: GuardSettings, *, unknown: bool) -> Passing:
        """A final reply. OPEN unless it has just turned out good, or bad."""
        if self.passing is not Passing.OPEN or recipient not in self.out:
            return Passing.OPEN
        self.out.discard(recipient)
        self.replies += 1
        self.unknown += unknown
        found = judge_canary(self.replies, self.unknown, settings)
        # The sample leaves in the order of the list, so that its beginning alone says nothing good of the rest.
        if found is not Passing.GOOD or self.replies >= MOST_OF_IT * min(settings.canary, self.share * self.known):
            self.passing = found
        return self.passing


class Screen:
    """What promote asks."""

    def __init__(
        self,
        settings: GuardSettings,
        newcomers: Newcomers,
        *,
        canary_of: Callable[[Batch, str, float], Canary | None],
        accepted: Callable[[Batch], Awaitable[int]],
        lots: Lots,
        place_of: Callable[[str], str],
        put_back: Callable[[Recipient, int], None],
    ) -> None:
        """`accepted`: how many recipients the batch's mailing has so far."""
        self.held = 0
        """Times that somebody was put back."""
        self._settings = settings
        self._newcomers = newcomers
        self._canary_of = canary_of
        self._accepted = accepted
        self._lots = lots
        self._place_of = place_of
        self._put_back = put_back
        self._passed: defaultdict[str, set[int]] = defaultdict(set)
        """Place -> batches that need no look any more."""

    def use(self, settings: GuardSettings) -> None:
        """Mailings that had passed without a canary are looked at again, now that there may be one."""
        self._settings = settings
        self._passed.clear()

    async def screened(self, domain: str, recipients: list[Recipient], now: float) -> list[Recipient]:
        """Those that may go on, in their order; the others are put back."""
        passed = self._passed[self._place_of(domain)]
        if all(recipient.batch.id in passed for recipient in recipients):
            return recipients
        groups: defaultdict[int, list[Recipient]] = defaultdict(list)
        for recipient in recipients:
            groups[recipient.batch.id].append(recipient)
        held: set[int] = set()
        for group in groups.values():
            if group[0].batch.id not in passed:
                held |= await self._screen(self._place_of(domain), group, now)
        return [recipient for recipient in recipients if recipient.id not in held]

    async def _screen(self, place: str, group: Sequence[Recipient], now: float) -> set[int]:
        """Who is held."""
        batch = group[0].batch
        canary = None if batch.category in UNNOTED else self._canary_of(batch, place, now)
        if canary is None or canary.passing is Passing.GOOD:
            self._pass(place, batch.id)
            return set()
        if canary.passing is Passing.BAD:
            return set()  # the mailing is paused: the directive holds them
        # A retry has had its turn, and stands among the mailed since its first letter was made.
        asked = [one for one in group if not one.attempts and not one.in_doubt and one.who]
        if not asked:
            return set()
        new = await self._newcomers(batch.sender, [one.who for one in asked])
        fresh = [one for one, is_new in zip(asked, new, strict=True) if is_new]
        if fresh and not canary.known and not canary.share and await self._accepted(batch) <= self._settings.canary:
            canary.share = 1.0
        if not canary.is_open:
            return set()  # decided while we asked
        held = set()
        for recipient in fresh:
            if not self._is_drawn(canary, recipient, now):
                held.add(recipient.id)
                self._put_back(recipient, int(now) + HOLD_SECONDS)
        if fresh:
            canary.known, canary.looked = canary.known + len(fresh), now
        if held and len(canary.held) < MOST_BATCHES:
            canary.held.add(batch.id)
        self.held += len(held)
        return held

    def _is_drawn(self, canary: Canary, recipient: Recipient, now: float) -> bool:
        if recipient.id not in canary.out and self._lots.lot(recipient.id) >= canary.share:
            return False
        return canary.take(recipient.id, now, self._settings.canary)

    def _pass(self, place: str, batch: int) -> None:
        passed = self._passed[place]
        if len(passed) >= MOST_PASSED:
            passed.clear()  # asking again is cheap
        passed.add(batch)
