"""Refusals that came as SHA-256 or HMAC-SHA256 of addresses: from a partner or a former provider who may not hand over
the list.

A hash cannot be found in our keyed index, so it is compared whenever a consent is recorded, and with all consents
there are when the list comes in: advertising goes to nobody else. A match becomes an ordinary opt-out with the time
of the list. Common practice hashes the address trimmed and in lower case; the forms that we match by are tried too.
The key of an HMAC is kept in the ledger, since later consents have to be compared too; it is the partners', never ours.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from suppression.address import forms
from suppression.recording import Entry, Writing, microseconds
from suppression.standing import Kind

_PAIR: Final = struct.Struct("<qq")
_ANY: Final = "SELECT EXISTS (SELECT 1 FROM hashed_optout)"
SHORTEST_KEY: Final = 16
LONGEST_KEY: Final = 4096
"""Octets."""
MOST_KEYS: Final = 16
"""Each costs some microseconds for every consent that is recorded."""


@dataclass(frozen=True, slots=True)
class HashedOptOut:
    digest: bytes
    at: float
    source: str
    sender: str = ""
    topic: str = ""
    evidence: str = ""


def key_fault(key: bytes) -> str | None:
    """None, or why this is no key of a list."""
    if SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        return None
    return f"{len(key)} octets, a key has {SHORTEST_KEY} to {LONGEST_KEY}; `openssl rand -hex 32` makes one"


def fingerprint(key: bytes) -> str:
    return hmac.digest(key, b"\0fingerprint", "sha256").hex()[:32]


def digests(address: str, keys: Iterable[bytes] = ()) -> set[bytes]:
    """Of every spelling that a list may have hashed, plain and under each of the keys."""
    spellings = {address.strip(), address.strip().lower()}
    found = forms(address)
    if found is not None:
        spellings |= {found.exact, found.wide}
    texts = [each.encode("utf-8", "surrogatepass") for each in spellings]
    keyed = {hmac.digest(key, text, "sha256") for key in keys for text in texts}
    return {hashlib.sha256(text).digest() for text in texts} | keyed


def matching(writing: Writing, entries: Sequence[Entry]) -> Iterator[Entry]:
    """Opt-outs that the consents among these entries meet in the lists. Cheap while there is no list."""
    if not writing.database.execute(_ANY).get:
        return
    keys: list[bytes] = [row[0] for row in writing.database.execute("SELECT secret FROM hash_key")]
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        if entry.kind == Kind.CONSENT and (entry.address, entry.sender) not in seen:
            seen.add((entry.address, entry.sender))
            yield from _of_address(writing, entry, digests(entry.address, keys))


def _of_address(writing: Writing, consent: Entry, wanted: Iterable[bytes]) -> Iterator[Entry]:
    address, identity, sender = consent.address, consent.identity, consent.sender
    _, wide = _PAIR.unpack(identity)
    for digest in wanted:
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
    """Stores a batch of a list, each hash once. `fault` says why nothing was."""

    def __init__(self, optouts: Iterable[HashedOptOut], now: float, key: bytes = b"") -> None:
        """`key`: of HMACs, which has passed key_fault; empty for plain hashes."""
        self._optouts = list(optouts)
        self._key = key
        self.fault = ""
        self.recorded = microseconds(now)
        self.stored = 0

    def perform(self, writing: Writing) -> list[Entry]:
        if self._key and not self._remember_key(writing):
            return []
        for each in self._optouts:
            at = min(microseconds(each.at), self.recorded)
            row = (each.digest, writing.sender(each.sender), writing.topic(each.topic), at, self.recorded)
            writing.database.execute(
                "INSERT INTO hashed_optout VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
                (*row, writing.text(each.source), writing.text(each.evidence)),
            )
            self.stored += 1
        return []

    def _remember_key(self, writing: Writing) -> bool:
        known = [row[0] for row in writing.database.execute("SELECT fingerprint FROM hash_key")]
        name = fingerprint(self._key)
        if name not in known and len(known) >= MOST_KEYS:
            self.fault = (
                f"hmac_key: lists under {MOST_KEYS} other keys are there already; ask for one list under one of them"
            )
            return False
        row = (name, self._key, self.recorded)
        writing.database.execute("INSERT OR IGNORE INTO hash_key VALUES (?,?,?)", row)
        return True


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
