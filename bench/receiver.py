"""The server's half of an SMTP dialogue without any I/O (RFC 5321, 2920, 6152, 6531, 1870, 3207).

Bytes in, replies out; a message goes to the `Postmaster` given at the start. It is made for speed: the group
MAIL/RCPT/DATA that a pipelining client writes is one regular expression, anything else goes line by line. Only
CRLF.CRLF ends a message, only CRLF ends a command: a bare LF is counted, never obeyed. It trusts nobody's lengths:
commands and messages over their limits are refused without being kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bench.faults import Fault, Faults, Step, Then

COMMAND_LIMIT = 2048
RECIPIENT_LIMIT = 100

_GROUP = re.compile(
    rb"MAIL FROM:<([!-=?-~]*)>(?: BODY=(?:7BIT|8BITMIME))?(?: SIZE=(\d{1,12}))?(?: BODY=(?:7BIT|8BITMIME))?\r\n"
    rb"RCPT TO:<([!-=?-~]+)>\r\nDATA\r\n"
)
_MAIL = re.compile(rb"MAIL FROM: ?<([^<>\x00-\x1f\x7f]*)>((?: [!-~]+)*) ?", re.IGNORECASE)
_RCPT = re.compile(rb"RCPT TO: ?<([^<>\x00-\x1f\x7f]+)>((?: [!-~]+)*) ?", re.IGNORECASE)
_DOT_LINE = re.compile(rb"\r\n\.")
_SIZE = re.compile(rb"SIZE=(\d{1,12})", re.IGNORECASE)
_GROUP_ACCEPTED = b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go ahead\r\n"
_SENDER_ACCEPTED = b"250 2.1.0 ok\r\n"
_RECIPIENT_ACCEPTED = b"250 2.1.5 ok\r\n"
_GO_AHEAD = b"354 go ahead\r\n"
_QUEUED = b"250 2.0.0 queued\r\n"
_TOO_BIG = b"552 5.3.4 message too big\r\n"
_BAD_SEQUENCE = b"503 5.5.1 bad sequence of commands\r\n"


class Postmaster(Protocol):
    """Who takes the messages and counts what happens."""

    def receive(self, recipient: bytes, message: bytes, *, answered: bool) -> None:
        """`message` ends with CRLF, the dots of transparency are removed (RFC 5321 4.5.2). `answered`: the client
        gets its 250.
        """
        ...

    def count(self, event: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Personality:
    """What the server offers, and how it behaves to everybody."""

    name: str = "sink.test"
    pipelining: bool = True
    starttls: bool = False
    eightbit: bool = True
    utf8: bool = True
    size: int = 32 * 1024 * 1024
    go_ahead_for_nobody: bool = False
    """354 to DATA although no recipient was accepted: some servers do (RFC 2920 3.1)."""
    greeting: bytes = b"220 sink.test ESMTP\r\n"


class End(Enum):
    """What is left to do with the connection after the replies are written."""

    OPEN = "open"
    CLOSED = "closed"
    STALLED = "stalled"
    TLS = "tls"
    """Start the handshake; whatever came behind the STARTTLS line was thrown away and counted."""


class Receiver:
    """One connection's dialogue. `receive` gives the replies to write; then look at `end`."""

    __slots__ = ("_data", "_faults", "_in_payload", "_oversized", "_pending", "_post", "_recipients", "_replies",
                 "_rest", "_sender", "_who", "end", "secure")  # fmt: skip

    def __init__(self, who: Personality, faults: Faults, post: Postmaster) -> None:
        self._who = who
        self._faults = faults
        self._post = post
        self._rest = b""
        self._data = b""
        self._replies: list[bytes] = []
        self._in_payload = False
        self._oversized = False
        self._sender: bytes | None = None
        self._recipients: list[bytes] = []
        self._pending: Fault | None = None
        self.end = End.OPEN
        self.secure = False

    def secured(self) -> None:
        """The handshake is done: a new dialogue begins (RFC 3207 4.2)."""
        self.end = End.OPEN
        self.secure = True
        self._reset()

    def receive(self, data: bytes) -> bytes:
        if self.end is not End.OPEN:
            return b""
        self._data = self._rest + data if self._rest else data
        at = 0
        before = -1
        size = len(self._data)
        while before != at != size and self.end is End.OPEN:
            before = at
            at = self._payload(at) if self._in_payload else self._commands(at)
        self._rest = self._data[at:] if self.end is End.OPEN else b""
        self._data = b""
        replies = self._replies
        answer = replies[0] if len(replies) == 1 else b"".join(replies)
        replies.clear()
        return answer

    # --- payload

    def _payload(self, at: int) -> int:
        data = self._data
        pending = self._pending
        if pending is not None and pending.step is Step.PAYLOAD and len(data) > at:
            self._strike(pending)
            return at
        found = _DOT_LINE.search(data, at)
        if found is None:
            start = data[at : at + 3]
            return self._dot(b"", at + 3) if start == b".\r\n" and not self._oversized else self._keep_or_drop(at)
        end = found.start()
        if data.startswith(b"\r\n", end + 3) and not data.startswith(b".", at):
            return self._dot(data[at : end + 2], end + 5)
        return self._dotted(at, end)

    def _dotted(self, at: int, first: int) -> int:
        """Some line begins with a dot: the end is searched for, and one dot taken from each (RFC 5321 4.5.2)."""
        data = self._data
        if data.startswith(b".\r\n", at) and not self._oversized:
            return self._dot(b"", at + 3)
        end = data.find(b"\r\n.\r\n", first)
        if end < 0:
            return self._keep_or_drop(at)
        message = data[at : end + 2].replace(b"\r\n.", b"\r\n")
        return self._dot(message.removeprefix(b"."), end + 5)

    def _keep_or_drop(self, at: int) -> int:
        """Over the size nothing but the tail is kept, which may hold the beginning of CRLF.CRLF."""
        if len(self._data) - at <= self._who.size:
            return at
        self._oversized = True
        return len(self._data) - 4

    def _dot(self, message: bytes, after: int) -> int:
        fault = self._pending
        if not self._who.pipelining and len(self._data) > after:
            self._post.count("pipelining_violations")
        if self._oversized or len(message) > self._who.size:
            self._replies.append(_TOO_BIG)
        elif not self._recipients:
            self._replies.append(b"554 5.5.1 no valid recipients\r\n")
        elif fault is not None and fault.step is Step.DOT and fault.reply:
            self._strike(fault)
        else:
            for recipient in self._recipients:
                self._post.receive(recipient, message, answered=fault is None)
            if fault is None:
                self._replies.append(_QUEUED)
            else:
                self._strike(fault)
        self._reset()
        return after

    # --- commands

    def _commands(self, at: int) -> int:
        data = self._data
        found = _GROUP.match(data, at)
        if found is None or self._sender is not None or not self._who.pipelining:
            return self._line(at)
        _, size, recipient = found.groups()
        fault = self._faults.choose(recipient)
        if fault is not None or (size is not None and int(size) > self._who.size):
            return self._troubled_group(found, fault)
        self._recipients.append(recipient)
        self._replies.append(_GROUP_ACCEPTED)
        self._in_payload = True
        return found.end()

    def _troubled_group(self, found: re.Match[bytes], fault: Fault | None) -> int:
        _, size, recipient = found.groups()
        if size is not None and int(size) > self._who.size:
            self._replies += [_TOO_BIG, _BAD_SEQUENCE]
        else:
            self._sender = found[1]
            self._replies.append(_SENDER_ACCEPTED)
            self._recipient(recipient, fault)
        if self.end is End.OPEN:
            self._go_ahead()
        return found.end()

    def _line(self, at: int) -> int:
        data = self._data
        end = data.find(b"\r\n", at)
        if end < 0 or end - at > COMMAND_LIMIT:
            if len(data) - at > COMMAND_LIMIT:
                self._post.count("line_too_long")
                self._replies.append(b"500 5.5.2 line too long\r\n")
                self.end = End.CLOSED
            return at
        line = data[at:end]
        after = end + 2
        if b"\n" in line:
            self._post.count("bare_lf_commands")
        if not self._who.pipelining and len(data) > after:
            self._post.count("pipelining_violations")
        self._command(line, after)
        return after

    def _command(self, line: bytes, after: int) -> None:
        verb = line[:4].upper()
        verbs: dict[bytes, Callable[[bytes], None]] = {
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"EHLO": self._ehlo,
            b"HELO": self._helo,
        }
        if verb in verbs:
            verbs[verb](line)
        elif (word := line.strip().upper()) == b"DATA":
            self._go_ahead()
        elif word == b"RSET":
            self._reset()
            self._replies.append(b"250 2.0.0 reset\r\n")
        elif word == b"QUIT":
            self._replies.append(b"221 2.0.0 bye\r\n")
            self.end = End.CLOSED
        elif word == b"STARTTLS" and self._who.starttls and not self.secure:
            self._starttls(after)
        elif verb == b"NOOP":
            self._replies.append(b"250 2.0.0 ok\r\n")
        else:
            self._post.count("bad_commands")
            self._replies.append(b"500 5.5.1 command not recognized\r\n")

    def _ehlo(self, _line: bytes) -> None:
        who = self._who
        self._reset()
        keywords = [who.name.encode(), f"SIZE {who.size}".encode(), b"ENHANCEDSTATUSCODES"]
        keywords += [b"PIPELINING"] * who.pipelining + [b"8BITMIME"] * who.eightbit + [b"SMTPUTF8"] * who.utf8
        keywords += [b"STARTTLS"] * (who.starttls and not self.secure)
        self._replies += [b"250-%b\r\n" % keyword for keyword in keywords[:-1]]
        self._replies.append(b"250 %b\r\n" % keywords[-1])

    def _helo(self, _line: bytes) -> None:
        self._reset()
        self._replies.append(b"250 %b\r\n" % self._who.name.encode())

    def _starttls(self, after: int) -> None:
        if len(self._data) > after:
            self._post.count("bytes_behind_starttls")
        self._replies.append(b"220 2.0.0 go ahead\r\n")
        self.end = End.TLS

    def _mail(self, line: bytes) -> None:
        found = _MAIL.fullmatch(line)
        if found is None:
            self._syntax("bad_mail")
        elif self._sender is not None:
            self._replies.append(b"503 5.5.1 nested MAIL\r\n")
        elif (size := _SIZE.search(found[2])) and int(size[1]) > self._who.size:
            self._replies.append(_TOO_BIG)
        elif not found[1].isascii() and b"SMTPUTF8" not in found[2].upper().split():
            self._replies.append(b"553 5.6.7 SMTPUTF8 needed\r\n")
        else:
            self._sender = found[1]
            self._replies.append(_SENDER_ACCEPTED)

    def _rcpt(self, line: bytes) -> None:
        found = _RCPT.fullmatch(line)
        if found is None:
            self._syntax("bad_rcpt")
        elif self._sender is None:
            self._replies.append(b"503 5.5.1 MAIL first\r\n")
        elif len(self._recipients) >= RECIPIENT_LIMIT:
            self._replies.append(b"452 4.5.3 too many recipients\r\n")
        elif not found[1].isascii() and not self._who.utf8:
            self._replies.append(b"553 5.6.7 address must be ASCII\r\n")
        else:
            self._recipient(found[1], self._faults.choose(found[1]))

    def _recipient(self, recipient: bytes, fault: Fault | None) -> None:
        if fault is not None and fault.step is Step.RCPT:
            self._strike(fault)
            return
        self._pending = fault if fault is not None else self._pending
        self._recipients.append(recipient)
        self._replies.append(_RECIPIENT_ACCEPTED)

    def _go_ahead(self) -> None:
        pending = self._pending
        if not self._recipients and not (self._who.go_ahead_for_nobody and self._sender is not None):
            self._replies.append(b"554 5.5.1 no valid recipients\r\n")
        elif pending is not None and pending.step is Step.DATA:
            self._strike(pending)
        else:
            self._replies.append(_GO_AHEAD)
            self._in_payload = True

    def _syntax(self, event: str) -> None:
        self._post.count(event)
        self._replies.append(b"501 5.5.4 syntax error\r\n")

    # --- both

    def _strike(self, fault: Fault) -> None:
        self._post.count(f"fault {fault.name}")
        if fault.reply:
            self._replies.append(fault.reply)
        if fault.then is Then.CLOSE:
            self.end = End.CLOSED
        elif fault.then is Then.STALL:
            self.end = End.STALLED

    def _reset(self) -> None:
        self._in_payload = False
        self._oversized = False
        self._sender = None
        self._recipients = []
        self._pending = None
