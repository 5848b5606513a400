"""A door with everything behind it played: spool, ledger and engine in memory, and the real wire, accept and socket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from engine import wire
from engine.flow.accept import Accept
from engine.flow.door import Door, DoorSettings
from engine.flow.holds import Holds
from engine.flow.law import Law
from engine.flow.ledger import SuppressionLedger
from engine.flow.records import Desk, Records
from engine.flow.requests import Answer, Requests
from engine.flow.senders import confirm_urls
from engine.flow.validate import Reading, read_address
from engine.mail.envelope import Batch, Priority, Recipient
from engine.request import Forget, Purge, Resume, Retention, Steer, Why
from engine.spool.port import KeyReused, Lane, MailingTotals, Receipt, SpoolFailed, SpoolFull, Submission
from engine.wire import Refusal
from suppression import Suppression
from suppression.confirm import ConfirmSettings
from suppression.decision import Decision, Verdict
from suppression.history import Recorded
from suppression.order import OrderReceived, OrderReleased, OrderRow, row_of
from suppression.policy import Finding
from suppression.reasons import packaged_tables
from suppression.tables import Table
from suppression.unsubscribe import TokenKey

NOW = 1_800_000_000.0
CONFIRMING = ConfirmSettings()
MESSAGE: dict[str, Any] = {"subject": "Hello {{name}}", "text": "Dear {{name}}"}
PLAIN: dict[str, Any] = {"subject": "Hello", "text": "Dear customer"}


@dataclass
class MemorySpool:
    """Of the port only what accept uses. `failing` is raised by whatever comes next."""

    contents: list[bytes] = field(default_factory=list)
    submissions: dict[bytes, Submission] = field(default_factory=dict)
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    closed: set[tuple[str, str]] = field(default_factory=set)
    failing: Exception | None = None
    synced: asyncio.Event | None = None
    """When set, commits wait for it."""
    first: int = 1 << 48

    async def _commit(self) -> None:
        if self.failing:
            raise self.failing
        if self.synced:
            await self.synced.wait()

    async def put_message(self, content: bytes) -> bytes:
        await self._commit()
        if content not in self.contents:
            self.contents.append(content)
        return hashlib.sha256(content).digest()

    async def message_number(self, sha256: bytes) -> int | None:
        found = [number for number, content in enumerate(self.contents) if hashlib.sha256(content).digest() == sha256]
        return found[0] if found else None

    async def content(self, number: int) -> bytes:
        return self.contents[number]

    async def known(self, key: bytes, digest: bytes) -> Receipt | None:
        if key not in self.submissions:
            return None
        if self.submissions[key].digest != digest:
            raise KeyReused
        receipt = self.receipts[key]
        return Receipt(receipt.first, receipt.accepted, receipt.refused, repeated=True)

    async def submit(self, submission: Submission) -> Receipt:
        earlier = await self.known(submission.key, submission.digest)
        if earlier:
            return earlier
        await self._commit()
        if await self.message_number(submission.message) is None:
            raise KeyError(submission.message)
        receipt = Receipt(self.first, len(submission.recipients), submission.refused, repeated=False)
        self.first += receipt.accepted
        self.submissions[submission.key] = submission
        self.receipts[submission.key] = receipt
        return receipt

    async def close_mailing(self, sender: str, mailing: str, now: float) -> list[int]:
        self.closed.add((sender, mailing))
        return [
            number for number, s in enumerate(self.submissions.values()) if (s.sender, s.mailing) == (sender, mailing)
        ]

    async def find(self, sender: str, mailing: str, address: str) -> list[tuple[Lane, Recipient]]:
        lane = Lane(1, "example.jp", Priority.BULK)
        return [
            (lane, Recipient(self.receipts[key].first, _batch(s), r.address, r.fields))
            for key, s in self.submissions.items()
            for r in s.recipients
            if (s.sender, s.mailing, r.address) == (sender, mailing, address)
        ]

    async def totals(self, sender: str | None, mailing: str | None) -> list[MailingTotals]:
        names = {(s.sender, s.mailing) for s in self.submissions.values()}
        return [
            MailingTotals(s, m, self.accepted(), 0, 0, 0, 0, 0, NOW, NOW, None)
            for s, m in sorted(names)
            if sender in {None, s} and mailing in {None, m}
        ]

    def accepted(self) -> int:
        return sum(receipt.accepted for receipt in self.receipts.values())


def _batch(submission: Submission) -> Batch:
    return Batch(1, submission.sender, submission.category, "", submission.mailing, 0, Priority.BULK, NOW, 0, 0)


@dataclass
class MemoryLedger:
    opt_outs: list[tuple[Any, ...]] = field(default_factory=list)
    untils: list[date | None] = field(default_factory=list)
    consents: list[tuple[str, wire.ConsentRecord]] = field(default_factory=list)

    async def opt_out(
        self,
        address: str,
        *,
        sender: str | None,
        topic: str | None,
        channel: str,
        now: float,
        evidence: str,
        message_id: str,
        until: date | None,
    ) -> int:
        self.untils.append(until)
        self.opt_outs.append((address, sender, topic, channel, now))
        return len(self.opt_outs)

    async def consent(
        self, request: wire.Consent, refused: list[wire.Refused], reading: Reading, *, now: float
    ) -> tuple[int, int]:
        for index, record in enumerate(request.records):
            try:
                read_address(record.address, reading)
            except Refusal as refusal:
                refused.append((index, refusal.code, refusal.text))
            else:
                self.consents.append((request.sender, record))
        return len(request.records) - len(refused), len(self.consents)

    async def restored(self, address: str, *, evidence: str, now: float) -> int:
        return 3


@dataclass
class PlayedEngine:
    draining: bool = False
    room: int = 1_000_000
    receipts: list[Receipt] = field(default_factory=list)
    cancelled: list[Any] = field(default_factory=list)
    failures: list[SpoolFailed] = field(default_factory=list)

    def credit(self) -> int:
        return self.room

    def status(self) -> Mapping[str, object]:
        return {"waiting": 0}

    def on_accepted(self, receipt: Receipt, submission: Submission) -> None:
        self.receipts.append(receipt)

    def on_cancel(self, batches: Sequence[int]) -> None:
        self.cancelled += batches

    async def cancel_recipients(self, found: Sequence[tuple[Lane, Recipient]]) -> int:
        self.cancelled += [recipient.address for _, recipient in found]
        return len(found)

    def on_spool_failed(self, error: SpoolFailed) -> None:
        self.failures.append(error)


@dataclass(frozen=True)
class Sender:
    categories: frozenset[str]


SENDERS = {"shop": Sender(frozenset({"AD", "TX"}))}


@dataclass(frozen=True)
class Parsed:
    wire: str
    domain: str
    local: str


def _parse(text: str) -> Parsed:
    match = re.fullmatch(r"([!-?A-~]+)@([A-Za-z0-9-]+\.[A-Za-z0-9.-]+)", text)
    if match is None:
        raise ValueError(f"address {text[:80]!a}: is not of the form local@domain")
    return Parsed(f"{match[1]}@{match[2].lower()}", match[2].lower(), match[1])


@dataclass(frozen=True)
class Use:
    names: frozenset[str]


def _fields(content: bytes) -> Use:
    parts = json.loads(content[1:]) if content[:1] == b"T" else {}
    return Use(frozenset(re.findall(r"\{\{(\w+)\}\}", f"{parts.get('subject')}{parts.get('text')}")))


def _message(message: wire.Message) -> tuple[bytes, Use]:
    """The canonical form of engine/mail/message.py, so that docs/protocol.md shows real digests."""
    if message.raw is not None:
        content = b"R" + message.raw
    elif not (message.text or message.html):
        raise Refusal("bad_message", "message.text", "", "a message needs text, html or raw")
    else:
        headers = list((message.headers or {}).items())
        parts = {"subject": message.subject, "text": message.text, "html": message.html, "headers": headers}
        content = b"T" + json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return content, _fields(content)


def _check_fields(use: Use, fields: Mapping[str, str]) -> str | None:
    odd = sorted(use.names ^ fields.keys())
    return f"merge field {odd[0]!r} is missing or unknown" if odd else None


def _suits(_content: bytes, _sender: str, _category: str, region: str) -> list[dict[str, object]]:
    if region == "US":
        raise Refusal("display", "text", "", "D15: the postal address is missing")
    return []


REGIONS = {"JP": "JP", "EU": "EU", "US": "US", "DE": "EU", "FR": "EU"}
READING = Reading(
    address=_parse,
    message=_message,  # type: ignore[arg-type]
    stored=_fields,  # type: ignore[arg-type]
    check_fields=_check_fields,
    suits=_suits,
    regions=lambda: REGIONS,
)


@dataclass
class PlayedSuppression:
    """As flow/law.py uses it: one person, who refused one topic."""

    rows: list[OrderRow] = field(default_factory=list)
    failing: Exception | None = None
    tables: Sequence[Table] = packaged_tables()
    asked: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def history(self) -> PlayedSuppression:
        return self

    @property
    def epoch(self) -> int:
        return 7 + len(self.rows)

    def identify(self, addresses: Sequence[str]) -> list[bytes]:
        return [b"" if " " in address else b"exact---wide----" for address in addresses]

    def explain(self, *asked: Any, region: str, override: str) -> Finding:
        self.asked.append((*asked, region, override))
        return Finding(Decision(Verdict.BLOCK, "OPTOUT_TOPIC", ""), "TOPIC", "特定電子メール法3条3項")

    def events(self, exact: int, wide: int) -> list[Recorded]:
        assert (exact, wide) == tuple(int.from_bytes(key, "little") for key in (b"exact---", b"wide----"))
        refused = Recorded(2, "OPT_OUT", "shop", "news", 1_799_990_000_000_000, 0, "", "", "", None, *_SAID)
        until = date(2027, 12, 31)
        return [
            refused,
            refused._replace(id=1, what="CONSENT", basis="BIZREL", covers="AD", until=until, same_spelling=False),
            refused._replace(id=0, sender="another"),
        ]

    def orders(self) -> list[OrderRow]:
        return self.rows

    async def apply_order(self, event: OrderReceived | OrderReleased) -> int:
        if self.failing:
            raise self.failing
        self.rows.append(row_of(event, round(NOW * 1e6) + len(self.rows)))
        if isinstance(event, OrderReleased):
            self.rows[-1] = self.rows[-1]._replace(at=round(NOW * 1e6) + len(self.rows))
        return self.epoch


_SAID = ("web", "form 12", "a@example.jp", True)


@dataclass
class Served:
    """Everything behind a door, for the tests to look at."""

    spool: MemorySpool
    ledger: MemoryLedger
    engine: PlayedEngine
    accept: Accept
    requests: Requests
    suppression: PlayedSuppression
    records: Records | None = None


async def _backup(request: wire.Backup) -> Mapping[str, object]:
    return {"folder": f"/var/lib/sokutatsu/backups/{request.name}", "bytes": 4096, "seconds": 0.25}


async def _steer(request: Steer) -> Mapping[str, object]:
    return {"number": 7, "until": None if request.seconds is None else NOW + request.seconds}


async def _resume(request: Resume) -> Mapping[str, object]:
    return {"resumed": [request.number]}


async def _why(request: Why) -> Mapping[str, object]:
    return {
        "domain": request.domain,
        "site": "mx.example.jp:25",
        "provider": "",
        "waiting": {"transactional": 0, "bulk": 1},
        "binds": {"what": "suspend", "from": "directive 7 by operator: maintenance", "seconds": 7200.0},
        "eta_seconds": 7200.1,
    }


OTHERS: dict[type[wire.Request], Answer] = {wire.Backup: _backup, Steer: _steer, Resume: _resume, Why: _why}
"""What stands behind the requests that requests.py passes on."""


def served(
    suppression: Suppression | None = None, senders: Mapping[str, Sender] = SENDERS, *, is_ledger_real: bool = False
) -> Served:
    """With a real ledger, the requests that it answers too."""
    spool, played, engine = MemorySpool(), MemoryLedger(), PlayedEngine()
    accept = Accept(spool, engine, senders, READING, clock=lambda: NOW)  # type: ignore[arg-type]
    asked = PlayedSuppression()
    records = None
    others = {**OTHERS, **PLAYED, **Law(asked, accept.check_sender, lambda: NOW).answers()}
    if suppression is not None:
        others |= Holds(suppression, accept.check_sender, lambda: NOW).answers()
        records = recording(suppression, accept.check_sender)
        accept.carry = records.carry
        others = {**others, **records.answers()}
    ledger = SuppressionLedger(suppression, lambda: NOW) if suppression is not None and is_ledger_real else played
    requests = Requests(accept, spool, ledger, engine, READING, clock=lambda: NOW, others=others)  # type: ignore[arg-type]
    return Served(spool, played, engine, accept, requests, asked, records)


def recording(
    suppression: Suppression,
    check_sender: Callable[[str, str | None], None] = lambda _sender, _category: None,
    clock: Callable[[], float] = lambda: NOW,
    settings: ConfirmSettings = CONFIRMING,
) -> Records:
    key = TokenKey(0, b"k" * 32)
    urls = confirm_urls({"shop": "https://shop.example/c/{token}"})
    return Records(Desk(suppression, check_sender, READING, clock, {0: key}, urls, settings))


def _played(answer: Mapping[str, object]) -> Answer:
    async def played(_: object) -> Mapping[str, object]:
        return answer

    return played


PLAYED: dict[type[wire.Request], Answer] = {
    Retention: _played(
        {
            "sender": "shop",
            "last_sent": "2026-04-10",
            "last_mail_order": None,
            "presumed": None,
            "orders": [["ORDER7", "2026-05-01", True]],
            "margin_days": 7,
            "today": "2027-01-15",
            "records": [
                {
                    "is_this_spelling": True,
                    "since": "2025-01-01",
                    "is_purged": False,
                    "keep_until": "2027-04-16",
                    "reasons": [
                        ["ORDER_SOON", "2026-04-10", "2027-04-09", "2026-05-01"],
                        ["MONTH", "2026-04-10", "2026-05-09", None],
                    ],
                }
            ],
        }
    ),
    Purge: _played({"dry_run": True, "examined": 3, "purged": 2, "kept": {"MONTH": 1}, "texts": 0}),
    Forget: _played({"events": 3, "erased": 2, "kept": [["shop", "2027-04-16", "ORDER_SOON"]]}),
    wire.Reload: _played(
        {
            "errors": [],
            "changes": ["news.example.jp signs with s2026b (before: s2026a)"],
            "restart_only": ["[socket]", "[journal]"],
            "seconds": 0.5,
        }
    ),
    wire.Trace: _played(
        {
            "number": 1,
            "site": "mx.example.jp:25",
            "lines": [[1, 1800000000.5, 1, ">", "EHLO mta1.example.jp"]],
            "last": 1,
            "is_over": False,
        }
    ),
    wire.Drain: _played({"draining": True, "waiting": 3, "ready": 0, "in_flight": 1, "held": 0}),
}
"""What test_retention.py of the flow asks a real one."""


async def until(happened: Callable[[], object]) -> None:
    """Lets the loop turn until it is so; a test that waits in vain ends by its own timeout."""
    async with asyncio.timeout(5):
        while not happened():
            await asyncio.sleep(0)


def _close_to_others(folder: Path) -> None:
    folder.chmod(0o750)


@asynccontextmanager
async def open_door(folder: Path, behind: Served, **limits: Any) -> AsyncIterator[Door]:
    _close_to_others(folder)
    door = Door(DoorSettings(folder / "s.sock", **limits), behind.requests.answer)
    await door.start()
    try:
        yield door
    finally:
        await door.close(patience=0.5)


__all__ = [
    "MESSAGE",
    "NOW",
    "PLAIN",
    "READING",
    "SpoolFailed",
    "SpoolFull",
    "open_door",
    "recording",
    "served",
    "until",
]
