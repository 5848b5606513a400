"""The record of a consent: under which circumstances it was given, and whether that is enough to rely on it.

特定電子メール法 3条2項, 施行規則4条1項: either each address with time, method and circumstances (1号), or a list of
addresses with the standard text that was shown (2号: paper, mail, web; never what was only spoken). 特定商取引法
12条の3 3項 asks more of the second for mail-order advertising. A record that is not complete is refused with what is
missing; it is never completed by guessing. The record travels as the evidence of its event, as JSON.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

from suppression.events import Basis, Consent, Covers, EventError
from suppression.forms import Form, FormError, FormKind, check_url, read_form
from suppression.hashed import matching
from suppression.recording import Entry, Writing, entries_of, microseconds

FORM_OF: Final = {
    "web": FormKind.WEB,
    "mail": FormKind.MAIL,
    "paper": FormKind.PAPER,
    "fax": FormKind.PAPER,
    "phone": None,
    "oral": None,
}
"""Methods, and the kind of form whose text can stand for all who answered it."""
CHECKBOX: Final = ("off", "on", "none")
RECORDED: Final = frozenset({Basis.OPTIN_REC, Basis.MO_REC})
"""The bases that rest on a record."""
MAX_USER_AGENT: Final = 1024
MAX_THIRD_PARTIES: Final = 64
MAX_REFERENCE: Final = 2048
OTHER_FORM: Final = "name the form of that time, or say from when it was shown (form add --shown-from)"

_MARK: Final = '{"record":1,'
_FORM: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Record:
    """Circumstances of a consent or of an opt-out. Empty: not known."""

    method: str = ""
    form: str = ""
    """SHA-256 of the form, hexadecimal."""
    url: str = ""
    ip: str = ""
    user_agent: str = ""
    checkbox_default: str = ""
    displayed_sender: str = ""
    privacy_policy_url: str = ""
    acquired_url: str = ""
    third_parties: tuple[str, ...] = ()
    """Others that the person was told would mail, by name."""
    evidence_ref: str = ""
    """Where the proof lies: scan, call recording, contract."""
    evidence: str = ""
    """Free text."""
    message_id: str = ""
    """The mail that triggered it."""
    asked_at: float = 0.0
    """Double opt-in: when the address was typed in, the CONFIRM accepted for sending, its link used."""
    doi_sent_at: float = 0.0
    doi_clicked_at: float = 0.0
    doi_ip: str = ""
    doi_user_agent: str = ""


def encode_record(record: Record) -> str:
    """As evidence. What is only free text stays that text."""
    given = {
        each.name: getattr(record, each.name) for each in fields(record) if getattr(record, each.name) != each.default
    }
    if given.keys() <= {"evidence"} and not record.evidence.startswith(_MARK):
        return record.evidence
    return json.dumps({"record": 1, **given}, ensure_ascii=False, separators=(",", ":"))


def decode_record(evidence: str) -> Record:
    """What encode_record made of it; any other text is the free text of a record."""
    if not evidence.startswith(_MARK):
        return Record(evidence=evidence)
    found = json.loads(evidence)
    known = {each.name: found[each.name] for each in fields(Record) if each.name in found}
    if "third_parties" in known:
        known["third_parties"] = tuple(known["third_parties"])
    return Record(**known)


def check_record(record: Record) -> None:
    """Raises EventError for a value that cannot be one; whether the record is enough is `shortfall`'s."""
    if record.method and record.method not in FORM_OF:
        raise EventError(f"method: {_cut(record.method)} is not one of {', '.join(FORM_OF)}; leave it out if unknown")
    if record.form and not _FORM.fullmatch(record.form):
        raise EventError(f"form: {_cut(record.form)} is not a SHA-256 in 64 lower-case hexadecimal digits")
    if record.checkbox_default and record.checkbox_default not in CHECKBOX:
        raise EventError(f"checkbox_default: {_cut(record.checkbox_default)} is not one of {', '.join(CHECKBOX)}")
    for name in ("url", "privacy_policy_url", "acquired_url"):
        try:
            check_url(name, getattr(record, name))
        except FormError as error:
            raise EventError(str(error)) from None
    for name in ("ip", "doi_ip"):
        check_ip(name, getattr(record, name))
    for name, limit in (("user_agent", MAX_USER_AGENT), ("doi_user_agent", MAX_USER_AGENT),
                        ("displayed_sender", 200), ("evidence_ref", MAX_REFERENCE), ("message_id", 998)):  # fmt: skip
        _check_text(name, getattr(record, name), limit)
    if len(record.third_parties) > MAX_THIRD_PARTIES:
        raise EventError(f"third_parties: {len(record.third_parties)} of them, at most {MAX_THIRD_PARTIES}")
    for party in record.third_parties:
        if not party.strip():
            raise EventError("third_parties: an empty name; name each company that may mail")
        _check_text("third_parties", party, 200)


def check_ip(name: str, text: str) -> None:
    """Raises EventError. Empty is allowed."""
    try:
        if text:
            ipaddress.ip_address(text)
    except ValueError:
        raise EventError(f"{name}: {_cut(text)} is not an IP address; leave it out if unknown") from None


def _check_text(name: str, text: str, limit: int) -> None:
    if len(text) > limit or not (text.isprintable() or name.endswith("user_agent")):
        raise EventError(f"{name}: {_cut(text)} must be printable and of at most {limit} characters")


def shortfall(consent: Consent, record: Record, form: Form | None) -> str | None:
    """What this record lacks to carry its basis, with the remedy; None: complete. `form`: the stored one, if any."""
    if record.form and form is None:
        return f"form: {record.form} is not stored for sender {_cut(consent.sender)}; store it with put_form"
    if consent.basis not in RECORDED:
        return None
    if form is not None and (fault := _misfit(consent, record, form)):
        return fault
    return _lack(consent, record, form)


def _lack(consent: Consent, record: Record, form: Form | None) -> str | None:
    """Of a form, if there is one, that fits."""
    if consent.basis is Basis.MO_REC and Covers.MAIL_ORDER not in consent.covers:
        return "covers: MO_REC without MAIL_ORDER; add it if the person was told, else use OPTIN_REC"
    spoken = record.method in ("phone", "oral")
    if spoken and not (record.evidence or record.evidence_ref):
        return (
            "evidence: empty, and nothing was written when the method is phone or oral (施行規則4条1項2号); give "
            "evidence or evidence_ref (recording, note of the call), or record OPTIN_NOREC"
        )
    if record.evidence or record.evidence_ref or record.ip or record.url:
        return None
    if form is None:
        return (
            "evidence: empty, and a record says the circumstances beside time and method (施行規則4条1項); give form, "
            "evidence, evidence_ref, ip or url, or record OPTIN_NOREC"
        )
    if Covers.MAIL_ORDER in consent.covers and not form.auto_compiled:
        return (
            "form: its answers do not make a list by themselves (auto_compiled), which mail-order advertising asks of "
            "a form that stands alone (特定商取引法12条の3 3項); give evidence, evidence_ref, ip or url too"
        )
    return None


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _misfit(consent: Consent, record: Record, form: Form) -> str | None:
    if record.method and FORM_OF[record.method] is not form.kind and FORM_OF[record.method] is not None:
        return f"method: {record.method} with a form of kind {form.kind}; name the form that was really shown"
    missing = consent.covers & ~form.covers
    if missing:
        return f"covers: {missing.name} is not in what the form says ({form.covers.name}); record what was shown"
    if consent.at < form.shown_from:
        return f"at: {_time(consent.at)} is before the form was shown ({_time(form.shown_from)}); {OTHER_FORM}"
    if form.kind is FormKind.WEB and form.shown_to is not None and consent.at > form.shown_to:
        return f"at: {_time(consent.at)} is after the form was taken down ({_time(form.shown_to)}); {OTHER_FORM}"
    return None


def _cut(text: str) -> str:
    return ascii(text[:80])


@dataclass(frozen=True, slots=True)
class Told:
    """A consent on its way in, already checked by events.check and check_record."""

    index: int
    consent: Consent
    record: Record
    identity: bytes


class RecordConsents:
    """One transaction; the incomplete ones are in `refused`, or recorded as OPTIN_NOREC where that was asked for."""

    def __init__(self, told: Sequence[Told], now: float, *, keep_incomplete: bool = False) -> None:
        self._told = told
        self._keep = keep_incomplete
        self.recorded = microseconds(now)
        self.refused: list[tuple[int, str]] = []
        self.demoted: list[tuple[int, str]] = []
        """Recorded as OPTIN_NOREC: index and what was missing."""

    def perform(self, writing: Writing) -> list[Entry]:
        known: dict[tuple[str, str], Form | None] = {}
        entries: list[Entry] = []
        for told in self._told:
            consent, record = told.consent, told.record
            form = _stored(writing, known, consent.sender, record.form) if record.form else None
            fault = shortfall(consent, record, form)
            basis = consent.basis
            if fault is not None and self._keep and basis in RECORDED:
                self.demoted.append((told.index, fault))
                basis = Basis.OPTIN_NOREC
            elif fault is not None:
                self.refused.append((told.index, fault))
                continue
            entries += recorded_entries(consent, record, told.identity, self.recorded, basis)
        return [*entries, *matching(writing, entries)]


def recorded_entries(
    consent: Consent, record: Record, identity: bytes, recorded: int, basis: Basis | None = None
) -> list[Entry]:
    """The ledger's rows of a consent with its record."""
    whole = replace(consent, basis=consent.basis if basis is None else basis, evidence=encode_record(record))
    return list(entries_of(whole, identity, recorded))


def _stored(writing: Writing, known: dict[tuple[str, str], Form | None], sender: str, form: str) -> Form | None:
    key = (sender, form)
    if key not in known:
        found = read_form(writing.database, bytes.fromhex(form), sender)
        known[key] = found[0] if found else None
    return known[key]


def shown_record(record: Record) -> dict[str, Any]:
    """What is known of it, by field, for exports."""
    found = {each.name: value for each in fields(record) if (value := getattr(record, each.name)) != each.default}
    return found | {name: list(value) for name, value in found.items() if isinstance(value, tuple)}
