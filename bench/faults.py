"""Misbehaviour of the receiving server, chosen by the recipient.

Two ways to ask for it: the recipient's local part (`defer-2-anything@…` is answered 451 twice, then accepted), and
a share of all recipients (`451=0.05`), picked by a hash of the address so that two runs pick the same ones.
It refuses a name that it does not know instead of behaving well by mistake; ordinary local parts cost one match.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from zlib import crc32


class Step(Enum):
    """Where the fault strikes."""

    RCPT = "rcpt"
    DATA = "data"
    PAYLOAD = "payload"
    DOT = "dot"


class Then(Enum):
    """What the server does to the connection."""

    GO_ON = "go on"
    CLOSE = "close"
    """Sends what it has to say, then disconnects."""
    STALL = "stall"
    """Never says anything again."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    step: Step
    reply: bytes
    then: Then
    times: int
    """How often it strikes for one recipient before good behaviour; 0 = always."""


class FaultError(ValueError):
    """The name of a fault or share is not understood."""


WORDS = r"bounce|defer|dotfail|dotdefer|stall(?:-data|-dot)?|drop-(?:rcpt|data|payload|dot)|(?:dot)?[45]\d\d"
_LOCAL_PART = re.compile(rf"({WORDS})(?:-(\d{{1,3}}))?-".encode())
_SPELLED = re.compile(rf"({WORDS})(?:-(\d{{1,3}}))?")
_MEANS = {"bounce": "550", "defer": "451", "dotfail": "dot554", "dotdefer": "dot451"}
_ENHANCED = {
    "421": "4.3.2 service not available, closing",
    "450": "4.2.0 greylisted, try again in 60 seconds",
    "451": "4.7.1 try again later",
    "452": "4.2.2 mailbox full",
    "550": "5.1.1 no such user",
    "552": "5.2.2 mailbox full",
    "554": "5.7.1 refused by policy",
}


def parse_fault(text: str) -> Fault:
    """`bounce`, `defer-3`, `dot451-1`, `drop-dot`, `stall`, `421`. Raises FaultError."""
    found = _SPELLED.fullmatch(text)
    if found is None:
        raise FaultError(f"fault {text[:80]!a} is unknown: expected {WORDS}, then perhaps -TIMES")
    return _fault(found[1], int(found[2] or 0))


def _fault(name: str, times: int) -> Fault:
    if name.startswith("drop-"):
        return Fault(name, Step(name[5:]), b"", Then.CLOSE, times)
    if name.startswith("stall"):
        return Fault(name, Step(name[6:] or "rcpt"), b"", Then.STALL, times)
    code = _MEANS.get(name, name)
    step = Step.DOT if code.startswith("dot") else Step.RCPT
    code = code.removeprefix("dot")
    then = Then.CLOSE if code == "421" else Then.GO_ON
    text = _ENHANCED.get(code, f"{code[0]}.0.0 as you wished")
    return Fault(name, step, f"{code} {text}\r\n".encode(), then, times)


@dataclass(frozen=True, slots=True)
class Share:
    fault: Fault
    fraction: float

    @classmethod
    def parse(cls, text: str) -> Share:
        """`451=0.05`, `defer-1=0.2`. Raises FaultError."""
        name, _, number = text.partition("=")
        try:
            fraction = float(number)
        except ValueError:
            fraction = -1.0
        if not 0.0 <= fraction <= 1.0:
            raise FaultError(f"share {text[:80]!a} is not FAULT=FRACTION with a fraction from 0 to 1")
        return cls(parse_fault(name), fraction)


@dataclass(slots=True)
class Faults:
    """Chooses, and remembers how often a recipient was already refused. One for all connections of a server."""

    shares: Sequence[Share] = ()
    struck: dict[bytes, int] = field(default_factory=dict)
    _known: dict[bytes, Fault] = field(default_factory=dict)

    def choose(self, recipient: bytes) -> Fault | None:
        """The fault that strikes now. Counts: ask once per RCPT."""
        found = _LOCAL_PART.match(recipient)
        if found is not None:
            return self._strike(self._spelled(found[0]), recipient)
        if self.shares:
            fault = self._by_share(recipient)
            return None if fault is None else self._strike(fault, recipient)
        return None

    def _spelled(self, prefix: bytes) -> Fault:
        fault = self._known.get(prefix)
        if fault is None:
            fault = self._known[prefix] = parse_fault(prefix[:-1].decode())
        return fault

    def _by_share(self, recipient: bytes) -> Fault | None:
        point = crc32(recipient) / 2**32
        for share in self.shares:
            if point < share.fraction:
                return share.fault
            point -= share.fraction
        return None

    def _strike(self, fault: Fault, recipient: bytes) -> Fault | None:
        if fault.times:
            before = self.struck.get(recipient, 0)
            if before >= fault.times:
                return None
            self.struck[recipient] = before + 1
        return fault
