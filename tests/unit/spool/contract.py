"""What every spool must do, as cases that the fake and the real one both run.

A case is a coroutine that gets a World: the spool, a clock that the case moves, and ways to start again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Protocol

import pytest

from engine.mail.envelope import Priority, Recipient
from engine.spool.port import (
    Cursor,
    Deferred,
    KeyReused,
    Lane,
    NewRecipient,
    Outcome,
    Receipt,
    Settled,
    Spool,
    SpoolFailed,
    Submission,
)

START = 1_800_000_000
FAR = 4_000_000_000
DAY = 86_400


class World(Protocol):
    spool: Spool
    now: float

    async def start_again(self, *, crash: bool) -> None: ...


def new(address: str, index: int = 0, **fields: str) -> NewRecipient:
    return NewRecipient(index, address, address.rpartition("@")[2], fields)


def submission(
    recipients: list[NewRecipient],
    *,
    key: bytes = b"key",
    content: bytes = b"content",
    digest: bytes | None = None,
    sender: str = "shop",
    mailing: str = "spring",
    priority: Priority = Priority.BULK,
    not_before: int = 0,
    expires: int = FAR,
    refused: bytes = b"",
) -> Submission:
    return Submission(
        key=key,
        digest=digest or sha256(key).digest(),
        sender=sender,
        category="AD",
        topic="news",
        mailing=mailing,
        message=sha256(content).digest(),
        priority=priority,
        not_before=not_before,
        expires=expires,
        recipients=recipients,
        refused=refused,
    )


async def enqueue(world: World, *addresses: str, **how: object) -> Receipt:
    await world.spool.put_message(b"content")
    recipients = [new(address, index) for index, address in enumerate(addresses)]
    return await world.spool.submit(submission(recipients, **how))  # type: ignore[arg-type]


async def everything(world: World) -> list[Recipient]:
    """What a start finds, whenever it is due."""
    found: list[Recipient] = []
    for state in await world.spool.lanes():
        recipients, _, _ = await world.spool.pull(state.lane, Cursor(), FAR, 10_000)
        assert len(recipients) == state.waiting
        found += recipients
    return sorted(found, key=lambda recipient: recipient.id)


def only_lane(receipt: Receipt) -> Lane:
    (lane,) = receipt.lanes
    return lane


async def content_is_stored_once(world: World) -> None:
    first = await world.spool.put_message(b"one")
    assert first == sha256(b"one").digest()
    assert await world.spool.put_message(b"one") == first
    number = await world.spool.message_number(first)
    assert number is not None
    assert await world.spool.content(number) == b"one"
    other = await world.spool.message_number(await world.spool.put_message(b"two"))
    assert other != number


async def unknown_content_is_said_so(world: World) -> None:
    assert await world.spool.message_number(b"\0" * 32) is None
    with pytest.raises(KeyError, match="message 99"):
        await world.spool.content(99)


async def recipients_are_numbered_on(world: World) -> None:
    addresses = [f"u{number}@a.example" for number in range(300)]
    first = await enqueue(world, *addresses, key=b"1")
    second = await enqueue(world, "x@a.example", key=b"2")
    assert (first.accepted, first.repeated, second.first) == (300, False, first.first + 300)
    found = await everything(world)
    assert [recipient.id for recipient in found] == list(range(first.first, first.first + 301))
    assert [recipient.address for recipient in found] == [*addresses, "x@a.example"]


async def receipt_says_what_waits_where(world: World) -> None:
    receipt = await enqueue(world, "a@a.example", "b@b.example", "c@a.example", not_before=START + 60)
    seen = {(lane.domain, lane.priority): waits for lane, waits in receipt.lanes.items()}
    assert seen == {
        ("a.example", Priority.BULK): (2, START + 60),
        ("b.example", Priority.BULK): (1, START + 60),
    }
    states = {state.lane: (state.waiting, state.next_due) for state in await world.spool.lanes()}
    assert states == receipt.lanes


async def priorities_have_lanes_of_their_own(world: World) -> None:
    bulk = only_lane(await enqueue(world, "a@a.example", key=b"1"))
    single = only_lane(await enqueue(world, "a@a.example", key=b"2", priority=Priority.TRANSACTIONAL))
    assert bulk.id != single.id
    assert bulk == only_lane(await enqueue(world, "b@a.example", key=b"3"))
    (recipient,), _, _ = await world.spool.pull(single, Cursor(), START, 10)
    assert recipient.batch.priority is Priority.TRANSACTIONAL


async def repeat_gets_the_stored_answer(world: World) -> None:
    assert await world.spool.known(b"key", sha256(b"key").digest()) is None
    first = await enqueue(world, "a@a.example", "b@a.example", refused=b"why")
    again = await enqueue(world, "a@a.example", "b@a.example", refused=b"why")
    assert again == Receipt(first.first, 2, b"why", repeated=True)
    assert await world.spool.known(b"key", sha256(b"key").digest()) == again
    await world.start_again(crash=True)
    assert await world.spool.known(b"key", sha256(b"key").digest()) == again
    assert len(await everything(world)) == 2


async def same_key_with_other_bytes_is_refused(world: World) -> None:
    await enqueue(world, "a@a.example")
    with pytest.raises(KeyReused, match="key"):
        await world.spool.known(b"key", b"x" * 32)
    with pytest.raises(KeyReused, match="key"):
        await world.spool.submit(submission([new("b@a.example")], digest=b"x" * 32))
    assert len(await everything(world)) == 1


async def submit_without_its_message_leaves_nothing(world: World) -> None:
    lost = submission([new("a@a.example")], content=b"never put")
    with pytest.raises(KeyError, match="not in the spool"):
        await world.spool.submit(lost)
    assert await world.spool.known(lost.key, lost.digest) is None
    assert await world.spool.totals(None, None) == []
    assert await everything(world) == []


async def submit_of_refused_only_is_remembered(world: World) -> None:
    receipt = await enqueue(world, refused=b"all")
    assert (receipt.accepted, receipt.lanes, receipt.refused) == (0, {}, b"all")
    assert (await enqueue(world, refused=b"all")).repeated
    await world.spool.tidy(START + 73 * 3600)
    assert await world.spool.known(b"key", b"x" * 32) is None


async def pull_goes_by_due_then_id(world: World) -> None:
    later = await enqueue(world, "l1@a.example", "l2@a.example", key=b"1", not_before=START + 10)
    early = await enqueue(world, "e1@a.example", "e2@a.example", "e3@a.example", key=b"2")
    lane = only_lane(early)
    first, cursor, next_due = await world.spool.pull(lane, Cursor(), START, 2)
    assert ([recipient.address for recipient in first], next_due) == (["e1@a.example", "e2@a.example"], START)
    second, cursor, next_due = await world.spool.pull(lane, cursor, START, 2)
    assert ([recipient.address for recipient in second], next_due) == (["e3@a.example"], START + 10)
    assert cursor == Cursor(START, early.first + 2)
    nothing, same, _ = await world.spool.pull(lane, cursor, START + 9, 2)
    assert (nothing, same) == ([], cursor)
    last, cursor, next_due = await world.spool.pull(lane, cursor, START + 10, 2)
    assert ([recipient.id for recipient in last], next_due) == ([later.first, later.first + 1], None)
    assert await world.spool.pull(lane, cursor, FAR, 2) == ([], cursor, None)


async def one_pull_passes_from_one_due_to_the_next(world: World) -> None:
    lane = only_lane(await enqueue(world, "a@a.example", "b@a.example", key=b"1"))
    await enqueue(world, "c@a.example", "d@a.example", key=b"2", not_before=START + 5)
    _, cursor, _ = await world.spool.pull(lane, Cursor(), START + 5, 1)
    found, _, next_due = await world.spool.pull(lane, cursor, START + 5, 2)
    assert ([recipient.address for recipient in found], next_due) == (["b@a.example", "c@a.example"], START + 5)


async def recipients_come_as_they_went(world: World) -> None:
    await world.spool.put_message(b"content")
    fields = {"name": "山田 太郎", "odd": 'a\0b\r\n,"\\\x7f', "": "", "long": "x" * 5000, "smile": "😀"}
    given = [NewRecipient(0, '"a,b"@a.example', "a.example", fields), new("ü@a.example", 1)]
    receipt = await world.spool.submit(submission(given, not_before=START - 5))
    recipients, _, _ = await world.spool.pull(only_lane(receipt), Cursor(), START, 10)
    assert [recipient.fields for recipient in recipients] == [fields, {}]
    assert [recipient.address for recipient in recipients] == ['"a,b"@a.example', "ü@a.example"]
    assert [(recipient.attempts, recipient.in_doubt, recipient.who) for recipient in recipients] == [
        (0, False, b"")
    ] * 2
    batch = recipients[0].batch
    assert (batch.sender, batch.category, batch.topic, batch.mailing) == ("shop", "AD", "news", "spring")
    assert (batch.priority, batch.accepted_at, batch.not_before) == (Priority.BULK, world.now, START - 5)
    assert (batch.expires, batch.closed) == (FAR, None)
    assert batch.message == await world.spool.message_number(sha256(b"content").digest())


async def one_batch_is_one_object(world: World) -> None:
    lane = only_lane(await enqueue(world, "a@a.example", "b@a.example", key=b"1"))
    await enqueue(world, "c@a.example", key=b"2")
    (first,), cursor, _ = await world.spool.pull(lane, Cursor(), START, 1)
    (second, other), _, _ = await world.spool.pull(lane, cursor, START, 2)
    assert first.batch is second.batch
    assert other.batch is not first.batch
    ((_, swept),) = await world.spool.sweep(first.batch.id, first.id, 10)
    assert swept.batch is first.batch


async def settled_are_gone_and_counted(world: World) -> None:
    await enqueue(world, *(f"u{number}@a.example" for number in range(6)))
    recipients = await everything(world)
    outcomes = list(Outcome)
    world.now += 7
    await world.spool.settle([Settled(*pair) for pair in zip(recipients, outcomes, strict=False)])
    (totals,) = await world.spool.totals("shop", "spring")
    assert [getattr(totals, outcome) for outcome in outcomes] == [1] * 5
    assert (totals.accepted, totals.open) == (6, 1)
    assert (totals.first_accepted_at, totals.last_change_at) == (START + 0.5, START + 7.5)
    assert [recipient.id for recipient in await everything(world)] == [recipients[5].id]
    await world.start_again(crash=True)
    assert [recipient.id for recipient in await everything(world)] == [recipients[5].id]


async def settled_twice_is_counted_once(world: World) -> None:
    await enqueue(world, "a@a.example", "b@a.example", "c@b.example")
    one, two, three = await everything(world)
    await world.spool.settle([Settled(one, Outcome.DELIVERED), Settled(one, Outcome.BOUNCED)])
    await world.spool.settle([Settled(one, Outcome.CANCELLED), Settled(two, Outcome.CANCELLED)])
    await world.start_again(crash=False)
    await world.spool.settle([Settled(two, Outcome.DELIVERED), Settled(three, Outcome.EXPIRED)])
    (totals,) = await world.spool.totals(None, None)
    assert (totals.delivered, totals.bounced, totals.cancelled, totals.expired, totals.open) == (1, 0, 1, 1, 0)


async def settled_does_not_come_back_by_deferring(world: World) -> None:
    await enqueue(world, "a@a.example", "b@a.example")
    one, two = await everything(world)
    await world.spool.settle([Deferred(one, START + 5, True, False), Settled(one, Outcome.DELIVERED)])
    await world.spool.settle([Deferred(one, START + 5, True, False), Deferred(two, START + 5, True, False)])
    assert [recipient.id for recipient in await everything(world)] == [two.id]
    await world.start_again(crash=True)
    assert [recipient.id for recipient in await everything(world)] == [two.id]


async def settled_without_being_pulled_is_passed_over(world: World) -> None:
    receipt = await enqueue(world, *(f"u{number}@a.example" for number in range(5)))
    swept = await world.spool.sweep(1, 0, 3)
    await world.spool.settle([Settled(recipient, Outcome.CANCELLED) for _, recipient in swept])
    rest, cursor, _ = await world.spool.pull(only_lane(receipt), Cursor(), START, 3)
    more, _, _ = await world.spool.pull(only_lane(receipt), cursor, START, 3)
    assert [recipient.id for recipient in rest + more] == [receipt.first + 3, receipt.first + 4]


async def deferred_comes_back_when_due(world: World) -> None:
    lane = only_lane(await enqueue(world, "a@a.example", "b@a.example", "c@a.example"))
    recipients, cursor, _ = await world.spool.pull(lane, Cursor(), START, 10)
    await world.spool.settle(
        [Deferred(recipients[0], START + 60, True, False), Deferred(recipients[1], START + 30, False, True)]
    )
    assert await world.spool.pull(lane, cursor, START + 29, 10) == ([], cursor, START + 30)
    again, cursor, next_due = await world.spool.pull(lane, cursor, START + 59, 10)
    assert [(r.address, r.attempts, r.in_doubt) for r in again] == [("b@a.example", 0, True)]
    assert next_due == START + 60
    again, cursor, next_due = await world.spool.pull(lane, cursor, START + 60, 10)
    assert [(r.address, r.attempts, r.in_doubt) for r in again] == [("a@a.example", 1, False)]
    assert next_due is None


async def many_are_deferred_at_once(world: World) -> None:
    await enqueue(world, *(f"u{number}@d{number % 7}.example" for number in range(777)))
    recipients = await everything(world)
    await world.spool.settle([Deferred(r, START + r.id % 1000, r.id % 2 == 0, r.id % 3 == 0) for r in recipients])
    assert [(r.id, r.attempts, r.in_doubt) for r in await everything(world)] == [
        (r.id, int(r.id % 2 == 0), r.id % 3 == 0) for r in recipients
    ]


async def a_doubt_stays(world: World) -> None:
    await enqueue(world, "a@a.example")
    (recipient,) = await everything(world)
    await world.spool.settle([Deferred(recipient, START + 1, True, True)])
    await world.spool.settle([Deferred(recipient, START + 2, True, False)])
    (recipient,) = await everything(world)
    assert (recipient.in_doubt, recipient.attempts) == (True, 2)


async def deferred_into_the_past_sorts_behind_the_cursor(world: World) -> None:
    lane = only_lane(await enqueue(world, "a@a.example", "b@a.example"))
    (first, _), cursor, _ = await world.spool.pull(lane, Cursor(), START, 10)
    await world.spool.settle([Deferred(first, START - 1000, True, False)])
    (again,), _, _ = await world.spool.pull(lane, cursor, START + 1, 10)
    assert again.id == first.id


async def new_mail_goes_on_when_the_clock_went_back(world: World) -> None:
    lane = only_lane(await enqueue(world, "a@a.example", key=b"1"))
    _, cursor, _ = await world.spool.pull(lane, Cursor(), START, 10)
    world.now -= 3600
    receipt = await enqueue(world, "b@a.example", key=b"2")
    assert receipt.lanes == {lane: (1, START)}
    (recipient,), _, _ = await world.spool.pull(lane, cursor, int(world.now), 10)
    assert recipient.address == "b@a.example"


async def what_a_crash_interrupts_is_in_doubt(world: World) -> None:
    await enqueue(world, *(f"u{number}@a.example" for number in range(6)))
    recipients = await everything(world)
    await world.spool.intend([recipient.id for recipient in recipients[:3]])
    await world.spool.intend([recipients[3].id])
    await world.spool.settle([Settled(recipients[0], Outcome.DELIVERED), Deferred(recipients[1], START, True, False)])
    await world.start_again(crash=True)
    assert [recipient.in_doubt for recipient in await everything(world)] == [False, True, True, False, False]


async def attempt_after_a_deferral_is_in_doubt_again(world: World) -> None:
    await enqueue(world, "a@a.example", "b@a.example")
    one, two = await everything(world)
    await world.spool.intend([one.id, two.id])
    await world.spool.settle([Deferred(one, START, True, False)])
    await world.spool.intend([one.id])
    await world.start_again(crash=True)
    assert [recipient.in_doubt for recipient in await everything(world)] == [True, True]


async def nothing_is_in_doubt_after_all_is_settled(world: World) -> None:
    await enqueue(world, *(f"u{number}@a.example" for number in range(3)))
    recipients = await everything(world)
    numbers = [recipient.id for recipient in recipients]
    await world.spool.intend(numbers)
    await world.spool.intend(numbers[:2])
    await world.spool.settle([Deferred(recipient, START, True, False) for recipient in recipients])
    await world.start_again(crash=True)
    assert [recipient.in_doubt for recipient in await everything(world)] == [False] * 3
    await world.spool.intend(numbers[:1])
    await world.start_again(crash=True)
    assert [recipient.in_doubt for recipient in await everything(world)] == [True, False, False]
    await world.start_again(crash=True)
    assert [recipient.in_doubt for recipient in await everything(world)] == [True, False, False]


async def sweep_sees_every_state_in_id_order(world: World) -> None:
    receipt = await enqueue(world, *(f"u{number}@d{number % 2}.example" for number in range(6)), key=b"1")
    await enqueue(world, "other@d0.example", key=b"2")
    lane = min(receipt.lanes, key=lambda lane: lane.domain)
    pulled, _, _ = await world.spool.pull(lane, Cursor(), START, 2)
    batch = pulled[0].batch.id
    await world.spool.settle([Settled(pulled[0], Outcome.DELIVERED), Deferred(pulled[1], START + 99, True, False)])
    first = await world.spool.sweep(batch, 0, 2)
    rest = await world.spool.sweep(batch, first[-1][1].id, 10)
    assert [recipient.id - receipt.first for _, recipient in first + rest] == [1, 2, 3, 4, 5]
    assert all(lane.domain == recipient.domain for lane, recipient in first + rest)
    assert await world.spool.sweep(batch, receipt.first + 5, 10) == []
    assert await world.spool.sweep(99, 0, 10) == []


async def find_walks_one_mailing(world: World) -> None:
    await enqueue(world, "a@a.example", "b@a.example", "a@a.example", key=b"1")
    await enqueue(world, "a@a.example", key=b"2")
    await enqueue(world, "a@a.example", key=b"3", mailing="summer")
    await enqueue(world, "a@a.example", key=b"4", sender="club")
    first = (await world.spool.find("shop", "spring", "a@a.example"))[0][1]
    await world.spool.settle([Settled(first, Outcome.CANCELLED)])
    found = await world.spool.find("shop", "spring", "a@a.example")
    assert [(lane.domain, recipient.id - first.id) for lane, recipient in found] == [("a.example", 2), ("a.example", 3)]
    assert await world.spool.find("shop", "autumn", "a@a.example") == []
    assert await world.spool.find("shop", "spring", "z@a.example") == []
    number = found[0][1].id
    assert [recipient.id for _, recipient in await world.spool.find("shop", "spring", number)] == [number]
    assert await world.spool.find("shop", "autumn", number) == []
    assert await world.spool.find("shop", "spring", number + 1000) == []


async def cancelled_mailing_closes_what_is_there_and_what_comes(world: World) -> None:
    lane = only_lane(await enqueue(world, "a@a.example", "b@a.example", key=b"1"))
    await enqueue(world, "c@a.example", key=b"2", mailing="summer")
    (live, _, other), _, _ = await world.spool.pull(lane, Cursor(), START, 10)
    assert await world.spool.close_mailing("shop", "spring", START + 1.0) == [live.batch.id]
    assert (live.batch.closed, other.batch.closed) == ("cancelled", None)
    receipt = await enqueue(world, "d@d.example", key=b"3", not_before=START + DAY)
    assert receipt.lanes == {only_lane(receipt): (1, START)}
    (late,), _, _ = await world.spool.pull(only_lane(receipt), Cursor(), START, 10)
    assert late.batch.closed == "cancelled"
    assert await world.spool.close_mailing("shop", "spring", START + 2.0) == [live.batch.id, late.batch.id]
    (totals,) = await world.spool.totals("shop", "spring")
    assert totals.cancelled_at == START + 1.0


async def mailing_may_be_cancelled_before_it_comes(world: World) -> None:
    assert await world.spool.close_mailing("shop", "spring", START) == []
    await world.start_again(crash=True)
    await enqueue(world, "a@a.example")
    (recipient,) = await everything(world)
    assert recipient.batch.closed == "cancelled"


async def batches_expire_once(world: World) -> None:
    lane = only_lane(await enqueue(world, "a@a.example", key=b"1", expires=START + 10))
    await enqueue(world, "b@a.example", key=b"2", expires=START + 5)
    await enqueue(world, "c@a.example", key=b"3", expires=START + 50)
    one, two, three = (await world.spool.pull(lane, Cursor(), START, 10))[0]
    assert await world.spool.expired_batches(START + 4.9, 10) == []
    assert await world.spool.expired_batches(START + 11, 1) == [two.batch.id]
    assert await world.spool.expired_batches(START + 11, 10) == [one.batch.id]
    assert await world.spool.expired_batches(START + 11, 10) == []
    assert [recipient.batch.closed for recipient in (one, two, three)] == ["expired", "expired", None]
    assert await world.spool.close_mailing("shop", "spring", START + 12) == [three.batch.id]


async def settled_batches_do_not_expire(world: World) -> None:
    await enqueue(world, "a@a.example", expires=START + 10)
    await world.spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in await everything(world)])
    assert await world.spool.expired_batches(START + 11, 10) == []


async def sweep_cut_short_is_offered_again(world: World) -> None:
    await enqueue(world, "a@a.example", "b@a.example", key=b"1", expires=START + 10)
    await enqueue(world, "c@a.example", key=b"2", mailing="summer")
    (batch,) = await world.spool.expired_batches(START + 11, 10)
    (other,) = await world.spool.close_mailing("shop", "summer", START + 11)
    ((_, first),) = await world.spool.sweep(batch, 0, 1)
    await world.spool.settle([Settled(first, Outcome.EXPIRED)])
    await world.start_again(crash=True)
    assert await world.spool.expired_batches(START, 1) == [batch]
    assert await world.spool.expired_batches(START, 10) == [other]
    assert await world.spool.expired_batches(START, 10) == []
    assert [recipient.batch.closed for recipient in await everything(world)] == ["expired", "cancelled"]


async def totals_are_told_by_sender_and_mailing(world: World) -> None:
    await enqueue(world, "a@a.example", key=b"1")
    world.now += 1
    await enqueue(world, "a@a.example", key=b"2", mailing="summer")
    world.now += 1
    await enqueue(world, "a@a.example", "b@a.example", key=b"3", sender="club")
    world.now += 1
    await enqueue(world, "a@a.example", key=b"4")

    async def told(sender: str | None, mailing: str | None) -> list[tuple[str, str, int]]:
        return [(t.sender, t.mailing, t.accepted) for t in await world.spool.totals(sender, mailing)]

    spring, summer, club = ("shop", "spring", 2), ("shop", "summer", 1), ("club", "spring", 2)
    assert await told(None, None) == [spring, summer, club]
    assert await told("shop", None) == [spring, summer]
    assert await told(None, "spring") == [spring, club]
    assert await told("club", "summer") == []


async def keys_are_kept_three_days(world: World) -> None:
    await enqueue(world, "a@a.example", key=b"done")
    await world.spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in await everything(world)])
    await enqueue(world, "b@a.example", key=b"open")
    await world.spool.tidy(START + 71 * 3600)
    assert await world.spool.known(b"done", sha256(b"done").digest()) is not None
    await world.spool.tidy(START + 73 * 3600)
    assert await world.spool.known(b"done", b"x" * 32) is None
    assert await world.spool.known(b"open", b"x" * 32) is None
    (recipient,) = await everything(world)
    assert (recipient.address, recipient.batch.sender) == ("b@a.example", "shop")


async def content_goes_with_its_last_recipient(world: World) -> None:
    await enqueue(world, "a@a.example")
    digest = sha256(b"content").digest()
    (recipient,) = await everything(world)
    await world.spool.tidy(START + 2 * 3600)
    assert await world.spool.content(recipient.batch.message) == b"content"
    await world.spool.settle([Settled(recipient, Outcome.DELIVERED)])
    await world.spool.tidy(START + 1800)
    assert await world.spool.message_number(digest) is not None
    world.now += 3000
    await world.spool.put_message(b"content")
    await world.spool.tidy(START + 3700)
    assert await world.spool.message_number(digest) is not None
    await world.spool.tidy(START + 3 * 3600)
    assert await world.spool.message_number(digest) is None
    await world.spool.put_message(b"content")
    assert await world.spool.message_number(digest) != recipient.batch.message


async def totals_are_kept_ninety_days(world: World) -> None:
    await enqueue(world, "a@a.example", key=b"1")
    await world.spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in await everything(world)])
    await enqueue(world, "b@a.example", key=b"2", mailing="open")
    await world.spool.tidy(START + 89 * DAY)
    assert len(await world.spool.totals(None, None)) == 2
    await world.spool.tidy(START + 91 * DAY)
    assert [totals.mailing for totals in await world.spool.totals(None, None)] == ["open"]


async def ids_are_never_used_again(world: World) -> None:
    first = await enqueue(world, "a@a.example", "b@a.example", key=b"1")
    await world.spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in await everything(world)])
    await world.spool.tidy(START + 100 * DAY)
    await world.start_again(crash=False)
    second = await enqueue(world, "a@a.example", key=b"1")
    assert second.first == first.first + 2


async def empty_calls_do_nothing(world: World) -> None:
    await world.spool.settle([])
    await world.spool.intend([])
    assert await world.spool.lanes() == []


async def closed_spool_says_so(world: World) -> None:
    await world.spool.close()
    with pytest.raises(SpoolFailed, match="closed"):
        await world.spool.lanes()


CASES: list[Callable[[World], Awaitable[None]]] = [
    value
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__module__", None) == __name__
    and getattr(value, "__annotations__", {}).keys() == {"world", "return"}
    and name != "everything"
]
