"""The wire between the core and a signing worker: little-endian frames on a Unix stream socket.

Greeting, both ways: u32 length, then JSON. After it only binary frames.
Request: u32 batch, u16 count, u16 urgent, count x u16 key index, count x 32 bytes of SHA-256 digest.
Answer: u32 batch, u32 length, u32 fallbacks, then the signatures one after another; their sizes are known by key.
Both ends are ours and start together: there is no version, and a frame that does not fit is a bug, not an input.
"""

from __future__ import annotations

from functools import cache
from struct import Struct

DIGEST_SIZE = 32
BATCH_LIMIT = 1024
"""Signatures in one batch; more would only delay the first of them."""
GREETING_LIMIT = 1 << 20

LENGTH = Struct("<I")
REQUEST = Struct("<IHH")
ANSWER = Struct("<III")


@cache
def request_head(count: int) -> Struct:
    """Head and key indexes of a request in one pack; at most BATCH_LIMIT of them are ever made."""
    return Struct(f"<IHH{count}H")


@cache
def key_indexes(count: int) -> Struct:
    return Struct(f"<{count}H")
