"""Refusals that came as SHA-256 of addresses: from a partner or a former provider who may not hand over the list.

A hash cannot be found in our keyed index, so it is compared whenever a consent is recorded, and with all consents
there are when the list comes in: advertising goes to nobody else. A match becomes an ordinary opt-out with the time
of the list. Common practice hashes the address trimmed and in lower case; the forms that we match by are tried too.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from suppression.address import forms
from suppression.recording import Entry, Writing, microseconds
from suppression.standing import Kind

_PAIR: Final = struct.Struct("<qq")
_ANY: Final = "SELECT EXISTS (SELECT 1 FROM hashed_optout)"


@dataclass(frozen=True, slots=True)
class HashedOptOut:
    digest: bytes
    at: float
    source: str
    sender: str = ""
    topic: str = ""
    evidence: str = ""


def digests(address: str) -> set[bytes]:
    """Of every spelling that a list may have hashed."""
    spellings = {address.strip(), address.strip().lower()}
    found = forms(address)
    if found is not None:
        spellings |= {found.exact, found.wide}
    return {hashlib.sha256(each.encode("utf-8", "surrogatepass")).digest() for each in spellings}


def matching(writing: Writing, entries: Sequence[Entry]) -> Iterator[Entry]:
    """Opt-outs that the consents among these entries meet in the lists. Cheap while there is no list."""
    if not writing.database.execute(_ANY).get:
        return
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        if entry.kind == Kind.CONSENT and (entry.address, entry.sender) not in seen:
            seen.add((entry.address, entry.sender))
            yield from _of_address(writing, entry.address, entry.identity, entry.sender)


def _of_address(writing: Writing, address: str, identity: bytes, sender: str) -> Iterator[Entry]:
    _, wide = _PAIR.unpack(identity)
    for digest in digests(address):
        rows: list[Any] = writing.database.execute(
            "SELECT coalesce(s.name, ''), coalesce(t.name, ''), h.at, src.content, ev.content FROM hashed_optout h"
            " LEFT JOIN sender s ON s.id = h.sender LEFT JOIN topic t ON t.id = h.topic"
            " JOIN text src ON src.id = h.source JOIN text ev ON ev.id = h.evidence"
            " WHERE h.digest = ?1 AND (h.sender = 0 OR h.sender = ?2) AND NOT EXISTS (SELECT 1 FROM event e WHERE"
            " e.wide = ?3 AND e.kind = ?4 AND e.sender = h.sender AND e.topic = h.topic AND e.at = h.at)",
            (digest, writing.sender(sender), wide, int(Kind.OPT_OUT)),
        ).fetchall()
        for name, topic, at, source, evidence in rows:
            yield Entry(Kind.OPT_OUT, identity, name, topic, at, 0, source, evidence, address)


class RecordHashed:
    """Stores a batch of a list, each hash once, and applies it to the consents that there are."""

    def __init__(self, optouts: Iterable[HashedOptOut], now: float) -> None:
        self._optouts = list(optouts)
        self.recorded = microseconds(now)
        self.stored = 0

    def perform(self, writing: Writing) -> list[Entry]:
        for each in self._optouts:
            at = min(microseconds(each.at), self.recorded)
            row = (each.digest, writing.sender(each.sender), writing.topic(each.topic), at, self.recorded)
            writing.database.execute(
                "INSERT INTO hashed_optout VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
                (*row, writing.text(each.source), writing.text(each.evidence)),
            )
            self.stored += 1
        return []


class MatchHashed:
    """Compares the consents of one stretch of the ledger with the lists. `after` moves on; None when all are done."""

    ROWS = 5_000

    def __init__(self, after: int, now: float) -> None:
        self.after: int | None = after
        self.recorded = microseconds(now)
        self.matched = 0

    def perform(self, writing: Writing) -> list[Entry]:
        self.matched = 0
        if not writing.database.execute(_ANY).get:
            self.after = None
            return []
        rows: list[Any] = writing.database.execute(
            "SELECT e.id, e.exact, e.wide, s.name, e.address FROM event e JOIN sender s ON s.id = e.sender"
            " WHERE e.id > ?1 AND e.kind = ?2 AND e.address IS NOT NULL ORDER BY e.id LIMIT ?3",
            (self.after, int(Kind.CONSENT), self.ROWS),
        ).fetchall()
        self.after = rows[-1][0] if len(rows) == self.ROWS else None
        consents = [
            Entry(Kind.CONSENT, _PAIR.pack(exact, wide), sender, "", 0, 0, "", "", address)
            for _, exact, wide, sender, address in rows
        ]
        found = list(matching(writing, consents))
        self.matched = len(found)
        return found
