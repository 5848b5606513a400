"""How many connections there are, and how long a silent one may stay.

aiohttp waits for a request's head as long as the client likes. Here each connection has a bound for that, and all of
them together have one: at the limit the longest-silent goes first, so that somebody who only holds connections open
keeps nobody out. A request that is being answered is never cut.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from aiohttp import web

BUSY = math.inf
SWEEP_SECONDS = 1.0


class Connections:
    def __init__(self, server: web.Server, limit: int, timeout: float, clock: Callable[[], float]) -> None:
        """`clock` never jumps."""
        self._server = server
        self._limit = limit
        self._timeout = timeout
        self._clock = clock
        self._since: dict[asyncio.Protocol, float] = {}
        """Silent since; BUSY while a request is answered."""
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._since)

    def accept(self) -> asyncio.Protocol:
        """A protocol for a new connection: the factory of the listening socket."""
        if len(self._since) >= self._limit:
            self.sweep()
        if len(self._since) >= self._limit and not self._make_room():
            self.turned_away += 1
            return _TurnedAway()
        protocol: asyncio.Protocol = self._server()
        self._since[protocol] = self._clock()
        return protocol

    def begun(self, protocol: asyncio.Protocol) -> None:
        if protocol in self._since:
            self._since[protocol] = BUSY

    def ended(self, protocol: asyncio.Protocol) -> None:
        if protocol in self._since:
            self._since[protocol] = self._clock()

    def sweep(self) -> None:
        """Each second: forgets the closed ones, closes the silent ones."""
        now = self._clock()
        alive = set(self._server.connections)
        for protocol, since in list(self._since.items()):
            if protocol not in alive and now > since:
                del self._since[protocol]
            elif now - since > self._timeout:
                self._close(protocol)

    def _make_room(self) -> bool:
        protocol, since = min(self._since.items(), key=lambda entry: entry[1])
        if since == BUSY:
            return False
        self._close(protocol)
        return True

    def _close(self, protocol: asyncio.Protocol) -> None:
        del self._since[protocol]
        assert isinstance(protocol, web.RequestHandler)
        protocol.force_close()


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
