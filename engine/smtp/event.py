"""The words between a session and its caller: phase, transaction, and the three things that can happen to one.

Phases carry the timeouts of RFC 5321 4.5.3.2 as defaults. Values only; session.py is what moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from engine.smtp.reply import Reply


class Phase(IntEnum):
    """Where in the dialogue. Integers, because tables of timeouts are indexed by them once a reply."""

    CONNECT = 0
    GREETING = 1
    EHLO = 2
    STARTTLS = 3
    AUTH = 4
    MAIL = 5
    RCPT = 6
    DATA = 7
    DOT = 8
    """From the first byte of the payload to the reply to its dot."""
    RSET = 9
    QUIT = 10

    @property
    def timeout(self) -> float:
        """Seconds, RFC 5321 4.5.3.2 where it names one."""
        return _TIMEOUTS[self]


_TIMEOUTS = (60.0, 300.0, 300.0, 120.0, 120.0, 300.0, 300.0, 120.0, 600.0, 60.0, 10.0)


@dataclass(slots=True, eq=False)
class Transaction:
    sender: str
    """Reverse-path; empty for the null path."""
    recipient: str
    payload: bytes
    """As command.transparency gives it: dots doubled, CRLF at the end, no final dot."""
    eightbit: bool
    utf8: bool
    """An address or a header field needs SMTPUTF8."""
    context: object
    """The caller's own."""


class Finished(NamedTuple):
    transaction: Transaction
    phase: Phase
    """The command whose reply decided it."""
    reply: Reply


class Returned(NamedTuple):
    """Not sent, and not refused for anything of its own: it may begin again, if its owner still wants it to."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over; the connection is to be closed."""

    phase: Phase | None
    """What was awaited; None when idle."""
    reply: Reply | None
    """The reply that ended it: a 421, or the answer to QUIT."""
    error: str
    """Empty if `reply` says it."""
    unresolved: tuple[tuple[Transaction, Phase], ...]
    """Without an outcome. DOT: payload and dot have been given to the wire, the message may have been accepted."""


Event = Finished | Returned | Closed
