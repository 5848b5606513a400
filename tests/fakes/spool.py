"""The spool in memory, for tests of the flow: the port's whole behaviour, no disk.

Held to the same contract as the real one (tests/unit/spool/contract.py). `crash` gives the spool that a start after
kill -9 would find; `full` and `fail` play a disk without room and a disk that is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from engine.mail.envelope import Batch, Priority, Recipient
from engine.spool.port import (
    Cursor,
    Deferred,
    KeyReused,
    Lane,
    LaneState,
    MailingTotals,
    Outcome,
    Receipt,
    Settled,
    SpoolFailed,
    SpoolFull,
    Submission,
)

KEY_SECONDS = 72 * 3600
GRACE_SECONDS = 3600
TOTALS_SECONDS = 90 * 86400


@dataclass(slots=True)
class Row:
    batch: int
    lane: Lane
    due: int
    address: str
    fields: dict[str, str]
    attempts: int = 0
    in_doubt: bool = False


@dataclass(slots=True)
class Answer:
    """What is kept of a submit beside its Batch."""

    key: bytes | None
    digest: bytes
    first: int
    count: int
    refused: bytes


@dataclass(slots=True)
class Mailing:
    first_accepted_at: float
    last_change_at: float
    accepted: int = 0
    cancelled_at: float | None = None
    outcomes: Counter[Outcome] = field(default_factory=Counter)


class MemorySpool:
    """Made inside a running loop."""

    def __init__(self, *, node: int = 0, clock: Callable[[], float] = time.time) -> None:
        self.full = False
        self.failed: asyncio.Future[SpoolFailed] = asyncio.get_running_loop().create_future()
        self.rows: dict[int, Row] = {}
        self._clock = clock
        self._next = (node << 48) + 1
        self._messages: dict[bytes, tuple[int, bytes, float]] = {}
        self._message_count = 0
        self._batches: dict[int, Batch] = {}
        self._batch_count = 0
        self._answers: dict[int, Answer] = {}
        self._mailings: dict[tuple[str, str], Mailing] = {}
        self._lanes: dict[tuple[str, Priority], Lane] = {}
        self._pulled_due: dict[Lane, int] = {}
        self._intents: set[int] = set()
        self._unswept: list[int] = []

    def crash(self) -> MemorySpool:
        """What a start after kill -9 finds; this one is dead."""
        after = MemorySpool(clock=self._clock)
        for name in ("_next", "_messages", "_message_count", "_batch_count", "_answers", "_mailings", "_lanes"):
            setattr(after, name, getattr(self, name))
        after._batches = {number: replace(batch) for number, batch in self._batches.items()}
        after.rows = {number: replace(row) for number, row in self.rows.items()}
        for number in self._intents & self.rows.keys():
            after.rows[number].in_doubt = True
        after._unswept = [number for number, batch in after._batches.items() if batch.closed and after._open(number)]
        self.fail("crashed")
        return after

    def fail(self, why: str = "the test says so") -> None:
        if not self.failed.done():
            self.failed.set_result(SpoolFailed(why))

    def _check(self, *, grows: bool = False) -> None:
        if self.failed.done():
            raise self.failed.result()
        if grows and self.full:
            raise SpoolFull("0 MiB free: the test says so")

    async def put_message(self, content: bytes) -> bytes:
        self._check(grows=True)
        digest = sha256(content).digest()
        if digest not in self._messages:
            self._message_count += 1
            self._messages[digest] = (self._message_count, content, self._clock())
        self._touch(digest)
        return digest

    def _touch(self, digest: bytes) -> None:
        number, content, touched = self._messages[digest]
        self._messages[digest] = (number, content, max(touched, self._clock()))

    async def message_number(self, sha256: bytes) -> int | None:
        self._check()
        found = self._messages.get(sha256)
        return None if found is None else found[0]

    async def content(self, number: int) -> bytes:
        self._check()
        for known, content, _ in self._messages.values():
            if known == number:
                return content
        raise KeyError(f"message {number} is not in the spool")

    async def known(self, key: bytes, digest: bytes) -> Receipt | None:
        self._check()
        for answer in self._answers.values():
            if answer.key == key:
                if answer.digest != digest:
                    raise KeyReused(f"key {key!r} was used for another submit")
                return Receipt(answer.first, answer.count, answer.refused, repeated=True)
        return None

    async def submit(self, submission: Submission) -> Receipt:
        repeat = await self.known(submission.key, submission.digest)
        if repeat is not None:
            return repeat
        self._check(grows=True)
        if submission.message not in self._messages:
            raise KeyError(f"message {submission.message.hex()} is not in the spool")
        self._touch(submission.message)
        first, count, now = self._next, len(submission.recipients), self._clock()
        self._next += count
        batch = self._add_batch(submission, first, now)
        due = int(now) if batch.closed else max(submission.not_before, int(now))
        waiting: dict[Lane, tuple[int, int]] = {}
        for number, new in enumerate(submission.recipients, first):
            lane = self._lanes.setdefault(
                (new.domain, submission.priority), Lane(len(self._lanes) + 1, new.domain, submission.priority)
            )
            lane_due = max(due, self._pulled_due.get(lane, due))
            self.rows[number] = Row(batch.id, lane, lane_due, new.address, dict(new.fields))
            waiting[lane] = (waiting.get(lane, (0, 0))[0] + 1, lane_due)
        return Receipt(first, count, submission.refused, repeated=False, lanes=waiting)

    def _add_batch(self, new: Submission, first: int, now: float) -> Batch:
        mailing = self._mailings.setdefault((new.sender, new.mailing), Mailing(now, now))
        mailing.accepted += len(new.recipients)
        mailing.last_change_at = now
        self._batch_count += 1
        batch = self._batches[self._batch_count] = Batch(
            self._batch_count,
            new.sender,
            new.category,
            new.topic,
            new.mailing,
            self._messages[new.message][0],
            new.priority,
            now,
            new.not_before,
            new.expires,
            None if mailing.cancelled_at is None else "cancelled",
        )
        self._answers[batch.id] = Answer(new.key, new.digest, first, len(new.recipients), new.refused)
        return batch

    async def lanes(self) -> list[LaneState]:
        self._check()
        dues: dict[Lane, list[int]] = {}
        for row in self.rows.values():
            dues.setdefault(row.lane, []).append(row.due)
        return [LaneState(lane, len(found), min(found)) for lane, found in dues.items()]

    async def pull(
        self, lane: Lane, after: Cursor, until: int, limit: int
    ) -> tuple[list[Recipient], Cursor, int | None]:
        self._check()
        behind = sorted(
            (row.due, number)
            for number, row in self.rows.items()
            if row.lane == lane and (row.due, number) > (after.due, after.id)
        )
        taken = [place for place in behind if place[0] <= max(until, after.due)][:limit]
        cursor = Cursor(*taken[-1]) if taken else after
        if taken:
            self._pulled_due[lane] = max(cursor.due, self._pulled_due.get(lane, cursor.due))
        next_due = behind[len(taken)][0] if len(taken) < len(behind) else None
        return [self._recipient(number) for _, number in taken], cursor, next_due

    def _recipient(self, number: int) -> Recipient:
        row = self.rows[number]
        batch = self._batches[row.batch]
        return Recipient(number, batch, row.address, dict(row.fields), row.attempts, row.in_doubt)

    async def sweep(self, batch_id: int, after_id: int, limit: int) -> list[tuple[Lane, Recipient]]:
        self._check()
        numbers = sorted(number for number, row in self.rows.items() if row.batch == batch_id and number > after_id)
        return [(self.rows[number].lane, self._recipient(number)) for number in numbers[:limit]]

    async def settle(self, changes: Sequence[Settled | Deferred]) -> None:
        self._check()
        for change in sorted(changes, key=lambda change: isinstance(change, Deferred)):
            self._intents.discard(change.recipient.id)
            row = self.rows.get(change.recipient.id)
            if row is None:
                continue
            if isinstance(change, Deferred):
                row.due = max(change.due, max(self._pulled_due.values(), default=-1) + 1)
                row.attempts += change.counted
                row.in_doubt |= change.in_doubt
                continue
            del self.rows[change.recipient.id]
            batch = self._batches[row.batch]
            mailing = self._mailings[batch.sender, batch.mailing]
            mailing.outcomes[change.outcome] += 1
            mailing.last_change_at = self._clock()

    async def intend(self, recipients: Sequence[int], patience: float = 0.0) -> None:
        self._check()
        self._intents.update(recipients)

    async def find(self, sender: str, mailing: str, who: str | int) -> list[tuple[Lane, Recipient]]:
        self._check()
        return [
            (row.lane, self._recipient(number))
            for number, row in sorted(self.rows.items())
            if who in (row.address, number)
            and (self._batches[row.batch].sender, self._batches[row.batch].mailing) == (sender, mailing)
        ]

    def _open(self, batch: int) -> bool:
        return any(row.batch == batch for row in self.rows.values())

    async def open_batches(self, sender: str | None, mailing: str | None) -> list[int]:
        self._check()
        return [
            batch.id
            for batch in self._batches.values()
            if sender in (None, batch.sender) and mailing in (None, batch.mailing) and self._open(batch.id)
        ]

    async def close_mailing(self, sender: str, mailing: str, now: float) -> list[int]:
        self._check()
        entry = self._mailings.setdefault((sender, mailing), Mailing(now, now))
        entry.cancelled_at = now if entry.cancelled_at is None else entry.cancelled_at
        found = []
        for batch in self._batches.values():
            if (batch.sender, batch.mailing) == (sender, mailing) and self._open(batch.id):
                batch.closed = batch.closed or "cancelled"
                if batch.closed == "cancelled":
                    found.append(batch.id)
        return found

    async def expired_batches(self, now: float, limit: int) -> list[int]:
        self._check()
        found, self._unswept = self._unswept[:limit], self._unswept[limit:]
        for batch in sorted(self._batches.values(), key=lambda batch: batch.expires):
            if len(found) < limit and batch.closed is None and batch.expires <= now and self._open(batch.id):
                batch.closed = "expired"
                found.append(batch.id)
        return found

    async def totals(self, sender: str | None, mailing: str | None) -> list[MailingTotals]:
        self._check()
        return [
            MailingTotals(
                of,
                name,
                entry.accepted,
                *(entry.outcomes[outcome] for outcome in Outcome),
                entry.first_accepted_at,
                entry.last_change_at,
                entry.cancelled_at,
            )
            for (of, name), entry in sorted(self._mailings.items(), key=lambda pair: pair[1].first_accepted_at)
            if sender in {None, of} and mailing in {None, name}
        ]

    async def tidy(self, now: float) -> None:
        self._check()
        for number, batch in list(self._batches.items()):
            if batch.accepted_at < now - KEY_SECONDS:
                self._answers[number].key = None
                if not self._open(number):
                    del self._batches[number], self._answers[number]
        named = {self._batches[row.batch].message for row in self.rows.values()}
        for digest, (number, _, touched) in list(self._messages.items()):
            if touched < now - GRACE_SECONDS and number not in named:
                del self._messages[digest]
        alive = {(batch.sender, batch.mailing) for batch in self._batches.values()}
        for which, entry in list(self._mailings.items()):
            if entry.last_change_at < now - TOTALS_SECONDS and which not in alive:
                del self._mailings[which]

    async def close(self) -> None:
        self.fail("the spool is closed")
