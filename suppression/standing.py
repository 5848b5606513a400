"""From recorded facts to where an address stands: which refusals hold, which grounds to send are alive.

特定電子メール法 3条3項, 特定商取引法 12条の3 2項 (LAW.md 2.4, 2.5). The fold looks at all facts of one wide key at once
and at their times only, never at their order of arrival, so any replay gives the same answer. A tie means refused; a
recorded consent later than the refusal revives; an exemption never does. No clock, name or address here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from suppression.events import AddressState, Basis, Covers

EVERY = 0
"""As sender: all senders. As topic: all topics."""

_NEVER = -1


class Kind(IntEnum):
    """Kinds of recorded facts. The numbers stand in the ledger: never renumber."""

    OPT_OUT = 1
    CONSENT = 2
    WITHDRAWAL = 3
    COMPLAINT = 4
    ADDRESS = 5
    """The mailbox's state; `detail` is the AddressState, OK for Restored."""


class Refusal(IntEnum):
    """Ordered: the higher one gives the reason when several hold."""

    NONE = 0
    TOPIC = 1
    ALL = 2
    COMPLAINT = 3


class Fact(NamedTuple):
    """One row of the ledger, reduced to what decides. `at` counts microseconds."""

    kind: int
    wide: int
    exact: int
    sender: int
    topic: int
    at: int
    detail: int = 0
    """CONSENT: basis | covers << 8. ADDRESS: the state."""


class Ground(NamedTuple):
    """A reason that lets advertising go: its basis and what it covers."""

    basis: Basis
    covers: Covers


@dataclass(frozen=True, slots=True)
class Stand:
    """Towards one sender in one topic."""

    refusal: Refusal = Refusal.NONE
    grounds: frozenset[Ground] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """Towards one sender: `elsewhere` holds for every topic that has no entry of its own."""

    address: AddressState = AddressState.OK
    elsewhere: Stand = Stand()
    topics: tuple[tuple[int, Stand], ...] = ()

    def towards(self, topic: int) -> Stand:
        for number, stand in self.topics:
            if number == topic:
                return stand
        return self.elsewhere


NOTHING = Standing()
"""Nobody knows anything about this address."""


class Folded(NamedTuple):
    """What the index has to hold for one wide key; keys are (sender, key), or the exact key for addresses."""

    people: dict[tuple[int, int], Standing]
    refused: dict[tuple[int, int], Standing]
    addresses: dict[int, Standing]


def pack_ground(basis: Basis, covers: Covers) -> int:
    return int(basis) | int(covers) << 8


def fold(facts: Iterable[Fact]) -> Folded:
    """All facts must share one wide key."""
    by_sender: dict[int, list[Fact]] = defaultdict(list)
    mailboxes: dict[int, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.kind == Kind.ADDRESS:
            mailboxes[fact.exact].append(fact)
        else:
            by_sender[fact.sender].append(fact)
    states = {exact: _state(found) for exact, found in mailboxes.items()}
    folded = Folded({}, {}, {exact: Standing(address=state) for exact, state in states.items()})
    everywhere = by_sender[EVERY]
    for sender, own in by_sender.items():
        _fold_sender(folded, states, sender, own if sender == EVERY else own + everywhere)
    return folded


def _fold_sender(folded: Folded, states: dict[int, AddressState], sender: int, facts: Sequence[Fact]) -> None:
    consents: dict[int, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.kind == Kind.CONSENT:
            consents[fact.exact].append(fact)
    others = [fact for fact in facts if fact.kind != Kind.CONSENT]
    for exact, given in consents.items():
        state = states.get(exact, AddressState.OK)
        folded.people[sender, exact] = _standing(state, others, given)
    for fact in facts:
        # A spelling of its own leaves a trace under the wide key, so that a later refusal finds the way to it.
        if fact.kind != Kind.CONSENT or fact.exact != fact.wide:
            folded.refused[sender, fact.wide] = _standing(AddressState.OK, others, ())
            return


def _standing(state: AddressState, others: Sequence[Fact], consents: Sequence[Fact]) -> Standing:
    elsewhere = _stand(EVERY, others, consents)
    numbers = sorted({fact.topic for fact in (*others, *consents)} - {EVERY})
    stands = ((number, _stand(number, others, consents)) for number in numbers)
    return Standing(state, elsewhere, tuple((number, stand) for number, stand in stands if stand != elsewhere))


def _stand(topic: int, others: Sequence[Fact], consents: Sequence[Fact]) -> Stand:
    outs: list[Fact] = []
    refused_at = withdrawn_at = consented_at = _NEVER
    for fact in others:
        if fact.topic not in (EVERY, topic):
            continue
        if fact.kind == Kind.WITHDRAWAL:
            withdrawn_at = max(withdrawn_at, fact.at)
        else:
            refused_at = max(refused_at, fact.at)
            outs.append(fact)
    alive: list[Fact] = []
    for fact in consents:
        if fact.topic not in (EVERY, topic) or fact.at <= withdrawn_at:
            continue
        if _basis(fact) in _REVIVES:
            consented_at = max(consented_at, fact.at)
        if refused_at == _NEVER or (fact.at > refused_at and _basis(fact) in _OWN_WILL):
            alive.append(fact)
    refusal = max((_refusal(fact) for fact in outs if fact.at >= consented_at), default=Refusal.NONE)
    return Stand(refusal, frozenset(_grounds(alive)))


_REVIVES = frozenset({Basis.OPTIN_REC, Basis.MO_REC})
"""Only a consent that can be shown lifts a refusal (「示された意思に反して」, 12条の3 2項但書)."""

_OWN_WILL = _REVIVES | {Basis.OPTIN_NOREC, Basis.ADDR_GIVEN}
"""Acts of the holder: one later than the refusal still means what it says. The exemptions end with any refusal."""

_PUBLISHED = frozenset({Basis.PUBLISHED, Basis.PUBLISHED_NOADS, Basis.PUBLISHED_PRIVATE})


def _basis(fact: Fact) -> int:
    return fact.detail & 0xFF


def _refusal(fact: Fact) -> Refusal:
    if fact.kind == Kind.COMPLAINT:
        return Refusal.COMPLAINT
    return Refusal.ALL if fact.topic == EVERY else Refusal.TOPIC


def _grounds(alive: Sequence[Fact]) -> Iterator[Ground]:
    """Of the published ones the latest alone: the exemption stops when a notice appears beside the address
    (施行規則3条但書), and a tie goes to the stricter one.
    """
    published = [fact for fact in alive if _basis(fact) in _PUBLISHED]
    latest = max(published, key=lambda fact: (fact.at, _basis(fact), fact.detail), default=None)
    for fact in alive:
        if _basis(fact) not in _PUBLISHED or fact is latest:
            yield Ground(Basis(_basis(fact)), Covers(fact.detail >> 8))


def _state(facts: Sequence[Fact]) -> AddressState:
    """The latest report; a tie goes to the worse state."""
    return AddressState(max((fact.at, fact.detail) for fact in facts)[1])
