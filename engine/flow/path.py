"""One path: what is ready for one site from one source, the letters being made, the connections that carry them.

All decisions are synchronous and event-driven: a path that cannot go now runs nothing and is not looked at until
its one timer fires or something changes. `pump` is that look: open connections, make letters, wake idle ones.
Limits are asked in the last moment, in `next_transaction`, and so is suppression when its epoch has moved.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from engine.flow.counts import PathCounts
from engine.flow.letters import SHEET, Letter, Letters
from engine.mail.envelope import Priority, Recipient
from engine.net.connection import Connection
from engine.net.pool import Pool
from engine.net.resolver import Route
from engine.policy.brake import Brake, normal_of, rate_of
from engine.policy.provider import Share
from engine.policy.shaping import Limits
from engine.policy.source import DEFAULT, Source
from engine.policy.throttle import Throttle
from engine.queue.ready import Ready
from engine.smtp.event import Closed, Phase, Transaction
from engine.smtp.reply import Reply

ONLY_SOURCE = Source(DEFAULT)
LETTERS_PER_CONNECTION = 8
"""Made ahead, so that the next message is there when a dot's reply comes."""
SOUR_AFTER = 50
"""Deferrals in a row after which a site is only tried slowly: a signature and a transaction each are lost on it."""
LETTERS_TO_WAKE = 4
"""Bulk letters that are worth waking an idle connection: a busy one carries the next behind its dot, one write and
one read a message instead of two. Where round trips are long, letters pile up and wake all.
"""


class Desk(Protocol):
    """What a path asks of dispatch: judgement and bookkeeping."""

    def may_leave(self, recipient: Recipient, now: float) -> bool:
        """Cancelled, expired, or suppressed since it was promoted: settled, and False."""
        ...

    def started(self, recipient: Recipient, now: float) -> None: ...

    def finished(
        self, path: Path, connection: Connection, letter: Letter, phase: Phase, reply: Reply | None, error: str
    ) -> None:
        """An attempt ended; `reply` None if the wire broke."""
        ...

    def unsigned(self, recipients: Sequence[Recipient], error: BaseException) -> None:
        """Their letters could not be made."""
        ...

    def open(self, path: Path) -> None: ...

    def drained(self, path: Path) -> None:
        """Ready has room again."""
        ...


class Path:
    """Implements the connection's owner."""

    def __init__(
        self,
        route: Route,
        limits: Limits,
        *,
        name: str = "",
        letters: Letters,
        desk: Desk,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        source: Source = ONLY_SOURCE,
        provider: str = "",
        domain: str = "",
        share: Share | None = None,
    ) -> None:
        self.route = route
        self.source = source
        self.egress = "" if source.name == DEFAULT else source.name
        self.provider = provider
        self.domain = domain
        self.brake = Brake(normal_of(limits))
        self.name = self.site = name or route.site
        """The site's name, with the domain's behind it for a path of its own."""
        self.limits = limits
        self.ready = Ready(limits.max_ready)
        self.pool = Pool(limits, share)
        self.counts = PathCounts()
        self.closing = False
        self.in_flight = 0
        """Taken from ready and not yet handed to settle."""
        self.bind = ""
        self.throttle = Throttle(limits.max_message_rate) if limits.max_message_rate else None
        self.sour_throttle = Throttle(limits.deferring_message_rate) if limits.deferring_message_rate else None
        self.share = share
        self.deliveries = limits.max_deliveries_per_connection
        self.recheck: Callable[[], None] | None = None  # when letters that an order concerns come back
        self._letters = letters
        self._desk = desk
        self._clock = clock
        self._loop = loop
        self._prepared: tuple[deque[Letter], deque[Letter]] = (deque(), deque())
        self._preparing = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._begun = 0
        self._starved = False
        self._hungry: set[Priority] = set()

    @property
    def prepared(self) -> int:
        return len(self._prepared[0]) + len(self._prepared[1])

    @property
    def is_quiet(self) -> bool:
        """Nothing on the wire, nothing at the signer: once closed, it stays so."""
        return not self.pool.connections and not self._preparing

    @property
    def is_empty(self) -> bool:
        """Quiet, and nobody waits here."""
        waiting = self.ready or self.prepared or self.in_flight or self._hungry
        return self.is_quiet and not self.pool.opening and not waiting

    def knows_nothing(self, now: float) -> bool:
        """An empty path that may be forgotten: a new one would do the same."""
        return (
            self.is_empty
            and not self.brake.changes
            and self.pool.knows_nothing(now)
            and all(t is None or t.is_full(now) for t in (self.throttle, self.sour_throttle))
        )

    # -- filling -------------------------------------------------------------------------------------------

    def push(self, recipients: Iterable[Recipient]) -> None:
        self.ready.push(recipients)
        self.pump()

    def want_more(self, priority: Priority) -> None:
        """Promote left recipients in the spool because ready is full: tell it when there is room."""
        self._hungry.add(priority)

    def hurry(self) -> None:
        """Called each second: what waits behind sessions that have begun nothing since gets one more connection. A
        receiver may be silent for ten minutes behind a dot.
        """
        self.counts.tick()
        if self.brake.changes and self.brake.expire(self._clock()):
            self.rein()
        begun = sum(connection.transactions for connection in self.pool.connections)
        stuck = begun == self._begun and not self.pool.opening and not self.pool.idle()
        self._begun = begun
        if stuck and self.pool.connections:
            self.pump(stuck=True)

    def pump(self, *, stuck: bool = False) -> None:
        if self.closing:
            return
        now = self._clock()
        waiting = len(self.ready) + self._preparing + self.prepared
        if not waiting:
            return
        count, wait = self.pool.assign(now, waiting, stuck=stuck)
        for _ in range(count):
            self._desk.open(self)
        self.pool.wait_for_share(self.pump)
        if wait > 0.0:
            self._call_at(now + wait)
        if now < self.pool.paused_until:
            return
        self._prepare()
        if self.prepared:
            self._wake_connections()

    def _wake_connections(self) -> None:
        idle = self.pool.idle()
        urgent, bulk = self._prepared
        wanted = len(urgent) + -(-len(bulk) // LETTERS_TO_WAKE)
        if len(idle) == len(self.pool.connections):
            wanted = max(wanted, 1)
        for connection in idle[:wanted]:
            connection.kick()

    def _prepare(self) -> None:
        """Makes letters ahead of the connections, in sheets; never for a path that has no connection coming, and where
        the last try failed not before it has one.
        """
        lines = len(self.pool.connections) + (0 if self.pool.failures else self.pool.opening)
        target = lines * LETTERS_PER_CONNECTION
        if self.sour_throttle and self.counts.deferred_in_a_row >= SOUR_AFTER:
            target = min(target, LETTERS_PER_CONNECTION)
        while self.ready and lines:
            wanted = target - self._preparing - self.prepared
            urgent, bulk = self.ready.queues
            # A transactional mail does not queue behind the letters already made for bulk.
            wanted = max(wanted, len(urgent))
            if wanted < 1 or (not urgent and not self._room()):
                return
            fuller = min(SHEET, target, 2 * len(self.ready)) // 2
            if not urgent and wanted < fuller and self._preparing + self.prepared:
                return  # wait for a fuller sheet
            taken = self.ready.take(min(wanted, SHEET, len(urgent or bulk)))
            self.in_flight += len(taken)
            now = self._clock()
            sheet = [recipient for recipient in taken if self._desk.may_leave(recipient, now)]
            self.in_flight -= len(taken) - len(sheet)
            if sheet:
                self._preparing += len(sheet)
                self._letters.write(sheet, self._signed, self._unsigned)
            self.feed()

    def _room(self) -> bool:
        if self._starved:
            return False
        self._starved = not self._letters.room(self._fed)
        return not self._starved

    def _fed(self) -> None:
        self._starved = False
        self.pump()

    def feed(self) -> None:
        """Asks for more where there is room: transactional mail does not wait until the bulk queue is shorter."""
        if self._hungry and any(len(self.ready.queues[p]) <= self.limits.max_ready // 2 for p in self._hungry):
            self._hungry.clear()
            self._desk.drained(self)

    def _signed(self, letters: list[Letter]) -> None:
        self._preparing -= len(letters)
        for letter in letters:
            self._prepared[letter.recipient.batch.priority].append(letter)
        if self._clock() < self.pool.paused_until:
            self.unmake()
        if self.recheck is not None:
            self.recheck()
            self.recheck = self.recheck if self._preparing else None
        self.pump()

    def _unsigned(self, recipients: Sequence[Recipient], error: BaseException) -> None:
        self._preparing -= len(recipients)
        self.in_flight -= len(recipients)
        self._desk.unsigned(recipients, error)

    # -- the connection's owner ----------------------------------------------------------------------------

    def next_transaction(self, connection: Connection) -> Transaction | None:
        now = self._clock()
        if self.closing or now < self.pool.paused_until:
            return None
        if connection.transactions >= self.deliveries:
            connection.quit()
            return None
        while letter := self._next_letter():
            if not self._desk.may_leave(letter.recipient, now):
                self.in_flight -= 1
                continue
            if now >= letter.good_until or letter.strip is not bool(letter.recipient.strip):
                # The day noted for it is over, or it was decided otherwise since, with or without the advertisement:
                # it is noted, and made, again.
                self.in_flight -= 1
                self.ready.put_back([letter.recipient])
                continue
            wait = self._wait(now)
            if wait > 0.0:
                self._prepared[letter.recipient.batch.priority].appendleft(letter)
                self.counts.throttled += 1
                self._call_at(now + wait)
                return None
            self.bind, letter.begun = "", now
            self._desk.started(letter.recipient, now)
            ahead = self._preparing + self.prepared
            if not self._starved and 2 * ahead < LETTERS_PER_CONNECTION * len(self.pool.connections):
                self._prepare()
            return Transaction(
                letter.envelope_from, letter.recipient.address, letter.payload, letter.eightbit, letter.utf8, letter
            )
        if self.ready:
            self._prepare()
        return None

    def _wait(self, now: float) -> float:
        """Seconds that a limit asks for before the next transaction; 0.0 when it may begin, and then it counts."""
        shared = self.share.throttle if self.share else None
        if shared and (wait := shared.peek(now)) > 0.0:
            self.bind = "provider_max_message_rate"
            return wait
        if self.sour_throttle and self.counts.deferred_in_a_row >= SOUR_AFTER:
            wait, name = self.sour_throttle.take(now), "deferring_message_rate"
        else:
            wait, name = self.throttle.take(now) if self.throttle else 0.0, "max_message_rate"
        if wait > 0.0:
            self.bind = name
        elif shared:
            shared.take(now)
        return wait

    def rein(self) -> None:
        """The brake's limits in place of the path's own."""
        brake = self.brake
        self.pool.cap = int(brake.value("connection_limit"))
        self.deliveries = int(brake.value("max_deliveries_per_connection"))
        rate = rate_of(brake.value("max_message_rate")) if brake.changes else self.limits.max_message_rate
        if rate != (self.throttle.rate if self.throttle else None):
            self.throttle = Throttle(rate) if rate else None
        for connection in list(self.pool.connections)[self.pool.cap :]:
            connection.quit()
        self.pump()

    def _next_letter(self) -> Letter | None:
        urgent, bulk = self._prepared
        if urgent:
            return urgent.popleft()
        return bulk.popleft() if bulk else None

    def finished(self, connection: Connection, transaction: Transaction, phase: Phase, reply: Reply) -> None:
        letter = transaction.context
        assert isinstance(letter, Letter)
        self.in_flight -= 1
        self._desk.finished(self, connection, letter, phase, reply, "")

    def returned(self, connection: Connection, transaction: Transaction) -> None:  # noqa: ARG002 - the owner's face
        letter = transaction.context
        assert isinstance(letter, Letter)
        self.in_flight -= 1
        self.ready.put_back([letter.recipient])

    def closed(self, connection: Connection, event: Closed) -> None:
        """The first unresolved transaction was the one that the session died in; those in DOT may have arrived;
        what was only queued behind goes back to the front, no attempt counted, and so does one whose server had
        closed the kept connection before it heard of it.
        """
        self.pool.lost(connection)
        back: list[Recipient] = []
        for number, (transaction, phase) in enumerate(event.unresolved):
            letter = transaction.context
            assert isinstance(letter, Letter)
            self.in_flight -= 1
            reused = phase is Phase.MAIL and event.reply is None and connection.transactions > 1
            if phase is Phase.DOT or (number == 0 and not reused):
                reply = event.reply if number == 0 else None
                self._desk.finished(self, connection, letter, phase, reply, event.error)
            else:
                back.append(letter.recipient)
        self.ready.put_back(back)
        if event.unresolved and event.reply is None:
            self.pool.window.failure()
        self._loop.call_soon(self.pump)

    # -- stopping and cancelling ---------------------------------------------------------------------------

    def recall(self, unwanted: Callable[[Recipient], bool]) -> list[Recipient]:
        """Takes out of ready and of the made letters what must not go; what is on the wire ends by itself."""
        removed = self.ready.remove(unwanted)
        for queue in self._prepared:
            out = [letter for letter in queue if unwanted(letter.recipient)]
            kept = [letter for letter in queue if not unwanted(letter.recipient)] if out else ()
            if out:
                queue.clear()
                queue.extend(kept)
                self.in_flight -= len(out)
                removed += [letter.recipient for letter in out]
        self.feed()
        return removed

    def close(self) -> None:
        """No new transaction; open ones finish, then QUIT. What is ready stays in the spool."""
        self.closing = True
        if self._timer:
            self._timer.cancel()
        for connection in list(self.pool.connections):
            connection.quit()

    def unmake(self) -> None:
        """A paused path keeps no letters: their Date and signature would grow old."""
        for queue in self._prepared:
            self.in_flight -= len(queue)
            self.ready.put_back(letter.recipient for letter in queue)
            queue.clear()

    def _call_at(self, when: float) -> None:
        if self._timer and self._timer_at <= when:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_later(max(0.001, when - self._clock()), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.bind = ""
        self.pump()
