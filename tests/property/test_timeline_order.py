"""The timeline against a plain list of what waits: nobody is left behind, nobody too early, parked stay parked.

The spool is played by that list: a pull takes what is due behind the cursor, and new or deferred rows follow the
rule that the real spool keeps (see engine/spool/sqlite.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.mail.envelope import Priority
from engine.queue.timeline import Timeline


@dataclass(frozen=True)
class Lane:
    domain: str
    priority: Priority


LANES = [Lane(f"{name}.example", priority) for name in "abc" for priority in Priority]
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(LANES), st.integers(1, 5), st.integers(-50, 200)),
        st.tuples(st.just("pop"), st.integers(-100, 100), st.sampled_from([None, 1, 2]), st.integers(1, 4)),
        st.tuples(st.just("begin"), st.integers(-100, 100)),
        st.tuples(st.just("finish"), st.integers(1, 4)),
        st.tuples(st.just("remove"), st.sampled_from(LANES)),
        st.tuples(st.just("park"), st.sampled_from(LANES)),
        st.tuples(st.just("unpark"), st.sampled_from(LANES)),
    ),
    max_size=60,
)


class Model:
    """Rows waiting by lane, (due, id), and a clock that may go back."""

    def __init__(self) -> None:
        self.line: Timeline[Lane, tuple[int, int]] = Timeline((-1, -1))
        self.rows: dict[Lane, set[tuple[int, int]]] = {lane: set() for lane in LANES}
        self.parked: set[Lane] = set()
        self.out: list[Lane] = []
        self.now = 1000
        self.latest = 0
        self.number = 0
        self.pulled: set[int] = set()

    def add(self, lane: Lane, count: int, later: int) -> None:
        due = max(self.now + later, self.line.cursor(lane)[0])
        for _ in range(count):
            self.number += 1
            self.rows[lane].add((due, self.number))
        self.line.add(lane, count, due)

    def begin(self, move: int, limit: int | None = None) -> list[Lane]:
        self.now = max(0, self.now + move)
        self.latest = max(self.latest, self.now)
        due = {lane for lane in LANES if self._is_due(lane)}
        given = self.line.pop_due(self.now, limit)
        assert len(given) == len(set(given))
        assert not set(given) & (self.parked | set(self.out))
        ranks = [lane.priority for lane in given]
        assert ranks == sorted(ranks)
        assert len(given) == limit or due <= set(given)
        self.out += given
        return given

    def _is_due(self, lane: Lane) -> bool:
        if lane in self.parked or lane in self.out:
            return False
        return any(due <= self.latest for due, _ in self.rows[lane])

    def finish(self, limit: int) -> None:
        lane = self.out.pop(0)
        cursor = self.line.cursor(lane)
        behind = sorted(self.rows[lane])
        assert all(place > cursor for place in behind)
        taken = [place for place in behind if place[0] <= max(self.latest, cursor[0])][:limit]
        self.rows[lane] -= set(taken)
        self.pulled |= {number for _, number in taken}
        rest = behind[len(taken) :]
        self.line.pulled(lane, len(taken), taken[-1] if taken else cursor, rest[0][0] if rest else None)

    def check(self) -> None:
        for lane in LANES:
            assert self.line.waiting(lane) == len(self.rows[lane])
        assert self.line.total() == sum(map(len, self.rows.values()))
        free = [row for lane in LANES if lane not in self.parked and lane not in self.out for row in self.rows[lane]]
        next_due = self.line.next_due()
        if free:
            assert next_due is not None
            assert next_due <= min(free)[0]


def apply(model: Model, change: tuple) -> None:
    match change:
        case ("add", lane, count, later):
            model.add(lane, count, later)
        case ("pop", move, limit, size):
            for _ in model.begin(move, limit):
                model.finish(size)
        case ("begin", move):
            model.begin(move)
        case ("finish", size) if model.out:
            model.finish(size)
        case ("remove", lane) if model.rows[lane]:
            model.rows[lane].remove(max(model.rows[lane]))
            model.line.remove(lane, 1)
        case ("park", lane):
            model.parked.add(lane)
            model.line.park(lane)
        case ("unpark", lane):
            model.parked.discard(lane)
            model.line.unpark(lane)


@settings(max_examples=150, deadline=None)
@given(CHANGES)
def test_nobody_is_left_behind(changes):
    model = Model()
    for change in changes:
        apply(model, change)
        model.check()
    for lane in LANES:
        model.parked.discard(lane)
        model.line.unpark(lane)
    while model.out:
        model.finish(3)
    model.now = max(model.now, model.latest)
    model.begin(10_000)
    while model.out:
        model.finish(1000)
        model.begin(0)
    assert model.line.total() == 0
