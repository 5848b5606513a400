"""The client's side of an SMTP session after EHLO, without a socket (RFC 5321 3.3, pipelining of RFC 2920).

One recipient per transaction. With PIPELINING the payload, its dot and the next MAIL, RCPT, DATA leave in one
write, so that a message costs one round trip. The session says which reply is awaited and what came; it never says
what a reply means, and it never invents an outcome: what was not answered is listed in Closed.

The danger of pipelining is a stray reply line, which shifts all later ones. So an outcome counts only when the
number of replies has proved right: a group's outcomes, and that of the message before it, are told when its DATA is
answered by 354, or by the RSET that follows a refused group; the last message's when the RSET that rides behind its
dot is answered. Anything that does not fit (unasked reply, wrong class, a reply to the dot before the dot was
written) ends the session, and what was not proved is unknown. A server that answers 503 to all that stands behind a
dot, and says so (Haraka since 3.3, against smuggling), has taken the message: a lone RSET proves it, what was refused
is Returned (its owner may have lost the right to send it since), and from then on this session writes nothing behind
a dot. There, and without PIPELINING, a stray line is seen when it comes before its command was written or in one read
with another; the rest would cost a round trip each.
"""

from __future__ import annotations

import math
import re
from collections import deque

from engine.smtp import command
from engine.smtp.event import Closed, Event, Finished, Phase, Returned, Transaction
from engine.smtp.extensions import Extensions
from engine.smtp.fitting import fits, refuses_streaming
from engine.smtp.reply import Reply, ReplyError, ReplyReader, shown

__all__ = ["Closed", "Event", "Finished", "Phase", "Returned", "Session", "Transaction"]

# Reading a member from the class costs more than the whole comparison.
_MAIL, _RCPT, _DATA, _DOT, _RSET, _QUIT = (
    Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT, Phase.RSET, Phase.QUIT,
)  # fmt: skip
_new = tuple.__new__
_GROUP = (_MAIL, _RCPT, _DATA)
_BEHIND_DOT = (_MAIL, _RSET, _QUIT)
_STEADY = re.compile(
    rb"250 (?:(2\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|(?=\r\n)))?(.{0,512})\r\n"  # dot
    rb"250 .{0,512}\r\n250 .{0,512}\r\n354 .{0,512}\r\n"  # MAIL, RCPT, DATA
)
"""All replies are there, positive, of one line: what a read looks like when everything goes well."""


class Session:
    """Call begin() while wants_next; drain data_to_send() after every call; nothing happens after Closed."""

    __slots__ = (
        "_at_dot", "_awaited", "_closed", "_current", "_eightbit", "_held", "_largest", "_out", "_pipelining",
        "_quitting", "_reader", "_refusal", "_reset_due", "_says_size", "_script", "_stepping", "_streams",
        "_unwritten", "_utf8", "replies", "wants_next",
    )  # fmt: skip

    def __init__(self, extensions: Extensions, *, pipelining: bool = True) -> None:
        self._largest: float = extensions.size or math.inf
        self._says_size = extensions.size is not None
        self._eightbit = extensions.eightbitmime
        self._utf8 = extensions.smtputf8
        self._pipelining = pipelining and extensions.pipelining
        self._streams = self._pipelining
        """What comes next is written behind a dot."""
        self._stepping = False
        """503 came to what was: the rest of it is refused as well, and then a lone RSET is answered."""
        self._reader = ReplyReader()
        self._awaited: deque[Phase] = deque()
        self._script: deque[tuple[Phase, bytes]] = deque()
        """Without PIPELINING: the commands that wait for the one before."""
        self._out: list[bytes] = []
        self._current: Transaction | None = None
        """In MAIL, RCPT or DATA."""
        self._refusal: Finished | None = None
        """Of the current one, whose later replies are still awaited."""
        self._at_dot: Transaction | None = None
        self._unwritten = False
        """A dot is queued and not yet drained."""
        self._held: list[Finished] = []
        """Answered, but the number of replies is not proved yet."""
        self._reset_due = False
        self._quitting = False
        self._closed = False
        self.wants_next = True
        self.replies = 0
        """Replies read: moves when the peer makes progress."""

    @property
    def phase(self) -> Phase | None:
        """What is awaited now; None when idle."""
        return self._awaited[0] if self._awaited else None

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def open_transactions(self) -> tuple[Transaction, ...]:
        """Begun and without an outcome that counts."""
        return tuple(transaction for transaction, _ in self._unresolved())

    def begin(self, transaction: Transaction) -> Finished | None:
        """Starts a transaction. Gives its outcome at once, with a reply of our own ("local: ..."), when this server
        cannot take it: then nothing is written and the next may begin.
        """
        assert self.wants_next, "begin() while the session is busy"
        payload = transaction.payload
        assert payload.endswith(b"\r\n"), "payload without CRLF at the end"
        if len(payload) > self._largest or transaction.eightbit > self._eightbit or transaction.utf8 > self._utf8:
            return Finished(transaction, _MAIL, self._refuse(transaction))
        try:
            if self._pipelining:
                self._begin_group(transaction)
            else:
                self._begin_script(transaction)
        except command.CommandError as error:
            return Finished(transaction, _RCPT, Reply(553, "5.1.3", f"local: {error}"))
        self._current = transaction
        self.wants_next = self._reset_due = False
        return None

    def receive_data(self, data: bytes) -> list[Event]:
        if self._closed:
            return []
        if len(self._awaited) == 4 and self._at_dot is not None and self._current is not None and self._reader.is_empty:
            steady = _STEADY.fullmatch(data)
            if steady is not None:
                return self._receive_steady(steady)
        events: list[Event] = []
        self._reader.feed(data)
        try:
            while not self._closed and self._read_reply(events):
                pass
        except ReplyError as error:
            self._close(events, None, str(error), is_clean=False)
        if self._held and not self._streams and not self._awaited and not self._closed:
            # Nothing more is due, and nothing more has come.
            self._release(events)
        return events

    def receive_eof(self, error: str = "connection closed by the peer") -> list[Event]:
        """The connection is gone, or is given up for `error` (timeout). What was answered stands."""
        events: list[Event] = []
        if not self._closed:
            self._close(events, None, error, is_clean=True)
        return events

    def data_to_send(self) -> list[bytes]:
        """What is to be written now, in order; each call gives only what is new."""
        unproved = self._unwritten or (self._held and not self._awaited)
        self._unwritten = False
        if unproved and self._streams and self._current is None and not (self._quitting or self._closed):
            self._send(_RSET, command.RSET)
            self._reset_due = False
        out, self._out = self._out, []
        return out

    def quit(self) -> None:
        """No further transaction; QUIT goes as soon as the running one allows it. Ends in Closed."""
        if self._quitting or self._closed:
            return
        self._quitting = True
        self.wants_next = False
        self._send_quit_if_possible()

    # What goes out

    def _refuse(self, transaction: Transaction) -> Reply:
        if len(transaction.payload) > self._largest:
            text = f"local: message of {len(transaction.payload)} bytes, the server takes {self._largest}"
            return Reply(552, "5.3.4", text)
        if transaction.eightbit and not self._eightbit:
            return Reply(554, "5.6.3", "local: 8-bit message and the server does not offer 8BITMIME")
        return Reply(553, "5.6.7", "local: UTF-8 address and the server does not offer SMTPUTF8")

    def _begin_group(self, transaction: Transaction) -> None:
        parameters = f" SIZE={len(transaction.payload)}" if self._says_size else ""
        if transaction.eightbit:
            parameters += command.EIGHTBIT
        try:
            group = command.group(transaction.sender, transaction.recipient, parameters)
        except command.CommandError:
            group = b"".join(self._commands(transaction))
        if self._reset_due:
            self._send(_RSET, command.RSET)
        self._out.append(group)
        self._awaited += _GROUP

    def _begin_script(self, transaction: Transaction) -> None:
        self._script.extend(zip(_GROUP, self._commands(transaction), strict=True))
        if self._reset_due:
            self._script.appendleft((_RSET, command.RSET))
        self._send_next()

    def _commands(self, transaction: Transaction) -> tuple[bytes, bytes, bytes]:
        utf8 = transaction.utf8
        size = len(transaction.payload) if self._says_size else None
        mail = command.mail_from(transaction.sender, size=size, eightbit=transaction.eightbit, utf8=utf8)
        return mail, command.rcpt_to(transaction.recipient, utf8=utf8), command.DATA

    def _send(self, phase: Phase, line: bytes) -> None:
        self._out.append(line)
        self._awaited.append(phase)

    def _send_next(self) -> None:
        """Without PIPELINING: the next command of the script, if there is one."""
        if self._script:
            self._send(*self._script.popleft())

    def _send_quit_if_possible(self) -> None:
        if self._quitting and self._current is None and (self._streams or not self._awaited):
            self._send(_QUIT, command.QUIT)

    # What comes in

    def _receive_steady(self, match: re.Match[bytes]) -> list[Event]:
        """The usual read of a pipelined session in one step; the long way gives the same."""
        finished, current = self._at_dot, self._current
        assert finished is not None
        assert current is not None
        enhanced, text = match.groups(b"")
        self._at_dot = current
        self._current = None
        self._out = [current.payload, command.DOT]
        self._awaited = deque((_DOT,))
        self._unwritten = True
        self.replies += 4
        self.wants_next = not self._quitting
        if self._quitting:
            self._send_quit_if_possible()
        # What the classes' own constructors do, at half their cost.
        reply = _new(Reply, (250, enhanced.decode(), text.decode("utf-8", "replace")))
        return [_new(Finished, (finished, _DOT, reply))]

    def _read_reply(self, events: list[Event]) -> bool:
        """Reads one reply; False when no whole one is there. Raises ReplyError for what does not fit."""
        reader, awaited = self._reader, self._awaited
        if awaited and not self._stepping:
            phase = awaited[0]
            if phase is _MAIL or phase is _RCPT:
                if reader.take(b"250 "):
                    self.replies += 1
                    awaited.popleft()
                    self._send_next()
                    return True
            elif phase is _DATA and reader.take(b"354 "):
                self.replies += 1
                awaited.popleft()
                self._on_go_ahead(events)
                return True
        reply = reader.next()
        if reply is None:
            return False
        self.replies += 1
        self._on_reply(reply, events)
        return True

    def _on_reply(self, reply: Reply, events: list[Event]) -> None:
        if reply.code == 421:
            self._close(events, reply, "", is_clean=True)
            return
        if not self._awaited:
            raise ReplyError(f"a reply that nobody asked for: {shown(str(reply))}")
        phase = self._awaited[0]
        if self._stepping or (self._streams and self._held and phase in _BEHIND_DOT and refuses_streaming(reply)):
            self._step_back(phase, reply, events)
            return
        if not fits(phase, reply.code) or (phase is _QUIT and self._held and not reply.is_positive):
            raise ReplyError(f"not a reply to {phase.name}: {shown(str(reply))}")
        if phase is _QUIT:
            self._close(events, reply, "", is_clean=True)
            return
        self._awaited.popleft()
        if phase is _DATA:
            self._on_data(reply, events)
        elif phase is _DOT:
            self._on_dot(reply)
        elif phase is _RSET:
            self._release(events)
            self._send_next()
        else:
            self._on_path(phase, reply)

    def _step_back(self, phase: Phase, reply: Reply, events: list[Event]) -> None:
        """503 to what stood behind a dot. The lone RSET must be accepted: a refusal there may be the last one of the
        others, come late, and then the first of them was the dot's.
        """
        self._awaited.popleft()
        if self._stepping and phase is _RSET:
            if reply.code != 250 or self._awaited:
                raise ReplyError(f"not a reply to a lone RSET: {shown(str(reply))}")
            self._stepping = False
            self._release(events)
            if self._current is not None:
                events.append(Returned(self._current))
            self._end_group()
            return
        if reply.code < 500:
            raise ReplyError(f"not a refusal of {phase.name} behind the end of a message: {shown(str(reply))}")
        self._stepping, self._streams, self.wants_next = True, False, False
        if not self._awaited:
            if not self._reader.is_empty:
                raise ReplyError("a reply too many behind the end of a message")
            self._reset_due = False
            self._send(_RSET, command.RSET)

    def _on_path(self, phase: Phase, reply: Reply) -> None:
        """MAIL or RCPT."""
        if not reply.is_positive and self._refusal is None:
            assert self._current is not None
            self._refusal = Finished(self._current, phase, reply)
            if not self._pipelining:
                self._script.clear()
                self._reset_due = phase is _RCPT
                self._held.append(self._refusal)
                self._end_group()
        self._send_next()

    def _on_data(self, reply: Reply, events: list[Event]) -> None:
        if reply.code == 354:
            self._on_go_ahead(events)
            return
        assert self._current is not None
        outcome = self._refusal or Finished(self._current, _DATA, reply)
        # Refusals all look alike: shifted by a stray line, they still fit. A message held before them is proved only
        # by the RSET that follows.
        is_proved = self._pipelining and not self._held
        self._reset_due = outcome.phase is not _MAIL or bool(self._held)
        self._held.append(outcome)
        if is_proved:
            self._release(events)
        self._end_group()

    def _on_go_ahead(self, events: list[Event]) -> None:
        """354: the payload goes, or a lone dot for a refused recipient (RFC 2920 3.1), whose reply is nobody's."""
        self._release(events)
        if self._refusal is None:
            assert self._current is not None
            self._at_dot = self._current
            self._out.append(self._at_dot.payload)
        else:
            events.append(self._refusal)
            self._reset_due = True
        self._send(_DOT, command.DOT)
        self._unwritten = True
        self._end_group()
        if not self._reader.is_empty:
            raise ReplyError("a reply to the payload before the payload was written")

    def _on_dot(self, reply: Reply) -> None:
        if self._at_dot is not None:
            self._held.append(Finished(self._at_dot, _DOT, reply))
            self._at_dot = None
        if not self._streams:
            self._end_group()

    # How it ends

    def _end_group(self) -> None:
        """The current transaction needs no further command; the next may begin if the server can take it."""
        self._current = self._refusal = None
        self.wants_next = not self._quitting and (self._streams or not self._awaited)
        self._send_quit_if_possible()

    def _release(self, events: list[Event]) -> None:
        if self._held:
            events += self._held
            self._held = []

    def _close(self, events: list[Event], reply: Reply | None, error: str, *, is_clean: bool) -> None:
        """`is_clean`: every reply so far was in its place, so the outcomes held stand."""
        if is_clean:
            if self._refusal is not None:
                self._held.append(self._refusal)
                self._current = None
            self._release(events)
        events.append(Closed(self.phase, reply, error, self._unresolved()))
        self._closed = True
        self.wants_next = self._unwritten = False
        self._held = []
        self._out = []

    def _unresolved(self) -> tuple[tuple[Transaction, Phase], ...]:
        unresolved = [(held.transaction, held.phase) for held in self._held]
        if self._at_dot is not None:
            unresolved.append((self._at_dot, _DATA if self._unwritten else _DOT))
        if self._current is not None:
            awaited = next(phase for phase in (*self._awaited, _MAIL) if phase in _GROUP)
            unresolved.append((self._current, awaited))
        return tuple(unresolved)
