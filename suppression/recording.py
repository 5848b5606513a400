"""From events to ledger entries: validated, keyed, times in whole microseconds.

One event gives one entry, or one for each topic of a consent. A time within the clock tolerance of the future is taken
as now, so that nothing recorded is later than its record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple, Protocol

import apsw

from suppression.day import number_of
from suppression.events import AddressState, Complaint, Consent, Event, HardBounce, OptOut, Restored, Scope, Withdrawal
from suppression.standing import Kind, pack_ground


class Entry(NamedTuple):
    """One fact on its way into the ledger, sender and topic by name; empty means all."""

    kind: int
    identity: bytes
    sender: str
    topic: str
    at: int
    detail: int
    source: str
    evidence: str
    address: str


class Batch(NamedTuple):
    """What one call brings: goes in as a whole."""

    entries: Sequence[Entry]
    recorded: int


class Bulk(NamedTuple):
    """An import: the same facts for many addresses, that differ in address and time only."""

    entries: Sequence[Entry]
    recorded: int
    identities: list[bytes]
    addresses: list[str]
    ats: list[int]


class Writing(Protocol):
    """The ledger as an act sees it: inside the transaction, in the writer's thread."""

    @property
    def database(self) -> apsw.Connection: ...

    def sender(self, name: str) -> int:
        """The name's number, given now if it has none; 0 for the empty name."""
        ...

    def topic(self, name: str) -> int: ...

    def text(self, content: str) -> int: ...

    def forget_texts(self) -> None: ...


class Act(Protocol):
    """Reads and writes tables beside the events, in one transaction with the events that follow from it. What the
    caller did wrong becomes a value of the act: an exception is a failure of the ledger.
    """

    @property
    def recorded(self) -> int: ...

    def perform(self, writing: Writing) -> Sequence[Entry]: ...


def entries_of(event: Event, identity: bytes, recorded: int) -> Iterator[Entry]:
    """The event has passed `events.check`. `recorded`: now, in microseconds."""
    at = min(microseconds(event.at), recorded)
    evidence = _storable(event.evidence)

    def entry(kind: Kind, sender: str = "", topic: str = "", detail: int = 0) -> Entry:
        return Entry(kind, identity, sender, topic, at, detail, event.source, evidence, event.address)

    match event:
        case OptOut(scope=Scope.GLOBAL):
            yield entry(Kind.OPT_OUT)
        case OptOut():
            yield entry(Kind.OPT_OUT, event.sender, event.topic, _day(event.until))
        case Consent():
            detail = pack_ground(event.basis, event.covers, _day(event.until))
            for topic in event.topics or ("",):
                yield entry(Kind.CONSENT, event.sender, topic, detail)
        case Withdrawal():
            yield entry(Kind.WITHDRAWAL, event.sender, event.topic)
        case Complaint():
            yield entry(Kind.COMPLAINT, event.sender)
        case HardBounce():
            yield entry(Kind.ADDRESS, detail=event.state)
        case Restored():  # pragma: no branch - the last of the union
            yield entry(Kind.ADDRESS, detail=AddressState.OK)


def _storable(text: str) -> str:
    """Evidence may be what a stranger's server said: it is kept, not refused. NUL and lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _day(until: date | None) -> int:
    return 0 if until is None else number_of(until)


def microseconds(at: float) -> int:
    return round(at * 1_000_000)
