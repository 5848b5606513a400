"""Consents, forms, sign-ups and lists of opt-outs, as requests of the socket become acts of the ledger.

特定電子メール法 3条2項 (records), 3条3項 (refusals), 施行規則2条1項2号 (the one mail that asks). One bad record refuses
that one, by its index; a batch is one transaction, and the answer comes when it is durable and in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from engine import wire
from engine.flow.validate import Reading, read_address
from engine.spool.port import NewRecipient
from engine.wire import Refusal, Refused
from suppression import Basis, Consent, Covers, EventError, LedgerFailed, OptOut, Scope, Suppression
from suppression.confirm import (
    AskSignUp,
    CarryConfirm,
    Confirmed,
    ConfirmSettings,
    ConfirmSignUp,
    LookAtSignUp,
    SignUp,
    confirm_key,
    confirm_token,
    read_confirm_token,
)
from suppression.consents import Record, RecordConsents, Told, check_record, encode_record
from suppression.events import check
from suppression.forms import Form, FormError, FormKind, PutForm, RetireForm, check_form
from suppression.hashed import HashedOptOut, MatchHashed, RecordHashed
from suppression.recording import Act
from suppression.unsubscribe import TokenKey

CHUNK: Final = 500
"""Records between two turns of the event loop."""

Answer = Callable[[Any], Awaitable[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the answers need of the engine."""

    suppression: Suppression
    check_sender: Callable[[str, str | None], None]
    """Raises Refusal."""
    reading: Reading
    clock: Callable[[], float]
    token_keys: Mapping[int, TokenKey]
    """The ring of unsubscribe links, the newest makes new ones; for confirming, each gives a key of its own."""
    confirm_url: Callable[[str, str], str]
    """The page of a sender for a token; empty when it has none."""
    settings: ConfirmSettings


class Records:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._keys = {number: confirm_key(key) for number, key in desk.token_keys.items()}
        self._newest = self._keys[max(self._keys)]
        self.on_opt_out: Callable[[str, float], None] = lambda _address, _now: None
        """Told address and time when a refusal of a list is in force."""

    def adopt(self, confirm_url: Callable[[str, str], str]) -> None:
        self._desk = replace(self._desk, confirm_url=confirm_url)

    def answers(self) -> dict[type[wire.Request], Answer]:
        return {
            wire.PutForm: self.put_form,
            wire.RetireForm: self.retire_form,
            wire.ConsentRequest: self.consent_request,
            wire.ConsentConfirm: self.consent_confirm,
            wire.SuppressMany: self.suppress_many,
        }

    async def put_form(self, request: wire.PutForm) -> Mapping[str, object]:
        desk, now = self._desk, self._desk.clock()
        desk.check_sender(request.sender, None)
        given = {name: getattr(request, name) for name in Form.__slots__ if name not in ("kind", "covers")}
        try:
            form = Form(kind=FormKind(request.kind), covers=_covers(request.covers), **given)
            check_form(form, now)
        except (FormError, EventError) as error:
            raise _bad_form(str(error)) from None
        act = PutForm(form, now)
        await _perform(desk.suppression, act)
        if act.fault is not None:
            raise _bad_form(act.fault)
        return {"form": form.sha256}

    async def retire_form(self, request: wire.RetireForm) -> Mapping[str, object]:
        self._desk.check_sender(request.sender, None)
        act = RetireForm(request.sender, request.form, request.shown_to, self._desk.clock())
        await _perform(self._desk.suppression, act)
        if act.fault is not None:
            raise _bad_form(act.fault)
        return {}

    async def consent_request(self, request: wire.ConsentRequest) -> Mapping[str, object]:
        desk, now = self._desk, self._desk.clock()
        desk.check_sender(request.sender, None)
        address = read_address(request.address, desk.reading)
        try:
            signup = _signup(request, address)
            check(signup.consent(signup.basis, signup.at), now)
            check_record(signup.record)
        except EventError as error:
            raise _bad_request(error) from None
        act = AskSignUp(signup, desk.suppression.identify([signup.address])[0], now, desk.settings)
        epoch = await _perform(desk.suppression, act)
        if act.number is None:
            field, _, text = (act.fault or "").partition(": ")
            code = "too_many_signups" if act.limited else "bad_request"
            raise Refusal(code, field, "", text)
        token = confirm_token(act.number, request.sender, self._newest)
        url = desk.confirm_url(request.sender, token)
        return {"token": token, "url": url, "repeated": act.is_repeated, "epoch": epoch}

    async def consent_confirm(self, request: wire.ConsentConfirm) -> Mapping[str, object]:
        act = await self.confirm(request.token, request.ip, request.user_agent)
        confirmed = None if act is None else act.confirmed
        if confirmed is None:
            return {"confirmed": False}
        return {
            "confirmed": True,
            "sender": confirmed.sender,
            "address": confirmed.address,
            "topics": list(confirmed.topics),
            "at": int(confirmed.at),
            "repeated": confirmed.is_repeated,
        }

    async def asked(self, token: str) -> Confirmed | None:
        """What a link would confirm, or has confirmed, without any effect. Raises Refusal when the ledger failed."""
        number = read_confirm_token(token, self._keys)
        if number is None:
            return None
        act = LookAtSignUp(number, self._desk.clock(), self._desk.settings)
        await _perform(self._desk.suppression, act)
        return act.found

    async def confirm(self, token: str, ip: str, user_agent: str) -> ConfirmSignUp | None:
        """None for what is no token of ours, else the act with what came of it. For a page: only after a POST, never
        for a GET, which scanners of links make too. Raises Refusal when the ledger has failed.
        """
        number = read_confirm_token(token, self._keys)
        if number is None:
            return None
        try:
            check_record(Record(doi_ip=ip, doi_user_agent=user_agent))
        except EventError as error:
            raise _bad_request(error) from None
        act = ConfirmSignUp(number, ip, user_agent, self._desk.clock(), self._desk.settings)
        await _perform(self._desk.suppression, act)
        return act

    async def carry(
        self, sender: str, key: bytes, recipients: Sequence[NewRecipient]
    ) -> tuple[list[NewRecipient], list[Refused]]:
        """For accept: of a submit of CONFIRM, those whose sign-up waits for this one mail. Raises Refusal."""
        suppression = self._desk.suppression
        identities = suppression.identify([recipient.address for recipient in recipients])
        act = CarryConfirm(sender, identities, key, self._desk.clock(), self._desk.settings)
        await _perform(suppression, act)
        text = "no sign-up waits for a CONFIRM: consent_request records one, and each may be mailed once"
        without = set(act.without)
        refused = [(recipients[position].index, "no_signup", text) for position in act.without]
        return [one for position, one in enumerate(recipients) if position not in without], refused

    async def suppress_many(self, request: wire.SuppressMany) -> Mapping[str, object]:
        """Addresses become opt-outs; hashes are kept, and become opt-outs of the consents that they meet."""
        desk, now = self._desk, self._desk.clock()
        if request.sender is not None:
            desk.check_sender(request.sender, None)
        events: list[OptOut] = []
        hashed: list[HashedOptOut] = []
        refused: list[Refused] = []
        for index, record in enumerate(request.records):
            if index and not index % CHUNK:
                await asyncio.sleep(0)
            try:
                event = _opt_out(request, record, desk.reading, now)
                check(event, now)
                digest = record.sha256 or record.hmac_sha256
                if digest is None:
                    events.append(event)
                else:
                    hashed.append(_hashed(event, digest))
            except Refusal as refusal:
                refused.append((index, refusal.code, refusal.text))
            except EventError as error:
                refused.append((index, "bad_record", str(error)))
        epoch = await _apply(desk.suppression, events)
        for event in events:
            self.on_opt_out(event.address, desk.clock())
        if hashed:
            reached = desk.suppression.parties.reached(request.sender) if request.sender else ("",)
            everywhere = [replace(one, sender=name) for one in hashed for name in reached]
            listed = RecordHashed(everywhere, now, request.hmac_key or b"")
            epoch = await _perform(desk.suppression, listed)
            if listed.fault:
                raise _bad_request(EventError(listed.fault))
        if hashed and request.match:
            epoch = await self._match(now)
        return {"recorded": len(events) + len(hashed), "refused": refused, "epoch": epoch}

    async def _match(self, now: float) -> int:
        """By stretches, so that an opt-out of somebody else never waits long."""
        matching, epoch = MatchHashed(0, now), 0
        while matching.after is not None:
            epoch = await _perform(self._desk.suppression, matching)
        return epoch


async def record_consents(
    suppression: Suppression, request: wire.Consent, refused: list[Refused], reading: Reading, now: float
) -> tuple[int, int]:
    """(recorded, epoch); what is wrong goes into `refused`. Raises Refusal when the ledger has failed."""
    told: list[Told] = []
    for index, record in enumerate(request.records):
        if index and not index % CHUNK:
            await asyncio.sleep(0)
        try:
            told.append(_told(index, request.sender, record, reading, now))
        except Refusal as refusal:
            refused.append((index, refusal.code, refusal.text))
        except EventError as error:
            refused.append((index, "bad_record", str(error)))
    identities = suppression.identify([one.consent.address for one in told])
    whole = [Told(one.index, one.consent, one.record, identity) for one, identity in zip(told, identities, strict=True)]
    act = RecordConsents([one for one in whole if one.identity], now, keep_incomplete=request.incomplete == "norec")
    epoch = await _perform(suppression, act)
    text = "cannot be an address; correct it"
    refused += [(one.index, "bad_address", text) for one in whole if not one.identity]
    refused += [(index, "incomplete", text) for index, text in act.refused]
    refused.sort()
    return len(request.records) - len(refused), epoch


def _told(index: int, sender: str, record: wire.ConsentRecord, reading: Reading, now: float) -> Told:
    """Raises Refusal, EventError."""
    read_address(record.address, reading)
    try:
        basis = Basis[record.basis]
    except KeyError:
        text = f"basis: {wire.shown(record.basis)} is not one of {', '.join(Basis.__members__)}"
        raise EventError(text) from None
    topics = tuple(record.topics)
    covers, until = _covers(record.covers), _last_day(record.until)
    consent = Consent(record.address, float(record.at), record.source, sender, basis, covers, topics, until=until)
    circumstances = Record(
        method=record.method,
        form=record.form.hex() if record.form else "",
        third_parties=tuple(record.third_parties),
        doi_sent_at=float(record.doi_sent_at),
        doi_clicked_at=float(record.doi_clicked_at),
        **{name: getattr(record, name) for name in _SAME_NAMES},
    )
    check(consent, now)
    check_record(circumstances)
    return Told(index, consent, circumstances, b"")


def _last_day(until: str) -> date | None:
    try:
        return date.fromisoformat(until) if until else None
    except ValueError:
        raise EventError(f"until: {wire.shown(until)} is no date; the last day on which it holds, 2027-01-31") from None


_SAME_NAMES = (
    *("url", "ip", "user_agent", "checkbox_default", "displayed_sender"),
    *("privacy_policy_url", "acquired_url", "evidence_ref", "evidence"),
)


def _signup(request: wire.ConsentRequest, address: str) -> SignUp:
    record = Record(
        method="web",
        form=request.form.hex() if request.form else "",
        url=request.url,
        ip=request.ip,
        user_agent=request.user_agent,
        checkbox_default=request.checkbox_default,
        evidence=request.evidence,
    )
    return SignUp(
        request.sender,
        address,
        float(request.at),
        request.source,
        tuple(request.topics),
        _covers(request.covers),
        record,
        Basis[request.basis],
    )


def _covers(names: Sequence[str]) -> Covers:
    """None named: advertising only. Raises EventError."""
    covers = Covers(0)
    for name in names or ["AD"]:
        if name not in Covers.__members__:
            raise EventError(f"covers: {wire.shown(name)} is not one of {', '.join(Covers.__members__)}")
        covers |= Covers[name]
    return covers


def _opt_out(request: wire.SuppressMany, record: wire.OptOutRecord, reading: Reading, now: float) -> OptOut:
    """Raises Refusal. The address of a hash is empty."""
    if sum(given is not None for given in (record.address, record.sha256, record.hmac_sha256)) != 1:
        raise Refusal("bad_record", "address", "", "give one of address, sha256 and hmac_sha256")
    if record.hmac_sha256 is not None and request.hmac_key is None:
        raise Refusal("bad_record", "hmac_sha256", "", "hmac_sha256: the request has no hmac_key to compare it by")
    address = "" if record.address is None else read_address(record.address, reading)
    at = now if record.at is None else float(record.at)
    evidence = encode_record(Record(evidence=record.evidence, message_id=record.message_id))
    scope = Scope.GLOBAL if request.sender is None else Scope.TOPIC if record.topic else Scope.SENDER
    if request.sender is None and record.topic:
        raise Refusal("bad_record", "topic", "", "topic: a topic belongs to a sender: name the sender, or leave it out")
    channel = record.channel or request.channel
    return OptOut(address, at, channel, scope, request.sender or "", record.topic or "", evidence)


def _hashed(event: OptOut, digest: bytes) -> HashedOptOut:
    return HashedOptOut(digest, event.at, event.source, event.sender, event.topic, event.evidence)


async def _perform(suppression: Suppression, act: Act) -> int:
    try:
        return await suppression.perform(act)
    except LedgerFailed as error:
        raise _unavailable() from error


async def _apply(suppression: Suppression, events: Sequence[OptOut]) -> int:
    try:
        return await suppression.apply(events)
    except LedgerFailed as error:
        raise _unavailable() from error


def _unavailable() -> Refusal:
    text = "the suppression ledger's disk failed and the engine stops: send it again when it is back"
    return Refusal("unavailable", "", "", text)


def _bad_form(fault: str) -> Refusal:
    field, _, text = fault.partition(": ")
    return Refusal("bad_form", field, "", text)


def _bad_request(error: EventError) -> Refusal:
    field, _, text = str(error).partition(": ")
    return Refusal("bad_request", field, "", text)
