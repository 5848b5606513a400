"""The first verb: a client's request becomes durable, or is refused with the field, the value and the remedy.

Every door (socket, SMTP submission) speaks to Accept in the words of engine/wire.py. An answer is returned only
after the spool has synced; whoever dies before that owes nothing, because the client resubmits by key. Whether a
person may be mailed is not asked here: suppression is asked when the recipient is promoted, and again at MAIL FROM.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from msgspec import Raw

from engine import wire
from engine.flow.validate import Reading, check_names, check_override, read_recipients, read_window, spool_key
from engine.mail.envelope import Priority, Recipient
from engine.mail.slots import FieldUse
from engine.mail.stated import region_of
from engine.spool.port import KeyReused, Lane, NewRecipient, Receipt, Spool, SpoolFailed, SpoolFull, Submission
from engine.wire import Refusal

MESSAGES_REMEMBERED = 1024
GATED_RECIPIENTS = 1000
"""Submits larger than this are validated one at a time: their memory and their share of the loop are bounded."""
LARGE_SUBMIT = 4 * 1024 * 1024
LARGE_MESSAGE = 32 * 1024
"""Bytes of content that are checked beside the loop: its display check takes more than a turn may."""
Warnings = Sequence[Mapping[str, object]]
K = TypeVar("K")
T = TypeVar("T")
PRIORITIES = {"transactional": Priority.TRANSACTIONAL, "bulk": Priority.BULK}

Carry = Callable[[str, bytes, Sequence[NewRecipient]], Awaitable[tuple[list[NewRecipient], list[wire.Refused]]]]
"""Sender, key of the submit, recipients -> those with a sign-up that this submit alone may mail, and the others."""


class SenderRules(Protocol):
    """What accept asks of a configured sender."""

    @property
    def categories(self) -> frozenset[str]:
        """Categories that this sender may use."""
        ...


class Engine(Protocol):
    """What the engine lends to accept."""

    @property
    def draining(self) -> bool: ...

    def credit(self) -> int:
        """How many more recipients the engine takes now."""
        ...

    def status(self) -> Mapping[str, object]: ...

    def on_accepted(self, receipt: Receipt, submission: Submission) -> None:
        """Called after the commit, before the answer: promote may wake."""
        ...

    def on_cancel(self, batches: Sequence[int]) -> None:
        """These batches are closed, durably: what has not begun must not begin."""
        ...

    async def cancel_recipients(self, found: Sequence[tuple[Lane, Recipient]]) -> int:
        """Settles those that are not in flight as cancelled; how many. Returns after the sync."""
        ...

    def on_spool_failed(self, error: SpoolFailed) -> None: ...


@dataclass(frozen=True, slots=True)
class AcceptSettings:
    max_age: int = 5 * 86400
    """Seconds from the start until a recipient expires, when the submit does not say (RFC 5321 4.5.4.1: 4-5 days)."""
    horizon: int = 366 * 86400
    """Seconds that a date of a submit may lie ahead."""
    role_accounts: tuple[str, ...] = ("abuse", "postmaster", "mailer-daemon", "noreply", "no-reply")
    """Local parts in any case, with a +tag or without, that are refused in every domain and category."""

    def __post_init__(self) -> None:
        for name in self.role_accounts:
            if not name.strip() or set("@+ ") & set(name):
                raise ValueError(
                    f"role_accounts: {name[:80]!a}: write the part before @ alone, without a tag, such as abuse"
                )

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.role_accounts)


class Counts:
    __slots__ = ("messages", "recipients", "recipients_refused", "repeats", "submits", "submits_refused")

    def __init__(self) -> None:
        self.messages = 0
        self.recipients = 0
        self.recipients_refused = 0
        self.repeats = 0
        self.submits = 0
        self.submits_refused = 0


class Accept:
    def __init__(
        self,
        spool: Spool,
        engine: Engine,
        senders: Mapping[str, SenderRules],
        reading: Reading,
        *,
        settings: AcceptSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counts = Counts()
        self._spool = spool
        self._engine = engine
        self._senders = senders
        self._reading = reading
        self._settings = settings or AcceptSettings()
        self._roles = self._settings.roles
        self._clock = clock
        self._fields: dict[bytes, FieldUse] = {}
        self._carried: dict[bytes, bytes] = {}
        """Digest of a message as it stood in a submit -> SHA-256 of its canonical content."""
        self._suited: dict[tuple[bytes, str, str, str], Warnings] = {}
        """Messages known to suit a sender in a category and region, with what is doubtful about them."""
        self._pending = 0
        self._storing: set[asyncio.Task[Receipt]] = set()
        self._gate = asyncio.Lock()
        self.carry: Carry | None = None
        """Asked for each submit of CONFIRM."""

    def adopt(self, settings: AcceptSettings) -> None:
        """A reload: every message is looked at again, its sender may be another."""
        self._settings, self._roles = settings, settings.roles
        self._suited.clear()

    def credit(self) -> int:
        """The engine's credit less what is on its way into the spool."""
        return max(0, self._engine.credit() - self._pending)

    async def submit(self, request: wire.Submit, *, to_roles: bool = False) -> Mapping[str, object]:
        """Raises Refusal, SpoolFull, SpoolFailed. A repeat gets the stored answer, also one that is too late now.

        `to_roles`: the owner of the domain asks for this mail at a role account.
        """
        key, digest = spool_key(request), await _digest(request)
        try:
            receipt, warnings = await self._submit(request, key, digest, frozenset() if to_roles else self._roles)
        except (Refusal, SpoolFull):
            earlier = await self._known(request, key, digest)
            if earlier is None:
                self.counts.submits_refused += 1
                raise
            receipt, warnings = earlier, ()
        return self._told(receipt, warnings)

    def _told(self, receipt: Receipt, warnings: Warnings) -> Mapping[str, object]:
        self.counts.repeats += receipt.repeated
        more = {"warnings": warnings} if warnings else {}
        return {
            "accepted": receipt.accepted,
            "first": receipt.first,
            "refused": Raw(receipt.refused),
            "credit": self.credit(),
            "repeated": receipt.repeated,
            **more,
        }

    async def _known(self, request: wire.Submit, key: bytes, digest: bytes) -> Receipt | None:
        try:
            return await self._spool.known(key, digest)
        except KeyReused:
            raise _key_reused(request) from None

    async def _submit(
        self, request: wire.Submit, key: bytes, digest: bytes, roles: frozenset[str]
    ) -> tuple[Receipt, Warnings]:
        now = self._clock()
        self.check_sender(request.sender, request.category)
        check_names(request)
        dates = read_window(request, now, self._settings.max_age, self._settings.horizon)
        raws = wire.split_recipients(request.recipients)
        check_override(request.override, request.category, len(raws))
        self._check_open(request)
        self._pending += len(raws)
        try:
            message, needed = await self._message(request.message)
            warnings = await self._check_suits(message, request.sender, request.category)
            recipients, refused = await self._read(raws, needed, request.override, roles)
            recipients, abroad = await self._check_abroad(message, request, recipients)
            refused = sorted([*refused, *abroad]) if abroad else refused
            if self.carry is not None and request.category == "CONFIRM" and recipients:
                recipients, without = await self.carry(request.sender, key, recipients)
                refused = sorted([*refused, *without])
            stored = wire.encode_refused(refused)
            if not recipients:
                # nothing to keep, so the key stays free for the corrected submit
                self.counts.recipients_refused += len(refused)
                return Receipt(first=0, accepted=0, refused=stored, repeated=False), warnings
            submission = _submission(
                request, (key, digest), message=message, dates=dates, recipients=recipients, refused=stored
            )
            storing = asyncio.ensure_future(self._store(request, submission, len(refused)))
            self._storing.add(storing)
            storing.add_done_callback(self._storing.discard)
            return await asyncio.shield(storing), warnings
        finally:
            self._pending -= len(raws)

    async def _store(self, request: wire.Submit, submission: Submission, refused: int) -> Receipt:
        """A caller that is gone (aiosmtpd cancels with the connection) undoes no commit: what is in the spool is told
        to the engine all the same. Its repeat gets the stored answer, and nobody else would wake those recipients.
        """
        receipt = await self._commit(request, submission)
        if not receipt.repeated:
            self.counts.submits += 1
            self.counts.recipients += receipt.accepted
            self.counts.recipients_refused += refused
            self._engine.on_accepted(receipt, submission)
        return receipt

    async def _read(
        self, raws: Sequence[Raw], needed: FieldUse, override: str, roles: frozenset[str]
    ) -> tuple[list[NewRecipient], list[wire.Refused]]:
        if len(raws) <= GATED_RECIPIENTS:
            return await read_recipients(raws, needed, self._reading, override, roles)
        async with self._gate:
            return await read_recipients(raws, needed, self._reading, override, roles)

    async def _commit(self, request: wire.Submit, submission: Submission) -> Receipt:
        try:
            return await self._spool.submit(submission)
        except KeyReused:
            raise _key_reused(request) from None
        except KeyError:  # tidied away since: a message that was carried is stored again, one that was named is not
            self._fields.pop(submission.message, None)
            await self._message(request.message)
            return await self._spool.submit(submission)

    def check_sender(self, sender: str, category: str | None) -> None:
        rules = self._senders.get(sender)
        if rules is None:
            text = f"sender '{wire.shown(sender)}' is not configured: add [senders.<name>] or use one that is there"
            raise Refusal("unknown_sender", "sender", wire.shown(sender), text)
        if category is not None and category not in rules.categories:
            text = f"this sender may send {', '.join(sorted(rules.categories))}: use one of these or configure it"
            raise Refusal("category_not_allowed", "category", wire.shown(category), text)

    def _check_open(self, request: wire.Submit) -> None:
        if self._engine.draining:
            raise Refusal(
                "draining", "", "", "the engine drains or stops: resubmit the same key when it takes mail again"
            )
        # a transactional mail is bounded by the disk only: a mailing must not keep out a password reset
        if request.priority == "bulk" and self.credit() <= 0:
            text = "the engine holds as many recipients as it may: resubmit the same key later (ping tells the credit)"
            raise Refusal("no_credit", "recipients", "", text)

    async def _message(self, raw: Raw) -> tuple[bytes, FieldUse]:
        """SHA-256 and merge fields of the message that a submit carries or names."""
        carried = hashlib.sha256(raw).digest()
        sha256 = self._carried.get(carried)
        if sha256 is not None and sha256 in self._fields:
            # a program that carries its template along in every submit: read and stored once
            return sha256, self._fields[sha256]
        given = wire.decode_message(raw)
        if not isinstance(given, bytes):
            sha256, fields = await self._put(given)
            _remember(self._carried, carried, sha256)
            return sha256, fields
        if len(given) != wire.DIGEST_SIZE:
            text = "name a message by the 32 bytes that put_message answered, or send it as a map"
            raise Refusal("bad_request", "message", wire.shown(given), text)
        if given not in self._fields:
            number = await self._spool.message_number(given)
            if number is None:
                raise _unknown_message(given)
            _remember(self._fields, given, self._reading.stored(await self._spool.content(number)))
        return given, self._fields[given]

    async def _check_abroad(
        self, message: bytes, request: wire.Submit, recipients: list[NewRecipient]
    ) -> tuple[list[NewRecipient], list[wire.Refused]]:
        """Some regions want more of the display (D15): who lives there is refused where it lacks that, by its index."""
        faults: dict[str, str] = {}
        for region in sorted({region_of(recipient.fields) for recipient in recipients} - {""}):
            try:
                await self._check_suits(message, request.sender, request.category, region)
            except Refusal as refusal:
                faults[region] = refusal.text
        if not faults:
            return recipients, []
        out = [(one.index, "display", faults[to]) for one in recipients if (to := region_of(one.fields)) in faults]
        return [one for one in recipients if region_of(one.fields) not in faults], out

    async def _check_suits(self, message: bytes, sender: str, category: str, region: str = "") -> Warnings:
        """Compiles it for the sender, once: what cannot be sent is refused here and not found out in the queue."""
        key = (message, sender, category, region)
        if key in self._suited:
            return self._suited[key]
        number = await self._spool.message_number(message)
        if number is None:
            return ()  # tidied away meanwhile: the commit finds out and knows what to do
        content = await self._spool.content(number)
        if len(content) < LARGE_MESSAGE:
            warnings = self._reading.suits(content, sender, category, region)
        else:
            warnings = await asyncio.to_thread(self._reading.suits, content, sender, category, region)
        _remember(self._suited, key, warnings)
        return warnings

    async def _put(self, message: wire.Message) -> tuple[bytes, FieldUse]:
        if self._engine.draining:
            raise Refusal("draining", "", "", "the engine drains or stops: send it again when it takes mail again")
        content, fields = self._reading.message(message)
        sha256 = await self._spool.put_message(content)
        self.counts.messages += 1
        _remember(self._fields, sha256, fields)
        return sha256, fields

    async def put_message(self, request: wire.PutMessage) -> Mapping[str, object]:
        message = wire.decode_message(request.message)
        if isinstance(message, bytes):
            raise Refusal("bad_request", "message", wire.shown(message), "put_message takes a map, not a SHA-256")
        sha256, fields = await self._put(message)
        return {"message": sha256, "fields": sorted(fields.names)}


def _submission(
    request: wire.Submit,
    known_by: tuple[bytes, bytes],
    *,
    message: bytes,
    dates: tuple[int, int],
    recipients: Sequence[NewRecipient],
    refused: bytes,
) -> Submission:
    return Submission(
        key=known_by[0],
        digest=known_by[1],
        sender=request.sender,
        category=request.category,
        topic=request.topic,
        mailing=request.mailing,
        message=message,
        priority=PRIORITIES[request.priority],
        not_before=dates[0],
        expires=dates[1],
        recipients=recipients,
        refused=refused,
    )


def _remember(known: dict[K, T], key: K, value: T) -> None:
    while len(known) >= MESSAGES_REMEMBERED:
        del known[next(iter(known))]
    known[key] = value


async def _digest(request: wire.Submit) -> bytes:
    """SHA-256 of many megabytes takes tens of milliseconds, and does not need the interpreter's lock."""
    if len(memoryview(request.recipients)) + len(memoryview(request.message)) < LARGE_SUBMIT:
        return wire.digest(request)
    return await asyncio.to_thread(wire.digest, request)


def _key_reused(request: wire.Submit) -> Refusal:
    text = "this key was used with other content: a repeat must be byte for byte the same, a new submit needs a new key"
    return Refusal("key_reused", "key", wire.shown(request.key), text)


def _unknown_message(sha256: bytes) -> Refusal:
    return Refusal(
        "unknown_message", "message", sha256.hex(), "no such message is stored: put_message it, then resubmit"
    )
