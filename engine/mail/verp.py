"""Envelope senders that name their recipient (VERP), with a MAC, so that a bounce finds home and none can be made up.

`b+<16 hexadecimal digits>-<16 hexadecimal digits>@domain`: the recipient's id and a keyed BLAKE2s of it (RFC 7693).
Hosts on the way may fold the case of a local part (RFC 5321 2.4 notwithstanding), therefore only digits that survive
it. Reading refuses everything that is not letter for letter what make_verp() writes, and compares in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from engine.mail.envelope import recipient_text

_LOCAL = re.compile(r"b\+([0-9a-f]{16})-([0-9a-f]{16})")


def _mac(text: str, secret: bytes) -> str:
    return hashlib.blake2s(text.encode("ascii"), digest_size=8, key=secret, person=b"verp").hexdigest()


def make_verp(recipient_id: int, secret: bytes, domain: str) -> str:
    """`secret` of 1 to 32 octets, the longest key of BLAKE2s."""
    text = recipient_text(recipient_id)
    return f"b+{text}-{_mac(text, secret)}@{domain}"


def read_verp(local: str, secret: bytes) -> int | None:
    """The recipient's id, or None: not ours, or forged."""
    match = _LOCAL.fullmatch(local.lower()) if len(local) <= 64 else None
    if match is None or not hmac.compare_digest(match[2], _mac(match[1], secret)):
        return None
    return int(match[1], 16)
