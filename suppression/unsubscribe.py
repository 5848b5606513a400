"""One-click tokens (RFC 8058 3.1): opaque, hard to forge, naming sender, topic and recipient, valid for ever.

version, key number, payload, HMAC-SHA256 cut to 16 bytes, as base64url without padding. A key that is rotated out of
making stays in the ring for verifying, since no law lets an unsubscribe address stop working while mail is out.
Everything that is not ours gives None: the caller answers the same for known and unknown (no oracle).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

VERSION = 1
MAX_TOKEN = 1024
_MAC_BYTES = 16
_HEAD_BYTES = 2


class TokenError(ValueError):
    """The token cannot be made: names the field, its value, the remedy."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """What the holder of a token may stop. Names are the submit's; `recipient` is the engine's number of the mail."""

    sender: str
    topic: str
    address: str
    recipient: int = 0


def make_token(what: Unsubscribe, secret: bytes, key_id: int) -> str:
    """`key_id` 0 to 255 says which secret of the ring this is. Raises TokenError."""
    if not 0 <= key_id <= 255:
        raise TokenError(f"key_id: {key_id} is not within 0 to 255; use a free number of that range")
    if not 0 <= what.recipient < 1 << 64:
        raise TokenError(f"recipient: {what.recipient} is no 64-bit number; pass the recipient's id")
    texts = b"".join(_text(name, getattr(what, name)) for name in ("sender", "topic", "address"))
    signed = bytes((VERSION, key_id)) + what.recipient.to_bytes(8, "big") + texts
    return base64.urlsafe_b64encode(signed + _mac(secret, signed)).rstrip(b"=").decode("ascii")


def read_token(token: str, secrets: Mapping[int, bytes]) -> Unsubscribe | None:
    """Compares in constant time; reads nothing that is not authenticated but version and key number."""
    raw = _decoded(token)
    if raw is None or raw[0] != VERSION:
        return None
    secret = secrets.get(raw[1])
    signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if secret is None or not hmac.compare_digest(mac, _mac(secret, signed)):
        return None
    recipient = int.from_bytes(signed[_HEAD_BYTES : _HEAD_BYTES + 8], "big")
    sender, topic, address = _texts(signed[_HEAD_BYTES + 8 :])
    return Unsubscribe(sender, topic, address, recipient)


def _decoded(token: str) -> bytes | None:
    """None unless it is the one canonical spelling: a changed spare bit in the last character is another token."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(raw) < _HEAD_BYTES + 8 + _MAC_BYTES or base64.urlsafe_b64encode(raw).rstrip(b"=") != token.encode("ascii"):
        return None
    return raw


def _text(field: str, text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 255:
        raise TokenError(f"{field}: {text[:80]!a} has {len(raw)} octets, at most 255; shorten it")
    return bytes((len(raw),)) + raw


def _texts(raw: bytes) -> list[str]:
    """Authenticated, so well-formed: we wrote it."""
    found: list[str] = []
    while raw:
        end = 1 + raw[0]
        found.append(raw[1:end].decode())
        raw = raw[end:]
    return found


def _mac(secret: bytes, signed: bytes) -> bytes:
    return hmac.digest(secret, signed, hashlib.sha256)[:_MAC_BYTES]
