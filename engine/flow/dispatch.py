"""Delivery: routes to paths, opens their connections, has replies judged, and passes the ruling on.

One Path per source and site (ways.py). What a reply means is decided in policy/outcome; what becomes of the recipient
in conclude.py; this file carries the facts from one to the other and tells session and path their part of the ruling.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Protocol

from engine.flow.braking import Braking
from engine.flow.conclude import Conclude, Identity
from engine.flow.counts import Counts
from engine.flow.effect import OptOutEffect
from engine.flow.guarding import Guarding
from engine.flow.letters import Letter, Letters
from engine.flow.lookups import MOST, Lookups
from engine.flow.outlets import Outlets
from engine.flow.path import Path
from engine.flow.settle import Settle
from engine.flow.steering import Steering
from engine.flow.ways import Place, Ways
from engine.mail.envelope import Recipient
from engine.net.connection import Connection
from engine.net.negotiate import Refused
from engine.net.resolver import ResolveFailure, Resolver, Route
from engine.policy.automation import Automation
from engine.policy.backoff import Ladder
from engine.policy.classify import Rules
from engine.policy.fingerprint import Unclassified
from engine.policy.outcome import Attempt, PathWord, Refusal, Ruling, is_delivery, rule, rule_connect
from engine.policy.provider import Share
from engine.policy.shaping import Limits, Shaping
from engine.policy.source import Source
from engine.smtp.event import Phase
from engine.smtp.reply import Reply
from suppression import Suppression

log = logging.getLogger(__name__)

FIRST_PAUSE = 5.0
"""Seconds without a new try after the first failed connection; doubled for each further one."""
UNSIGNED_SECONDS = 600.0
UNMAKE_AFTER = 5.0
"""Pauses longer than this give signed letters back to ready."""
FIRST_DNS_WAIT = 60.0
"""Seconds after the first look-up that failed; doubled for each further one, up to what the ladder says."""
CROWDED_IDLE_SECONDS = 1.0
"""Connections without work are kept so long while other sites wait for a path."""


class Missing(Enum):
    """Why a domain has no path now."""

    ROUTE = "not known yet"
    ROOM = "too many paths"


class Opener(Protocol):
    """Opens one connection on a path: engine.net, with the engine's TLS contexts and names."""

    def __call__(self, path: Path) -> Awaitable[Connection | Refused]: ...


class Dispatch:
    """Implements the paths' Desk."""

    def __init__(
        self,
        *,
        identity: Identity,
        resolver: Resolver,
        shaping: Shaping,
        letters: Letters,
        settle: Settle,
        suppression: Suppression,
        rules: Rules,
        counts: Counts,
        opener: Opener,
        clock: Callable[[], float],
        draw: Callable[[], float] = random.random,
        lookups: int = MOST,
        outlets: Outlets | None = None,
        steering: Steering | None = None,
    ) -> None:
        self._shaping = shaping
        self._letters = letters
        self._settle = settle
        self._rules = rules
        self._counts = counts
        self._opener = opener
        self._clock = clock
        self._draw = draw
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._ladders: dict[str, Ladder] = {}
        self.lookups = Lookups(resolver.look_up, most=lookups)
        self.lookups.on_fault = self._fault
        self.closing = False
        self.effect = OptOutEffect(suppression, self._on_wire)
        self.unclassified = Unclassified()
        self._conclude = Conclude(
            identity=identity, settle=settle, suppression=suppression, counts=counts, clock=clock, fault=self._fault
        )
        # The desk's other half: the paths call it directly.
        self.may_leave = self._conclude.may_leave
        self.has_variant = self._conclude.has_variant
        self.suppress = self._conclude.suppress
        self.put_back = self._conclude.put_back
        self.close_recipient = self._conclude.close_recipient
        steering = steering or Steering(clock=clock, outlets=outlets)
        self.steering = steering
        self.ways = Ways(
            resolver=resolver, shaping=shaping, outlets=steering.outlets, steering=steering, make=self._make_path,
            put_back=self._conclude.put_back,
        )  # fmt: skip
        self.paths = self.ways.paths
        self.ways.on_forgotten = self._forget_ladder
        steering.bind(self.paths, self._conclude, self.ways.facts)
        self.braking = Braking(Automation(shaping.automation), steering, clock)
        self.guard: Guarding | None = None
        self.on_drained: Callable[[str], None] = lambda _site: None
        self.on_room: Callable[[int], int] = lambda _room: 0
        """Paths may be made again, so many; how many wait for one still."""
        self.on_fault: Callable[[BaseException], None] = lambda _error: None

    def use(
        self, shaping: Shaping, resolver: Resolver, outlets: Outlets, routes: Iterable[Route], lookups: int = MOST,
        mx_port: int | None = None,
    ) -> None:  # fmt: skip
        """Another configuration, from now on."""
        self._shaping = shaping
        self._ladders.clear()
        self.lookups.use(resolver.look_up, lookups)
        if self.braking.automation.rules != shaping.automation:
            self.braking.automation = Automation(shaping.automation)
        self.steering.adopt(outlets)
        self.ways.use(resolver, shaping, outlets, routes, mx_port)

    # -- promote's side ------------------------------------------------------------------------------------

    def _forget_ladder(self, name: str) -> None:
        self._ladders.pop(name, None)

    def _make_path(self, place: Place, limits: Limits, source: Source, share: Share | None) -> Path:
        path = Path(
            place.route, limits, name=place.name, letters=self._letters, desk=self, clock=self._clock, loop=self._loop,
            source=source, provider=place.provider, domain=place.domain, share=share,
        )  # fmt: skip
        path.closing = self.closing
        return path

    def unroutable(self, recipient: Recipient, failure: ResolveFailure, now: float) -> None:
        """Nobody takes mail there, for good: it bounces. Or no route names the domain: the operator may add one, so
        the recipient waits by the default ladder.
        """
        reply = Reply(failure.code, failure.status, f"local: {failure.text}")
        refusal = Refusal(Phase.CONNECT, reply, "", False, *_ages(recipient), final=failure.final)
        ruling = rule_connect(refusal, now=now, u=self._draw(), ladder=self._ladder(None), rules=self._rules)
        self._conclude.attempt(recipient, ruling, now, reply=reply, phase="ROUTE")

    def retry_at(self, domain: str, failure: ResolveFailure) -> int:
        """When a domain that DNS does not tell about is looked at again, with all that wait for it: by the ladder, but
        sooner at first, since the question costs nobody a thing.
        """
        own = self._shaping.is_own(domain)
        ladder = self._shaping.limits("", domain).ladder() if own else self._ladder(None)
        soon = FIRST_DNS_WAIT * 2.0 ** min(failure.in_a_row - 1, 16)
        return int(self._clock() + min(soon, ladder.delay(failure.in_a_row - 1, self._draw()))) + 1

    # -- the paths' desk -----------------------------------------------------------------------------------

    def started(self, recipient: Recipient, now: float) -> None:
        self._counts.attempts += 1
        if self.effect.recent:
            self.effect.started(recipient, now)
        if recipient.attempts == 0 and not recipient.in_doubt:
            batch = recipient.batch
            self._counts.first_attempt[batch.priority].observe(now - max(batch.accepted_at, batch.not_before))

    def finished(
        self, path: Path, connection: Connection, letter: Letter, phase: Phase, reply: Reply | None, error: str
    ) -> None:
        now = self._clock()
        recipient = letter.recipient
        if self.effect.pending:
            self.effect.finished(recipient, now)
        if reply is not None:
            self._counts.transaction.observe(now - letter.begun)
        if is_delivery(phase, reply, error):  # as rule() would say, without its facts: nearly all end here
            self._conclude.delivered(path, connection, letter, reply, now)
            if self.guard is not None:
                self.guard.delivered(path, recipient)
            return
        attempt = Attempt(phase, reply, error, *_ages(recipient), path.provider)
        ruling = self._rule(attempt, now, self._ladder(path))
        self._heed(path, connection, ruling, now, session_lost=bool(error))
        if reply is not None:
            self.braking.observe(path, recipient, reply)
            if ruling.suspend_sender:
                self.braking.suspend_sender(path, recipient, reply, ruling)
            if not ruling.rule:
                self.unclassified.note(phase.name, path.provider, reply)
        self._conclude.attempt(
            recipient,
            ruling,
            now,
            reply=reply or Reply(0, "", error),
            phase=phase.name,
            path=path,
            letter=letter,
            connection=connection,
        )
        if self.guard is not None and reply is not None:
            self.guard.refused(path, recipient, ruling, phase)

    def _heed(self, path: Path, connection: Connection, ruling: Ruling, now: float, *, session_lost: bool) -> None:
        """What the ruling says about session and path. A lost session is one failure, whoever was in it: the path
        counts it.
        """
        word = ruling.path
        if word is PathWord.FAILURE:
            if not session_lost:
                path.pool.window.failure()
        elif word is PathWord.SLOWER:
            path.pool.window.slower()
        elif word is PathWord.PAUSE:
            path.pool.pause(now, ruling.pause_seconds)
            path.bind = "pause"
            if ruling.pause_seconds > UNMAKE_AFTER:
                self._loop.call_soon(path.unmake)
            self._loop.call_soon(path.pump)
        if ruling.close_session:
            connection.quit()

    def unsigned(self, recipients: Sequence[Recipient], error: BaseException) -> None:
        """No letters could be made of them: no attempt, and another try later. A lost spool stops the daemon anyway."""
        log.error("%d recipients deferred, no letters could be made: %s", len(recipients), error)
        due = int(self._clock() + UNSIGNED_SECONDS)
        for recipient in recipients:
            self._conclude.put_back(recipient, due)

    def _fault(self, error: BaseException) -> None:
        self.on_fault(error)

    def drained(self, path: Path) -> None:
        self.on_drained(path.site)

    def open(self, path: Path) -> None:
        opening = self._loop.create_task(self._open(path))
        self._opening.add(opening)
        opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and (error := opening.exception()):
            self.on_fault(error)

    async def _open(self, path: Path) -> None:
        result = await self._opener(path)
        now = self._clock()
        if isinstance(result, Connection):
            path.pool.opened(result)
            self._counts.connections_opened += 1
            result.attach(path)
            if self.closing:
                result.quit()
            else:
                result.kick()
                path.pump()
            return
        self._refused(path, result, now)

    def _refused(self, path: Path, refused: Refused, now: float) -> None:
        """SITE scope: the path rests, longer each time; after many failures in a row its recipients are deferred, and
        at once where a policy of TLS keeps their mail back: only its owner can mend it, and each mail is to say why.
        """
        self._counts.connections_refused += 1
        text = str(refused.reply) if refused.reply else refused.error
        ruling = self._rule_connect(path, refused, now, (0, now, int(now) + 1))
        pool = path.pool
        pool.refused(
            now, error=f"{refused.phase.name}: {text}"[:200], pause_seconds=ruling.pause_seconds or FIRST_PAUSE
        )
        path.bind = "connection"
        self._counts.remarks.note(path.site, refused.phase.name, text, now)
        if refused.reply is not None:
            self.braking.observe(path, None, refused.reply)
            if not ruling.rule:
                self.unclassified.note(refused.phase.name, path.provider, refused.reply)
        log.warning("site=%s no connection in %s: %s (%d in a row)", path.site, refused.phase.name, text, pool.failures)
        path.unmake()
        is_many = pool.failures % path.limits.consecutive_connection_failures_before_delay == 0
        if is_many or refused.tls_failed:
            for recipient in path.ready.take(len(path.ready)):
                own = self._rule_connect(path, refused, now, _ages(recipient))
                reply = refused.reply or Reply(0, "", refused.error)
                self._conclude.attempt(recipient, own, now, reply=reply, phase=refused.phase.name, path=path)
            self.on_drained(path.site)
        path.pump()

    def _rule_connect(self, path: Path, refused: Refused, now: float, ages: tuple[int, float, int]) -> Ruling:
        refusal = Refusal(
            refused.phase, refused.reply, refused.error, refused.tls_failed, *ages, provider=path.provider
        )
        return rule_connect(refusal, now=now, u=self._draw(), ladder=self._ladder(path), rules=self._rules)

    def _on_wire(self) -> Iterator[Recipient]:
        for path in self.paths.values():
            for connection in path.pool.connections:
                for transaction in connection.open_transactions:
                    letter = transaction.context
                    assert isinstance(letter, Letter)
                    yield letter.recipient

    # -- judgement -----------------------------------------------------------------------------------------

    def _rule(self, attempt: Attempt, now: float, ladder: Ladder) -> Ruling:
        return rule(attempt, now=now, u=self._draw(), ladder=ladder, rules=self._rules)

    def _ladder(self, path: Path | None) -> Ladder:
        site = path.name if path else ""
        ladder = self._ladders.get(site)
        if ladder is None:
            limits = path.limits if path else self._shaping.default
            ladder = self._ladders[site] = limits.ladder()
        return ladder

    # -- cancelling, stopping, looking ---------------------------------------------------------------------

    def recall_closed(self, now: float) -> int:
        """Settles what is in memory, not on the wire, and was cancelled or has expired."""
        count = 0
        for path in self.paths.values():
            for recipient in path.recall(lambda r: r.cancelled or r.batch.closed is not None):
                self.may_leave(recipient, now)
                count += 1
        return count

    def tidy(self) -> None:
        """Each second. Ends connections that had nothing to do for their path's idle_timeout."""
        now, clock, seen = self._loop.time(), self._clock(), self.paths.traffic.survey()
        crowded = bool(self.on_room(self.paths.room))
        for path in self.paths.busy:
            patience = min(path.limits.idle_timeout, CROWDED_IDLE_SECONDS if crowded else math.inf)
            for connection in path.pool.idle():
                if connection.idle_since is not None and now - connection.idle_since >= patience:
                    connection.quit()
            path.hurry()
            seen.add(path, clock)
        self.paths.traffic.saw(seen)
        for name in self.paths.tidy(clock):
            self._ladders.pop(name, None)

    def halt(self) -> None:
        """No transaction begins from here on, whoever has letters or connections ready. After a fault this is all: what
        would leave now could not be written down, and would be sent again.
        """
        self.closing = True
        self.lookups.close()
        for path in self.paths.values():
            path.close()

    async def close(self, seconds: float) -> None:
        """No new work; transactions on the wire finish. What takes longer than `seconds` is cut off: its fate is
        then unknown and says so.
        """
        self.halt()
        deadline = self._loop.time() + seconds
        while not all(path.is_quiet for path in self.paths.values()) and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        for opening in self._opening:
            opening.cancel()
        for path in self.paths.values():
            for connection in list(path.pool.connections):
                connection.abort("stopping")
            path.unmake()
            self._give_back(path)

    def _give_back(self, path: Path) -> None:
        """What was ready is due again at once; its intent ends, so that the next start has no doubt about it."""
        due = int(self._clock())
        for recipient in path.ready.take(len(path.ready)):
            self._conclude.put_back(recipient, due)


def _ages(recipient: Recipient) -> tuple[int, float, int]:
    return recipient.attempts, recipient.batch.accepted_at, recipient.batch.expires
