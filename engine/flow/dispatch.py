"""Delivery: routes to paths, judges what came back, and hands the outcome to settle.

One Path per site; recipients enter by `push` and leave through settle. What a reply means is decided in
policy/outcome; this file only carries facts there and the ruling onwards.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from engine.flow.counts import Counts
from engine.flow.letters import Letter, Letters
from engine.flow.path import Path
from engine.flow.report import NO_WIRE, Wire, end_of, record_of, response_of, wire_of
from engine.flow.settle import RECORD_TYPES, Settle
from engine.mail.envelope import Recipient
from engine.net.connection import Connection
from engine.net.negotiate import Refused
from engine.net.resolver import Resolver, Route
from engine.policy.backoff import Ladder
from engine.policy.classify import Rules
from engine.policy.outcome import DELIVERED, Attempt, Kind, PathWord, Refusal, Ruling, rule, rule_connect
from engine.policy.shaping import Shaping
from engine.smtp.event import Phase
from engine.smtp.reply import Reply
from engine.spool.port import Outcome
from suppression import LedgerFailed, Suppression
from suppression.decision import Verdict

log = logging.getLogger(__name__)

OUTCOMES = {Kind.DELIVERED: Outcome.DELIVERED, Kind.BOUNCED: Outcome.BOUNCED, Kind.EXPIRED: Outcome.EXPIRED}
FIRST_PAUSE = 5.0
"""Seconds without a new try after the first failed connection; doubled for each further one."""
UNSIGNED_SECONDS = 600.0
HOLD_SECONDS = 3600
"""When a held recipient is looked at again."""
UNMAKE_AFTER = 60.0
"""Pauses longer than this give signed letters back to ready."""


class Opener(Protocol):
    """Opens one connection on a path: engine.net, with the daemon's TLS contexts and names."""

    def __call__(self, path: Path) -> Awaitable[Connection | Refused]: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are on the wire and in the journal."""

    node: str
    source: str
    """Name of the egress source."""


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
    ) -> None:
        self._identity = identity
        self._resolver = resolver
        self._shaping = shaping
        self._letters = letters
        self._settle = settle
        self._suppression = suppression
        self._rules = rules
        self._counts = counts
        self._opener = opener
        self._clock = clock
        self._draw = draw
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._ladders: dict[str, Ladder] = {}
        self._wires: WeakKeyDictionary[Connection, Wire] = WeakKeyDictionary()
        self.paths: dict[str, Path] = {}
        self.closing = False
        settle.on_closed = self._closed_meanwhile
        self.on_drained: Callable[[str], None] = lambda _site: None
        self.on_fault: Callable[[BaseException], None] = lambda _error: None

    # -- promote's side ------------------------------------------------------------------------------------

    def path_to(self, domain: str) -> Path | None:
        """The path that carries this domain's mail; None if nothing routes there."""
        route = self._resolver.route(domain)
        if route is None:
            return None
        path = self.paths.get(route.site)
        if path is None:
            path = self.paths[route.site] = self._new_path(route)
        return path

    def _new_path(self, route: Route) -> Path:
        """A path's limits are its site's: domains that share it share its connections."""
        limits = self._shaping.limits(route.site, "")
        return Path(route, limits, letters=self._letters, desk=self, clock=self._clock, loop=self._loop)

    def unroutable(self, recipient: Recipient, now: float) -> None:
        """No route names the domain: the operator may add one, so the recipient waits by the default ladder."""
        attempt = Attempt(Phase.CONNECT, Reply(451, "4.4.4", "local: no route for this domain"), "", *_ages(recipient))
        self._conclude(recipient, self._rule(attempt, now, self._ladder(None)), now, reply=attempt.reply, phase="ROUTE")

    # -- the paths' desk -----------------------------------------------------------------------------------

    def may_leave(self, recipient: Recipient, now: float) -> bool:
        batch = recipient.batch
        if batch.closed or recipient.cancelled:
            self.close_recipient(recipient, end_of(recipient), now)
            return False
        if now >= batch.expires:
            self.close_recipient(recipient, Outcome.EXPIRED, now)
            return False
        if recipient.epoch != self._suppression.epoch:
            return self._still_allowed(recipient, now)
        return True

    def _still_allowed(self, recipient: Recipient, now: float) -> bool:
        batch = recipient.batch
        epoch = self._suppression.epoch
        decision = self._suppression.decide_one(batch.sender, batch.topic, batch.category, recipient.who)
        self._counts.rechecked += 1
        if decision.verdict is Verdict.SEND:
            recipient.epoch, recipient.basis = epoch, decision.basis
            return True
        if decision.verdict is Verdict.HOLD:
            self._put_back(recipient, int(now) + HOLD_SECONDS)
        else:
            self.suppress(recipient, decision.reason, now)
        return False

    def suppress(self, recipient: Recipient, reason: str, now: float) -> None:
        """Settled as suppressed; but a ledger that failed says nothing about a person, it stops us."""
        if self._suppression.failure is not None:
            due = int(now + UNSIGNED_SECONDS)
            self._settle.deferred(recipient, due, counted=False, in_doubt=recipient.in_doubt, record=None)
            self.on_fault(LedgerFailed(self._suppression.failure))
            return
        recipient.epoch = self._suppression.epoch
        counts = self._counts.suppressed_by_reason
        counts[reason] = counts.get(reason, 0) + 1
        record = record_of("Suppressed", recipient, now, self._identity.node, reason=reason)
        self._settle.settled(recipient, Outcome.SUPPRESSED, record)

    def close_recipient(self, recipient: Recipient, outcome: Outcome, now: float) -> None:
        """Cancelled or expired without a further attempt."""
        record = record_of(RECORD_TYPES[outcome], recipient, now, self._identity.node)
        self._settle.settled(recipient, outcome, record)

    def started(self, recipient: Recipient, now: float) -> None:
        self._counts.attempts += 1
        if recipient.attempts == 0 and not recipient.in_doubt:
            batch = recipient.batch
            self._counts.first_attempt[batch.priority].observe(now - max(batch.accepted_at, batch.not_before))

    def finished(
        self, path: Path, connection: Connection, letter: Letter, phase: Phase, reply: Reply | None, error: str
    ) -> None:
        now = self._clock()
        recipient = letter.recipient
        ruling = self._rule(Attempt(phase, reply, error, *_ages(recipient)), now, self._ladder(path))
        if ruling is DELIVERED:
            self._delivered(path, connection, letter, reply, now)
            return
        self._heed(path, connection, ruling, now, session_lost=bool(error))
        self._conclude(
            recipient,
            ruling,
            now,
            reply=reply or Reply(0, "", error),
            phase=phase.name,
            path=path,
            letter=letter,
            connection=connection,
        )

    def _delivered(self, path: Path, connection: Connection, letter: Letter, reply: Reply | None, now: float) -> None:
        """What _heed and _conclude do, for the ruling that nearly all messages get."""
        recipient = letter.recipient
        size = len(letter.payload)
        self._counts.bytes_sent += size
        self._counts.resent_in_doubt += recipient.in_doubt
        path.counts.delivered += 1
        path.pool.window.success(len(path.pool.connections))
        record = record_of(
            "Delivery",
            recipient,
            now,
            self._identity.node,
            path.site,
            letter.envelope_from,
            response_of(reply, "DOT") if reply else None,
            self._wire_of(connection),
            self._identity.source,
            size=size,
        )
        self._settle.settled(recipient, Outcome.DELIVERED, record)

    def _wire_of(self, connection: Connection) -> Wire:
        """Made once per connection, for all its records."""
        wire = self._wires.get(connection)
        if wire is None:
            wire = self._wires[connection] = wire_of(connection.peer, connection.tls, connection.session_id)
        return wire

    def _heed(self, path: Path, connection: Connection, ruling: Ruling, now: float, *, session_lost: bool) -> None:
        """What the ruling says about session and path. A lost session is one failure, whoever was in it: the path
        counts it.
        """
        word = ruling.path
        if word is PathWord.SUCCESS:
            path.pool.window.success(len(path.pool.connections))
        elif word is PathWord.FAILURE:
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

    def _conclude(
        self,
        recipient: Recipient,
        ruling: Ruling,
        now: float,
        *,
        reply: Reply | None,
        phase: str,
        path: Path | None = None,
        letter: Letter | None = None,
        connection: Connection | None = None,
    ) -> None:
        bounce_class = "" if ruling.bounce_class is None else str(ruling.bounce_class)
        kind = ruling.kind
        outcome = OUTCOMES.get(kind)
        if outcome is None and (recipient.cancelled or recipient.batch.closed):
            # It was cancelled or expired while on the wire, and did not arrive: no further attempt.
            outcome = end_of(recipient)
        record = record_of(
            RECORD_TYPES[outcome] if outcome else "TransientFailure",
            recipient,
            now,
            self._identity.node,
            path.site if path else "",
            letter.envelope_from if letter else "",
            response_of(reply, phase) if reply else None,
            self._wire_of(connection) if connection else NO_WIRE,
            self._identity.source,
            size=len(letter.payload) if letter else 0,
            bounce_class=bounce_class,
            in_doubt=ruling.in_doubt,
        )
        counts = self._counts
        if bounce_class:
            counts.replies_by_class[bounce_class] = counts.replies_by_class.get(bounce_class, 0) + 1
        if ruling.in_doubt:
            counts.in_doubt += 1
        if outcome is Outcome.DELIVERED:
            counts.bytes_sent += record.size
            counts.resent_in_doubt += recipient.in_doubt
        if path is not None:
            path.counts.note(outcome)
        if outcome is not None:
            self._settle.settled(recipient, outcome, record)
        else:
            self._settle.deferred(
                recipient,
                ruling.due,
                counted=ruling.counted,
                in_doubt=ruling.in_doubt or recipient.in_doubt,
                record=record,
            )
        if ruling.suppress:
            self._settle.suppress_bounced(recipient, ruling.suppress)

    def unsigned(self, recipients: Sequence[Recipient], error: BaseException) -> None:
        """No letters could be made of them: no attempt, and another try later. A lost spool stops the daemon anyway."""
        log.error("%d recipients deferred, no letters could be made: %s", len(recipients), error)
        due = int(self._clock() + UNSIGNED_SECONDS)
        for recipient in recipients:
            self._put_back(recipient, due)

    def _put_back(self, recipient: Recipient, due: int) -> None:
        """Nothing was tried. Who was cancelled meanwhile does not wait for another time."""
        if recipient.cancelled or recipient.batch.closed is not None:
            self._closed_meanwhile(recipient)
        else:
            self._settle.deferred(recipient, due, counted=False, in_doubt=recipient.in_doubt, record=None)

    def _closed_meanwhile(self, recipient: Recipient) -> None:
        self.close_recipient(recipient, end_of(recipient), self._clock())

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
            result.attach(path)
            if self.closing:
                result.quit()
            else:
                result.kick()
                path.pump()
            return
        self._refused(path, result, now)

    def _refused(self, path: Path, refused: Refused, now: float) -> None:
        """SITE scope: the path rests, longer each time; after many failures in a row its recipients are deferred."""
        text = str(refused.reply) if refused.reply else refused.error
        ruling = self._rule_connect(path, refused, now, (0, now, int(now) + 1))
        pool = path.pool
        pool.refused(
            now, error=f"{refused.phase.name}: {text}"[:200], pause_seconds=ruling.pause_seconds or FIRST_PAUSE
        )
        path.bind = "connection"
        log.warning("site=%s no connection in %s: %s (%d in a row)", path.site, refused.phase.name, text, pool.failures)
        path.unmake()
        if pool.failures % path.limits.consecutive_connection_failures_before_delay == 0:
            for recipient in path.ready.take(len(path.ready)):
                own = self._rule_connect(path, refused, now, _ages(recipient))
                reply = refused.reply or Reply(0, "", refused.error)
                self._conclude(recipient, own, now, reply=reply, phase=refused.phase.name, path=path)
            self.on_drained(path.site)
        path.pump()

    def _rule_connect(self, path: Path, refused: Refused, now: float, ages: tuple[int, float, int]) -> Ruling:
        refusal = Refusal(refused.phase, refused.reply, refused.error, refused.tls_failed, *ages)
        return rule_connect(refusal, now=now, u=self._draw(), ladder=self._ladder(path), rules=self._rules)

    # -- helpers of judgement ------------------------------------------------------------------------------

    def _rule(self, attempt: Attempt, now: float, ladder: Ladder) -> Ruling:
        return rule(attempt, now=now, u=self._draw(), ladder=ladder, rules=self._rules)

    def _ladder(self, path: Path | None) -> Ladder:
        site = path.site if path else ""
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
        now = self._loop.time()
        for path in self.paths.values():
            for connection in path.pool.idle():
                if connection.idle_since is not None and now - connection.idle_since >= path.limits.idle_timeout:
                    connection.quit()
            path.hurry()

    async def close(self, seconds: float) -> None:
        """No new work; transactions on the wire finish. What takes longer than `seconds` is cut off: its fate is
        then unknown and says so.
        """
        self.closing = True
        for path in self.paths.values():
            path.close()
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
            self._put_back(recipient, due)


def _ages(recipient: Recipient) -> tuple[int, float, int]:
    return recipient.attempts, recipient.batch.accepted_at, recipient.batch.expires
