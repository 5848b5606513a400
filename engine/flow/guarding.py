"""Guards while a mailing is sent: unknown users, the canary, complaints, waves of opt-outs; and what follows.

What is counted and when it is too much stands in policy/guard.py. Here a verdict becomes an act: fewer connections, or
a suspension of the mailing, which steering keeps over a restart and an operator ends with `sokutatsu resume`; then
counting begins anew. Nothing is bounced or suppressed by a guard: people look at the list first (特定電子メール法 6条).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath

from engine.flow.canary import Canary, Newcomers, Screen
from engine.flow.guardfile import Kept, read_kept, write_kept
from engine.flow.path import Path
from engine.flow.steering import Steering, TooManyDirectives
from engine.flow.watches import OTHER, Watch, Watches
from engine.mail.envelope import Batch, Recipient
from engine.policy.automation import Action, ActionKind, AutomationRule
from engine.policy.directive import Directive, Scope
from engine.policy.directive import Verb as Order
from engine.policy.guard import (
    GuardSettings,
    Passing,
    Tally,
    Verdict,
    Wave,
    is_mass_opt_out,
    is_unknown_user,
    judge_complaints,
    judge_unknown,
)
from engine.policy.lot import Lots
from engine.policy.outcome import Kind, Ruling
from engine.smtp.event import Phase
from engine.spool.port import Lane
from suppression import Complaint, Event, OptOut
from suppression.day import day_of

log = logging.getLogger(__name__)

GUARD = "guard"
"""Whose directives these are."""
KEEP_SECONDS = 10.0
SLOW_SECONDS = 3600.0
"""How long half the connections hold; another unknown user after that halves again."""
LIVE_SECONDS = 86_400.0
"""A mailing that has had replies within this time counts as under way."""
MOST_HEARD = 100_000
"""Persons a day whose second complaint is known as such: 7 MB."""
DRAW_SECONDS = 0.5
"""Between two looks at canaries of which too few are drawn."""
_SLOWER = Action(ActionKind.SCALE, "connection_limit", 0.5)
_RULE = AutomationRule(GUARD, "default", "", (), (_SLOWER,), 1, 1.0, SLOW_SECONDS, None)


class Guarding:
    def __init__(
        self,
        settings: GuardSettings,
        steering: Steering,
        newcomers: Newcomers,
        *,
        file: FilePath | None,
        provider_of: Callable[[str], str],
        put_back: Callable[[Recipient, int], None],
        accepted: Callable[[Batch], Awaitable[int]],
        secret: bytes,
        clock: Callable[[], float],
    ) -> None:
        """`provider_of`: a domain's provider; empty: none that we know. `accepted`: recipients of the batch's mailing.
        `secret`: by which canaries are drawn.
        """
        self.trips: Counter[str] = Counter()
        self._settings = settings
        self._steering = steering
        self._file = file
        self._clock = clock
        self._place_of: Callable[[str], str] = lambda domain: provider_of(domain) or OTHER
        self.known = Watches(read_kept(file) if settings.enabled else Kept(), clock, enabled=settings.enabled)
        self._waves: dict[str, Wave] = {}
        self._heard: set[int] = set()
        """Who complained or refused today."""
        self._heard_day = 0
        self._releases: asyncio.Queue[Watch] = asyncio.Queue()
        """Whose canary has passed, with people who wait for that, or has begun."""
        self._drawing: set[Watch] = set()
        """Whose canary is open."""
        self._put_back = put_back
        self._lots = Lots(secret)
        self.screen = Screen(
            settings, newcomers, canary_of=self._canary_of, accepted=accepted, lots=self._lots,
            place_of=self._place_of, put_back=put_back,
        )  # fmt: skip

    @property
    def has_canary(self) -> bool:
        return self._settings.enabled and self._settings.canary > 0

    def adopt(self, settings: GuardSettings) -> None:
        """What was counted stays and is judged by the new shares; what is paused stays paused. Without a canary, who
        waits for one is released.
        """
        if settings == self._settings:
            return
        self._settings = settings
        self.screen.use(settings)
        self.known.use(enabled=settings.enabled)
        if self.has_canary:
            return
        for watch in self.known.watches.values():
            if watch.canary is not None and watch.canary.passing is Passing.OPEN:
                watch.canary.passing = Passing.GOOD
                self.known.is_changed = True
                self._releases.put_nowait(watch)

    # -- what dispatch tells -------------------------------------------------------------------------------

    def delivered(self, path: Path, recipient: Recipient) -> None:
        watch = self.known.watch(path.provider or OTHER, recipient.batch)
        if watch is None:
            return
        watch.daily.delivered += 1
        watch.tally.note(unknown=False)
        if watch.canary is not None:
            self._canary_reply(watch, recipient, unknown=False)

    def refused(self, path: Path, recipient: Recipient, ruling: Ruling, phase: Phase) -> None:
        """A reply that ends the recipient's stay; others are no reply to count."""
        if ruling.kind is not Kind.BOUNCED:
            return
        watch = self.known.watch(path.provider or OTHER, recipient.batch)
        if watch is None:
            return
        is_unknown = is_unknown_user(ruling.bounce_class, phase)
        self._renew(watch)
        watch.tally.note(unknown=is_unknown)
        if watch.canary is not None:
            self._canary_reply(watch, recipient, unknown=is_unknown)
        if is_unknown:
            self._judge(watch, path)

    def _canary_reply(self, watch: Watch, recipient: Recipient, *, unknown: bool) -> None:
        canary = watch.canary
        assert canary is not None
        found = canary.note(recipient.id, self._settings, unknown=unknown)
        if found is Passing.OPEN:
            return
        share = f"{canary.unknown} unknown users among {canary.replies} new addresses at {watch.place}"
        if found is Passing.GOOD:
            log.info("sender=%s mailing=%a canary passed: %s", watch.sender, watch.mailing, share)
            self._releases.put_nowait(watch)
        else:
            self._pause(watch, "canary", f"canary: {share}; look where the list comes from")

    def _judge(self, watch: Watch, path: Path) -> None:
        verdict, tally = judge_unknown(watch.tally, self._settings), watch.tally
        told = (
            f"{tally.share:.1%} unknown users ({tally.unknown:.0f} of {tally.replies:.0f}) at {watch.place}, "
            f"{verdict.name.lower()} from {self._threshold(verdict):.1%}"
        )
        if verdict is Verdict.WARN:
            self._slow(watch, path, told)
        elif verdict > tally.verdict:
            tally.verdict = verdict
            if verdict is Verdict.ABORT:
                told += "; FICT_SUSPECT: the list is locked, review where it comes from"
            self._pause(watch, f"unknown_{verdict.name.lower()}", told)

    def _threshold(self, verdict: Verdict) -> float:
        settings = self._settings
        return (0.0, settings.unknown_warn, settings.unknown_pause, settings.unknown_abort)[verdict]

    def _slow(self, watch: Watch, path: Path, told: str) -> None:
        now = self._clock()
        if now - watch.slowed < SLOW_SECONDS:
            return
        watch.slowed = now
        watch.tally.verdict = max(watch.tally.verdict, Verdict.WARN)
        self.trips["unknown_warn"] += 1
        log.warning(
            "sender=%s mailing=%a site=%s half the connections: %s", watch.sender, watch.mailing, path.site, told
        )
        path.brake.apply(_RULE, _SLOWER, now)
        path.rein()

    def _renew(self, watch: Watch) -> None:
        """An operator has resumed what was paused: what was counted before was looked at."""
        if watch.tally.verdict >= Verdict.PAUSE and self._standing(self._scope(watch)) is None:
            watch.tally = Tally()

    # -- what the ledger is told ---------------------------------------------------------------------------

    def told(self, event: Event) -> None:
        """A complaint or a refusal that is in force now."""
        if not self._settings.enabled:
            return
        if isinstance(event, Complaint) and event.sender and self._is_news(event):
            self._complained(event.sender, self._place_of(event.address.rpartition("@")[2].lower()))
        elif isinstance(event, OptOut) and event.sender and self._is_news(event):
            self._opted_out(event.sender)

    def _is_news(self, event: Complaint | OptOut) -> bool:
        """A person counts once a day: reports are sent twice, and who has one mail of ours could send his for ever."""
        day = day_of(self._clock())
        if day != self._heard_day or len(self._heard) >= MOST_HEARD:
            self._heard_day = day
            self._heard.clear()
        who = hash((type(event), event.sender, event.address.lower()))
        is_news = who not in self._heard
        self._heard.add(who)
        return is_news

    def _complained(self, sender: str, place: str) -> None:
        daily = self.known.daily(sender, place)
        if daily.verdict >= Verdict.PAUSE and not self._is_paused(sender, place):
            daily.renew()
        daily.complaints += 1
        self.known.is_changed = True
        verdict = judge_complaints(daily, self._settings)
        if verdict <= daily.verdict:
            return
        daily.verdict = verdict
        told = f"{daily.complaints} complaints on {daily.base} deliveries at {place} ({daily.share:.2%})"
        self.trips[f"complaint_{verdict.name.lower()}"] += 1
        if verdict is Verdict.WARN:
            log.warning("sender=%s %s", sender, told)
        elif place == OTHER:
            self._pause_mailings(sender, told)
        else:
            self._suspend(Scope(provider=place, sender=sender), told)

    def _opted_out(self, sender: str) -> None:
        wave = self._waves.setdefault(sender, Wave())
        recent = wave.note(self._clock(), self._settings.optout_seconds)
        delivered = sum(daily.base for (name, _), daily in self.known.dailies.items() if name == sender)
        if not is_mass_opt_out(recent, delivered, self._settings):
            return
        wave.times.clear()  # counting begins anew
        if self._is_paused(sender, OTHER):
            return  # those who still opt out had their mail before
        self.trips["optout"] += 1
        minutes = self._settings.optout_seconds / 60
        self._pause_mailings(sender, f"{recent} opt-outs within {minutes:g} minutes on {delivered} deliveries")

    # -- acting --------------------------------------------------------------------------------------------

    def _scope(self, watch: Watch) -> Scope:
        if watch.mailing:
            return Scope(sender=watch.sender, mailing=watch.mailing)
        return Scope(sender=watch.sender, provider="" if watch.place == OTHER else watch.place)

    def _pause(self, watch: Watch, what: str, told: str) -> None:
        self.trips[what] += 1
        self._suspend(self._scope(watch), told)

    def _pause_mailings(self, sender: str, told: str) -> None:
        """Those that are under way; a sender's single mails go on."""
        for scope in self._live(sender):
            self._suspend(scope, told)

    def _live(self, sender: str) -> set[Scope]:
        now = self._clock()
        watches = [one for one in self.known.watches.values() if one.sender == sender]
        return {self._scope(watch) for watch in watches if now - watch.touched < LIVE_SECONDS}

    def _is_paused(self, sender: str, place: str) -> bool:
        """Nothing that complaints there would pause goes on."""
        scopes = self._live(sender) if place == OTHER else {Scope(provider=place, sender=sender)}
        return all(self._standing(scope) for scope in scopes)

    def _suspend(self, scope: Scope, told: str) -> None:
        try:
            self._steering.put(Order.SUSPEND, scope, None, told, by=GUARD)
        except TooManyDirectives:
            log.error("guard cannot suspend %s: too many directives stand; resume some", scope)  # noqa: TRY400 - said
        self.known.is_changed = True

    def _standing(self, scope: Scope) -> Directive | None:
        standing = self._steering.directives.values()
        return next((one for one in standing if one.by == GUARD and one.scope == scope), None)

    def standing(self) -> list[Directive]:
        return [one for one in self._steering.directives.values() if one.by == GUARD]

    # -- canaries ------------------------------------------------------------------------------------------

    def _canary_of(self, batch: Batch, place: str, now: float) -> Canary | None:
        watch = self.known.watch(place, batch) if self._settings.canary else None
        if watch is None:
            return None
        canary = watch.canary
        if canary is None:
            canary = watch.canary = Canary(now)
        elif canary.passing is Passing.BAD and self._standing(self._scope(watch)) is None:
            canary.passing = Passing.GOOD  # resumed by an operator, who has looked
        if canary.passing is Passing.OPEN and watch not in self._drawing:
            self._drawing.add(watch)
            self._releases.put_nowait(watch)
        return canary

    # -- running -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        due = self._clock() + KEEP_SECONDS
        while True:
            wait = due - self._clock()
            try:
                async with asyncio.timeout(max(0.0, min(wait, DRAW_SECONDS) if self._drawing else wait)):
                    watch = await self._releases.get()
            except TimeoutError:
                await self._draw()
                if self._clock() >= due:
                    await self.tick()
                    due = self._clock() + KEEP_SECONDS
                continue
            if watch.canary is not None and watch.canary.passing is Passing.GOOD:
                await self._release(watch, 1.0)

    async def _draw(self) -> None:
        """Of canaries that nobody comes to any more, more are drawn until they are full."""
        now, size = self._clock(), self._settings.canary
        for watch in list(self._drawing):
            canary = watch.canary
            if canary is None or canary.passing is not Passing.OPEN or not self.known.has(watch):
                self._drawing.discard(watch)
            elif canary.falls_short(size, now):
                canary.widen(size, now)
                self.known.is_changed = True
                await self._release(watch, canary.share)

    async def _release(self, watch: Watch, share: float) -> None:
        """Of those who wait for the canary, who has a lot below the share is due now; below 1 all are. Who was tried
        before waits for its own time.
        """
        walker, canary = self._steering.walker, watch.canary
        if walker is None or canary is None or not canary.held:
            return
        held, now = set(canary.held), int(self._clock())
        if share >= 1.0:
            canary.held = set()
        lot = self._lots.lot

        def waits(lane: Lane, recipient: Recipient) -> bool:
            if recipient.attempts or self._place_of(lane.domain) != watch.place:
                return False
            return share >= 1.0 or lot(recipient.id) < share

        await walker.over(watch.sender, watch.mailing, waits, lambda one: self._put_back(one, now), held)

    async def tick(self) -> None:
        self.known.tick()
        if self.known.is_changed:
            self.known.is_changed = False
            try:
                await write_kept(self._file, self.known.kept())
            except OSError as error:
                # Only counts: what is paused stands among the directives.
                log.error("guards could not be written: %s; free disk space", error.strerror)  # noqa: TRY400 - said

    async def close(self) -> None:
        await self.tick()
