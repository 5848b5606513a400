"""Raw messages (RFC 5322): read strictly, sent as they are.

Refused: NUL, bare CR and bare LF among CRLFs (what a splitting server would read as a second message), lines over 998
octets, malformed or doubled fields, more than one From. Messages of LF only, as files on Unix are, become
CRLF. Taken away: Bcc, Return-Path and X-Sokutatsu-*, which must not reach a reader, and an empty Date or Message-ID,
which counts as missing. Everything else keeps its octets, folding and order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.mail.address import Address, AddressError
from engine.mail.mailbox import read_mailbox

MAX_RAW = 10 << 20
MAX_HEADER = 64 << 10
MAX_HEADER_FIELDS = 300
MAX_LINE = 998
"""RFC 5322 2.1.1, without CRLF."""

_SINGLE = frozenset(
    {
        "date", "from", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to", "references", "subject",
        "mime-version", "content-type", "content-transfer-encoding", "list-unsubscribe", "list-unsubscribe-post",
        "feedback-id", "list-id",
    }
)  # fmt: skip
"""At most once (RFC 5322 3.6; the others because a verifier and a reader might take different ones)."""
_DROPPED = frozenset({"bcc", "return-path"})
_DROPPED_PREFIX = "x-sokutatsu-"
_DROPPED_EMPTY = frozenset({"date", "message-id"})

_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+^_`|~-]{1,76})[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n")
_BLANK_FOLD = re.compile(rb"\r\n[ \t]+\r\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class RawError(ValueError):
    """Refused; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class RawField:
    name: str
    wire: bytes
    """The whole field with its CRLF."""
    value: bytes
    """Folded, without the last CRLF."""

    @property
    def lower(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class RawMessage:
    fields: tuple[RawField, ...]
    body: bytes
    """Lines of CRLF; empty or ends in CRLF."""
    author: Address

    @property
    def names(self) -> frozenset[str]:
        return frozenset(field.lower for field in self.fields)


def read_raw(raw: bytes) -> RawMessage:
    """Raises RawError."""
    header, body = _split(_crlf(raw))
    fields = tuple(field for field in _fields(header) if not _is_dropped(field))
    _check_singles(fields)
    return RawMessage(fields, body, _author(fields))


def _crlf(raw: bytes) -> bytes:
    if len(raw) > MAX_RAW:
        raise RawError(f"has {len(raw)} octets, at most {MAX_RAW} may be")
    if b"\0" in raw:
        raise RawError("has a NUL octet: encode binary content as base64")
    if b"\r" not in raw:
        raw = raw.replace(b"\n", b"\r\n")
    pairs = raw.count(b"\r\n")
    if raw.count(b"\r") != pairs or raw.count(b"\n") != pairs:
        raise RawError("has a bare CR or LF among its CRLFs: end every line with CRLF, or every line with LF")
    if max(map(len, raw.split(b"\r\n"))) > MAX_LINE:
        raise RawError(f"has a line of more than {MAX_LINE} octets: fold or encode it")
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def _split(raw: bytes) -> tuple[bytes, bytes]:
    end = raw.find(b"\r\n\r\n")
    header, body = (raw, b"") if end < 0 else (raw[: end + 2], raw[end + 4 :])
    if len(header) > MAX_HEADER:
        raise RawError(f"has a header of {len(header)} octets, at most {MAX_HEADER} may be")
    if _CONTROL.search(header) or _BLANK_FOLD.search(header):
        raise RawError("has control characters or a blank folded line in its header")
    try:
        header.decode()
    except UnicodeDecodeError:
        raise RawError("has octets in its header that are not UTF-8: use encoded-words (RFC 2047)") from None
    return header, body


def _fields(header: bytes) -> list[RawField]:
    fields: list[RawField] = []
    at = 0
    while at < len(header):
        match = _FIELD.match(header, at)
        if match is None or len(fields) == MAX_HEADER_FIELDS:
            line = header[at : header.find(b"\r\n", at)][:80]
            raise RawError(f"has a line {line!r} that is no header field, or more than {MAX_HEADER_FIELDS} fields")
        fields.append(RawField(match[1].decode("ascii"), match[0], match[2]))
        at = match.end()
    return fields


def _is_dropped(field: RawField) -> bool:
    name = field.lower
    empty = not field.value.strip()
    return name in _DROPPED or name.startswith(_DROPPED_PREFIX) or (empty and name in _DROPPED_EMPTY)


def _check_singles(fields: tuple[RawField, ...]) -> None:
    seen: set[str] = set()
    for field in fields:
        if field.lower in seen and field.lower in _SINGLE:
            raise RawError(f"has two {field.name} fields: keep one")
        seen.add(field.lower)


def _author(fields: tuple[RawField, ...]) -> Address:
    for field in fields:
        if field.lower == "from":
            try:
                return read_mailbox(field.value.replace(b"\r\n", b"").decode().strip())[1]
            except AddressError as error:
                raise RawError(f"has a From that names no single mailbox: {error}") from None
    raise RawError("has no From field")
