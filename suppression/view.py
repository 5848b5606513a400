"""The ledger as a reader sees it, beside a running engine or without one: for exports and for the evidence of a person.

特定電子メール法 28条, 施行規則4条1項 (「必要に応じ提示することができる」): what is kept can be shown. A connection of
its own that can only read; it sees what is durable. Addresses are found through the ledger's secret, as everywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, Self

import apsw

from suppression.address import Keyring, forms
from suppression.consents import decode_record, shown_record
from suppression.database import SCHEMAS, LedgerRefused
from suppression.day import date_of, day_of
from suppression.decision import Category, Decision
from suppression.events import AddressState, Basis, Covers
from suppression.forms import Form, read_form, read_forms
from suppression.newcomers import never_mailed
from suppression.order import order_state
from suppression.orders import read_orders
from suppression.pages import last
from suppression.policy import RULES_NONE, Circumstances, decide
from suppression.reasons import packaged_tables
from suppression.secret import SecretError, read_secret
from suppression.sent import FILE, exact_keys
from suppression.standing import EVERY, NOTHING, Fact, Folded, Kind, Refusal, Standing, fold
from suppression.tables import in_force

_PAIR: Final = struct.Struct("<qq")
_UNSIGNED: Final = struct.Struct("<QQ")
_JST: Final = timezone(timedelta(hours=9), "JST")
_EVENT: Final = (
    "SELECT e.id, e.kind, coalesce(s.name, ''), coalesce(t.name, ''), e.at, e.detail, e.recorded, src.content,"
    " ev.content, e.address FROM event e LEFT JOIN sender s ON s.id = e.sender LEFT JOIN topic t ON t.id = e.topic"
    " JOIN text src ON src.id = e.source JOIN text ev ON ev.id = e.evidence"
)
_LIVES_ON: Final = (
    " AND NOT EXISTS (SELECT 1 FROM event c WHERE c.wide = e.wide AND c.kind = 2 AND c.at > e.at"
    " AND (c.sender = e.sender OR e.sender = 0) AND c.topic IN (0, e.topic) AND (c.detail & 255) IN (1, 3))"
)
"""No later consent with a record (Basis OPTIN_REC, MO_REC) has lifted this refusal."""

_FACTS: Final = "SELECT kind, wide, exact, sender, topic, at, detail FROM event WHERE wide = ?"
_RECENT: Final = (
    f"SELECT DISTINCT address FROM event WHERE kind = {Kind.CONSENT:d} AND sender = ? AND address IS NOT NULL"  # noqa: S608 - a number
    " AND id > (SELECT coalesce(max(id), 0) FROM event) - 2000000 LIMIT ?"
)
_NOBODY: Final = -1

Told = dict[str, Any]


class LedgerView:
    def __init__(self, folder: Path, secret_file: Path) -> None:
        """Raises LedgerRefused, SecretError."""
        path = folder / "ledger.sqlite"
        self._sent = folder / FILE
        secret = read_secret(secret_file)
        if secret is None:
            raise SecretError(f"secret file {secret_file}: missing; restore the one that the ledger was keyed with")
        try:
            self._database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._database.set_busy_timeout(10_000)
            version = self._database.pragma("user_version")
        except apsw.Error as error:
            raise LedgerRefused(f"ledger {path}: {error}; name the configuration of an engine that has run") from error
        if version != len(SCHEMAS):
            self._database.close()
            raise LedgerRefused(f"ledger {path}: schema {version}, this release reads {len(SCHEMAS)}; start it once")
        self._keyring = Keyring(secret)
        known = self._database.execute("SELECT value FROM meta WHERE name = 'fingerprint'").get
        if known not in (None, self._keyring.fingerprint().hex()):
            self._database.close()
            raise SecretError(
                f"secret file {secret_file}: not the one that the ledger was keyed with; restore that one"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def forms(self, sender: str | None = None) -> Iterator[tuple[bytes, Form]]:
        return read_forms(self._database, sender)

    def form(self, sha256: bytes, sender: str | None = None) -> list[Form]:
        return read_form(self._database, sha256, sender)

    def consents(self, sender: str | None = None, since: float = 0.0, until: float = 1e11) -> Iterator[Told]:
        """In the order of recording; one for each topic."""
        return self._events((Kind.CONSENT,), sender, since, until, "")

    def opt_outs(
        self, sender: str | None = None, since: float = 0.0, until: float = 1e11, *, in_force: bool = False
    ) -> Iterator[Told]:
        """Refusals and complaints, also those of all senders. `in_force`: without those that a consent lifted."""
        return self._events((Kind.OPT_OUT, Kind.COMPLAINT), sender, since, until, _LIVES_ON if in_force else "")

    def person(self, address: str) -> list[Told]:
        """Everything that was recorded under any spelling of the address, oldest first."""
        rows: Any = self._database.execute(f"{_EVENT} WHERE e.wide = ? ORDER BY e.at, e.id", (self._wide(address),))
        return [told_event(row) for row in rows]

    def known_bad(self, addresses: Iterable[str], sender: str) -> tuple[int, int]:
        """How many of them bounced for good, and how many have refused this sender or everybody. 30 µs each."""
        number = self._database.execute("SELECT id FROM sender WHERE name = ?", (sender,)).get or _NOBODY
        unknown = refused = 0
        mask = (1 << 64) - 1
        for address in addresses:
            identity = self._keyring.identity(address)
            if not identity:
                continue
            exact, wide = _UNSIGNED.unpack(identity)
            rows: Any = self._database.execute(_FACTS, (_PAIR.unpack(identity)[1],)).fetchall()
            if not rows:
                continue
            folded = fold(Fact(kind, w & mask, e & mask, *rest) for kind, w, e, *rest in rows)
            unknown += folded.addresses.get(exact, NOTHING).address is not AddressState.OK
            standing = next((found for found in _standings(folded, number, exact, wide) if found is not None), NOTHING)
            refused += standing.elsewhere.refusal is not Refusal.NONE
        return unknown, refused

    def newcomers(self, addresses: Iterable[str], sender: str) -> int | None:
        """How many of them this sender never mailed advertising to; None: it has mailed nobody yet, as far as noted."""
        if not self._sent.exists():
            return None
        identities = [identity for address in addresses if (identity := self._keyring.identity(address))]
        database = apsw.Connection(str(self._sent), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            if not database.execute("SELECT count(*) FROM sender WHERE name = ?", (sender,)).get:
                return None
            return sum(never_mailed(database, sender, exact_keys(identities)))
        finally:
            database.close()

    def recent_consents(self, sender: str, most: int) -> list[str]:
        """Addresses of the sender's latest consents, among the last two million events of the ledger."""
        number = self._database.execute("SELECT id FROM sender WHERE name = ?", (sender,)).get or _NOBODY
        rows: Any = self._database.execute(_RECENT, (number, most))
        return [address for (address,) in rows]

    def signups(self, address: str) -> list[Told]:
        rows: Any = self._database.execute(
            "SELECT s.name, p.at, p.recorded, topics, covers, record, sent, confirmed FROM signup p"
            " JOIN sender s ON s.id = p.sender WHERE p.wide = ? ORDER BY p.id",
            (self._wide(address),),
        )
        return [_told_signup(row) for row in rows]

    def last_days(self, address: str) -> list[Told]:
        """By sender, the last day in Japan on which advertising went, as noted on disk before each was sent."""
        if not self._sent.exists():
            return []
        exact = _PAIR.unpack(self._keyring.identity(address))[0]
        database = apsw.Connection(str(self._sent), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            names: Any = database.execute("SELECT name FROM sender ORDER BY name").fetchall()
            found = [(name, last(database, name, [exact])[0]) for (name,) in names]
        finally:
            database.close()
        return [
            {"sender": name, "advertising": _day(days.day), "mail_order": _day(days.mail_order_day)}
            for name, days in found
            if days.day
        ]

    def decisions(self, address: str) -> list[tuple[str, str, dict[Category, Decision]]]:
        """Today, from ledger and the package's tables alone: (sender, topic or "", decision by category), of all that
        know the address.
        """
        day = day_of(time.time())
        rules, orders = in_force(packaged_tables(), day), read_orders(self._database)
        identity = self._keyring.identity(address)
        exact, wide = _UNSIGNED.unpack(identity)
        rows: Any = self._database.execute(_FACTS, (self._wide(address),)).fetchall()
        mask = (1 << 64) - 1
        facts = [Fact(kind, w & mask, e & mask, *rest) for kind, w, e, *rest in rows]
        folded = fold(facts)
        names = {EVERY: "", **self._names("sender")}
        topics = {EVERY: "", **self._names("topic")}
        found = []
        for sender in sorted({fact.sender for fact in facts if fact.kind != Kind.ADDRESS}):
            standing = folded.people.get((sender, exact)) or folded.refused.get((sender, wide))
            state = folded.addresses[exact].address if exact in folded.addresses else AddressState.OK
            for topic in (EVERY, *(number for number, _ in standing.topics)) if standing else ():
                stand = standing.towards(topic) if standing else None
                assert stand is not None
                own = [order for order in orders if order.sender == names[sender]]
                now = Circumstances(day, order_state(own, topics[topic]))
                made = {c: decide(rules, c, state, stand, now) if rules else RULES_NONE for c in Category}
                found.append((names[sender], topics[topic], made))
        return found

    def _names(self, table: str) -> dict[int, str]:
        return dict(self._database.execute(f"SELECT id, name FROM {table}").fetchall())  # type: ignore[arg-type] # noqa: S608 - our own two names

    def _wide(self, address: str) -> int:
        """Raises ValueError."""
        identity = self._keyring.identity(address)
        if not identity:
            raise ValueError(f"address: {address[:80]!a} cannot be an address; correct it")
        return int(_PAIR.unpack(identity)[1])

    def _events(
        self, kinds: tuple[Kind, ...], sender: str | None, since: float, until: float, more: str
    ) -> Iterator[Told]:
        numbers = ", ".join(str(int(kind)) for kind in kinds)
        rows: Any = self._database.execute(
            f"{_EVENT} WHERE e.kind IN ({numbers}) AND e.at >= ?1 AND e.at < ?2 AND"  # noqa: S608 - constants
            f" (?3 IS NULL OR e.sender IN (0, (SELECT id FROM sender WHERE name = ?3))){more} ORDER BY e.id",
            (round(since * 1e6), round(until * 1e6), sender),
        )
        return (told_event(row) for row in rows)


def _standings(folded: Folded, sender: int, exact: int, wide: int) -> Iterator[Standing | None]:
    """In the order in which the index asks."""
    yield folded.people.get((sender, exact))
    yield folded.refused.get((sender, wide))
    yield folded.refused.get((EVERY, wide))


def told_event(row: tuple[Any, ...]) -> Told:
    """One event in words; what it has not got is left out."""
    number, kind, sender, topic, at, detail, recorded, source, evidence, address = row
    told: Told = {"event": number, "kind": Kind(kind).name, "address": address, "sender": sender, "topic": topic}
    told |= {"at": instant(at), "at_jst": jst_day(at), "recorded_at": instant(recorded), "source": source}
    if kind == Kind.CONSENT:
        told |= {"basis": Basis(detail & 0xFF).name, "covers": cover_names(detail >> 8 & 0xFF)}
    ends = detail >> 16 if kind == Kind.CONSENT else detail if kind == Kind.OPT_OUT else 0
    if ends:
        told["until"] = date_of(ends).isoformat()
    if kind == Kind.ADDRESS:
        told["state"] = AddressState(detail).name
    return told | record_in_words(evidence)


def record_in_words(evidence: str) -> Told:
    """The record by field; its times as text."""
    told = shown_record(decode_record(evidence))
    for name in ("asked_at", "doi_sent_at", "doi_clicked_at"):
        if name in told:
            told[name] = instant(round(told[name] * 1e6))
    return told


def _told_signup(row: tuple[Any, ...]) -> Told:
    sender, at, recorded, topics, covers, record, sent, confirmed = row
    source, evidence = json.loads(record) if record else ("", "")  # empty once the person is forgotten
    told: Told = {"sender": sender, "topics": json.loads(topics), "covers": cover_names(covers), "source": source}
    told |= {"asked_at": instant(at), "recorded_at": instant(recorded)}
    told["confirm_sent_at"] = None if sent is None else instant(sent)
    told["confirmed_at"] = None if confirmed is None else instant(confirmed)
    return record_in_words(evidence) | told


def cover_names(covers: int) -> list[str]:
    return [cover.name for cover in Covers if covers & cover and cover.name]


def instant(microseconds: int) -> str:
    """UTC, ISO 8601, to the microsecond if there are any."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")


def _day(number: int) -> str:
    return date_of(number).isoformat() if number else ""


def jst_day(microseconds: int) -> str:
    """The calendar day that the law counts by."""
    return (datetime.fromtimestamp(0, _JST) + timedelta(microseconds=microseconds)).date().isoformat()


def hashed(address: str, key: bytes | None) -> str | None:
    """sha256:HEX of the address in the form that is matched by (lower case), or hmac-sha256:HEX under a key."""
    found = forms(address)
    if found is None:
        return None
    text = found.exact.encode("utf-8", "surrogatepass")
    if key is None:
        return f"sha256:{hashlib.sha256(text).hexdigest()}"
    return f"hmac-sha256:{hmac.digest(key, text, 'sha256').hex()}"
