"""Orders of the authorities against a sender: received, released, and what of them is in force.

特定電子メール法 7条 (order to improve), 特定商取引法 14条 (instruction), 15条 (suspension of business). An order holds
from its arrival until a release by a named officer, for the topics that the release names; a release at the same
instant loses. Both are events of the ledger and never change. This file gives no advice on what an order forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import NamedTuple

from suppression.day import day_of, number_of
from suppression.events import (
    MAX_EVIDENCE,
    MAX_TOPICS,
    EventError,
    check_name,
)


class OrderKind(IntEnum):
    """The numbers stand in the ledger: never renumber."""

    ORDER7 = 1
    """Order to improve the way of sending (特定電子メール法 7条)."""
    INSTR14 = 2
    """Instruction (特定商取引法 14条)."""
    SUSP15 = 3
    """Suspension of mail-order business, wholly or in part (特定商取引法 15条)."""


@dataclass(frozen=True, slots=True)
class OrderReceived:
    """`day` is the date of the order, on which retention depends (施行規則4条2項); `at` when it arrived here."""

    sender: str
    kind: OrderKind
    at: float
    day: date
    scope: tuple[str, ...] = ()
    """Topics; none means everything of this sender."""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class OrderReleased:
    """What the order asked for is done, says this officer."""

    sender: str
    kind: OrderKind
    at: float
    officer: str
    scope: tuple[str, ...] = ()
    evidence: str = ""


OrderEvent = OrderReceived | OrderReleased


class OrderRow(NamedTuple):
    """One row of order_event. `officer` is empty for an order."""

    sender: str
    kind: int
    at: int
    """Microseconds."""
    day: int
    scope: tuple[str, ...]
    officer: str
    evidence: str
    recorded: int


@dataclass(frozen=True, slots=True)
class OrderState:
    """Towards one topic of a sender."""

    held: frozenset[OrderKind] = frozenset()
    released: frozenset[OrderKind] = frozenset()
    """Was held and is not any more: after ORDER7 only recorded consent counts."""


NO_ORDER = OrderState()


def check_order(event: OrderEvent, now: float, tolerance: float = 300.0) -> None:
    """Raises EventError."""
    check_name("sender", event.sender)
    if not 0 <= event.at <= now + tolerance:
        raise EventError(f"at: {event.at!r} is not a Unix time up to now ({now:.0f}); check the clock that wrote it")
    if len(event.scope) > MAX_TOPICS:
        raise EventError(f"scope: {len(event.scope)} topics, at most {MAX_TOPICS}; leave them out to mean all")
    for topic in event.scope:
        check_name("scope", topic)
    if len(event.evidence) > MAX_EVIDENCE:
        raise EventError(f"evidence: {len(event.evidence)} characters, at most {MAX_EVIDENCE}; refer to it instead")
    if isinstance(event, OrderReleased):
        check_name("officer", event.officer)
    elif number_of(event.day) > day_of(now + tolerance):
        raise EventError(f"day: {event.day} has not come yet; give the date on the order")


def row_of(event: OrderEvent, recorded: int) -> OrderRow:
    """The event has passed check_order. `recorded`: now, in microseconds."""
    at = min(round(event.at * 1_000_000), recorded)
    officer = event.officer if isinstance(event, OrderReleased) else ""
    day = number_of(event.day) if isinstance(event, OrderReceived) else day_of(event.at)
    evidence = event.evidence.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return OrderRow(event.sender, event.kind, at, day, tuple(sorted(event.scope)), officer, evidence, recorded)


def order_state(rows: Sequence[OrderRow], topic: str) -> OrderState:
    """What is in force for this topic, from all rows of one sender."""
    covering = [row for row in rows if not row.scope or topic in row.scope]
    held, released = set[OrderKind](), set[OrderKind]()
    for kind in OrderKind:
        ordered = max((row.at for row in covering if row.kind == kind and not row.officer), default=None)
        if ordered is None:
            continue
        freed = any(row.at > ordered for row in covering if row.kind == kind and row.officer)
        (released if freed else held).add(kind)
    return OrderState(frozenset(held), frozenset(released))
