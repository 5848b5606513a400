"""The socket's door: who may come in, one connection's frames, and what all connections together may hold.

Bytes come in, frames go to whoever answers them, answers leave in the order in which they are ready, each with its
request's id. Memory is bounded three times: connections, outstanding requests per connection, and one budget for
the bytes of large frames. A client that sends faster than it is answered, or does not read its answers, is not read
from. Nothing here knows what a request means; only a lost frame or a flood of bad ones closes a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from engine import wire
from engine.flow.budget import Budget
from engine.flow.socketfile import bind_socket, peer_credentials, unlink_own
from engine.wire import FrameLost, FrameReader, Refusal

SMALL_FRAME = 64 * 1024
"""Frames up to this size need no grant from the budget: connections and outstanding requests bound them."""
log = logging.getLogger(__name__)

BAD_FRAMES_LIMIT = 100
LINGER_SECONDS = 1.0
FRAME_SECONDS = 60.0
"""A large frame that has begun is complete within this time, or the connection ends: it holds budget."""

Answerer = Callable[[wire.AnyRequest], Awaitable[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class DoorSettings:
    path: Path
    uids: frozenset[int] = field(default_factory=frozenset)
    """Users that may connect beside root and our own; every other needs one of the groups."""
    gids: frozenset[int] = field(default_factory=frozenset)
    group: int | None = None
    """Group of socket and folder; None leaves it as created."""
    connections: int = 64
    outstanding: int = 16
    frame_limit: int = wire.FRAME_LIMIT
    memory: int = 256 * 1024 * 1024
    """Bytes of large frames that all connections together may hold."""


class Counts:
    __slots__ = ("bad_frames", "connections", "connections_refused", "faults", "requests")

    def __init__(self) -> None:
        self.bad_frames = 0
        self.connections = 0
        self.connections_refused = 0
        self.faults = 0
        self.requests = 0


class Door:
    """Owns the listening socket and all its connections."""

    def __init__(self, settings: DoorSettings, answer: Answerer) -> None:
        if settings.memory < settings.frame_limit:
            raise ValueError(f"memory {settings.memory} is below frame_limit {settings.frame_limit}: raise it")
        self.settings = settings
        self.counts = Counts()
        self.answer = answer
        self.budget = Budget(settings.memory)
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._uids = self.settings.uids | {0, os.getuid()}

    async def start(self, passed: socket.socket | None = None) -> None:
        """`passed` listens already, and its file is not ours. Raises SocketError with the path and the remedy."""
        if passed is None:
            listening, self._inode = bind_socket(self.settings.path, self.settings.group)
        else:
            listening = passed
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Connection(self), sock=listening)

    async def close(self, patience: float = 10.0) -> None:
        """Takes no new request, lets the outstanding ones be answered for `patience` seconds, then ends."""
        if self._server is not None:
            self._server.close()
            if self._inode:
                unlink_own(self.settings.path, self._inode)
        for connection in list(self.connections):
            connection.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self.connections:
                    await asyncio.wait([connection.gone for connection in self.connections])
        for connection in list(self.connections):
            connection.abort()

    def admits(self, uid: int, gids: frozenset[int]) -> bool:
        return uid in self._uids or bool(gids & self.settings.gids)


class Connection(asyncio.Protocol):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader(door.settings.frame_limit)
        self._outstanding: set[asyncio.Task[None]] = set()
        self._puts: set[asyncio.Task[None]] = set()
        self._granted = 0
        self._asked = False
        self._deadline: asyncio.TimerHandle | None = None
        self._bad_frames = 0
        self._unread_answers = False
        self._is_finishing = True
        """No request is taken: before admission, and when we end."""
        self._lingers = False
        self._has_ended = False

    # what the loop tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's own class
        self._transport = transport
        self._door.connections.add(self)
        refusal = self._admission(transport)
        if refusal is None:
            self._is_finishing = False
            self._door.counts.connections += 1
            return
        self._door.counts.connections_refused += 1
        if len(self._door.connections) > 2 * self._door.settings.connections:
            transport.abort()  # even telling them has its bound
        self._lose(refusal)

    def _admission(self, transport: asyncio.Transport) -> Refusal | None:
        if len(self._door.connections) > self._door.settings.connections:
            text = f"{self._door.settings.connections} connections are open: share one, it is pipelined"
            return Refusal("too_many_connections", "", "", text)
        uid, gids = peer_credentials(transport.get_extra_info("socket"))
        if not self._door.admits(uid, gids):
            text = f"uid {uid} may not use this socket: add it to the socket's uids, or the user to one of its groups"
            return Refusal("forbidden", "uid", str(uid), text)
        return None

    def data_received(self, data: bytes) -> None:
        if self._is_finishing:
            return
        self._reader.feed(data)
        self._pump()

    def eof_received(self) -> bool:
        """The client has said all; it still gets its answers."""
        self._has_ended = True
        if self._is_finishing:
            self.finish()
        self._pump()
        return True

    def pause_writing(self) -> None:
        self._unread_answers = True
        self._pump()

    def resume_writing(self) -> None:
        self._unread_answers = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - what was sent stays submitted
        self._transport = None
        self._is_finishing = True
        self._door.connections.discard(self)
        self._disarm()
        granted, self._granted = self._granted, 0
        self._door.budget.forget(self)
        self._door.budget.release(granted)
        self.gone.set_result(None)

    # what the door and the budget tell us

    def finish(self) -> None:
        """No more requests; ends when the last answer has left."""
        self._is_finishing = True
        if self._transport is not None and not self._outstanding and not self._transport.is_closing():
            if self._has_ended or self._lingers:
                self._transport.close()
            else:
                self._linger(self._transport)

    def _linger(self, transport: asyncio.Transport) -> None:
        """Who still sends when we close is reset before it has read all: so our end goes first, then theirs."""
        self._lingers = True
        self._disarm()
        transport.write_eof()
        transport.resume_reading()
        self._deadline = self._loop.call_later(LINGER_SECONDS, transport.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def granted(self) -> None:
        self._asked = False
        self._begin_large(self._reader.announced)
        self._loop.call_soon(self._pump)

    # frames

    def _pump(self) -> None:
        """Takes frames while there is room, then decides whether to read on."""
        if self._transport is None or self._is_finishing:
            return
        try:
            while self._has_room() and self._may_take():
                body = self._reader.next()
                if body is None:
                    if self._has_ended:
                        self.finish()
                    break
                self._take(body)
        except FrameLost as lost:
            self._lose(Refusal("frame_lost", "", "", str(lost)))
        if self._is_finishing or self._has_ended:
            return
        if self._has_room() and not self._asked:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _has_room(self) -> bool:
        return (
            len(self._outstanding) < self._door.settings.outstanding
            and not self._unread_answers
            and not self._is_finishing
        )

    def _may_take(self) -> bool:
        """A large frame needs its grant before more of it is read."""
        size = self._reader.announced
        if size <= SMALL_FRAME or size > self._door.settings.frame_limit or self._granted:
            return True
        if self._asked:
            return False
        if self._door.budget.grant(self, size):
            self._begin_large(size)
            return True
        self._asked = True
        return False

    def _begin_large(self, size: int) -> None:
        self._granted = size
        self._deadline = self._loop.call_later(FRAME_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        text = f"a frame was not complete after {FRAME_SECONDS:.0f} seconds: send it in one go"
        self._lose(Refusal("frame_lost", "", "", text))

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _lose(self, refusal: Refusal) -> None:
        """The last that the client is told beside the answers to what it had asked before."""
        self._send(wire.failure(None, refusal))
        self.finish()

    def _take(self, body: bytes) -> None:
        granted, self._granted = self._granted, 0
        self._disarm()
        try:
            request = wire.decode_request(body)
        except Refusal as refusal:
            self._door.budget.release(granted)
            self._bad_frame(wire.request_id(body), refusal)
            return
        self._bad_frames = 0
        self._door.counts.requests += 1
        # a submit may name a message whose put is still on its way: it waits for those sent before it
        puts = frozenset(self._puts) if isinstance(request, wire.Submit) else frozenset()
        answering = self._loop.create_task(self._answer(request, puts, granted))
        self._outstanding.add(answering)
        answering.add_done_callback(self._answered)
        if isinstance(request, wire.PutMessage):
            self._puts.add(answering)

    def _bad_frame(self, request: int | str | None, refusal: Refusal) -> None:
        self._door.counts.bad_frames += 1
        self._bad_frames += 1
        self._send(wire.failure(request, refusal))
        if self._bad_frames >= BAD_FRAMES_LIMIT:
            self._lose(Refusal("flood", "", "", f"{BAD_FRAMES_LIMIT} bad frames in a row: read the errors"))

    async def _answer(self, request: wire.AnyRequest, puts: frozenset[asyncio.Task[None]], granted: int) -> None:
        try:
            if puts:
                await asyncio.wait(puts)
            self._send(wire.answer(request.id, await self._door.answer(request)))
        except Refusal as refusal:
            self._send(wire.failure(request.id, refusal))
        except Exception:
            self._door.counts.faults += 1
            self._send(wire.failure(request.id, Refusal("internal", "", "", "a fault of the engine: see its log")))
            # Logged and counted, not fatal: nothing was acknowledged, and no client may stop the others' mail.
            log.exception("a request of type %s failed", type(request).__name__)
        finally:
            self._door.budget.release(granted)

    def _answered(self, answering: asyncio.Task[None]) -> None:
        self._outstanding.discard(answering)
        self._puts.discard(answering)
        if self._is_finishing:
            self.finish()
        else:
            self._pump()

    def _send(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)
