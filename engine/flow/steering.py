"""Suspend, bounce, reroute: what an operator or automation has ordered, in force at once and after a restart.

What is ready is taken back in the same moment; what waits in the spool stays there, its lanes parked; what is on the
wire ends by itself. A bounce walks through everything that waits. When an order ends, parked lanes go on, and who was
put back one by one is due again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path as Folder
from typing import Protocol

from engine.flow.directives import DirectiveFile
from engine.flow.outlets import Outlets
from engine.flow.path import Path
from engine.mail.envelope import Priority, Recipient
from engine.policy.directive import MOST_DIRECTIVES, Directive, Scope, Verb, youngest
from engine.policy.limits import Limits
from engine.policy.quiet import rest_until
from engine.policy.source import Pool, Source
from engine.spool.port import Lane

log = logging.getLogger(__name__)

HOLD_SECONDS = 6 * 3600
"""Who is put back for a suspension without end is looked at again after so long; a resume comes earlier."""
KEEP_SECONDS = 10.0
"""How often a warm-up's day is written down; a crash forgets what was used since."""
MOST_HELD = 100_000
OPERATOR = "operator"


class TooManyDirectives(Exception):  # noqa: N818 - an expected answer
    """Resume some first."""


class Hands(Protocol):
    """What steering does to recipients; conclude's."""

    def put_back(self, recipient: Recipient, due: int) -> None: ...

    def bounce_by_order(self, recipient: Recipient, reason: str, now: float) -> None: ...


class SomePaths(Protocol):
    def values(self) -> Iterable[Path]: ...


class Walker(Protocol):
    """Goes through what waits in the spool (flow/walk.py)."""

    async def over(
        self,
        sender: str,
        mailing: str,
        wanted: Callable[[Lane, Recipient], bool],
        act: Callable[[Recipient], None],
        batches: Iterable[int] | None = None,
    ) -> int: ...


class Steering:
    def __init__(
        self, file: DirectiveFile | None = None, outlets: Outlets | None = None, *, clock: Callable[[], float]
    ) -> None:
        """Raises DirectivesUnreadable."""
        self._file = file or DirectiveFile(None)
        self.outlets = outlets or Outlets()
        self._clock = clock
        kept = self._file.read()
        self._number = kept.number
        self.directives: dict[int, Directive] = {one.number: one for one in kept.directives}
        self.outlets.restore(kept.budgets)
        self.bounced = 0
        self._paths: SomePaths = {}
        self._hands: Hands | None = None
        self._walker: Walker | None = None
        self._facts: Callable[[str], Scope] = lambda domain: Scope(domain=domain)
        self.on_over: Callable[[str], None] = lambda _key: None
        """Unparks what waits for `directive N`."""
        self._held: dict[int, set[int]] = {}
        """Directive -> batches of whom somebody was put back for it; after a restart nobody knows, and all count."""
        self._walks: asyncio.Queue[Directive] = asyncio.Queue()
        self._began = clock()
        self._kept_at = 0.0
        self._kept_budgets = self.outlets.kept()
        self._written = tuple(self.directives)

    def bind(self, paths: SomePaths, hands: Hands, facts: Callable[[str], Scope], walker: Walker | None = None) -> None:
        """`facts`: a domain's provider and site."""
        self._paths, self._hands, self._facts, self._walker = paths, hands, facts, walker or self._walker
        for directive in self.directives.values():
            if directive.verb is Verb.BOUNCE:
                self._walks.put_nowait(directive)

    def use(self, walker: Walker) -> None:
        self._walker = walker

    @property
    def walker(self) -> Walker | None:
        return self._walker

    def adopt(self, outlets: Outlets) -> None:
        """Other sources and pools; what a day's warm-up has used stays used."""
        outlets.restore(self.outlets.kept())
        outlets.inherit(self.outlets)
        self.outlets = outlets

    # -- asking --------------------------------------------------------------------------------------------

    def find(self, verb: Verb, facts: Scope) -> Directive | None:
        return youngest(self.directives, verb, facts)

    def order(self, facts: Scope, *, of_senders: bool = True) -> Directive | None:
        """The youngest suspension or bounce that fits. `of_senders` False: only those for whole lanes."""
        for directive in reversed(self.directives.values()):
            if directive.verb is Verb.REROUTE:
                continue
            # A source's own is not the lane's: facts without a source do not fit it.
            if (of_senders or not directive.scope.is_of_senders) and directive.scope.covers(facts):
                return directive
        return None

    def blocking(self, facts: Scope) -> Directive | None:
        """The suspension of this source (named in the facts) at its site."""
        for directive in reversed(self.directives.values()):
            scope = directive.scope
            if directive.verb is Verb.SUSPEND and scope.source and not scope.is_of_senders and scope.covers(facts):
                return directive
        return None

    # -- ordering ------------------------------------------------------------------------------------------

    async def give(
        self, verb: Verb, scope: Scope, seconds: float | None, reason: str, *, by: str = OPERATOR, pool: str = "",
        to: str = "",
    ) -> Directive:  # fmt: skip
        """In force when it returns, and on disk. Raises TooManyDirectives and OSError (then it is not in force)."""
        before = list(self.directives.values())
        directive = self.put(verb, scope, seconds, reason, by=by, pool=pool, to=to)
        replaced = [one for one in before if one.number not in self.directives]
        try:
            await self._keep()
        except OSError:
            self._restore(replaced)
            self._end(directive)
            raise
        return directive

    def _restore(self, replaced: Sequence[Directive]) -> None:
        """What a new order had taken the place of stands again: it was acknowledged, and is on disk still."""
        self.directives |= {one.number: one for one in replaced}
        self.directives = dict(sorted(self.directives.items()))
        for one in replaced:
            self._apply(one.scope)

    def _apply(self, scope: Scope) -> None:
        """Takes back what is ready, and what is being made when it comes."""
        for path in list(self._paths.values()):
            if _concerns(scope, path):
                self.sift(path)
                path.recheck = partial(self.sift, path)

    def put(
        self, verb: Verb, scope: Scope, seconds: float | None, reason: str, *, by: str, pool: str = "", to: str = ""
    ) -> Directive:
        """In force at once; on disk with the next tick. An order for the same scope by the same hand is replaced."""
        now = self._clock()
        same = [one for one in self.directives.values() if (one.verb, one.scope, one.by) == (verb, scope, by)]
        if len(self.directives) - len(same) >= MOST_DIRECTIVES:
            raise TooManyDirectives
        self._number += 1
        until = None if seconds is None else now + seconds
        directive = Directive(self._number, verb, scope, now, until, reason, by, pool, to)
        self.directives[directive.number] = directive
        log.warning("%s %s by %s: %s", verb, scope, by, ascii(reason)[1:-1][:200])
        self._apply(scope)
        if verb is Verb.BOUNCE:
            self._walks.put_nowait(directive)
        for one in same:
            self._end(one)
        self._kept_at = 0.0
        return directive

    async def resume(self, wanted: Callable[[Directive], bool]) -> list[Directive]:
        """Ends what is wanted. Returns when it is on disk."""
        ended = [one for one in list(self.directives.values()) if wanted(one)]
        for directive in ended:
            self._end(directive)
        if ended:
            await self._keep()
        return ended

    def withdraw(self, wanted: Callable[[Directive], bool]) -> None:
        """As resume, for the engine's own: on disk with the next tick."""
        for directive in [one for one in self.directives.values() if wanted(one)]:
            self._end(directive)
            self._kept_at = 0.0

    def _end(self, directive: Directive) -> None:
        if self.directives.pop(directive.number, None) is None:
            return
        self.on_over(f"directive {directive.number}")
        if directive.verb is Verb.SUSPEND and (directive.scope.is_of_senders or directive.scope.source):
            self._walks.put_nowait(directive)

    # -- on recipients -------------------------------------------------------------------------------------

    def sift(self, path: Path) -> None:
        """Takes back from the path what orders concern, also made letters."""
        orders: dict[int, Directive] = {}
        place = Scope(provider=path.provider, site=path.route.site, source=path.source.name)

        def unwanted(recipient: Recipient) -> bool:
            order = self._of(path, place, recipient)
            if order is not None:
                orders[recipient.id] = order
            return order is not None

        now = self._clock()
        for recipient in path.recall(unwanted):
            self.carry_out(orders[recipient.id], recipient, now)

    def _of(self, path: Path, place: Scope, recipient: Recipient) -> Directive | None:
        batch = recipient.batch
        facts = Scope(recipient.domain, place.provider, place.site, place.source, batch.sender, batch.mailing)
        order = self.order(facts)
        if order is not None:
            return order
        reroute = self.find(Verb.REROUTE, facts)
        if reroute is None:
            return None
        sources = self.outlets.pools[reroute.pool].weights if reroute.pool in self.outlets.pools else (place.source,)
        is_there = place.source in sources and reroute.to in ("", path.route.site)
        return None if is_there else reroute

    def carry_out(self, directive: Directive, recipient: Recipient, now: float) -> None:
        """What the order says, for one recipient that is in memory and nowhere else."""
        assert self._hands is not None
        scope = directive.scope
        if directive.verb is Verb.BOUNCE:
            self.bounced += 1
            self._hands.bounce_by_order(recipient, directive.reason or "bounced by an operator", now)
        elif directive.verb is Verb.SUSPEND and (scope.is_of_senders or scope.source):
            until = now + HOLD_SECONDS if directive.until is None else min(directive.until, now + HOLD_SECONDS)
            held = self._held.setdefault(directive.number, set())
            if len(held) < MOST_HELD:
                held.add(recipient.batch.id)
            self._hands.put_back(recipient, int(until) + 1)
        else:
            # Its lane is parked before it is looked at again, or goes the other way.
            self._hands.put_back(recipient, int(now))

    # -- running -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ends what is over, each second, and walks through the spool for bounces and for what is due again."""
        while True:
            try:
                async with asyncio.timeout(1.0):
                    directive = await self._walks.get()
            except TimeoutError:
                await self.tick()
                continue
            await self._walk(directive)

    async def tick(self) -> None:
        now = self._clock()
        over = [one for one in self.directives.values() if one.is_over(now)]
        for directive in over:
            log.warning("%s %s is over", directive.verb, directive.scope)
            self._end(directive)
        self._begin_rests(now)
        if over or now - self._kept_at >= KEEP_SECONDS:
            await self._keep_if_changed(now)

    async def close(self) -> None:
        """What a warm-up's day has used since the last tick."""
        await self._keep_if_changed(self._clock())

    async def _keep_if_changed(self, now: float) -> None:
        budgets = self.outlets.kept()
        if budgets == self._kept_budgets and self._written == tuple(self.directives):
            self._kept_at = now
            return
        try:
            await self._keep()
        except OSError as error:
            # In force all the same, and tried again with a later tick: a full disk must not stop anybody's mail.
            log.error("directives could not be written: %s; free disk space", error.strerror)  # noqa: TRY400 - said

    async def _keep(self) -> None:
        self._kept_at = self._clock()
        numbers, budgets = tuple(self.directives), self.outlets.kept()
        kept = {name: {"day": one["day"], "used": dict(one["used"])} for name, one in budgets.items()}
        await self._file.write(self._number, list(self.directives.values()), kept)
        self._written, self._kept_budgets = numbers, kept

    def _begin_rests(self, now: float) -> None:
        """When quiet hours begin, bulk that is ready goes back: its letters would be as old as the night."""
        for path in self._paths.values():
            if path.limits.quiet_hours is None and not path.limits.spread_minute:
                continue
            if path.prepared or len(path.ready):
                for recipient in path.recall(partial(_rests, path.limits, now)):
                    self._put_back(recipient, int(now))

    def send_back(self, recipients: Iterable[Recipient]) -> None:
        """To the spool, due at once."""
        now = int(self._clock())
        for recipient in recipients:
            self._put_back(recipient, now)

    def _put_back(self, recipient: Recipient, due: int) -> None:
        assert self._hands is not None
        self._hands.put_back(recipient, due)

    async def _walk(self, directive: Directive) -> None:
        if self._walker is None:
            return
        scope, now = directive.scope, self._clock()

        def wanted(lane: Lane, recipient: Recipient) -> bool:
            at = self._facts(lane.domain)
            batch = recipient.batch
            facts = Scope(lane.domain, at.provider, at.site, scope.source, batch.sender, batch.mailing)
            return scope.covers(facts)

        if directive.verb is Verb.BOUNCE:
            reason = directive.reason or "bounced by an operator"

            def act(recipient: Recipient) -> None:
                assert self._hands is not None
                self.bounced += 1
                self._hands.bounce_by_order(recipient, reason, now)

            await self._walker.over(scope.sender, scope.mailing, wanted, act)
            if directive.until is None:
                self.withdraw(lambda one: one is directive)
            return
        # Parked since before this start: whom it held back nobody remembers, so that all of them are looked at.
        held = self._held.pop(directive.number, None if directive.at < self._began else set())
        await self._walker.over(scope.sender, scope.mailing, wanted, lambda one: self._put_back(one, int(now)), held)


class HasPools(Protocol):
    """A sender's settings, as far as they matter here."""

    @property
    def pool(self) -> str: ...

    @property
    def pool_transactional(self) -> str: ...


def open_steering(
    state: Folder,
    sources: Mapping[str, Source],
    pools: Mapping[str, Pool],
    senders: Mapping[str, HasPools],
    *,
    clock: Callable[[], float],
) -> Steering:
    """`state`: the folder of what a restart must not forget. Raises DirectivesUnreadable."""
    return Steering(DirectiveFile(state / "directives.json"), outlets_of(sources, pools, senders), clock=clock)


def outlets_of(sources: Mapping[str, Source], pools: Mapping[str, Pool], senders: Mapping[str, HasPools]) -> Outlets:
    return Outlets(sources, pools, {name: (sender.pool_transactional, sender.pool) for name, sender in senders.items()})


def _rests(limits: Limits, now: float, recipient: Recipient) -> bool:
    if recipient.batch.priority is Priority.TRANSACTIONAL:
        return False
    return rest_until(now, limits.quiet_hours, limits.spread_minute, recipient.domain) > 0.0


def _concerns(scope: Scope, path: Path) -> bool:
    return (
        scope.site in ("", path.route.site)
        and scope.source in ("", path.source.name)
        and scope.provider in ("", path.provider)
        and (not scope.domain or path.domain in ("", scope.domain))
    )
