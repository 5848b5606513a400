"""How soon an opt-out stops mail: from its acknowledgement to the last transaction to that address that it forbids.

The law knows no grace period (特定電子メール法 3条3項), so this is measured, not promised: 0 when nothing for the
address was on the wire at that moment, else the time until the last such transaction ended, answered or lost. What
suppression lets go on (a contract's mail, a later consent) does not count, since it is asked. A transaction that begins
after the acknowledgement is late: that must never be, and is counted by itself. Costs nothing while nobody has refused
lately; a refusal is watched for WATCH_SECONDS.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from engine.buckets import Buckets
from engine.mail.envelope import Recipient
from engine.mail.stated import asked
from suppression import Suppression
from suppression.decision import Verdict

EFFECT_BOUNDS = (0.0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Seconds. The first bucket is "nothing was on the wire"."""
WATCH_SECONDS = 900.0
"""Longer than a receiver may keep silent after the final dot (RFC 5321 4.5.3.2.6: 10 minutes)."""
MOST_WATCHED = 65_536
LOOK_SECONDS = 0.1
"""Acknowledgements within it share one look at what is on the wire."""


@dataclass(slots=True)
class Watched:
    at: float
    """Acknowledged."""
    last: float = 0.0
    """When the last forbidden transaction ended; 0.0: none has."""


class OptOutEffect:
    def __init__(self, suppression: Suppression, on_wire: Callable[[], Iterable[Recipient]]) -> None:
        """`on_wire`: the recipients of every transaction that has begun and has not ended."""
        self.recent: OrderedDict[bytes, Watched] = OrderedDict()
        """Wide key of an address -> its latest opt-out, oldest first."""
        self.pending: dict[bytes, Watched] = {}
        """Those of them that may still have something on the wire."""
        self.seconds = Buckets(EFFECT_BOUNDS)
        self.late = 0
        self.unwatched = 0
        """Opt-outs of a flood, beyond what is watched."""
        self._suppression = suppression
        self._on_wire = on_wire
        self._looking = False

    def acknowledged(self, address: str, now: float) -> None:
        """Call it when the event is in force, before its answer leaves. Cheap: looking is shared."""
        recent = self.recent
        while recent and recent[next(iter(recent))].at < now - WATCH_SECONDS:
            recent.popitem(last=False)
        if len(recent) >= MOST_WATCHED:
            self.unwatched += 1
            return
        wide = wide_key(self._suppression.identify([address])[0])
        recent.pop(wide, None)
        recent[wide] = Watched(now)
        self.pending.setdefault(wide, recent[wide])
        self._look_later()

    def started(self, recipient: Recipient, now: float) -> None:
        """MAIL FROM goes out now. Only while `recent` is not empty."""
        watched = self.recent.get(wide_key(recipient.who))
        if watched is not None and self._is_forbidden(recipient):
            self.late += 1
            self.seconds.observe(max(0.0, now - watched.at))

    def finished(self, recipient: Recipient, now: float) -> None:
        """Only while `pending` is not empty."""
        watched = self.pending.get(wide_key(recipient.who))
        if watched is not None and self._is_forbidden(recipient):
            watched.last = now

    def look(self) -> None:
        """Whoever has nothing on the wire any more is observed."""
        pending = self.pending
        there = {
            wide
            for recipient in self._on_wire()
            if (wide := wide_key(recipient.who)) in pending and self._is_forbidden(recipient)
        }
        for wide in [wide for wide in pending if wide not in there]:
            watched = pending.pop(wide)
            self.seconds.observe(max(0.0, watched.last - watched.at))

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._looked)

    def _looked(self) -> None:
        self._looking = False
        self.look()
        if self.pending:
            self._look_later()

    def _is_forbidden(self, recipient: Recipient) -> bool:
        batch = recipient.batch
        decision = self._suppression.decide_one(
            batch.sender, batch.topic, batch.category, recipient.who, *asked(recipient.fields)
        )
        return decision.verdict is not Verdict.SEND


def wide_key(identity: bytes) -> bytes:
    """The half of suppression's identity by which a refusal reaches every spelling of an address."""
    return identity[8:]
