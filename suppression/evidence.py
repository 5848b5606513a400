"""The file of one address: what it consented to and by which forms, what it refused, what is known, what was sent.

特定電子メール法 3条2項, 28条 (report and inspection), 特定商取引法 12条の3 3項: to be shown on demand, to the authority
or to the person. Gathered from the ledger; what the journal says of sends and decisions is the caller's to add. A plain
value of texts, numbers and lists, which JSON and the page both show in full.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from suppression.address import forms
from suppression.forms import Form
from suppression.view import LedgerView, Told, cover_names, instant

REFUSALS: Final = frozenset({"OPT_OUT", "COMPLAINT", "WITHDRAWAL"})


@dataclass(slots=True)
class Dossier:
    address: str
    sender: str
    """The one that was asked about; empty: all."""
    made_at: str
    senders: dict[str, str]
    """Registered names of the senders, by the names in the records."""
    consents: list[Told]
    refusals: list[Told]
    """Opt-outs, complaints, withdrawals; with those of other spellings and those that hold for all senders."""
    mailbox: list[Told]
    """What became known about the mailbox."""
    signups: list[Told]
    forms: list[Told]
    """With their content, of every consent and sign-up above."""
    now: list[Told]
    """What may go now, by sender and topic: from the ledger alone, without the checks of a message."""
    last_days: list[Told]
    """By sender, the last day of advertising and of mail order, noted before it was sent: may be over-stated only."""
    last_sent: list[Told] = field(default_factory=list)
    """The same from the journal, to the second."""
    sends: list[Told] = field(default_factory=list)
    """Records of the journal, oldest first."""
    sends_cut: bool = False
    """There are more of them than were kept."""

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def gather(view: LedgerView, address: str, sender: str, senders: dict[str, str], now: float) -> Dossier:
    """Raises ValueError for what cannot be an address."""
    events = [event for event in view.person(address) if _concerns(event, sender)]
    signups = [signup for signup in view.signups(address) if not sender or signup["sender"] == sender]
    consents = [event for event in events if event["kind"] == "CONSENT"]
    decisions = [
        {
            "sender": name,
            "topic": topic,
            "decisions": {
                str(category): {"verdict": str(made.verdict), "reason": made.reason, "basis": made.basis}
                for category, made in by_category.items()
            },
        }
        for name, topic, by_category in view.decisions(address)
        if not sender or name in ("", sender)
    ]
    return Dossier(
        address=address,
        sender=sender,
        made_at=instant(int(now) * 1_000_000),
        senders=senders,
        consents=consents,
        refusals=[event for event in events if event["kind"] in REFUSALS],
        mailbox=[event for event in events if event["kind"] == "ADDRESS"],
        signups=signups,
        forms=[told_form(form) for form in _forms(view, [*consents, *signups])],
        now=decisions,
        last_days=[days for days in view.last_days(address) if not sender or days["sender"] == sender],
    )


def _concerns(event: Told, sender: str) -> bool:
    return not sender or event["sender"] in ("", sender)


def _forms(view: LedgerView, records: Iterable[Told]) -> Iterable[Form]:
    wanted = dict.fromkeys((record["form"], record["sender"]) for record in records if record.get("form"))
    for form, sender in wanted:
        yield from view.form(bytes.fromhex(form), sender)


def told_form(form: Form) -> Told:
    """Text as text, everything else in base64; the SHA-256 is over the bytes."""
    names = ("sender", "kind", "displayed_sender", "statement", "language", "privacy_policy_url", "acquired_url")
    told: Told = {"form": form.sha256.hex(), **{name: str(getattr(form, name)) for name in names}}
    told |= {"covers": cover_names(form.covers), "auto_compiled": form.auto_compiled}
    told["shown_from"] = instant(form.shown_from * 1_000_000)
    told["shown_to"] = None if form.shown_to is None else instant(form.shown_to * 1_000_000)
    told["bytes"] = len(form.content)
    try:
        return {**told, "content": form.content.decode()}
    except UnicodeDecodeError:
        return {**told, "content_base64": base64.b64encode(form.content).decode("ascii")}


def last_sent(sends: Sequence[Told]) -> list[Told]:
    """By sender: the last delivery (or one that may have arrived), of any advertising and of mail order separately."""
    latest: dict[tuple[str, str], Told] = {}
    for send in sends:
        if send["type"] != "Delivery" and not send.get("in_doubt"):
            continue
        for kind in _kinds_of(send.get("category", "")):
            key = (send.get("legal_sender", ""), kind)
            if key not in latest or latest[key]["at"] < send["at"]:
                latest[key] = {"sender": key[0], "what": kind, "at": send["at"], "at_jst": send["at_jst"]}
    return [latest[key] for key in sorted(latest)]


def _kinds_of(category: str) -> list[str]:
    kinds = ["any"]
    if category in {"AD", "AD_MO", "TX_AD", "OTHER_AD", "FREE_AD"}:
        kinds.append("advertising")
    if category == "AD_MO":
        kinds.append("mail_order")
    return kinds


class Needle:
    """Finds the lines of a journal that are about one address, whatever its spelling: first by bytes, then exactly."""

    def __init__(self, address: str) -> None:
        """Raises ValueError."""
        found = forms(address)
        if found is None:
            raise ValueError(f"address: {address[:80]!a} cannot be an address; correct it")
        self._wide = found.wide
        local = found.wide.rpartition("@")[0]
        runs = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in local).split()
        # Where a provider ignores dots they may stand anywhere in it: then only the domain is looked for.
        part = "mail.com" if found.wide.endswith("@gmail.com") else max(runs, key=len, default="@")
        self._part = part.encode()

    def may_be_in(self, line: bytes) -> bool:
        return self._part in line.lower()

    def is_address(self, address: str) -> bool:
        found = forms(address)
        return found is not None and found.wide == self._wide


def file_stem(address: str) -> str:
    """A name for the file: readable as far as it is safe, and unlike for two addresses."""
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in address)
    return f"{safe[:60]}-{hashlib.sha256(address.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
