"""What the guards know: one watch for each mailing, sender and provider, and a day's counts for each sender there.

Every delivery comes by here, so that the way is two look-ups; everything is bounded, the longest untouched go first.
A single mail to one person says nothing of a list: such mail is not watched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.flow.canary import Canary
from engine.flow.guardfile import MOST_WATCHED, Kept, KeptCanary, KeptDaily, KeptWatch
from engine.flow.lastsent import UNNOTED
from engine.mail.envelope import Batch, Priority
from engine.policy.guard import Daily, Passing, Tally, Verdict
from suppression.day import day_of

OTHER = "other"
"""Everybody who is no provider that the shaping names: together, since alone they are too few to judge."""
FORGET_SECONDS = 7 * 86_400.0


@dataclass(slots=True, eq=False)
class Watch:
    """One mailing of a sender at one provider."""

    sender: str
    mailing: str
    place: str
    daily: Daily
    tally: Tally
    touched: float
    canary: Canary | None = None
    slowed: float = 0.0


class Watches:
    def __init__(self, kept: Kept, clock: Callable[[], float], *, enabled: bool) -> None:
        self.watches: dict[tuple[str, str, str], Watch] = {}
        self.dailies: dict[tuple[str, str], Daily] = {}
        self.is_changed = False
        self._near: dict[str, dict[int, Watch | None]] = {}
        """Place -> batch -> its watch. None: not watched."""
        self._is_enabled = enabled
        self._clock = clock
        self._now = clock()
        """As of the last tick."""
        self._restore(kept)

    def use(self, *, enabled: bool) -> None:
        """From the next reply on."""
        self._is_enabled = enabled
        self._near.clear()

    def watch(self, place: str, batch: Batch) -> Watch | None:
        near = self._near.get(place)
        if near is None:
            near = self._near[place] = {}
        if batch.id in near:
            watch = near[batch.id]
        else:
            if len(near) >= MOST_WATCHED:
                near.clear()
            watch = near[batch.id] = self._found(place, batch)
        if watch is not None:
            watch.touched = self._now
            self.is_changed = True
        return watch

    def _found(self, place: str, batch: Batch) -> Watch | None:
        is_single = batch.priority is Priority.TRANSACTIONAL and batch.category in UNNOTED
        if is_single or not self._is_enabled:
            return None
        key = batch.sender, batch.mailing, place
        watch = self.watches.get(key)
        if watch is None:
            if len(self.watches) >= MOST_WATCHED:
                self._forget_oldest()
            daily = self.daily(batch.sender, place)
            watch = self.watches[key] = Watch(*key, daily, Tally(), self._now)
        return watch

    def has(self, watch: Watch) -> bool:
        return self.watches.get((watch.sender, watch.mailing, watch.place)) is watch

    def _forget_oldest(self) -> None:
        oldest = sorted(self.watches.values(), key=lambda watch: watch.touched)[: MOST_WATCHED // 10]
        for watch in oldest:
            del self.watches[watch.sender, watch.mailing, watch.place]
        self._near.clear()

    def daily(self, sender: str, place: str) -> Daily:
        daily = self.dailies.setdefault((sender, place), Daily())
        daily.turn(day_of(self._clock()))
        return daily

    def tick(self) -> None:
        self._now = now = self._clock()
        for daily in self.dailies.values():
            daily.turn(day_of(now))
        for key in [key for key, watch in self.watches.items() if now - watch.touched > FORGET_SECONDS]:
            del self.watches[key]
            self._near.clear()

    def kept(self) -> Kept:
        watches = [_kept(watch) for watch in self.watches.values()]
        dailies = [
            KeptDaily(sender, place, one.day, one.delivered, one.complaints, one.before, int(one.verdict))
            for (sender, place), one in self.dailies.items()
        ]
        return Kept(watches, dailies[-MOST_WATCHED:])

    def _restore(self, kept: Kept) -> None:
        for one in kept.dailies:
            daily = Daily(one.day, one.delivered, one.complaints, one.before, Verdict(one.verdict))
            self.dailies[one.sender, one.place] = daily
        for found in kept.watches:
            tally = Tally(found.replies, found.unknown, Verdict(found.verdict))
            daily = self.daily(found.sender, found.place)
            watch = Watch(found.sender, found.mailing, found.place, daily, tally, found.touched)
            if found.canary is not None:
                passing = Passing(found.canary.passing)
                kept_canary = found.canary
                watch.canary = Canary(
                    kept_canary.began, passing, kept_canary.replies, kept_canary.unknown, kept_canary.share
                )
            self.watches[found.sender, found.mailing, found.place] = watch


def _kept(watch: Watch) -> KeptWatch:
    tally, found = watch.tally, watch.canary
    canary = None
    if found is not None:
        canary = KeptCanary(int(found.passing), found.replies, found.unknown, found.began, found.share)
    return KeptWatch(
        watch.sender,
        watch.mailing,
        watch.place,
        tally.replies,
        tally.unknown,
        int(tally.verdict),
        watch.touched,
        canary,
    )
