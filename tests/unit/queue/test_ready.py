"""Ready: order, priorities, budgets, taking out."""

from __future__ import annotations

from engine.mail.envelope import Batch, Priority, Recipient
from engine.queue.ready import Ready

URGENT, BULK = (Batch(p + 1, "shop", "TX", "", "m", 1, p, 0.0, 0, 1) for p in Priority)


def recipients(batch: Batch, *numbers: int) -> list[Recipient]:
    return [Recipient(number, batch, f"r{number}@d.example", {}) for number in numbers]


def numbers(found: list[Recipient]) -> list[int]:
    return [recipient.id for recipient in found]


def test_transactional_goes_first_and_each_in_its_order() -> None:
    ready = Ready(10)
    ready.push(recipients(BULK, 1, 2, 3))
    ready.push(recipients(URGENT, 8, 9))
    assert len(ready) == 5
    assert numbers(ready.take(3)) == [8, 9, 1]
    assert numbers(ready.take(10)) == [2, 3]
    assert ready.take(1) == []


def test_each_priority_has_a_budget_of_its_own() -> None:
    ready = Ready(2)
    ready.push(recipients(BULK, 1, 2))
    assert (ready.space(Priority.BULK), ready.space(Priority.TRANSACTIONAL)) == (0, 2)
    ready.push(recipients(BULK, 3))
    assert ready.space(Priority.BULK) == 0, "put back over the limit is no debt"


def test_what_is_put_back_was_next() -> None:
    ready = Ready(10)
    ready.push(recipients(BULK, 1, 2, 3, 4))
    ready.put_back(iter(ready.take(2)))
    assert numbers(ready.take(4)) == [1, 2, 3, 4]


def test_the_unwanted_are_taken_out_and_the_rest_keeps_its_order() -> None:
    ready = Ready(10)
    ready.push(recipients(BULK, 1, 2, 3, 4) + recipients(URGENT, 5, 6))
    assert numbers(ready.remove(lambda recipient: recipient.id % 2 == 0)) == [6, 2, 4]
    assert numbers(ready.remove(lambda recipient: recipient.id > 6)) == []
    assert numbers(ready.take(10)) == [5, 1, 3]
