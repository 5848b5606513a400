"""TLS reports that somebody wants by HTTPS (RFC 8460 5.3): what is still to be posted, kept on disk, tried for a day.

A report's file is there before its entry is; the entry says to which place, how often it was tried, and when again. A
place that takes it is remembered as long as the file is, so that a day that is reported twice, because we died in
between, is posted once. One task posts one report at a time and keeps nobody waiting; a place that hangs costs itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path as File
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engine.flow.directives import replace_whole

log = logging.getLogger(__name__)

MOST: Final = 20_000
TRIES: Final = 8
FIRST_WAIT: Final = 600.0
"""Seconds after the first failure; doubles: all tries take a day (RFC 8460 5.6 asks for no more)."""
LONGEST_REPORT: Final = 16 * 1024 * 1024

Post = Callable[[str, bytes], Awaitable[str]]
"""Place and gzipped report -> why it was not taken, or nothing."""


class Posting(msgspec.Struct, forbid_unknown_fields=True):
    file: Annotated[str, Meta(max_length=600)]
    place: Annotated[str, Meta(max_length=600)]
    due: float
    """Unix seconds."""
    tries: Annotated[int, Meta(ge=0)] = 0
    over: bool = False
    """Taken, or given up."""


class ReportPosts:
    def __init__(self, folder: File, post: Post, *, clock: Callable[[], float]) -> None:
        """Reads what an earlier run has left."""
        self._folder = folder
        self._file = folder / "posts.json"
        self._post = post
        self._clock = clock
        self._entries = {(one.file, one.place): one for one in self._read()}
        self._running: asyncio.Task[None] | None = None
        self.posted = 0
        self.failed = 0

    @property
    def waiting(self) -> int:
        return sum(not one.over for one in self._entries.values())

    async def want(self, file: str, places: Sequence[str], *, wait: float) -> None:
        """On disk when it returns; nothing for what is known already."""
        for place in places:
            if (file, place) not in self._entries and len(self._entries) < MOST:
                self._entries[file, place] = Posting(file, place, self._clock() + wait)
        await self._keep()

    def wake(self) -> None:
        """Posts what is due, beside whoever calls. Raises what the last time raised: a bug of ours."""
        if self._running is not None and self._running.done():
            self._running.result()
            self._running = None
        if self._running is None:
            self._running = asyncio.create_task(self.post_due())

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def post_due(self) -> None:
        due = [one for one in self._entries.values() if not one.over and one.due <= self._clock()]
        for one in due:
            await self._try(one)
        if due:
            kept = await asyncio.to_thread(lambda: {file.name for file in self._folder.iterdir()})
            for key in [key for key, one in self._entries.items() if one.over and one.file not in kept]:
                del self._entries[key]
            await self._keep()

    async def _try(self, one: Posting) -> None:
        try:
            packed = await asyncio.to_thread((self._folder / one.file).read_bytes)
        except OSError as error:
            text, packed = f"its file: {error.strerror}", b""
        else:
            text = "it is too large" if len(packed) > LONGEST_REPORT else await self._post(one.place, packed)
        one.tries += 1
        if not text:
            one.over = True
            self.posted += 1
            return
        if one.tries >= TRIES or not packed:
            one.over = True
            self.failed += 1
            log.warning("TLS report %s: %.200a does not take it, given up: %s", one.file, one.place, text)
            return
        one.due = self._clock() + FIRST_WAIT * 2 ** (one.tries - 1)
        log.info("TLS report %s: %.200a does not take it yet: %s", one.file, one.place, text)

    async def _keep(self) -> None:
        """A disk that is full costs reports and nothing else."""
        try:
            await asyncio.to_thread(replace_whole, self._file, msgspec.json.encode(list(self._entries.values())))
        except OSError as error:
            log.warning("TLS reports: %s is not written: %s", self._file, error.strerror)

    def _read(self) -> list[Posting]:
        try:
            found = msgspec.json.decode(self._file.read_bytes(), type=list[Posting], strict=True)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s: %s; what was to be posted is not", self._file, ascii(str(error))[1:-1][:120])
            return []
        # A name is a file of this folder, and nothing else.
        return [one for one in found[:MOST] if "/" not in one.file and not one.file.startswith(".")]
