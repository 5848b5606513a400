"""Domains whose receivers are being asked for: which next, and how many at once.

A domain that nobody knows parks its lanes (promote.py); its recipients stay in the spool and cost nothing here. Each
domain is asked for once, those of transactional mail first, however many lanes and recipients wait for it. What was
found is in the resolver's memory; this file only says that it is there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

MOST = 200
"""Look-ups at once. Each may ask several questions; the DNS client has a bound of its own for these."""


class Lookups:
    def __init__(self, look_up: Callable[[str], Awaitable[None]], *, most: int = MOST) -> None:
        self._look_up = look_up
        self._most = most
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._asked: set[str] = set()
        """Under way now."""
        self._workers: set[asyncio.Task[None]] = set()
        self.done = 0
        self.on_known: Callable[[str], None] = lambda _domain: None
        self.on_fault: Callable[[BaseException], None] = lambda _error: None

    def use(self, look_up: Callable[[str], Awaitable[None]], most: int) -> None:
        """Another resolver from the next domain on."""
        self._look_up = look_up
        self._most = most

    @property
    def waiting(self) -> int:
        return len(self._wanted)

    @property
    def under_way(self) -> int:
        return len(self._workers)

    def want(self, domain: str, *, urgent: bool = False) -> None:
        """`on_known` follows, also when DNS had no answer. A domain that is asked for already is not asked twice."""
        if domain in self._asked:
            return
        self._wanted[domain] = None
        if urgent:
            self._wanted.move_to_end(domain, last=False)
        if len(self._workers) < self._most:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._ended)

    async def _work(self) -> None:
        while self._wanted:
            domain, _ = self._wanted.popitem(last=False)
            self._asked.add(domain)
            try:
                await self._look_up(domain)
            finally:
                self._asked.discard(domain)
            self.done += 1
            self.on_known(domain)

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (error := worker.exception()):
            self.on_fault(error)

    def close(self) -> None:
        self._wanted.clear()
        for worker in self._workers:
            worker.cancel()
