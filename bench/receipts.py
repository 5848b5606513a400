"""What the sink knows for certain: one receipt per message, and the counters made from them.

A receipt is one JSON array a line: time, recipient, Message-ID, SHA-256 of the message, whether the client was
given its 250. Receipts are buffered and written when asked, when full, and at the end: they are ground truth about
a sender's crash, not about the sink's own. A sample of whole messages, spread evenly over the run however long it
gets, is kept for the verification of signatures.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

BUFFERED = 8192
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_ENCODER = msgspec.json.Encoder()


class Receipt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    at: float
    recipient: str
    message_id: str
    sha256: str
    answered: bool


def read_receipts(path: Path) -> Iterator[Receipt]:
    with path.open("rb") as file:
        yield from map(parse_receipt, file)


parse_receipt = msgspec.json.Decoder(Receipt).decode


def message_id(message: bytes) -> bytes:
    """The Message-ID with its angle brackets; empty if there is none in the header."""
    start = message.find(b"\r\nMessage-ID: ") + 14
    if start > 13:
        end = message.find(b"\r\n", start)
        if message.find(b"\r\n\r\n", 0, start) < 0:
            return message[start:end]
    found = _MESSAGE_ID.search(message.partition(b"\r\n\r\n")[0])
    return found[1].strip() if found else b""


@dataclass(slots=True)
class Sample:
    """Keeps every n-th message; when it is full, every second one goes and n doubles."""

    size: int
    stride: int = 1
    offered: int = 0
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)

    def offer(self, recipient: bytes, message: bytes) -> None:
        if self.offered % self.stride == 0 and self.size:
            if len(self.kept) >= self.size:
                del self.kept[1::2]
                self.stride *= 2
            if self.offered % self.stride == 0:
                self.kept.append((recipient, message))
        self.offered += 1

    def write(self, folder: Path) -> None:
        """One .eml file a message, replacing those of an earlier call."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.eml"):
            old.unlink()
        for number, (_, message) in enumerate(self.kept):
            (folder / f"{number:05d}.eml").write_bytes(message)


class Ledger:
    """The Postmaster of a sink: writes receipts, counts, keeps the sample.

    `inspect_every`: every n-th message is hashed and searched for a bare LF (some 8 µs each), 1 = all of them;
    receipts of the others have an empty hash.
    """

    def __init__(
        self,
        receipts: Path | None = None,
        *,
        sample: int = 0,
        samples: Path | None = None,
        inspect_every: int = 1,
    ) -> None:
        self.sample = Sample(sample)
        self.samples = samples
        self.counters: Counter[str] = Counter()
        self.first_at = 0.0
        self.last_at = 0.0
        self.received = 0
        self.bytes = 0
        self.inspected = 0
        self.messages_with_bare_lf = 0
        self._inspect_every = inspect_every
        self._seen: set[bytes] = set()
        self._buffer: list[Receipt] = []
        self._file: BinaryIO | None = receipts.open("wb") if receipts else None

    def count(self, event: str) -> None:
        self.counters[event] += 1

    def receive(self, recipient: bytes, message: bytes, *, answered: bool) -> None:
        now = time.time()
        identity = message_id(message)
        self._seen.add(identity)
        digest = ""
        if self.received % self._inspect_every == 0:
            digest = self._inspect(message)
        if not self.received:
            self.first_at = now
        self.last_at = now
        self.received += 1
        self.bytes += len(message)
        if not answered:
            self.counters["unanswered"] += 1
        if self.sample.size:
            self.sample.offer(recipient, message)
        if self._file is not None:
            to, name = recipient.decode("utf-8", "replace"), identity.decode("utf-8", "replace")
            self._buffer.append(Receipt(now, to, name, digest, answered))
            if len(self._buffer) >= BUFFERED:
                self._write()

    def _inspect(self, message: bytes) -> str:
        self.inspected += 1
        if message.count(b"\n") != message.count(b"\r\n"):
            self.messages_with_bare_lf += 1
        return hashlib.sha256(message).hexdigest() if self._file is not None else ""

    def _write(self) -> None:
        if self._file is not None:
            self._file.write(_ENCODER.encode_lines(self._buffer))
            self._file.flush()
        self._buffer.clear()

    def counts(self) -> dict[str, object]:
        """`duplicates` counts messages whose Message-ID had been received before."""
        return {
            "received": self.received,
            "unique": len(self._seen),
            "duplicates": self.received - len(self._seen),
            "bytes": self.bytes,
            "inspected": self.inspected,
            "messages_with_bare_lf": self.messages_with_bare_lf,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "events": dict(sorted(self.counters.items())),
        }

    def flush(self) -> None:
        """Receipts and sample are in their files afterwards (not synced: the sink is not what crashes)."""
        self._write()
        if self.samples is not None:
            self.sample.write(self.samples)

    def reset(self) -> None:
        """A new measurement: counters and memory of Message-IDs begin anew, the receipts file goes on."""
        self.flush()
        self._seen.clear()
        self.counters.clear()
        self.received = self.bytes = self.inspected = self.messages_with_bare_lf = 0
        self.first_at = self.last_at = 0.0

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
