"""From recorded facts to where an address stands: which refusals hold, which grounds to send are alive.

特定電子メール法 3条3項, 施行規則5条, 特定商取引法 12条の3 2項. The fold looks at all facts of one wide key at once and
at their times only, never at their order of arrival, so any replay gives the same answer. A tie means refused; a
recorded consent later than the refusal revives; an exemption never does. What ends by itself (a period, the age of an
exemption) is kept as a day, and the decision of a day looks at it. No clock, name or address here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from suppression.day import day_of_microseconds
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
    PERIOD = 1
    TOPIC = 2
    ALL = 3
    COMPLAINT = 4


class Fact(NamedTuple):
    """One row of the ledger, reduced to what decides. `at` counts microseconds."""

    kind: int
    wide: int
    exact: int
    sender: int
    topic: int
    at: int
    detail: int = 0
    """CONSENT: basis | covers << 8 | last day << 16. OPT_OUT: last day of a period. ADDRESS: the state."""


class Ground(NamedTuple):
    """A reason that lets advertising go: its basis and what it covers. Days are of Japan's calendar; 0 is none."""

    basis: Basis
    covers: Covers
    since: int = 0
    """Of what grows old (AGEING) and names no last day: the day it was found."""
    until: int = 0
    """Last day on which it holds."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Towards one sender in one topic."""

    refusal: Refusal = Refusal.NONE
    grounds: frozenset[Ground] = frozenset()
    period: int = 0
    """Last day of the longest refusal for a period; 0: there is none."""


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


def pack_ground(basis: Basis, covers: Covers, until: int = 0) -> int:
    return int(basis) | int(covers) << 8 | until << 16


def ages(fact: Fact) -> bool:
    """Whether the day of its `at` decides, and not only its order among others."""
    return fact.kind == Kind.CONSENT and _basis(fact) in AGEING and not fact.detail >> 16


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
    here = [fact for fact in others if fact.topic in (EVERY, topic)]
    refusals = [fact for fact in here if fact.kind != Kind.WITHDRAWAL]
    withdrawn_at = max((fact.at for fact in here if fact.kind == Kind.WITHDRAWAL), default=_NEVER)
    given = [fact for fact in consents if fact.topic in (EVERY, topic) and fact.at > withdrawn_at]
    consented_at = max((fact.at for fact in given if _basis(fact) in _REVIVES), default=_NEVER)
    lasting_at = max((fact.at for fact in refusals if not _last_day(fact)), default=_NEVER)
    alive = [fact for fact in given if lasting_at == _NEVER or (fact.at > lasting_at and _basis(fact) in _OWN_WILL)]
    holding = [fact for fact in refusals if fact.at >= consented_at]
    refusal = max((_refusal(fact) for fact in holding if not _last_day(fact)), default=Refusal.NONE)
    period = max(map(_last_day, holding), default=0)
    return Stand(refusal, frozenset(_grounds(alive)), period)


_REVIVES = frozenset({Basis.OPTIN_REC, Basis.MO_REC})
"""Only a consent that can be shown lifts a refusal (「示された意思に反して」, 12条の3 2項但書)."""

_OWN_WILL = _REVIVES | {Basis.OPTIN_NOREC, Basis.ADDR_GIVEN}
"""Acts of the holder: one later than the refusal still means what it says. The exemptions end with any refusal."""

_PUBLISHED = frozenset({Basis.PUBLISHED, Basis.PUBLISHED_NOADS, Basis.PUBLISHED_PRIVATE})


AGEING = frozenset({Basis.BIZREL, Basis.PUBLISHED})
"""Exemptions in the present tense: a relationship goes on or ends, a publication is looked up again or is stale."""


def _basis(fact: Fact) -> int:
    return fact.detail & 0xFF


def _last_day(fact: Fact) -> int:
    """Of a refusal for a period, which only suspends: what it finds is there again when it is over."""
    return fact.detail if fact.kind == Kind.OPT_OUT else 0


def _refusal(fact: Fact) -> Refusal:
    if fact.kind == Kind.COMPLAINT:
        return Refusal.COMPLAINT
    return Refusal.ALL if fact.topic == EVERY else Refusal.TOPIC


def _grounds(alive: Sequence[Fact]) -> Iterator[Ground]:
    """Of the published ones the latest alone: the exemption stops when a notice appears beside the address
    (施行規則3条但書), and a tie goes to the stricter one. Of what ages the youngest alone, so that the many
    transactions of a customer make one standing.
    """
    published = [fact for fact in alive if _basis(fact) in _PUBLISHED]
    latest = max(published, key=lambda fact: (fact.at, _basis(fact), fact.detail), default=None)
    youngest: dict[int, Ground] = {}
    for fact in alive:
        if _basis(fact) in _PUBLISHED and fact is not latest:
            continue
        if not ages(fact):
            yield _ground(fact)
        elif fact.detail not in youngest or _ground(fact) > youngest[fact.detail]:
            youngest[fact.detail] = _ground(fact)
    yield from youngest.values()


def _ground(fact: Fact) -> Ground:
    since = day_of_microseconds(fact.at) if ages(fact) else 0
    return Ground(Basis(_basis(fact)), Covers(fact.detail >> 8 & 0xFF), since, fact.detail >> 16)


def _state(facts: Sequence[Fact]) -> AddressState:
    """The latest report; a tie goes to the worse state."""
    return AddressState(max((fact.at, fact.detail) for fact in facts)[1])
