"""What the live page may order, as its JSON says it, and the request of the socket's protocol that it becomes.

Three verbs, no more: suspend (with an end or without), resume one order, cancel one mailing. Each bears a reason for
the log. Bounds are the protocol's; an unknown field is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine import wire
from engine.request import Cancel, Resume, Steer
from engine.wire import Refusal

Reason = Annotated[str, Meta(min_length=1, max_length=200)]
LONGEST = 4096
"""Bytes of an order."""


class Suspend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="suspend"):
    reason: Reason
    seconds: int | None
    """None: until resumed."""
    scope: dict[str, str]


class ResumeOne(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="resume"):
    reason: Reason
    number: int


class CancelMailing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="cancel"):
    reason: Reason
    sender: str
    mailing: str


Order = Suspend | ResumeOne | CancelMailing
_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def read_order(body: bytes) -> tuple[Order, Steer | Resume | Cancel]:
    """Raises Refusal."""
    try:
        order = _orders.decode(body)
        if not order.reason.strip():
            raise Refusal("bad_request", "reason", "", "say why: the log keeps it")
        fields = _fields(order)
        kind = {Suspend: Steer, ResumeOne: Resume, CancelMailing: Cancel}[type(order)]
        return order, msgspec.convert({"id": 0, **fields}, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("bad_request", "", "", str(error)[:200]) from None


def _fields(order: Order) -> dict[str, Any]:
    if isinstance(order, ResumeOne):
        return {"type": "resume", "number": order.number}
    if isinstance(order, CancelMailing):
        return {"type": "cancel", "sender": order.sender, "mailing": order.mailing}
    scope = {name: value for name, value in order.scope.items() if value}
    known = ("domain", "provider", "site", "source", "sender", "mailing")
    for name in scope:
        if name not in known:
            raise Refusal("bad_request", "scope", wire.shown(name), f"write some of {', '.join(known)}")
    return {"type": "steer", "verb": "suspend", "seconds": order.seconds, "reason": order.reason, **scope}


def shown_order(order: Order) -> str:
    """For the log: one line, whatever the fields hold."""
    if isinstance(order, ResumeOne):
        what = f"resume {order.number}"
    elif isinstance(order, CancelMailing):
        what = f"cancel sender={wire.shown(order.sender)} mailing={wire.shown(order.mailing)}"
    else:
        scope = " ".join(f"{name}={wire.shown(value)}" for name, value in order.scope.items() if value)
        end = "until resumed" if order.seconds is None else f"for {order.seconds} s"
        what = f"suspend {scope} {end}"
    return f"{what}, reason: {wire.shown(order.reason)}"
