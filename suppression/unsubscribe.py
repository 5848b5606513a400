"""One-click tokens (RFC 8058 3.1): opaque, hard to forge, naming sender, topic and address, valid for ever.

Version, key number, then the payload under a synthetic IV (the scheme of RFC 5297, with keyed BLAKE2b, RFC 7693, as the
MAC, at a fifth of HMAC-SHA256's cost: one is made for every mail). The IV authenticates, and the address of a person
does not lie open in links and logs. A key that is rotated out of making stays in the ring for reading, since no law
lets an unsubscribe address stop working while the mail is out there.
Everything that is not ours reads as None: the caller answers the same for known and unknown (no oracle).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

VERSION: Final = 1
MAX_TOKEN: Final = 1400
_HEAD_BYTES: Final = 2
_IV_BYTES: Final = 16
_ID_BYTES: Final = 8
_BLOCK_BYTES: Final = 64


class TokenError(ValueError):
    """The token cannot be made: names the field, its value, the remedy."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One secret of the ring under its number, with the two keyed functions that are derived from it."""

    number: int
    secret: bytes = field(repr=False)
    authenticate: hashlib.blake2b = field(init=False, repr=False, compare=False)
    conceal: hashlib.blake2b = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 255:
            raise TokenError(f"key number: {self.number} is not within 0 to 255; use a free one of these")
        if len(self.secret) < 32:
            raise TokenError(f"key {self.number}: secret of {len(self.secret)} bytes; use 32 random bytes")
        object.__setattr__(self, "authenticate", _seeded(self.secret, b"unsub authentic", _IV_BYTES))
        object.__setattr__(self, "conceal", _seeded(self.secret, b"unsub conceal", _BLOCK_BYTES))


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """What the holder of a token may stop. Names are the submit's; `recipient` is the engine's number of the mail."""

    sender: str
    topic: str
    address: str
    recipient: int = 0


def token_of(sender: str, topic: str, address: str, recipient: int, key: TokenKey) -> str:
    """Of an Unsubscribe's parts, since every mail with a link needs one: about 4 µs. The same input gives the same
    token, so a retry carries the same link. Raises TokenError.
    """
    if not 0 <= recipient < 1 << 64:
        raise TokenError(f"recipient: {recipient} is no 64-bit number; pass the recipient's id")
    payload = recipient.to_bytes(_ID_BYTES, "big") + _names(sender, topic) + _text("address", address)
    head = bytes((VERSION, key.number))
    iv = _iv(key, head, payload)
    return base64.urlsafe_b64encode(head + iv + _concealed(key, iv, payload)).rstrip(b"=").decode("ascii")


@lru_cache(maxsize=1024)
def _names(sender: str, topic: str) -> bytes:
    return _text("sender", sender) + _text("topic", topic)


def read_token(token: str, keys: Mapping[int, TokenKey]) -> Unsubscribe | None:
    """Compares in constant time; believes nothing before that but version and key number."""
    raw = _decoded(token)
    if raw is None or raw[0] != VERSION or raw[1] not in keys:
        return None
    key = keys[raw[1]]
    head, iv = raw[:_HEAD_BYTES], raw[_HEAD_BYTES : _HEAD_BYTES + _IV_BYTES]
    payload = _concealed(key, iv, raw[_HEAD_BYTES + _IV_BYTES :])
    if not hmac.compare_digest(iv, _iv(key, head, payload)):
        return None
    sender, topic, address = _texts(payload[_ID_BYTES:])
    return Unsubscribe(sender, topic, address, int.from_bytes(payload[:_ID_BYTES], "big"))


def _decoded(token: str) -> bytes | None:
    """None unless it is the one canonical spelling: a changed spare bit in the last character is another token."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(raw) < _HEAD_BYTES + _IV_BYTES or base64.urlsafe_b64encode(raw).rstrip(b"=") != token.encode("ascii"):
        return None
    return raw


def _seeded(secret: bytes, purpose: bytes, size: int) -> hashlib.blake2b:
    """The secret hashed to a key, so that any length of at least 32 bytes counts in full."""
    key = hashlib.blake2b(secret, digest_size=32, person=purpose).digest()
    return hashlib.blake2b(key=key, digest_size=size, person=purpose)


def _iv(key: TokenKey, head: bytes, payload: bytes) -> bytes:
    mac = key.authenticate.copy()
    mac.update(head + payload)
    return mac.digest()


def _concealed(key: TokenKey, iv: bytes, text: bytes) -> bytes:
    """Its own inverse."""
    stream = b""
    for block in range(-(-len(text) // _BLOCK_BYTES)):
        mac = key.conceal.copy()
        mac.update(iv + bytes((block,)))
        stream += mac.digest()
    return (int.from_bytes(text, "big") ^ int.from_bytes(stream[: len(text)], "big")).to_bytes(len(text), "big")


def _text(name: str, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > 255:
        raise TokenError(f"{name}: {text[:80]!a} has {len(raw)} octets, at most 255; shorten it")
    return bytes((len(raw),)) + raw


def _texts(raw: bytes) -> list[str]:
    """Authenticated, so well-formed: we wrote it."""
    found: list[str] = []
    while raw:
        end = 1 + raw[0]
        found.append(raw[1:end].decode("utf-8", "surrogatepass"))
        raw = raw[end:]
    return found
