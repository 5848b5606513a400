"""The one place of opinion: what happened in a transaction -> what becomes of recipient, session and path.

Scopes after Postfix: a refused recipient or message says nothing against the session; 421 ends the session; no
connection is the site's failure. 5xx is final (RFC 5321 4.2.1) unless a rule knows better, 4xx is tried again until
the message expires. Silence behind the dot leaves open whether the message was taken (RFC 5321 4.5.3.2.6): it is
tried again, as in doubt. settle executes a Ruling and adds nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engine.policy.backoff import Ladder
from engine.policy.classify import Class, Rule, Rules, Scope, retry_hint
from engine.smtp.event import Phase
from engine.smtp.reply import Reply


class Kind(StrEnum):
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    EXPIRED = "expired"


class PathWord(StrEnum):
    """What the path learns: success and failure feed its window, slower only shrinks it, pause stops it for
    pause_seconds.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    SLOWER = "slower"
    PAUSE = "pause"
    NEUTRAL = "neutral"


@dataclass(slots=True)
class Attempt:
    """One recipient's transaction, over. Times are Unix seconds."""

    phase: Phase
    """The command whose reply decided, or was awaited when the session ended."""
    reply: Reply | None
    error: str
    """Why the session ended without a usable reply; empty when the reply stands."""
    attempts: int
    """Counted before this one."""
    accepted_at: float
    expires: int
    provider: str = ""
    """Whose rules may apply beside everybody's."""

    @property
    def lost_in_dot(self) -> bool:
        """The message was on the wire, and no reply to it can be believed: it may have been taken."""
        return self.phase is Phase.DOT and not self.delivered and _lost(self.reply, self.error)

    @property
    def delivered(self) -> bool:
        return is_delivery(self.phase, self.reply, self.error)


@dataclass(slots=True)
class Refusal:
    """No transaction came about: the site could not be reached, greeted, secured or logged in to."""

    phase: Phase
    reply: Reply | None
    error: str
    tls_failed: bool
    attempts: int
    accepted_at: float
    expires: int
    final: bool = False
    """The name says for good that nobody receives mail there: NXDOMAIN, or a null MX (RFC 7505)."""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    kind: Kind
    due: int = 0
    """Unix seconds of the next attempt, when deferred; never behind the expiry."""
    counted: bool = True
    """Whether this was an attempt in the sense of the ladder."""
    in_doubt: bool = False
    bounce_class: Class | None = None
    close_session: bool = False
    path: PathWord = PathWord.NEUTRAL
    pause_seconds: float = 0.0
    """How long the path rests; may come with failure too, and then both hold."""
    suspend_sender: float = 0.0
    """Seconds for which this sender's mail stays away from this site; other senders' goes on."""
    suppress: str = ""
    """Reason code for the suppression ledger, or empty."""
    rule: str = ""
    """Name of the rule that classified the reply, for the journal."""


_DOT: Final = Phase.DOT
"""Reading a member from the class costs more than the comparison."""
DELIVERED: Final = Ruling(Kind.DELIVERED, path=PathWord.SUCCESS)
"""The ruling of every delivery: one object."""

_UNKNOWN_USER: Final = "UNKNOWN_USER"
SUPPRESSED: Final = frozenset({Class.UNKNOWN_USER, Class.INACTIVE_USER, Class.OWNER_CHANGED})

_PAUSES: Final = {Class.RATE: 600.0, Class.CONNECTIONS: 60.0, Class.REPUTATION: 3600.0, Class.BLOCK: 7200.0}
"""Classes that stop the path, and for how long when the rule does not say: they are about us, not about a message."""

_FAILURES: Final = frozenset({Class.TLS, Class.SYSTEM, Class.PROTOCOL})
"""Classes that say that the site as a whole is unwell: they shrink its window, and a run of them with no success
between closes it. What a server says of one message or one sender does not belong here: a thousand greylisted or
filtered recipients in a row are an ordinary day, and one sender's broken DNS must not stop the others of the path.
"""

_CLOSING: Final = frozenset({Class.CONNECTIONS, Class.PROTOCOL, Class.TOO_MANY_RECIPIENTS})
"""Classes after which only another session helps. One recipient is one transaction here, so that a receiver that
counts recipients counts them by session."""

_BRIEF_PAUSE: Final = 30.0
_LONGEST_PAUSE: Final = 7200.0
_PUT_BACK: Final = 60.0
_REACHED: Final = frozenset({Phase.RCPT, Phase.DATA, Phase.DOT})
"""Phases in which the server was dealing with this very recipient: a message that kills sessions must back off, one
that merely stood behind it must not."""


def is_delivery(phase: Phase, reply: Reply | None, error: str) -> bool:
    """RFC 5321 4.2.5: with this reply the receiver took the responsibility."""
    return phase is _DOT and reply is not None and 200 <= reply.code < 300 and not error


def rule(attempt: Attempt, *, now: float, u: float, ladder: Ladder, rules: Rules) -> Ruling:
    """`now` in Unix seconds, `u` in [0, 1) the caller's die."""
    if attempt.delivered:
        return DELIVERED
    reply = attempt.reply
    if reply is None or _lost(reply, attempt.error):
        return _session_lost(attempt, _next(attempt, now, ladder.delay(attempt.attempts, u)))
    found = rules.match(attempt.phase, reply, attempt.provider)
    if reply.code >= 500 and not (found is not None and found.temporary):
        return _bounced(attempt.phase, found)
    hint = retry_hint(reply.text)
    if reply.code == 421:
        return _session_refused(attempt, found, hint, _next(attempt, now, ladder.delay(attempt.attempts, u, hint)))
    if _class(found) is Class.TOO_MANY_RECIPIENTS:
        return _put_back(found, _next(attempt, now, _PUT_BACK * (1.0 + u)))
    return _refused_for_now(found, hint, _next(attempt, now, ladder.delay(attempt.attempts, u, hint)))


def rule_connect(refusal: Refusal, *, now: float, u: float, ladder: Ladder, rules: Rules) -> Ruling:
    """SITE scope. A 5xx greeting is deferred too: it speaks of the host, not of the recipient."""
    if refusal.final:
        return Ruling(Kind.BOUNCED, bounce_class=Class.UNKNOWN_HOST)
    reply = refusal.reply
    found = None if reply is None else rules.match(refusal.phase, reply, refusal.provider)
    hint = None if reply is None else retry_hint(reply.text)
    pause = _pause(found, hint)
    return Ruling(
        *_next(refusal, now, ladder.delay(refusal.attempts, u, hint)),
        bounce_class=_site_class(refusal, found),
        close_session=True,
        path=PathWord.FAILURE,
        pause_seconds=pause,
        rule=_name(found),
    )


def _lost(reply: Reply | None, error: str) -> bool:
    """True when no reply to this command can be believed: none came, or one that the grammar does not allow here.

    421 may come at any time (RFC 5321 3.8) and always stands.
    """
    return reply is None or (reply.code != 421 and (error != "" or not 400 <= reply.code < 600))


_Then = tuple[Kind, int]
"""Deferred until when, or expired."""


def _next(facts: Attempt | Refusal, now: float, delay: float) -> _Then:
    """Expiry bounds every wait: what would be due behind it is due at it, for the expiry sweep to end."""
    if now >= facts.expires:
        return Kind.EXPIRED, 0
    return Kind.DEFERRED, min(math.ceil(now + delay), facts.expires)


def _session_lost(attempt: Attempt, then: _Then) -> Ruling:
    return Ruling(
        *then,
        counted=attempt.phase in _REACHED,
        in_doubt=attempt.lost_in_dot,
        bounce_class=Class.NETWORK if attempt.reply is None else Class.PROTOCOL,
        close_session=True,
        path=PathWord.FAILURE,
    )


def _session_refused(attempt: Attempt, found: Rule | None, hint: float | None, then: _Then) -> Ruling:
    pause, sender = _pauses(found, hint)
    if not pause and (found is None or found.pause is None):
        pause = min(hint or _BRIEF_PAUSE, _LONGEST_PAUSE)
    return Ruling(
        *then,
        counted=attempt.phase in _REACHED,
        bounce_class=_class(found),
        close_session=True,
        # A rule may say that no rest is wanted: this session is full, the next may come at once.
        path=PathWord.PAUSE if pause else PathWord.NEUTRAL,
        pause_seconds=pause,
        suspend_sender=sender,
        rule=_name(found),
    )


def _put_back(found: Rule | None, then: _Then) -> Ruling:
    """RFC 5321 4.5.3.1.10: too many recipients says nothing about this one, so it is no attempt."""
    return Ruling(
        *then,
        counted=False,
        bounce_class=Class.TOO_MANY_RECIPIENTS,
        close_session=True,
        rule=_name(found),
    )


def _refused_for_now(found: Rule | None, hint: float | None, then: _Then) -> Ruling:
    bounce_class = _class(found)
    pause, sender = _pauses(found, hint)
    return Ruling(
        *then,
        bounce_class=bounce_class,
        close_session=bounce_class in _CLOSING,
        path=_path(bounce_class, pause),
        pause_seconds=pause,
        suspend_sender=sender,
        rule=_name(found),
    )


def _bounced(phase: Phase, found: Rule | None) -> Ruling:
    bounce_class = _class(found)
    pause, sender = _pauses(found, None)
    return Ruling(
        Kind.BOUNCED,
        bounce_class=bounce_class,
        close_session=bounce_class in _CLOSING,
        path=_path(bounce_class, pause),
        pause_seconds=pause,
        suspend_sender=sender,
        # Before RCPT the receiver has not even heard the address.
        suppress=_UNKNOWN_USER if bounce_class in SUPPRESSED and phase in _REACHED else "",
        rule=_name(found),
    )


def _class(found: Rule | None) -> Class:
    return Class.OTHER if found is None else found.bounce_class


def _name(found: Rule | None) -> str:
    return "" if found is None else found.name


def _site_class(refusal: Refusal, found: Rule | None) -> Class:
    if refusal.tls_failed:
        return Class.TLS
    return Class.NETWORK if refusal.reply is None else _class(found)


def _path(bounce_class: Class, pause: float) -> PathWord:
    if pause:
        return PathWord.PAUSE
    if bounce_class is Class.FILTERED:
        return PathWord.SLOWER  # docomo, au: a filter that has noticed us wants less of us
    return PathWord.FAILURE if bounce_class in _FAILURES else PathWord.NEUTRAL


def _pauses(found: Rule | None, hint: float | None) -> tuple[float, float]:
    """For the path, and for the sender: a rule of a sender's scope stops nobody else's mail."""
    pause = _pause(found, hint)
    is_of_sender = found is not None and found.scope is Scope.SENDER
    return (0.0, pause) if is_of_sender else (pause, 0.0)


def _pause(found: Rule | None, hint: float | None) -> float:
    """Seconds that the path rests; a hint may lengthen a rest but not make one: greylisting speaks of one recipient."""
    if found is None:
        return 0.0
    pause = _PAUSES.get(found.bounce_class, 0.0) if found.pause is None else found.pause
    return min(max(pause, hint or 0.0), max(pause, _LONGEST_PAUSE)) if pause else 0.0
