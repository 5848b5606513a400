"""Double opt-in: somebody typed an address into a form; one CONFIRM asks its holder, whose click is the consent.

特定電子メール法施行規則2条1項2号 (the one mail that asks). A sign-up is recorded as an address given (which lets
CONFIRM go, and nothing else that advertises); exactly one submit may carry its mail; the link confirms once, however
often it is used, so that an old link lifts no later refusal. Sign-ups are limited for each sender and address, wide
match, since a form on the web can be made to mail strangers. Tokens are those of unsubscribe.py under a key of their
own; whatever is not a living sign-up of ours, forged or run out, gives the same answer.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from suppression.consents import Record, decode_record, encode_record, recorded_entries, shortfall
from suppression.events import Basis, Consent, Covers
from suppression.forms import read_form
from suppression.hashed import matching
from suppression.recording import Entry, Writing, microseconds
from suppression.unsubscribe import TokenKey, read_token, token_of

_PAIR: Final = struct.Struct("<qq")
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class ConfirmSettings:
    """[confirm]. The law knows none of these numbers: they are guesses, kept here to be changed."""

    per_day: int = 1
    """Sign-ups of one address at one sender in 24 hours; each may mail once."""
    per_month: int = 3
    """The same in 30 days."""
    valid_seconds: float = 7 * _DAY
    """How long a link confirms."""


@dataclass(frozen=True, slots=True)
class SignUp:
    """What the person asked for, and what was shown."""

    sender: str
    address: str
    at: float
    source: str
    topics: tuple[str, ...] = ()
    covers: Covers = Covers.AD
    record: Record = field(default_factory=Record)
    basis: Basis = Basis.ADDR_GIVEN
    """Why the one mail may go: the address was given, or another basis that is on record."""

    def digest(self) -> bytes:
        """The same request again, after a lost answer, is the same sign-up."""
        parts = (self.sender, self.address, repr(self.at), self.source, *self.topics, str(int(self.covers)))
        whole = json.dumps([*parts, encode_record(self.record), int(self.basis)])
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).digest()

    def consent(self, basis: Basis, at: float) -> Consent:
        return Consent(self.address, at, self.source, self.sender, basis, self.covers, self.topics)

    def final_basis(self) -> Basis:
        return Basis.MO_REC if Covers.MAIL_ORDER in self.covers else Basis.OPTIN_REC


def confirm_key(key: TokenKey) -> TokenKey:
    """Of the ring of unsubscribe keys, but no token of the one is ever a token of the other."""
    return TokenKey(key.number, hashlib.blake2b(key.secret, digest_size=32, person=b"confirm sign-up").digest())


def confirm_token(number: int, sender: str, key: TokenKey) -> str:
    """Holds no address: the ledger has it."""
    return token_of(sender, "", "", number, key)


def read_confirm_token(token: str, keys: Mapping[int, TokenKey]) -> int | None:
    found = read_token(token, keys)
    return None if found is None else found.recipient


class AskSignUp:
    """Afterwards `number` is the sign-up's, or `fault` says why there is none; `limited` if it may be tried later."""

    def __init__(self, signup: SignUp, identity: bytes, now: float, settings: ConfirmSettings) -> None:
        self._signup, self._identity, self._settings = signup, identity, settings
        self.recorded = microseconds(now)
        self.number: int | None = None
        self.fault: str | None = None
        self.limited = False
        self.is_repeated = False

    def perform(self, writing: Writing) -> list[Entry]:
        signup, database = self._signup, writing.database
        request = signup.digest()
        earlier: Any = database.execute("SELECT id FROM signup WHERE request = ?", (request,)).get
        self.number = earlier
        self.is_repeated = self.number is not None
        if self.is_repeated:
            return []
        exact, wide = _PAIR.unpack(self._identity)
        sender = writing.sender(signup.sender)
        self.fault = self._limit(writing, sender, wide) or _incomplete(writing, signup)
        if self.fault is not None:
            return []
        at = min(microseconds(signup.at), self.recorded)
        row = (request, wide, exact, sender, at, self.recorded, json.dumps(signup.topics), int(signup.covers))
        record = json.dumps([signup.source, encode_record(replace(signup.record, asked_at=signup.at))])
        database.execute(
            "INSERT INTO signup (request, wide, exact, sender, at, recorded, topics, covers, record, address)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            (*row, record, signup.address),
        )
        self.number = database.last_insert_rowid()
        return recorded_entries(signup.consent(signup.basis, signup.at), signup.record, self._identity, self.recorded)

    def _limit(self, writing: Writing, sender: int, wide: int) -> str | None:
        for allowed, days in ((self._settings.per_day, 1), (self._settings.per_month, 30)):
            since = self.recorded - microseconds(days * _DAY)
            counted: list[Any] = writing.database.execute(
                "SELECT count(*), min(recorded) FROM signup WHERE sender = ? AND wide = ? AND recorded > ?",
                (sender, wide, since),
            ).fetchall()
            found, first = counted[0]
            if found >= allowed:
                self.limited = True
                wait = (first - since) // 1_000_000 + 1
                return (
                    f"address: {found} sign-ups in {days} days, at most {allowed} (each mails once, and a form can be "
                    f"made to mail strangers); again in {wait} seconds, and show the person what you always show"
                )
        return None


def _incomplete(writing: Writing, signup: SignUp) -> str | None:
    """What a click could never make good is refused before anybody is mailed."""
    stored = read_form(writing.database, bytes.fromhex(signup.record.form), signup.sender) if signup.record.form else []
    consent = signup.consent(signup.final_basis(), signup.at)
    return shortfall(consent, signup.record, stored[0] if stored else None)


class CarryConfirm:
    """Binds the sign-ups of these addresses to one submit: the only one that may carry their CONFIRM. The same submit
    again, after a lost answer, carries them again. `without`: positions that have no sign-up left to carry.
    """

    def __init__(
        self, sender: str, identities: Sequence[bytes], carrier: bytes, now: float, settings: ConfirmSettings
    ) -> None:
        self._sender, self._identities, self._carrier = sender, identities, carrier
        self._settings = settings
        self.recorded = microseconds(now)
        self.without: list[int] = []

    def perform(self, writing: Writing) -> list[Entry]:
        since = self.recorded - microseconds(self._settings.valid_seconds)
        sender = writing.sender(self._sender)
        taken: set[int] = set()
        for position, identity in enumerate(self._identities):
            exact, wide = _PAIR.unpack(identity) if identity else (0, 0)
            number = self._waiting(writing, (sender, wide, exact, self._carrier, since), taken)
            if number is None:
                self.without.append(position)
            else:
                taken.add(number)
        return []

    def _waiting(self, writing: Writing, key: tuple[Any, ...], taken: set[int]) -> int | None:
        rows: list[Any] = writing.database.execute(
            "SELECT id, carrier FROM signup WHERE sender = ? AND wide = ? AND exact = ? AND (carrier = ? OR"
            " (carrier IS NULL AND confirmed IS NULL AND recorded > ?)) ORDER BY carrier IS NULL, id DESC",
            key,
        ).fetchall()
        for number, carrier in rows:
            if number in taken:
                continue
            if carrier is None:
                change = "UPDATE signup SET carrier = ?, sent = ? WHERE id = ?"
                writing.database.execute(change, (self._carrier, self.recorded, number))
            return int(number)
        return None


@dataclass(frozen=True, slots=True)
class Confirmed:
    sender: str
    address: str
    topics: tuple[str, ...]
    covers: Covers
    at: float
    """Of the first click."""
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A sign-up as it stands, read inside the transaction."""

    signup: SignUp
    identity: bytes
    record: str
    sent: int | None
    confirmed: int | None
    is_over: bool

    def told(self, at: int, *, is_repeated: bool) -> Confirmed:
        signup = self.signup
        return Confirmed(signup.sender, signup.address, signup.topics, signup.covers, at / 1e6, is_repeated=is_repeated)


def _read(writing: Writing, number: int, now: int, settings: ConfirmSettings) -> _Waiting | None:
    """None: there is no such sign-up, or the person is forgotten."""
    rows: list[Any] = writing.database.execute(
        "SELECT exact, wide, s.name, at, recorded, topics, covers, record, address, sent, confirmed FROM signup"
        " JOIN sender s ON s.id = signup.sender WHERE signup.id = ? AND address IS NOT NULL",
        (number,),
    ).fetchall()
    if not rows:
        return None
    exact, wide, sender, at, recorded, topics, covers, told, address, sent, confirmed = rows[0]
    source, record = json.loads(told)
    signup = SignUp(sender, address, at / 1e6, source, tuple(json.loads(topics)), Covers(covers))
    is_over = now - recorded > microseconds(settings.valid_seconds)
    return _Waiting(signup, _PAIR.pack(exact, wide), record, sent, confirmed, is_over)


class LookAtSignUp:
    """What a link would confirm, for a page that asks first. Changes nothing. `found`: None where it confirms nothing
    (any more); `is_repeated` in it says that it was confirmed already.
    """

    def __init__(self, number: int, now: float, settings: ConfirmSettings) -> None:
        self._number, self._settings = number, settings
        self.recorded = microseconds(now)
        self.found: Confirmed | None = None

    def perform(self, writing: Writing) -> list[Entry]:
        waiting = _read(writing, self._number, self.recorded, self._settings)
        if waiting is not None and (waiting.confirmed or (waiting.sent and not waiting.is_over)):
            self.found = waiting.told(waiting.confirmed or 0, is_repeated=waiting.confirmed is not None)
        return []


class ConfirmSignUp:
    """`confirmed` afterwards, or None: no such sign-up, not mailed, forgotten, or run out (`has_run_out`)."""

    def __init__(self, number: int, ip: str, user_agent: str, now: float, settings: ConfirmSettings) -> None:
        self._number, self._ip, self._user_agent = number, ip, user_agent
        self._now, self._settings = now, settings
        self.recorded = microseconds(now)
        self.confirmed: Confirmed | None = None
        self.has_run_out = False

    def perform(self, writing: Writing) -> list[Entry]:
        waiting = _read(writing, self._number, self.recorded, self._settings)
        if waiting is None:
            return []
        if waiting.confirmed is not None:
            self.confirmed = waiting.told(waiting.confirmed, is_repeated=True)
            return []
        if waiting.sent is None or waiting.is_over:
            self.has_run_out = waiting.is_over
            return []
        self.confirmed = waiting.told(self.recorded, is_repeated=False)
        writing.database.execute("UPDATE signup SET confirmed = ? WHERE id = ?", (self.recorded, self._number))
        return self._consent(writing, waiting, waiting.sent)

    def _consent(self, writing: Writing, waiting: _Waiting, sent: int) -> list[Entry]:
        whole = replace(
            decode_record(waiting.record),
            doi_sent_at=sent / 1e6,
            doi_clicked_at=self._now,
            doi_ip=self._ip,
            doi_user_agent=self._user_agent[:1024],
        )
        consent = waiting.signup.consent(waiting.signup.final_basis(), self._now)
        entries = recorded_entries(consent, whole, waiting.identity, self.recorded)
        return [*entries, *matching(writing, entries)]
