"""The index equals a plain model, whatever came in which order, by whichever way, however often reopened."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from suppression import (
    AddressState,
    Basis,
    Category,
    Complaint,
    Consent,
    Covers,
    Event,
    HardBounce,
    OptOut,
    Restored,
    Scope,
    Suppression,
    SuppressionSettings,
    Withdrawal,
    policy,
)
from suppression.address import Forms, forms
from suppression.day import date_of, day_of, number_of
from suppression.face import FEW
from suppression.index import Table
from suppression.policy import Circumstances
from suppression.reasons import packaged_tables
from suppression.standing import Ground, Refusal, Stand
from suppression.tables import in_force

ADDRESSES = ("a.b@gmail.com", "ab@gmail.com", "AB+t@googlemail.com", "x@y.jp", '"X"@Y.JP', "z@y.jp", "x+t@outlook.com")
SENDERS = ("s", "t")
TOPICS = ("news", "shop")
NOW = 1_800_000_000.0
TODAY = day_of(NOW)
RULES = in_force(packaged_tables(), TODAY)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # durability is not what is asked here

address = st.sampled_from(ADDRESSES)
at = st.sampled_from([1.0, 2.0, 3.0, NOW - 366 * 86_400, NOW - 365 * 86_400, NOW - 86_400, NOW - 1])
until = st.sampled_from([TODAY - 1, TODAY, TODAY + 1]).map(date_of)
sender = st.sampled_from(SENDERS)
covers = st.sampled_from([Covers.AD, Covers.MAIL_ORDER, Covers.AD | Covers.MAIL_ORDER])
topics = st.lists(st.sampled_from(TOPICS), unique=True, max_size=2).map(tuple)

event = st.one_of(
    st.builds(OptOut, address, at, st.just("web"), st.just(Scope.GLOBAL)),
    st.builds(OptOut, address, at, st.just("web"), st.just(Scope.SENDER), sender),
    st.builds(OptOut, address, at, st.just("web"), st.just(Scope.TOPIC), sender, st.sampled_from(TOPICS)),
    st.builds(
        OptOut, address, at, st.just("web"), st.just(Scope.PERIOD), sender, st.sampled_from(("", *TOPICS)), until=until
    ),
    st.builds(Consent, address, at, st.just("web"), sender, st.sampled_from(Basis), covers, topics),
    st.builds(Consent, address, at, st.just("web"), sender, st.sampled_from(Basis), covers, topics, until=until),
    st.builds(Consent, address, at, st.just("web"), sender, st.just(Basis.OPTIN_REC), covers, topics),
    st.builds(Withdrawal, address, at, st.just("web"), sender, st.sampled_from(("", *TOPICS))),
    st.builds(Complaint, address, at, st.just("arf"), st.sampled_from(("", *SENDERS))),
    st.builds(HardBounce, address, at, st.just("smtp"), st.sampled_from(list(AddressState)[1:])),
    st.builds(Restored, address, at, st.just("manual")),
)
rows = st.lists(st.tuples(address, at), min_size=1, max_size=8)
step = st.one_of(
    st.tuples(st.just("apply"), st.lists(event, min_size=1, max_size=6)),
    st.tuples(st.just("load"), st.tuples(event, rows)),
    st.tuples(st.sampled_from(("reopen", "abandon", "rebuild")), st.none()),
)


yes = st.builds(Consent, address, at, st.just("web"), sender, st.just(Basis.OPTIN_REC), covers, topics)
imports = st.tuples(
    st.tuples(st.just("load"), st.tuples(yes, rows)),
    st.tuples(st.just("load"), st.tuples(event, rows)),
    st.tuples(st.just("load"), st.tuples(event, rows)),
)


@given(st.one_of(st.lists(step, min_size=1, max_size=8), imports))
@settings(max_examples=100, deadline=None)
def test_decisions_are_those_of_the_model(steps) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        where = SuppressionSettings(Path(folder) / "ledger", Path(folder) / "secret")
        recorded: list[Event] = []
        suppression = Suppression.open(where, clock=lambda: NOW)
        try:
            for what, argument in steps:
                if what == "apply":
                    suppression.apply_now(argument)
                    recorded += argument
                elif what == "load":
                    template, rows = argument
                    suppression.load(template, rows)
                    recorded += [replace(template, address=row[0], at=row[1]) for row in rows]
                else:
                    suppression = reopened(suppression, where, what)
            compare(suppression, recorded)
        finally:
            suppression.close()


def reopened(suppression: Suppression, where: SuppressionSettings, how: str) -> Suppression:
    if how == "abandon":  # as a kill leaves it: the snapshot is behind the ledger, or missing
        suppression._ledger.close()
    else:
        suppression.close()
    if how == "rebuild":
        (where.folder / "index.snapshot").unlink(missing_ok=True)
    return Suppression.open(where, clock=lambda: NOW)


def compare(suppression: Suppression, recorded: Sequence[Event]) -> None:
    identities = suppression.identify(ADDRESSES)
    for name in (*SENDERS, "unknown"):
        for topic in ("", *TOPICS):
            stands = [model(recorded, name, topic, forms(each)) for each in ADDRESSES]
            for category in (Category.AD, Category.AD_MO, Category.CONFIRM):
                expected = [
                    policy.decide(RULES, category, state, stand, Circumstances(TODAY)) for state, stand in stands
                ]
                assert suppression.decide_identities(name, topic, category, identities * FEW) == expected * FEW
            alone = [suppression.decide_one(name, topic, category, identity) for identity in identities]
            assert alone == expected


def model(recorded: Sequence[Event], name: str, topic: str, whom: Forms | None) -> tuple[AddressState, Stand]:
    """Straight from the words of the law, over the list of events."""
    assert whom is not None
    refusals: list[tuple[float, Refusal, int]] = []
    withdrawn = -1.0
    given_: list[Consent] = []
    reports = [(0.0, AddressState.OK)]
    for each in recorded:
        other = forms(each.address)
        assert other is not None
        match each:
            case HardBounce() if other.exact == whom.exact:
                reports.append((each.at, each.state))
            case Restored() if other.exact == whom.exact:
                reports.append((each.at, AddressState.OK))
            case OptOut() | Complaint() if other.wide == whom.wide:
                refusal = refusal_of(each, name, topic)
                last = number_of(each.until) if isinstance(each, OptOut) and each.until else 0
                refusals += [(each.at, refusal, last)] if refusal else []
            case Withdrawal() if other.wide == whom.wide and each.sender == name and each.topic in ("", topic):
                withdrawn = max(withdrawn, each.at)
            case Consent() if other.exact == whom.exact and each.sender == name:
                given_ += [each] if not each.topics or topic in each.topics else []
    return max(reports)[1], stand_of(refusals, [each for each in given_ if each.at > withdrawn])


def refusal_of(each: OptOut | Complaint, name: str, topic: str) -> Refusal | None:
    if isinstance(each, Complaint):
        return Refusal.COMPLAINT if each.sender in ("", name) else None
    if each.scope is Scope.GLOBAL:
        return Refusal.ALL
    if each.sender != name or each.topic not in ("", topic):
        return None
    return Refusal[each.scope.replace("SENDER", "ALL")]


def stand_of(refusals: Sequence[tuple[float, Refusal, int]], consents: Sequence[Consent]) -> Stand:
    """A refusal for a period kills no ground; it is only in the way until its last day."""
    shown = max((each.at for each in consents if each.basis in (Basis.OPTIN_REC, Basis.MO_REC)), default=-1.0)
    lasting = [(when, refusal) for when, refusal, last in refusals if not last]
    refused = max((when for when, _ in lasting), default=None)
    alive = [
        each
        for each in consents
        if refused is None
        or (each.at > refused and each.basis in (Basis.OPTIN_REC, Basis.MO_REC, Basis.OPTIN_NOREC, Basis.ADDR_GIVEN))
    ]
    published = [each for each in alive if each.basis >= Basis.PUBLISHED]
    if published:
        # of one instant: the stricter basis, then what names a last day, then what covers more
        last = max(published, key=lambda each: (each.at, each.basis, each.until or date.min, each.covers))
        alive = [each for each in alive if each.basis < Basis.PUBLISHED or each is last]
    holding = [refusal for when, refusal in lasting if when >= shown]
    period = max((last for when, _, last in refusals if last and when >= shown), default=0)
    return Stand(max(holding, default=Refusal.NONE), frozenset(grounds_of(alive)), period)


def grounds_of(alive: Sequence[Consent]) -> set[Ground]:
    """A ground of today counts by its last day, or, for the two that grow old, by the day of its latest sign."""
    found = set()
    for each in alive:
        days = (0, number_of(each.until)) if each.until else (0, 0)
        if each.basis in (Basis.BIZREL, Basis.PUBLISHED) and not each.until:
            same = [
                other for other in alive if (other.basis, other.covers, other.until) == (each.basis, each.covers, None)
            ]
            days = (day_of(max(other.at for other in same)), 0)
        found.add(Ground(each.basis, each.covers, *days))
    return found


keys = st.lists(st.integers(0, 2**64 - 2), unique=True, max_size=40)
clustered = st.lists(st.integers(0, 60), unique=True, max_size=40)


@given(st.lists(st.one_of(keys, clustered), max_size=6), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_a_table_equals_a_dict(groups, limit) -> None:
    table = Table(overlay_limit=limit)
    expected: dict[int, int] = {}
    for number, group in enumerate(groups):
        new = [key for key in group if key not in expected]
        table.put_new(np.array(new, dtype=np.uint64), np.full(len(new), number, dtype=np.uint32))
        expected |= dict.fromkeys(new, number)
        for key in group[::2]:
            table.put(key, number + 100)
            expected[key] = number + 100
    asked = [*expected, *range(70), 2**64 - 2]
    assert [table.get(key) for key in asked] == [expected.get(key, -1) for key in asked]
    assert table.get_many(np.array(asked, dtype=np.uint64)).tolist() == [expected.get(key, -1) for key in asked]
    assert len(table) == len(expected)
    found, numbers = table.compacted().piece(0, 1 << 64)
    assert dict(zip(found.tolist(), numbers.tolist(), strict=True)) == expected
