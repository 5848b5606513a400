"""What comes in: contents, submits, and the answer a repeated submit gets.

Each function runs inside the writer thread's transaction and checks before it writes: a refusal leaves no trace.
A submit is one batch row, its recipients numbered on without a gap, and the next number kept in the same commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import islice

from engine.spool.port import KeyReused, Lane, NewRecipient, Receipt, Submission
from engine.spool.store import Store

CHUNK = 256
"""Recipients per statement: longer texts are not cached by apsw."""


def put_message(store: Store, content: bytes, now: float, grace: float) -> bytes:
    digest = sha256(content).digest()
    if message_number(store, digest) is None:
        store.execute("INSERT INTO message (sha256, touched, content) VALUES (?, ?, ?)", (digest, now, content))
    else:
        _touch(store, digest, now, grace)
    return digest


def _touch(store: Store, digest: bytes, now: float, grace: float) -> None:
    """Whoever just named it has the whole grace to submit; a tenth is not worth a write."""
    store.execute("UPDATE message SET touched = ? WHERE sha256 = ? AND touched < ?", (now, digest, now - grace / 10))


def message_number(store: Store, digest: bytes) -> int | None:
    number: int | None = store.execute("SELECT id FROM message WHERE sha256 = ?", (digest,)).get
    return number


def content(store: Store, number: int) -> bytes:
    found: bytes | None = store.execute("SELECT content FROM message WHERE id = ?", (number,)).get
    if found is None:
        raise KeyError(f"message {number} is not in the spool")
    return found


def known(store: Store, key: bytes, digest: bytes) -> Receipt | None:
    row = store.execute("SELECT digest, first, count, refused FROM batch WHERE key = ?", (key,)).get
    if row is None:
        return None
    if row[0] != digest:
        raise KeyReused(f"key {key[:80]!r} was used for another submit; choose a new key for new content")
    return Receipt(first=row[1], accepted=row[2], refused=row[3], repeated=True)


def submit(store: Store, submission: Submission, now: float, grace: float, check_room: Callable[[], None]) -> Receipt:
    """A repeat is answered on a full disk too."""
    repeat = known(store, submission.key, submission.digest)
    if repeat is not None:
        return repeat
    check_room()
    message = message_number(store, submission.message)
    if message is None:
        raise KeyError(f"message {submission.message.hex()} is not in the spool; put it first")
    _touch(store, submission.message, now, grace)
    count = len(submission.recipients)
    first = store.execute(
        "UPDATE meta SET value = value + ? WHERE name = 'next' RETURNING value - ?", (count, count)
    ).get
    batch, closed = _insert_batch(store, submission, message, first, now)
    lanes = _lane_dues(store, submission, int(now) if closed else max(submission.not_before, int(now)))
    _insert_recipients(store, submission.recipients, first, batch, lanes)
    return Receipt(
        first=first,
        accepted=count,
        refused=submission.refused,
        repeated=False,
        lanes={lane: (waiting, due) for lane, due, waiting in lanes.values()},
    )


def _insert_batch(store: Store, new: Submission, message: int, first: int, now: float) -> tuple[int, bool]:
    count = len(new.recipients)
    mailing, cancelled = store.execute(
        "INSERT INTO mailing (sender, name, accepted, first_accepted_at, last_change_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted, last_change_at = excluded.last_change_at"
        " RETURNING id, cancelled_at",
        (new.sender, new.mailing, count, now, now),
    ).get
    closed = None if cancelled is None else "cancelled"
    batch = store.execute(
        "INSERT INTO batch (key, digest, mailing, category, topic, message, priority, accepted_at, not_before,"
        " expires, closed, first, count, remaining, refused) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
        (
            *(new.key, new.digest, mailing, new.category, new.topic, message, int(new.priority)),
            *(now, new.not_before, new.expires, closed, first, count, count, new.refused),
        ),
    ).get
    return batch, closed is not None


def _lane_dues(store: Store, new: Submission, due: int) -> dict[str, tuple[Lane, int, int]]:
    """Domain -> its lane, due and count. A new row may share the due of the last one pulled: its id is greater."""
    counts: dict[str, int] = {}
    for recipient in new.recipients:
        counts[recipient.domain] = counts.get(recipient.domain, 0) + 1
    lanes = {}
    for domain, count in counts.items():
        lane = store.lane(domain, new.priority)
        lanes[domain] = (lane, max(due, store.pulled_due.get(lane.id, due)), count)
    return lanes


def _insert_recipients(
    store: Store, recipients: Sequence[NewRecipient], first: int, batch: int, lanes: dict[str, tuple[Lane, int, int]]
) -> None:
    rows = iter(recipients)
    left = len(recipients)
    while left:
        size = min(CHUNK, 1 << (left.bit_length() - 1))
        bindings: list[object] = [first, batch]
        for new in islice(rows, size):
            lane, due, _ = lanes[new.domain]
            bindings += (lane.id, due, new.address, store.pack(new.fields))
        store.execute(_INSERTS[size], bindings)
        first += size
        left -= size


def _insert_text(size: int) -> str:
    values = ",".join(f"(?1+{number},?2,?,?,0,0,0,?,?)" for number in range(size))
    return f"INSERT INTO recipient (id, batch, lane, due, attempts, doubt, cleared, address, fields) VALUES {values}"  # noqa: S608 - numbers only


_INSERTS = {1 << bit: _insert_text(1 << bit) for bit in range(CHUNK.bit_length())}
