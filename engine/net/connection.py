"""One session on one socket: asyncio.Protocol around smtp.session (which holds the dialogue), with timers.

Bytes in, bytes out, nothing decided: the owner (flow) is asked for the next transaction and told every outcome.
In steady state one read leads to one write. The timeouts of RFC 5321 4.5.3.2 are kept by a deadline and a single
timer that is re-armed only when it must ring earlier; a reply that drips in byte by byte does not move the deadline.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from engine.net.trace import Note, note_out, text_of
from engine.smtp.event import Closed, Event, Finished, Phase, Returned, Transaction
from engine.smtp.extensions import Extensions
from engine.smtp.reply import Reply
from engine.smtp.session import Session


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, one per phase and in the order of Phase, which indexes them."""

    connect: float = Phase.CONNECT.timeout
    banner: float = Phase.GREETING.timeout
    ehlo: float = Phase.EHLO.timeout
    starttls: float = Phase.STARTTLS.timeout
    auth: float = Phase.AUTH.timeout
    mail_from: float = Phase.MAIL.timeout
    rcpt_to: float = Phase.RCPT.timeout
    data: float = Phase.DATA.timeout
    data_dot: float = Phase.DOT.timeout
    rset: float = Phase.RSET.timeout
    quit: float = Phase.QUIT.timeout

    def by_phase(self) -> tuple[float, ...]:
        return _in_order(self)


_in_order: Callable[[Timeouts], tuple[float, ...]] = attrgetter(*(field.name for field in dataclasses.fields(Timeouts)))
"""astuple() would copy each number as if it might be anything: 60 us a connection."""


class Owner(Protocol):
    """Who lends the connection out. Every call is made on the event loop and must not block."""

    def next_transaction(self, connection: Connection) -> Transaction | None:
        """What to send now; None: nothing, kick() will be called. May call quit() and abort()."""
        ...

    def finished(self, connection: Connection, transaction: Transaction, phase: Phase, reply: Reply) -> None: ...

    def returned(self, connection: Connection, transaction: Transaction) -> None:
        """It was not sent; next_transaction() may give it again."""
        ...

    def closed(self, connection: Connection, closed: Closed) -> None:
        """Exactly once, and last."""
        ...


class Connection(asyncio.Protocol):
    """Made by negotiate.open_connection. Does nothing before attach()."""

    __slots__ = (
        "__weakref__", "_busy", "_closed", "_deadline", "_loop", "_owner", "_paused", "_rings_at", "_seconds",
        "_session", "_timer", "_transport", "extensions", "idle_since", "peer", "session_id", "tls", "trace",
        "transactions",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        extensions: Extensions,
        *,
        peer: tuple[str, str],
        tls: str = "",
        session_id: str = "",
        timeouts: Timeouts | None = None,
        pipelining: bool = True,
        trace: Note | None = None,
    ) -> None:
        """Takes the transport over: bytes that arrive from here on belong to the session."""
        self.extensions = extensions
        self.peer = peer
        """(host name, address)"""
        self.tls = tls
        """Empty, or "TLSv1.3/TLS_AES_256_GCM_SHA384"."""
        self.session_id = session_id
        self.transactions = 0
        """Begun so far."""
        self.trace = trace
        self.idle_since: float | None = asyncio.get_running_loop().time()
        """Loop time; None while anything is awaited."""
        self._loop = asyncio.get_running_loop()
        self._session = Session(extensions, pipelining=pipelining)
        self._seconds = (timeouts or Timeouts()).by_phase()
        self._owner: Owner | None = None
        self._closed: Closed | None = None
        self._paused = False
        self._busy = False
        self._deadline = math.inf
        self._rings_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._transport = transport
        transport.set_protocol(self)

    @property
    def phase(self) -> Phase | None:
        """What is awaited now; None when idle."""
        return self._session.phase

    @property
    def is_closed(self) -> bool:
        return self._session.is_closed

    @property
    def open_transactions(self) -> tuple[Transaction, ...]:
        """Begun and without an outcome."""
        return self._session.open_transactions

    def attach(self, owner: Owner) -> None:
        """The owner is told at once if the connection has ended meanwhile. Follow with kick()."""
        assert self._owner is None
        self._owner = owner
        if self._closed is not None:
            owner.closed(self, self._closed)

    def kick(self) -> None:
        """The owner has work, or has had: asks next_transaction() as long as the session wants one."""
        if not self._busy:
            self._advance()

    def quit(self) -> None:
        """The running transaction ends, then QUIT. Ends in closed(), at the latest by the timer."""
        self._session.quit()
        self.kick()

    def abort(self, error: str = "aborted") -> None:
        """Gives the connection up now; closed() is called before this returns."""
        self._deliver(self._session.receive_eof(error))

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self.trace is not None:
            self.trace("<", text_of(data))
        session = self._session
        before = session.replies
        events = session.receive_data(data)
        if events:
            self._deliver(events)
        if session.replies != before and not self._busy:
            self._advance()

    def eof_received(self) -> None:
        self._deliver(self._session.receive_eof())

    def connection_lost(self, exc: Exception | None) -> None:
        error = "connection closed by the peer" if exc is None else f"connection lost: {exc!r}"
        self._deliver(self._session.receive_eof(error))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.kick()

    # The one loop

    def _advance(self) -> None:
        """Begins what may begin, then writes everything at once."""
        session, owner = self._session, self._owner
        if owner is not None:
            self._busy = True
            try:
                while session.wants_next and not self._paused:
                    transaction = owner.next_transaction(self)
                    if transaction is None:
                        break
                    self.transactions += 1
                    refused = session.begin(transaction)
                    if refused is not None:
                        owner.finished(self, *refused)
            finally:
                self._busy = False
        out = session.data_to_send()
        if out:
            if self.trace is not None:
                note_out(self.trace, out, [transaction.payload for transaction in session.open_transactions])
            self._transport.write(b"".join(out))
        self._watch()

    def _deliver(self, events: list[Event]) -> None:
        """An owner that raises still gets the rest, so that no transaction and no closed() is lost to its fault."""
        was_busy, self._busy = self._busy, True
        rest = iter(events)
        try:
            for event in rest:
                if type(event) is Finished:
                    assert self._owner is not None
                    self._owner.finished(self, *event)
                elif type(event) is Returned:
                    assert self._owner is not None
                    self._owner.returned(self, event.transaction)
                elif type(event) is Closed:
                    self._end(event)
        except BaseException:
            self._loop.call_soon(self._deliver, list(rest))
            raise
        finally:
            self._busy = was_busy

    def _end(self, closed: Closed) -> None:
        self._closed = closed
        if self.trace is not None:
            self.trace("end", closed.error or "the session is over")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if closed.phase is Phase.QUIT and closed.reply is not None:
            self._transport.close()
        else:
            # What is still in the buffer must not go out any more: its transaction is reported as unresolved.
            self._transport.abort()
        if self._owner is not None:
            self._owner.closed(self, closed)

    # Time

    def _watch(self) -> None:
        """Sets the deadline of the reply that is awaited now."""
        if self._closed is not None:
            return
        phase = self._session.phase
        now = self._loop.time()
        if phase is None:
            self._deadline = math.inf
            if self.idle_since is None:
                self.idle_since = now
            return
        self.idle_since = None
        self._deadline = deadline = now + self._seconds[phase]
        if deadline < self._rings_at:
            self._arm(deadline)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._rings_at = math.inf
        phase = self._session.phase
        if phase is None:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
        else:
            self.abort(f"no reply to {phase.name} within {self._seconds[phase]:g} seconds")
