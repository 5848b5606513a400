"""The connections of one path: how many may be open, which is free, when the next may be tried.

`assign` decides, synchronously, from numbers; opening and closing happen elsewhere. A path's pool never holds more
than the concurrency window allows (slow open, Postfix's feedback), never opens faster than `max_connection_rate`,
and after failed connections waits longer each time.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.net.connection import Connection
from engine.policy.provider import Share
from engine.policy.shaping import Limits
from engine.policy.throttle import Throttle

MESSAGES_PER_CONNECTION = 10
"""Waiting messages that justify one more connection: a round trip each is cheaper than a handshake."""
LONGEST_PAUSE = 1800.0
DEAD_SITE_PAUSE = 60.0


class Pool:
    __slots__ = (
        "_backed_off_until",
        "_is_short",
        "_limits",
        "_share",
        "_throttle",
        "cap",
        "closed_total",
        "connections",
        "failures",
        "last_error",
        "opened_total",
        "opening",
        "paused_until",
        "refused_total",
        "window",
    )  # fmt: skip

    def __init__(self, limits: Limits, share: Share | None = None) -> None:
        self._limits = limits
        self._share = share
        self._is_short = False
        self.cap = limits.connection_limit
        """What automation allows now; never more than the limit."""
        self._throttle = Throttle(limits.max_connection_rate) if limits.max_connection_rate else None
        self.window = limits.window()
        self.connections: set[Connection] = set()
        self.opening = 0
        self.paused_until = 0.0
        self._backed_off_until = 0.0
        """The latest end of a pause that failed connections made, and not a reply."""
        self.failures = 0
        """Connections refused in a row."""
        self.last_error = ""
        self.opened_total = 0
        self.refused_total = 0
        self.closed_total = 0

    def assign(self, now: float, waiting: int, *, stuck: bool = False) -> tuple[int, float]:
        """How many connections to open now for `waiting` messages, and the seconds until asking again makes sense
        (0.0: nothing to wait for but events). The caller opens as many and reports each by `opened` or `refused`.
        `stuck`: those that are open take nothing, so that one more is wanted however few wait.
        """
        if now < self.paused_until:
            return 0, self.paused_until - now
        if self.window.dead:
            # Failures without a success between them: a rest, then one connection to try with.
            self.window.revive()
            self._back_off(now, DEAD_SITE_PAUSE)
            self.last_error = self.last_error or "sessions failed in a row without a success between"
            return 0, DEAD_SITE_PAUSE
        most = 1 if self.failures else self.window.size
        wanted = -(-waiting // MESSAGES_PER_CONNECTION)
        if stuck:
            wanted = max(wanted, len(self.connections) + self.opening + 1)
        wanted = min(most, wanted, self.cap)
        count = 0
        while len(self.connections) + self.opening < wanted:
            wait = self._throttle.peek(now) if self._throttle else 0.0
            if wait > 0.0:
                return count, wait
            if self._share and not self._share.take():
                self._is_short = True
                break
            if self._throttle:
                self._throttle.take(now)
            self.opening += 1
            count += 1
        return count, 0.0

    def adopt(self, limits: Limits, share: Share | None) -> None:
        """Other limits; what the window has learnt stays, as far as they let it."""
        held = len(self.connections) + self.opening
        if share is not self._share:
            old, self._share = self._share, share
            if share:
                share.open += held
            for _ in range(held if old else 0):
                old.give()  # type: ignore[union-attr]
        if limits.max_connection_rate != self._limits.max_connection_rate:
            self._throttle = Throttle(limits.max_connection_rate) if limits.max_connection_rate else None
        window = limits.window()
        window.size = min(self.window.size, limits.connection_limit)
        self.window, self._limits, self.cap = window, limits, limits.connection_limit

    def opened(self, connection: Connection) -> None:
        self.opening -= 1
        self.opened_total += 1
        self.failures = 0
        self.connections.add(connection)

    def refused(self, now: float, *, error: str, pause_seconds: float) -> None:
        self.opening -= 1
        self._give()
        self.refused_total += 1
        self.failures += 1
        self.last_error = error
        self.window.failure()
        self._back_off(now, max(pause_seconds, min(LONGEST_PAUSE, pause_seconds * 2 ** min(self.failures - 1, 10))))

    def lost(self, connection: Connection) -> None:
        self.closed_total += 1
        self.connections.discard(connection)
        self._give()

    def wait_for_share(self, look: Callable[[], None]) -> None:
        """Calls `look` when another path gives back what this one did not get of the provider's connections."""
        if self._is_short and self._share:
            self._is_short = False
            self._share.call_again(look)

    def _give(self) -> None:
        if self._share:
            self._share.give()

    def pause(self, now: float, seconds: float) -> None:
        self.paused_until = max(self.paused_until, now + seconds)

    def _back_off(self, now: float, seconds: float) -> None:
        self.pause(now, seconds)
        self._backed_off_until = max(self._backed_off_until, now + seconds)

    def forget_refusals(self) -> None:
        """Another server is tried from now on, which has refused nothing. What a reply asked for stays."""
        self.failures, self.last_error = 0, ""
        if self.paused_until <= self._backed_off_until:
            self.paused_until = 0.0
        self._backed_off_until = 0.0
        if self.window.dead:
            self.window.revive()

    def knows_nothing(self, now: float) -> bool:
        """What a new pool would not know as well: a rest, failures in a row, a rate in use."""
        full = self._throttle is None or self._throttle.is_full(now)
        return full and not self.failures and now >= self.paused_until

    def idle(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.idle_since is not None]
