"""The client of Sokutatsu's socket, for programs in Python: needs only msgpack and the standard library.

`Client` blocks, `AsyncClient` awaits; both pipeline, reconnect, and send again what had no answer or a passing refusal.
A submit has a key, so sending it again is safe: the engine answers a repeat with the stored answer and mails nobody
twice. docs/protocol.md describes the bytes. An answer means that the recipients are on disk, not that they are mailed.

    message = {"subject": "Order 17", "text": "Dear {{name}}, ..."}
    terms = Terms(sender="shop", category="TX", mailing="orders", message=message, priority="transactional")
    with Client("/run/sokutatsu/sokutatsu.sock") as client:
        client.submit([("a@example.jp", {"name": "山田"})], terms, key="order-17")
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import msgpack

SOCKET = "/run/sokutatsu/sokutatsu.sock"
RECIPIENTS_LIMIT = 10_000
SUBMIT_BYTES = 24 * 1024 * 1024  # a submit_many is also cut here, well below the frame limit of 32 MiB
AGAIN = frozenset({"no_credit", "draining", "spool_full", "unavailable", "too_many_connections"})
"""Refusals that pass: the same bytes are sent again, with backoff, for as long as patience lasts."""
FIRST_DELAY, LAST_DELAY = 0.05, 5.0

Recipient = str | tuple[str, Mapping[str, Any]] | tuple[str, Mapping[str, Any], Mapping[str, str]]  # {"region": "EU"}


class EngineError(Exception):
    """The engine refused a request: code, field, value and a text with the remedy."""

    def __init__(self, code: str, field: str, value: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.field, self.value, self.text = code, field, value, text


class Unreachable(ConnectionError):  # noqa: N818 - a state, not one request's error
    """Nobody answered for as long as the client's patience lasts."""


@dataclass(frozen=True, slots=True)
class Refused:
    index: int  # among the recipients that were given
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Stored:
    message: bytes
    fields: tuple[str, ...]  # the merge fields that every recipient must bring, and no others


@dataclass(frozen=True, slots=True)
class Submitted:
    offset: int  # of this submit's first recipient among those given to submit_many
    count: int
    accepted: int
    first: int  # identifier of the first accepted recipient; the accepted ones are numbered on from it
    refused: tuple[Refused, ...]
    credit: int
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the recipients of a submit share."""

    sender: str
    category: str
    mailing: str
    message: Mapping[str, Any] | bytes
    """{"subject", "text", "html", "headers"} or {"raw"}, or the SHA-256 that put_message returned."""
    topic: str = ""
    priority: str = "bulk"
    not_before: int | None = None  # Unix seconds (UTC), as is expires
    expires: int | None = None
    override: str | None = None

    def fields(self, key: str, message: Mapping[str, Any] | bytes) -> dict[str, Any]:
        given = {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        return {**given, "key": key, "message": message}


@dataclass(slots=True)
class _Asked:
    frame: bytes
    tries: int = 0
    failing_since: float = 0.0


@dataclass(slots=True)
class _Exchange:
    """The protocol without its socket: what is unanswered, what is to be sent, what has come."""

    patience: float
    to_send: deque[bytes] = field(default_factory=deque)
    unanswered: dict[int, _Asked] = field(default_factory=dict)
    later: list[tuple[float, int]] = field(default_factory=list)
    heard_at: float = 0.0
    credit: int = 1
    reason: str = ""  # of the last refusal that passes
    _connects: int = 0  # since the last answer
    _buffer: bytearray = field(default_factory=bytearray)
    _last_id: int = 0

    def request(self, kind: str, fields: Mapping[str, Any], recipients: bytes | None = None) -> int:
        self._last_id += 1
        body = {"type": kind, "id": self._last_id, **fields}
        parts = [msgpack.packb(part) for pair in body.items() for part in pair]
        if recipients is not None:  # packed once, while the submit was cut
            parts += (msgpack.packb("recipients"), recipients)
        packed = msgpack.Packer().pack_map_header(len(parts) // 2) + b"".join(parts)
        frame = len(packed).to_bytes(4, "big") + packed
        if not self.unanswered:
            self.heard_at = time.monotonic()
        self.unanswered[self._last_id] = _Asked(frame)
        self.to_send.append(frame)
        return self._last_id

    def reconnected(self) -> None:
        """Everything without an answer goes again, in the order of its first time."""
        self._buffer.clear()
        self.later.clear()
        self.to_send = deque(asked.frame for asked in self.unanswered.values())

    def receive(self, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        """Answers that are final. One without id ends the connection: raises EngineError or ConnectionError."""
        self._buffer += data
        while len(self._buffer) >= 4 and len(self._buffer) >= 4 + (length := int.from_bytes(self._buffer[:4], "big")):
            answer = msgpack.unpackb(memoryview(self._buffer)[4 : 4 + length])
            del self._buffer[: 4 + length]
            if self._is_final(answer):
                yield answer["id"], answer

    def _is_final(self, answer: dict[str, Any]) -> bool:
        now, number = time.monotonic(), answer["id"]
        code, text = ("", "") if answer["ok"] else (answer["error"]["code"], answer["error"]["text"])
        if number is None:
            raise ConnectionError(text) if code in AGAIN else EngineError(**answer["error"])
        asked = self.unanswered[number]
        if code == "unavailable":  # a disk failed; that others are answered is no sign that it passes
            asked.failing_since = asked.failing_since or now
        if code in AGAIN:
            self.reason = text
            if now - (asked.failing_since or self.heard_at) < self.patience:
                self.later.append((now + _delay(asked.tries), number))
                asked.tries += 1
                return False
        del self.unanswered[number]
        self.credit = answer.get("credit", self.credit)
        self.heard_at, self._connects = now, 0
        return True

    def send_due(self) -> float:
        """Puts what is to be tried again into to_send; seconds until the next."""
        now = time.monotonic()
        self.to_send.extend(self.unanswered[number].frame for due, number in self.later if due <= now)
        self.later = [(due, number) for due, number in self.later if due > now]
        return min((due - now for due, _ in self.later), default=LAST_DELAY)

    def back_off(self, error: OSError) -> float:
        """Seconds to wait before connecting again. Raises Unreachable when somebody's patience is at its end."""
        if self.unanswered and time.monotonic() - self.heard_at > self.patience:
            before = f"; before that the engine said: {self.reason}" if self.reason else ""
            raise Unreachable(f"no answer for {self.patience:.0f} s: {error}{before}") from error
        self._connects += 1
        return _delay(self._connects - 1)


def _delay(tries: int) -> float:
    """Seconds, twice as many each time, with jitter: many clients must not come back in step."""
    return min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(tries, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _pack(recipient: Recipient) -> bytes:
    address, fields, *stated = (recipient, {}) if isinstance(recipient, str) else recipient
    texts = {name: "" if value is None else str(value) for name, value in fields.items()}
    return msgpack.packb((address, texts, *filter(None, stated)))  # type: ignore[no-any-return]


def _cut(recipients: Iterable[Recipient]) -> Iterator[tuple[int, int, bytes]]:
    """(offset, count, packed array) of each submit. The same recipients are always cut at the same places."""
    parts: list[bytes] = []
    offset = size = 0
    for packed in map(_pack, recipients):
        if len(parts) == RECIPIENTS_LIMIT or size + len(packed) > SUBMIT_BYTES:
            yield offset, len(parts), _array(parts)
            offset, parts, size = offset + len(parts), [], 0
        parts.append(packed)
        size += len(packed)
    if parts:
        yield offset, len(parts), _array(parts)


def _array(parts: list[bytes]) -> bytes:
    return msgpack.Packer().pack_array_header(len(parts)) + b"".join(parts)  # type: ignore[no-any-return]


class AsyncClient:
    """For asyncio; any number of coroutines may use one at the same time: it is pipelined."""

    def __init__(self, path: str = SOCKET, *, patience: float = 600.0) -> None:
        """`patience`: seconds without any answer before Unreachable, or in which a failed engine is asked again before
        EngineError; the first connection is tried once only.
        """
        self._path = path
        self._exchange = _Exchange(patience)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            streams = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise Unreachable(f"{self._path}: {error}") from error
        self._running = asyncio.create_task(self._run(streams))
        self._running.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError, EngineError, Unreachable):
                await self._running

    async def put_message(self, message: Mapping[str, Any]) -> Stored:
        answer = await self.call("put_message", {"message": message})
        return Stored(answer["message"], tuple(answer["fields"]))

    async def submit(self, recipients: Iterable[Recipient], terms: Terms, *, key: str | None = None) -> Submitted:
        """Up to 10,000 recipients. With a key of the caller's own, it is safe to call again after any failure."""
        packed = [_pack(recipient) for recipient in recipients]
        return await self._submit(_array(packed), terms.fields(key or uuid.uuid4().hex, terms.message), 0, len(packed))

    async def submit_many(
        self, recipients: Iterable[Recipient], terms: Terms, *, key: str | None = None, outstanding: int = 4
    ) -> AsyncIterator[Submitted]:
        """Any number of recipients, read as they are needed. The same key and recipients again mail nobody twice."""
        base, sent = key or uuid.uuid4().hex, deque[asyncio.Task[Submitted]]()
        message = terms.message if isinstance(terms.message, bytes) else (await self.put_message(terms.message)).message
        try:
            for offset, count, packed in _cut(recipients):
                while sent and (len(sent) >= outstanding or self._exchange.credit <= 0):
                    yield await sent.popleft()
                fields = terms.fields(f"{base}/{offset}", message)
                sent.append(asyncio.create_task(self._submit(packed, fields, offset, count)))
            while sent:
                yield await sent.popleft()
        finally:
            for sending in sent:
                sending.cancel()

    async def cancel(self, sender: str, mailing: str, address: str | None = None) -> dict[str, Any]:
        return await self.call("cancel", {"sender": sender, "mailing": mailing, "address": address})

    async def status(self, sender: str | None = None, mailing: str | None = None) -> dict[str, Any]:
        return await self.call("status", {"sender": sender, "mailing": mailing})

    async def suppress(
        self, address: str, sender: str | None = None, topic: str | None = None, channel: str = "client"
    ) -> dict[str, Any]:
        """An opt-out, in force when this returns: of one topic, of a sender, or of everything."""
        return await self.call("suppress", {"address": address, "sender": sender, "topic": topic, "channel": channel})

    async def consent(self, sender: str, records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Up to 10,000 of {"address", "at", "source"} and, if wanted, "basis", "covers", "topics", "evidence"."""
        return await self.call("consent", {"sender": sender, "records": list(records)})

    async def ping(self) -> dict[str, Any]:
        return await self.call("ping", {})

    async def call(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Any request of docs/protocol.md by its type; raises EngineError when it is refused."""
        return await self._answer(self._exchange.request(kind, {k: v for k, v in fields.items() if v is not None}))

    async def _submit(self, packed: bytes, fields: Mapping[str, Any], offset: int, count: int) -> Submitted:
        told = await self._answer(self._exchange.request("submit", fields, packed))
        refused = tuple(Refused(offset + index, code, text) for index, code, text in told["refused"])
        return Submitted(offset, count, told["accepted"], told["first"], refused, told["credit"], told["repeated"])

    async def _answer(self, number: int) -> dict[str, Any]:
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        if self._running is None or self._running.done():
            self._ended(self._running)
        self._wake.set()
        answer: dict[str, Any] = await future
        if not answer["ok"]:
            raise EngineError(**answer["error"])
        return answer

    async def _run(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
        while True:
            try:
                await self._converse(*(streams or await asyncio.open_unix_connection(self._path)))
            except OSError as error:
                streams = None
                await asyncio.sleep(self._exchange.back_off(error))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the connection is lost: raises OSError."""
        self._exchange.reconnected()
        writing = asyncio.create_task(self._write(writer))
        try:
            while data := await reader.read(1 << 18):
                for number, answer in self._exchange.receive(data):
                    future = self._answers.pop(number, None)
                    if future is not None and not future.done():
                        future.set_result(answer)
                self._wake.set()
            raise ConnectionResetError("the engine closed the connection")
        finally:
            writing.cancel()
            writer.close()

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # reading sees the same loss and tells it
            while True:
                self._wake.clear()
                until_next = self._exchange.send_due()
                while self._exchange.to_send:
                    writer.write(self._exchange.to_send.popleft())
                    await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(until_next):
                        await self._wake.wait()

    def _ended(self, running: asyncio.Task[None] | None) -> None:
        error = None if running is None or running.cancelled() else running.exception()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(error or Unreachable("the client is closed"))


P = ParamSpec("P")
T = TypeVar("T")


def _now(method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(method)
    def waits(self: Client, /, *given: P.args, **named: P.kwargs) -> T:
        return self._runner.run(method(self._client, *given, **named))

    return waits


class Client:
    """Blocking: an AsyncClient on a loop of its own. One thread at a time, and not inside a running event loop."""

    def __init__(self, path: str = SOCKET, *, patience: float = 600.0) -> None:
        self._client, self._runner = AsyncClient(path, patience=patience), asyncio.Runner()

    def __enter__(self) -> Self:
        try:
            self._runner.run(self._client.__aenter__())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def submit_many(
        self, recipients: Iterable[Recipient], terms: Terms, *, key: str | None = None, outstanding: int = 4
    ) -> Iterator[Submitted]:
        submits = self._client.submit_many(recipients, terms, key=key, outstanding=outstanding)

        async def following() -> Submitted | None:
            return await anext(submits, None)

        while (submitted := self._runner.run(following())) is not None:
            yield submitted

    put_message = _now(AsyncClient.put_message)
    submit = _now(AsyncClient.submit)
    cancel = _now(AsyncClient.cancel)
    status = _now(AsyncClient.status)
    suppress = _now(AsyncClient.suppress)
    consent = _now(AsyncClient.consent)
    ping = _now(AsyncClient.ping)
    call = _now(AsyncClient.call)
