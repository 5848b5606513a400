"""What a submit must look like before it may become durable: names, dates, and each recipient for itself.

A fault in one recipient refuses that one, with its index; a fault in what all of them share refuses the submit.
The loop over recipients is the hot part of accept (budget: 5 µs each) and gives the event loop back every thousand.
How an address or a message is read is engine/mail's knowledge, handed in as Reading.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Raw

from engine import wire
from engine.mail.slots import FieldUse
from engine.mail.stated import region_fault, with_stated
from engine.spool.port import NewRecipient
from engine.wire import Refusal, Refused
from suppression.decision import Category

CHUNK = 1000
"""Recipients between two turns of the event loop: about 4 ms."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+@=/-]*[A-Za-z0-9])?")
_MILLISECONDS = 10**11
"""Unix seconds reach this in the year 5138; a client's millisecond clock passed it in 1973."""


class ParsedAddress(Protocol):
    @property
    def wire(self) -> str:
        """As it stands in RCPT TO, and as it is stored; its domain is `domain`."""
        ...

    @property
    def domain(self) -> str: ...

    @property
    def local(self) -> str:
        """Without quotes."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """engine/mail as accept uses it."""

    address: Callable[[str], ParsedAddress]
    """Raises ValueError with a text that names the address."""
    message: Callable[[wire.Message], tuple[bytes, FieldUse]]
    """Canonical content and its merge fields. Raises Refusal."""
    stored: Callable[[bytes], FieldUse]
    """The merge fields of content that was stored earlier."""
    check_fields: Callable[[Any, Mapping[str, str]], str | None]
    """None, or why these fields do not fit the message, the field named."""
    suits: Callable[[bytes, str, str, str], Sequence[Mapping[str, object]]] = lambda _what, _sender, _category, _to: ()
    """Whether stored content can be sent by this sender in this category (its link, its From, its display) to people of
    a region (empty: not stated); what is doubtful about it. Raises Refusal. Some milliseconds, more for long messages.
    """
    regions: Callable[[], Mapping[str, str]] = dict
    """Those that the decision tables in force know, and their countries -> region."""
    octets: Callable[[bytes, str, str], int] = lambda _what, _sender, _category: 0
    """Of a letter of content that suits this sender in this category; 0: nobody is refused for it."""


def read_address(text: str, reading: Reading) -> str:
    """The address of a request that is about one. Raises Refusal."""
    try:
        return reading.address(text).wire
    except ValueError as error:
        raise Refusal("bad_address", "address", wire.shown(text), str(error)) from None


def spool_key(request: wire.Submit) -> bytes:
    """Keys of different senders never meet; the spool sees one length."""
    return hashlib.sha256(f"{request.sender}\0{request.key}".encode()).digest()


def check_names(request: wire.Submit) -> None:
    """Mailing and topic stand in journal, status and opt-out links: plain words only. Raises Refusal."""
    for field, value in (("mailing", request.mailing), ("topic", request.topic)):
        if not _NAME.fullmatch(value) and (value or field == "mailing"):
            text = f"{field} is an identifier of letters, digits and ._+@=/- : put the title into the subject"
            raise Refusal("bad_request", field, wire.shown(value), text)


def read_window(request: wire.Submit, now: float, max_age: int, horizon: int) -> tuple[int, int]:
    """(not_before, expires), both set. A not_before in the past means now. Raises Refusal."""
    for field, value in (("not_before", request.not_before), ("expires", request.expires)):
        if value is not None and value > now + horizon:
            reason = "looks like milliseconds" if value > _MILLISECONDS else f"lies over {horizon} seconds ahead"
            raise Refusal("bad_date", field, str(value), f"{field} {reason}: give Unix seconds (UTC)")
    begin = max(int(now), request.not_before or 0)
    expires = begin + max_age if request.expires is None else request.expires
    if expires <= now:
        text = f"expires {expires} is {int(now) - expires} seconds past: give a later date or leave it out"
        raise Refusal("expired", "expires", str(expires), text)
    if expires <= begin:
        text = f"expires {expires} is not after not_before {begin}: nothing could ever be sent"
        raise Refusal("bad_date", "expires", str(expires), text)
    return begin, expires


def check_override(override: str, category: str, count: int) -> None:
    """An express word for one kind of mail, never a way round the state of mailboxes. Raises Refusal."""
    if override and category != Category.TX:
        text = "only mail of category TX may go to a mailbox in spite of its state: leave it out"
        raise Refusal("bad_request", "override", override, text)
    if override == "FICT_SUSPECT" and count > 1:
        text = f"{count} recipients: an address that waits for review may be mailed as a single known customer only"
        raise Refusal("bad_request", "override", override, text)


def role_fault(address: str) -> str:
    return (
        f"address {address[:80]!a} is a role account, which never gets mail (accept.role_accounts): take it out of the "
        "list and write to a person's own address / 役割アドレス（abuse、postmaster など）には送信しません。"
        "宛先から外し、本人のアドレスを使ってください。"
    )


async def read_recipients(
    raws: Sequence[Raw], needed: FieldUse, reading: Reading, override: str = "", roles: frozenset[str] = frozenset()
) -> tuple[list[NewRecipient], list[Refused]]:
    """`roles`: local parts, in lower case, that are refused whatever the domain, with a tag (`abuse+x`) or without."""
    accepted: list[NewRecipient] = []
    refused: list[Refused] = []
    decode, parse, check = wire.decode_recipient, reading.address, reading.check_fields
    regions = reading.regions()
    for index, raw in enumerate(raws):
        if index and not index % CHUNK:
            await asyncio.sleep(0)
        try:
            given = decode(raw)
            address = parse(given.address)
            fields, region = given.fields, given.stated.region
            misfit = check(needed, fields)
            fault = None
            if region:
                fault, region = region_fault(region, regions), regions.get(region, "")
        except Refusal as refusal:
            refused.append((index, refusal.code, refusal.text))
        except ValueError as error:
            refused.append((index, "bad_address", str(error)))
        else:
            desk = address.local.lower()
            if desk in roles or ("+" in desk and desk.partition("+")[0] in roles):
                refused.append((index, "role_account", role_fault(address.wire)))
            elif misfit is not None:
                refused.append((index, "bad_field", misfit))
            elif fault is not None:
                refused.append((index, "bad_region", fault))
            else:
                fields = with_stated(fields, region, override) if region or override else fields
                accepted.append(NewRecipient(index, address.wire, address.domain, fields))
    return accepted, refused
