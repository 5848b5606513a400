"""What the live page shows, made once a second for everybody who looks, as server-sent events (WHATWG HTML 9.2).

The snapshot has sections; each is encoded once, and only when it changed. A listener remembers which versions it has
and gets the newest of the rest: one that reads slowly skips what lies between, so that nothing piles up for it. While
nobody looks, one sample of counters a second is all that happens. A fault in a view is logged and shown, and does not
stop the engine.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.page.series import Sample, Series

log = logging.getLogger(__name__)

MOST_LISTENERS = 64
EVERY = 1.0
SHARE = 50
"""Slow sections are made anew after as many times the time that they took, so that they take 2 % at most."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the page's numbers come from, and who answers its questions."""

    sample: Callable[[], Sample]
    """Each second, also when nobody looks: must cost microseconds."""
    sections: Callable[[], Mapping[str, object]]
    """Each second while somebody looks."""
    slow: Callable[[], Awaitable[Mapping[str, object]]]
    """Less often, the longer it takes."""
    answer: Callable[[Any], Awaitable[Mapping[str, object]]]
    """A request of the socket's protocol. Raises Refusal."""
    clock: Callable[[], float]
    patience: float = 10.0
    """Seconds that a listener may take to read one snapshot, and a client to send an order."""


class Feed:
    def __init__(self, source: Source) -> None:
        self.series = Series()
        self.lag = 0.0
        """Seconds by which the last tick came late."""
        self.closing = False
        self._source = source
        self._sections: dict[str, tuple[int, bytes]] = {}
        self._version = 0
        self._listeners: set[asyncio.Event] = set()
        self._looking = asyncio.Event()
        self._history = (0, b"")
        self._tasks: list[asyncio.Task[None]] = []

    # -- running -------------------------------------------------------------------------------------------

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="live page"),
            loop.create_task(self._run_slow(), name="live page, slow"),
        ]

    async def close(self) -> None:
        """Tells everybody who looks; their handlers end by themselves."""
        self.closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._wake()

    async def _run(self) -> None:
        planned = time.monotonic()
        while True:
            planned += EVERY
            await asyncio.sleep(max(0.0, planned - time.monotonic()))
            self.lag = max(0.0, time.monotonic() - planned)
            if self.lag > EVERY:
                planned = time.monotonic()
            self.tick()

    def tick(self) -> None:
        self.series.add(self._source.sample(), self._source.clock())
        if self._listeners:
            self._refresh()
            self._wake()

    def _refresh(self) -> None:
        try:
            made = dict(self._source.sections())
        except Exception:
            # Logged and shown on the page, not fatal: a picture that cannot be drawn must not stop anybody's mail.
            log.exception("the live page's numbers could not be made")
            made = {"fault": {"text": "see the engine's log"}}
        else:
            made["fault"] = None
        made["point"] = self.series.last
        made["lag"] = round(self.lag, 4)
        self.publish(made)

    async def _run_slow(self) -> None:
        while True:
            await self._looking.wait()
            began = time.monotonic()
            try:
                self.publish(await self._source.slow())
            except Exception:
                # As in _refresh.
                log.exception("the live page's slow numbers could not be made")
            await asyncio.sleep(max(EVERY, SHARE * (time.monotonic() - began)))

    def publish(self, sections: Mapping[str, object]) -> None:
        for name, value in sections.items():
            data = b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(value))
            known = self._sections.get(name)
            if known is None or known[1] != data:
                self._version += 1
                self._sections[name] = (self._version, data)

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.set()

    # -- listeners -----------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        return len(self._listeners) >= MOST_LISTENERS

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def join(self) -> asyncio.Event:
        """Set whenever there is something new."""
        if not self._listeners:
            # What was made for the last one who looked is old.
            self._refresh()
        listener = asyncio.Event()
        self._listeners.add(listener)
        self._looking.set()
        return listener

    def leave(self, listener: asyncio.Event) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            self._looking.clear()

    def history(self) -> bytes:
        """The event that a page begins with; made once a second at most."""
        last = self.series.last
        at = last[0] if last else 0
        if self._history[0] != at or not self._history[1]:
            self._history = (at, b"event: history\ndata: %s\n\n" % msgspec.json.encode(self.series.points()))
        return self._history[1]

    def since(self, version: int) -> tuple[bytes, int]:
        """All sections that are newer, and the version that the reader has then."""
        newer = [data for number, data in self._sections.values() if number > version]
        return b"".join(newer), self._version
