"""The socket protocol: frames, the requests that may stand in them, and the answers.

A frame is a 4-byte big-endian length and a MessagePack map; docs/protocol.md is this file for other languages, with
bytes. Requests are typed and closed: an unknown type, an unknown field or a wrong value is a Refusal that names the
field, the value and the remedy. What may be large (message, recipients) stays undecoded until somebody who bounds
it asks for it. Nothing here reads a clock or a socket, and nothing here knows what a sender may do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from engine.request import (
    AnyRequest,
    Backup,
    Cancel,
    Consent,
    ConsentConfirm,
    ConsentRecord,
    ConsentRequest,
    Drain,
    Id,
    Message,
    OptOutRecord,
    Order,
    Ping,
    PutForm,
    PutMessage,
    Recipient,
    Reload,
    Request,
    RestoreAddress,
    RetireForm,
    Stated,
    Status,
    Submit,
    Suppress,
    SuppressMany,
    Trace,
    WhyNot,
)

__all__ = [
    "DIGEST_SIZE",
    "FIELDS_LIMIT",
    "FRAME_LIMIT",
    "RECIPIENTS_LIMIT",
    "RECIPIENT_BYTES_LIMIT",
    "AnyRequest",
    "Backup",
    "Cancel",
    "Consent",
    "ConsentConfirm",
    "ConsentRecord",
    "ConsentRequest",
    "Drain",
    "FrameLost",
    "FrameReader",
    "Id",
    "Message",
    "OptOutRecord",
    "Order",
    "Ping",
    "PutForm",
    "PutMessage",
    "Recipient",
    "Refusal",
    "Refused",
    "Reload",
    "Request",
    "RestoreAddress",
    "RetireForm",
    "Stated",
    "Status",
    "Submit",
    "Suppress",
    "SuppressMany",
    "Trace",
    "WhyNot",
    "answer",
    "decode_message",
    "decode_recipient",
    "decode_refused",
    "decode_request",
    "digest",
    "encode_message",
    "encode_recipients",
    "encode_refused",
    "failure",
    "frame",
    "request_id",
    "shown",
    "split_recipients",
    "submit",
]

FRAME_LIMIT = 32 * 1024 * 1024
"""10,000 recipients with 3 KB of merge fields each."""
RECIPIENTS_LIMIT = 10_000
RECIPIENT_BYTES_LIMIT = 64 * 1024
FIELDS_LIMIT = 100
DIGEST_SIZE = 32

Refused = tuple[int, str, str]
"""One refused recipient: index, code, text."""


class FrameLost(Exception):  # noqa: N818 - the stream's state: where the next frame starts is not known any more
    """A length over the limit. The connection ends; all other faults leave it usable."""


class Refusal(Exception):  # noqa: N818 - an answer on its way to the client
    """What the client gets instead of what it asked for. `value` is already cut and escaped."""

    def __init__(self, code: str, field: str, value: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.field = field
        self.value = value
        self.text = text


def shown(value: object) -> str:
    """A scalar of the client's, safe to stand in an error text or a log line."""
    text = ascii(value[:80])[1:-1] if isinstance(value, str) else ascii(value)
    return text[:160] + ("..." if len(text) > 160 or (isinstance(value, str) and len(value) > 80) else "")


_requests: msgspec.msgpack.Decoder[AnyRequest] = msgspec.msgpack.Decoder(AnyRequest)
_top_level = msgspec.msgpack.Decoder(dict[str, Raw])
_ids: msgspec.msgpack.Decoder[int | str] = msgspec.msgpack.Decoder(Id)
_anything = msgspec.msgpack.Decoder()
_messages: msgspec.msgpack.Decoder[bytes | Message] = msgspec.msgpack.Decoder(
    Annotated[bytes, Meta(max_length=64)] | Message
)
_recipients = msgspec.msgpack.Decoder(list[Raw])
_recipient = msgspec.msgpack.Decoder(Recipient)
_refused = msgspec.msgpack.Decoder(list[Refused])
_encoder = msgspec.msgpack.Encoder()


def decode_request(body: bytes) -> AnyRequest:
    """Raises Refusal. Cost: one pass over the frame that copies nothing large."""
    try:
        return _requests.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refusal(error, body) from None


def request_id(body: bytes) -> int | str | None:
    """The id of a frame that could not be decoded, so that its error can still be told apart."""
    try:
        return _ids.decode(_top_level.decode(body)["id"])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, KeyError):
        return None


_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_QUOTED = re.compile(r"(?:unknown|missing required) field `([^`]*)`")


def _refusal(error: Exception, body: bytes, within: str = "") -> Refusal:
    told = str(error)
    at = _AT.search(told)
    quoted = _QUOTED.search(told)
    field = ".".join(filter(None, (within, at[1] if at else "", quoted[1] if quoted else "")))
    reason = told[: at.start()] if at else told
    if not isinstance(error, msgspec.ValidationError):
        reason = f"not MessagePack: {reason}"
    remedy = "send a map as docs/protocol.md describes it"
    return Refusal("bad_request", field, _value_of(body, field), f"{reason} at field '{shown(field)}': {remedy}")


def _value_of(body: bytes, field: str) -> str:
    """The value of a top-level field, if it is a scalar."""
    try:
        raw = _top_level.decode(body)[field]
        return "" if _is_nested(memoryview(raw)[0]) else shown(_anything.decode(raw))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, KeyError):
        return ""


def _is_nested(head: int) -> bool:
    """A map, an array or an extension, by its first byte."""
    return 0x80 <= head <= 0x9F or 0xDC <= head <= 0xDF or 0xC7 <= head <= 0xC9 or 0xD4 <= head <= 0xD8


def decode_message(raw: Raw) -> bytes | Message:
    """Raises Refusal. The types bound the depth: no value lies deeper than a header's."""
    try:
        return _messages.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refusal(error, b"", "message") from None


def split_recipients(raw: Raw) -> list[Raw]:
    """The recipients, each still encoded, so that a fault in one refuses that one. Raises Refusal."""
    count = _array_length(memoryview(raw))
    if not 1 <= count <= RECIPIENTS_LIMIT:
        text = (
            f"a submit carries 1 to {RECIPIENTS_LIMIT} recipients in an array: split the mailing into several submits"
        )
        raise Refusal("bad_request", "recipients", "not an array" if count < 0 else f"{count} recipients", text)
    try:
        return _recipients.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refusal(error, b"", "recipients") from None


def _array_length(view: memoryview) -> int:
    """From the MessagePack head, before anything is allocated; -1: not an array."""
    head = view[0]
    if head & 0xF0 == 0x90:
        return head & 0x0F
    if head == 0xDC:
        return int.from_bytes(view[1:3])
    if head == 0xDD:
        return int.from_bytes(view[1:5])
    return -1


def decode_recipient(raw: Raw) -> Recipient:
    """Raises Refusal. Hot: one call per recipient, about 1 µs with four fields."""
    size = memoryview(raw).nbytes
    if size > RECIPIENT_BYTES_LIMIT:
        text = f"{size} bytes: a recipient takes at most {RECIPIENT_BYTES_LIMIT}, put what is common into the message"
        raise Refusal("bad_recipient", "", "", text)
    try:
        recipient = _recipient.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        told = str(error)
        text = f'{told}: a recipient is [address, {{field: text}}], or [address, {{field: text}}, {{"region": text}}]'
        raise Refusal("bad_recipient", "", "", text) from None
    if len(recipient.fields) > FIELDS_LIMIT:
        text = f"{len(recipient.fields)} merge fields: at most {FIELDS_LIMIT} are taken"
        raise Refusal("bad_recipient", "", "", text)
    return recipient


def encode_recipients(recipients: Sequence[tuple[str, Mapping[str, str]] | Recipient]) -> Raw:
    """For doors inside the engine (SMTP submission), which speak to accept in the same words."""
    return Raw(_encoder.encode(recipients))


def encode_message(message: bytes | Message) -> Raw:
    return Raw(_encoder.encode(message))


def submit(fields: Mapping[str, object]) -> Submit:
    """A submit of a door inside the engine, held to the same bounds as one from a frame. Raises Refusal."""
    try:
        return msgspec.convert({"type": "submit", "id": 0, **fields}, Submit)
    except msgspec.ValidationError as error:
        raise _refusal(error, b"") from None


def digest(request: Submit) -> bytes:
    """SHA-256 over what the client asked for: everything of the submit but its id, so that a resubmit is a repeat."""
    head = (
        request.key,
        request.sender,
        request.category,
        request.topic,
        request.mailing,
        request.not_before,
        request.expires,
        request.priority,
        *((request.override,) if request.override else ()),
    )
    # MessagePack values delimit themselves: no two submits give the same sequence of bytes
    whole = hashlib.sha256(_encoder.encode(head))
    whole.update(memoryview(request.message))
    whole.update(memoryview(request.recipients))
    return whole.digest()


def encode_refused(refused: Sequence[Refused]) -> bytes:
    return _encoder.encode(refused)


def decode_refused(refused: bytes) -> list[Refused]:
    return _refused.decode(refused)


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


def answer(request: int | str | None, told: Mapping[str, object]) -> bytes:
    """The frame of a success."""
    return frame(_encoder.encode({"id": request, "ok": True, **told}))


def failure(request: int | str | None, refusal: Refusal) -> bytes:
    """The frame of a refusal; `request` is None when the frame's id could not be read."""
    error = {"code": refusal.code, "field": refusal.field, "value": refusal.value, "text": refusal.text}
    return frame(_encoder.encode({"id": request, "ok": False, "error": error}))


class FrameReader:
    """Bytes in any split -> the same frames. Holds at most one limit and a read buffer."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def announced(self) -> int:
        """Body bytes of the frame that has begun; 0 when its length is not complete."""
        return int.from_bytes(self._buffer[:4]) if len(self._buffer) >= 4 else 0

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole frame's body. Raises FrameLost as soon as the length is known to be too large."""
        length = self.announced
        if length > self._limit:
            raise FrameLost(f"a frame of {length} bytes is announced, the limit is {self._limit}: send smaller submits")
        if len(self._buffer) < 4 + length or len(self._buffer) < 4:
            return None
        body = bytes(memoryview(self._buffer)[4 : 4 + length])
        del self._buffer[: 4 + length]
        return body
