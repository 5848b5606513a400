"""Envelope senders that name their recipient (VERP), with a MAC, so that a bounce finds home and none can be made up.

`b+<id>-<mac>-<tag>@domain`, each of 16 hexadecimal digits: the recipient's id, half of a keyed BLAKE2s of it (RFC
7693), and the suppression key of the address under the other half as a mask. A report of failure names an address but
proves nothing; with the tag it can be told whether this very address was written to, and so nobody can have somebody
else suppressed. Hosts on the way may fold the case of a local part (RFC 5321 2.4 notwithstanding), therefore only
digits that survive it. Reading refuses everything that is not letter for letter what make_verp() writes, and compares
in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache
from typing import NamedTuple

from engine.mail.envelope import recipient_text

_LOCAL = re.compile(r"b\+([0-9a-f]{16})-([0-9a-f]{16})(?:-([0-9a-f]{16}))?")
KEY_BYTES = 8
"""Of a suppression identity the first half, the exact address's key."""
_MASK = (1 << 8 * KEY_BYTES) - 1


class Verp(NamedTuple):
    recipient_id: int
    key: bytes
    """The suppression key of the address that was written to; empty when it was not known."""


def make_verp(recipient_id: int, secret: bytes, domain: str, who: bytes = b"") -> str:
    """`secret` of 1 to 32 octets, the longest key of BLAKE2s; `who` is the recipient's suppression identity.
    One is made for every mail: about 2 µs.
    """
    text = recipient_text(recipient_id)
    both = f"{_digest(text, secret) ^ int.from_bytes(who[:KEY_BYTES], 'big'):032x}"
    return f"b+{text}-{both[:16]}-{both[16:]}@{domain}" if who else f"b+{text}-{both[:16]}@{domain}"


def read_verp(local: str, secret: bytes) -> Verp | None:
    """None: not ours, or forged. The key is not authenticated: who changes it has a key that fits no address."""
    match = _LOCAL.fullmatch(local.lower()) if len(local) <= 64 else None
    if match is None:
        return None
    digest = _digest(match[1], secret)
    if not hmac.compare_digest(match[2], f"{digest >> 8 * KEY_BYTES:016x}"):
        return None
    key = (int(match[3], 16) ^ digest & _MASK).to_bytes(KEY_BYTES, "big") if match[3] else b""
    return Verp(int(match[1], 16), key)


def _digest(text: str, secret: bytes) -> int:
    """The MAC in the upper half, the mask in the lower."""
    digest = _seeded(secret).copy()
    digest.update(text.encode("ascii"))
    return int.from_bytes(digest.digest(), "big")


@lru_cache(maxsize=16)
def _seeded(secret: bytes) -> hashlib.blake2s:
    """With the key taken in, which is half of the work."""
    return hashlib.blake2s(digest_size=2 * KEY_BYTES, key=secret, person=b"verp")
