"""What people saw when they consented: the paper, the mail or the page, stored once and named by its SHA-256.

特定電子メール法施行規則4条1項2号 (the standard text, beside a list of addresses, is a record), 特定商取引法施行規則の
承諾の記録 (mail-order: also when the text was shown, and that the answers made a list by themselves). A form never
changes; that it is no longer shown is written once. Another text is another form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import apsw

from suppression.events import Covers
from suppression.recording import Entry, Writing, microseconds
from suppression.shown import kind_of

MAX_CONTENT: Final = 1 << 20
MAX_STATEMENT: Final = 4096
MAX_URL: Final = 2048
TOLERANCE: Final = 300.0
"""Seconds that a client's clock may be ahead of ours."""


class FormKind(StrEnum):
    """The three displays that may stand for everybody who answered them (イ, ロ, ハ). Fax counts as paper."""

    PAPER = "paper"
    MAIL = "mail"
    WEB = "web"


class FormError(ValueError):
    """Names the field, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Form:
    sender: str
    kind: FormKind
    content: bytes = field(repr=False)
    displayed_sender: str
    statement: str
    """The words of the form that say what will be mailed; they must stand in what the person saw."""
    shown_from: int
    """Unix seconds."""
    shown_to: int | None = None
    language: str = "ja"
    privacy_policy_url: str = ""
    acquired_url: str = ""
    covers: Covers = Covers.AD
    auto_compiled: bool = False
    """The answers go into an electronic list without a human hand."""

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.content).digest()


def check_form(form: Form, now: float) -> None:
    """Raises FormError."""
    if not 0 < len(form.content) <= MAX_CONTENT:
        raise FormError(f"content: {len(form.content)} bytes, 1 to {MAX_CONTENT}; store the text, not its pictures")
    try:
        kind_of(form.content)
    except ValueError as error:
        raise FormError(f"content: {error}") from None
    for name, text, limit in (("displayed_sender", form.displayed_sender, 200), ("language", form.language, 35)):
        if not text.strip() or not text.isprintable() or len(text) > limit:
            raise FormError(f"{name}: {_cut(text)} must be printable, 1 to {limit} characters")
    if not 0 < len(form.statement.strip()) <= MAX_STATEMENT:
        raise FormError(f"statement: {len(form.statement)} characters; quote the words that say what will be mailed")
    for name, url in (("privacy_policy_url", form.privacy_policy_url), ("acquired_url", form.acquired_url)):
        check_url(name, url)
    if form.kind is FormKind.WEB and not form.acquired_url:
        raise FormError("acquired_url: empty; say where the page stood")
    if not form.covers:
        raise FormError("covers: empty; say what the form names (AD, MAIL_ORDER)")
    check_shown(form.shown_from, form.shown_to, now)


def check_shown(shown_from: int, shown_to: int | None, now: float) -> None:
    """Raises FormError."""
    if not 0 <= shown_from <= now + TOLERANCE:
        raise FormError(f"shown_from: {shown_from} is not a Unix time up to now; store a form when it is shown")
    if shown_to is not None and not shown_from <= shown_to <= now + TOLERANCE:
        raise FormError(f"shown_to: {shown_to} is not between shown_from {shown_from} and now; correct it")


def check_url(name: str, url: str) -> None:
    """Raises FormError. Empty is allowed."""
    if url and not (url.startswith(("https://", "http://")) and url.isprintable() and len(url) <= MAX_URL):
        raise FormError(f"{name}: {_cut(url)} is not an http or https address of at most {MAX_URL} characters")


def _cut(text: str) -> str:
    return ascii(text[:80])


_COLUMNS: Final = (
    "sender, kind, displayed_sender, statement, shown_from, shown_to, language, privacy_policy_url, acquired_url, "
    "covers, auto_compiled"
)


def form_of(row: tuple[Any, ...]) -> Form:
    """From these columns, and the content behind them."""
    sender, kind, displayed, statement, begin, end, language, privacy, acquired, covers, auto, content = row
    known = (displayed, statement, begin, end, language, privacy, acquired, Covers(covers), bool(auto))
    return Form(sender, FormKind(kind), content, *known)


def read_forms(database: apsw.Connection, sender: str | None = None) -> Iterator[tuple[bytes, Form]]:
    """All forms, without their content (empty bytes): SHA-256 and form."""
    rows: Any = database.execute(
        f"SELECT sha256, {_COLUMNS}, x'' FROM form WHERE ?1 IS NULL OR sender = ?1 ORDER BY id",  # noqa: S608 - constants
        (sender,),
    )
    for sha256, *row in rows:
        yield bytes(sha256), form_of(tuple(row))


def read_form(database: apsw.Connection, sha256: bytes, sender: str | None = None) -> list[Form]:
    """With content; one for each sender that stored these bytes."""
    rows: Any = database.execute(
        f"SELECT {_COLUMNS}, content FROM form WHERE sha256 = ?1 AND (?2 IS NULL OR sender = ?2) ORDER BY id",  # noqa: S608 - constants
        (sha256, sender),
    )
    return [form_of(row) for row in rows]


class PutForm:
    """`fault` says why it was not stored; the same form again is the same form."""

    def __init__(self, form: Form, now: float) -> None:
        self.form = form
        self.recorded = microseconds(now)
        self.fault: str | None = None

    def perform(self, writing: Writing) -> list[Entry]:
        database = writing.database
        form, sha256 = self.form, self.form.sha256
        for known in read_form(database, sha256, form.sender):
            self.fault = _difference(known, form)
            return []
        row = (form.sender, form.kind, form.displayed_sender, form.statement, form.shown_from, form.shown_to)
        more = (form.language, form.privacy_policy_url, form.acquired_url, int(form.covers), int(form.auto_compiled))
        database.execute(
            f"INSERT INTO form ({_COLUMNS}, content, sha256, recorded) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - constants
            (*row, *more, form.content, sha256, self.recorded),
        )
        return []


def _difference(known: Form, form: Form) -> str | None:
    for name in Form.__slots__:
        if getattr(known, name) != getattr(form, name) and not (name == "shown_to" and form.shown_to is None):
            return (
                f"{name}: this content was stored with {_cut(str(getattr(known, name)))}, and a form never changes; "
                "use what is stored, or show (and store) another text"
            )
    return None


class RetireForm:
    """`fault` says why not; the same again is harmless."""

    def __init__(self, sender: str, sha256: bytes, shown_to: int, now: float) -> None:
        self.sender, self.sha256, self.shown_to = sender, sha256, shown_to
        self.now = now
        self.recorded = microseconds(now)
        self.fault: str | None = None

    def perform(self, writing: Writing) -> list[Entry]:
        database = writing.database
        for known in read_form(database, self.sha256, self.sender):
            if known.shown_to is not None:
                if known.shown_to != self.shown_to:
                    self.fault = f"shown_to: it was retired at {known.shown_to} already, and that is said once"
                return []
            try:
                check_shown(known.shown_from, self.shown_to, self.now)
            except FormError as error:
                self.fault = str(error)
                return []
            database.execute(
                "UPDATE form SET shown_to = ? WHERE sender = ? AND sha256 = ?",
                (self.shown_to, self.sender, self.sha256),
            )
            return []
        self.fault = f"form: {self.sha256.hex()} is not stored for sender {_cut(self.sender)}; put_form it first"
        return []
