"""One path, its parts played: where a recipient is at each moment, what a closed session does, who overtakes whom."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from engine.flow.letters import Letter
from engine.flow.path import LETTERS_PER_CONNECTION, SOUR_AFTER, Path, PathCounts
from engine.mail.envelope import Batch, Priority, Recipient
from engine.net.resolver import Route, TlsMode
from engine.policy.shaping import Limits
from engine.policy.throttle import Rate
from engine.smtp.event import Closed, Phase, Transaction
from engine.smtp.reply import Reply
from engine.spool.port import Outcome
from tests.fakes.virtual import virtually

URGENT, BULK = (Batch(p + 1, "shop", "TX", "", "m", 1, p, 0.0, 0, 1) for p in Priority)
LIMITS = Limits(max_connection_rate=None, max_message_rate=None, connection_limit=1, initial_connection_limit=1)
OK = Reply(250, "2.0.0", "queued")
GONE = Reply(421, "4.3.2", "closing")


def recipients(count: int, batch: Batch = BULK, first: int = 1) -> list[Recipient]:
    return [Recipient(number, batch, f"r{number}@d.example", {}) for number in range(first, first + count)]


class Line:
    """A connection as a path sees it: takes one transaction at a time and holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.transactions = 0
        self.idle_since: float | None = 0.0
        self.on_it: list[Transaction] = []
        self.quitting = False
        path.pool.opening = max(0, path.pool.opening - 1)
        path.pool.connections.add(self)  # type: ignore[arg-type]

    def kick(self) -> None:
        if not self.quitting and not self.on_it:
            transaction = self.path.next_transaction(self)  # type: ignore[arg-type]
            if transaction is not None and not self.quitting:
                self.transactions += 1
                self.on_it.append(transaction)
                self.idle_since = None

    def quit(self) -> None:
        self.quitting = True

    def answer(self, reply: Reply = OK, phase: Phase = Phase.DOT) -> None:
        transaction = self.on_it.pop(0)
        self.idle_since = 0.0
        self.path.finished(self, transaction, phase, reply)  # type: ignore[arg-type]
        self.kick()

    def close(self, *phases: Phase, reply: Reply | None = None, error: str = "eof") -> None:
        """With what is on it, in these phases."""
        unresolved = tuple(zip(self.on_it, phases, strict=True))
        self.path.closed(self, Closed(phases[0] if phases else None, reply, "" if reply else error, unresolved))  # type: ignore[arg-type]

    @property
    def ids(self) -> list[int]:
        return [transaction.context.recipient.id for transaction in self.on_it]  # type: ignore[attr-defined]


class Signer:
    """letters.Letters: a sheet is signed when the test says so, or at once."""

    def __init__(self) -> None:
        self.sheets: deque[tuple[Sequence[Recipient], Any, Any]] = deque()
        self.written: list[list[int]] = []
        self.at_once = True
        self.has_room = True
        self.call_again: list[Callable[[], None]] = []

    def write(self, recipients: Sequence[Recipient], done: Any, failed: Any) -> None:
        self.written.append([recipient.id for recipient in recipients])
        self.sheets.append((recipients, done, failed))
        if self.at_once:
            asyncio.get_running_loop().call_soon(self.sign)

    def sign(self) -> None:
        taken, done, _ = self.sheets.popleft()
        done(
            [
                Letter(recipient, "b@us", b"hi\r\n", eightbit=False, utf8=False, good_until=math.inf)
                for recipient in taken
            ]
        )

    def room(self, call_again: Callable[[], None]) -> bool:
        if not self.has_room:
            self.call_again.append(call_again)
        return self.has_room


@dataclass
class Desk:
    forbidden: set[int] = field(default_factory=set)
    refused: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    ended: list[tuple[int, Phase, int | None]] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    opened: int = 0
    drained_: int = 0

    def may_leave(self, recipient: Recipient, _now: float) -> bool:
        if recipient.id in self.forbidden:
            self.refused.append(recipient.id)
            return False
        return True

    def started(self, recipient: Recipient, _now: float) -> None:
        self.begun.append(recipient.id)

    def finished(self, _path: Path, _line: Any, letter: Letter, phase: Phase, reply: Reply | None, _error: str) -> None:
        self.ended.append((letter.recipient.id, phase, reply and reply.code))

    def unsigned(self, recipients: Sequence[Recipient], _error: BaseException) -> None:
        self.failed += [recipient.id for recipient in recipients]

    def open(self, _path: Path) -> None:
        self.opened += 1

    def drained(self, _path: Path) -> None:
        self.drained_ += 1


class Stage:
    def __init__(self, limits: Limits = LIMITS) -> None:
        self.desk, self.signer = Desk(), Signer()
        loop = asyncio.get_running_loop()
        route = Route("d", "127.0.0.1", 25, TlsMode.DISABLED)
        self.path = Path(route, limits, letters=self.signer, desk=self.desk, clock=loop.time, loop=loop)  # type: ignore[arg-type]

    def line(self) -> Line:
        line = Line(self.path)
        self.path.pump()
        return line

    async def turn(self) -> None:
        """Lets everything happen that needs no time."""
        for _ in range(5):
            await asyncio.sleep(0)


def staged(test: Callable[[Stage], Any], limits: Limits = LIMITS) -> None:
    async def main() -> None:
        await test(Stage(limits))

    virtually(main())


def test_a_recipient_is_counted_in_one_place_from_ready_to_settle() -> None:
    async def test(stage: Stage) -> None:
        path, stage.signer.at_once = stage.path, False
        path.ready.push(recipients(1))
        assert (len(path.ready), path.in_flight) == (1, 0)
        path.pump()
        assert stage.desk.opened == 1
        line = stage.line()
        assert (len(path.ready), path.in_flight, path.prepared) == (0, 1, 0)
        stage.signer.sign()
        assert (line.ids, path.in_flight, path.prepared) == ([1], 1, 0)
        line.answer()
        assert (path.in_flight, stage.desk.ended) == (0, [(1, Phase.DOT, 250)])

    staged(test)


def test_no_letters_are_made_without_a_connection_and_few_with_one() -> None:
    async def test(stage: Stage) -> None:
        stage.path.push(recipients(100))
        await stage.turn()
        assert stage.signer.written == [list(range(1, 1 + LETTERS_PER_CONNECTION))], "one is being opened"
        stage.path.pool.opening = 0
        stage.path.pump()
        stage.path.pool.opening = 0
        await stage.turn()
        assert sum(map(len, stage.signer.written)) <= LETTERS_PER_CONNECTION

    staged(test)


def test_transactional_overtakes_in_ready_at_the_signer_and_among_the_letters() -> None:
    async def test(stage: Stage) -> None:
        stage.path.push(recipients(50))
        line = stage.line()
        await stage.turn()
        assert line.ids == [1]
        stage.signer.has_room = False
        stage.path.push(recipients(2, URGENT, 900))
        await stage.turn()
        assert stage.signer.written[-1] == [900, 901], "on a sheet of their own, although bulk has its fill"
        for expected in ([900], [901], [2]):
            line.answer()
            assert line.ids == expected

    staged(test)


def test_a_full_bulk_queue_does_not_keep_transactional_mail_parked() -> None:
    async def test(stage: Stage) -> None:
        stage.path.ready.push(recipients(10) + recipients(10, URGENT, 900))
        stage.path.want_more(Priority.TRANSACTIONAL)
        stage.line()
        await stage.turn()
        assert not stage.path.ready.queues[Priority.TRANSACTIONAL]
        assert len(stage.path.ready.queues[Priority.BULK]) == 10
        assert stage.desk.drained_ == 1

    staged(test, replace(LIMITS, max_ready=10))


def test_promote_is_called_once_when_half_is_gone() -> None:
    async def test(stage: Stage) -> None:
        stage.path.ready.push(recipients(30))
        stage.path.want_more(Priority.BULK)
        line = stage.line()
        await stage.turn()
        while len(stage.path.ready) > 5:
            assert stage.desk.drained_ == 0
            line.answer()
            await stage.turn()
        assert stage.desk.drained_ == 1

    staged(test, replace(LIMITS, max_ready=10))


def test_a_path_whose_recipients_were_all_taken_away_asks_once_and_may_rest() -> None:
    async def test(stage: Stage) -> None:
        stage.path.ready.push(recipients(10))
        stage.path.want_more(Priority.BULK)
        stage.path.feed()
        assert stage.desk.drained_ == 0, "there is no room yet"
        stage.path.ready.take(10)
        assert not stage.path.is_empty
        stage.path.feed()
        stage.path.feed()
        assert (stage.desk.drained_, stage.path.is_empty) == (1, True)

    staged(test, replace(LIMITS, max_ready=10))


def test_who_may_not_leave_is_asked_twice_and_leaves_no_trace() -> None:
    async def test(stage: Stage) -> None:
        stage.desk.forbidden = {1}
        stage.path.push(recipients(3))
        line = stage.line()
        stage.desk.forbidden = {2}
        await stage.turn()
        assert (stage.desk.refused, line.ids) == ([1, 2], [3])
        line.answer()
        assert (stage.path.in_flight, stage.desk.begun) == (0, [3])

    staged(test)


def test_what_a_session_gives_back_is_asked_about_again() -> None:
    async def test(stage: Stage) -> None:
        path = stage.path
        path.push(recipients(3))
        line = stage.line()
        await stage.turn()
        assert line.ids == [1]
        path.returned(line, line.on_it.pop())  # type: ignore[arg-type]
        assert (len(path.ready), path.in_flight) == (1, 2), "first in the queue, no attempt counted"
        assert stage.desk.ended == []
        stage.desk.forbidden = {1}
        line.kick()
        line.answer()
        line.answer()
        await stage.turn()
        assert stage.desk.begun == [1, 2, 3], "an opt-out came meanwhile: 1 does not begin again"
        assert stage.desk.refused == [1]
        assert path.in_flight == 0

    staged(test)


def test_a_sheet_of_nobody_is_not_written() -> None:
    async def test(stage: Stage) -> None:
        stage.desk.forbidden = {1, 2, 3}
        stage.path.push(recipients(3))
        stage.line()
        assert (stage.signer.written, stage.path.in_flight) == ([], 0)

    staged(test)


def test_a_throttle_makes_it_wait_and_its_one_timer_goes_on() -> None:
    async def test(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        stage.path.push(recipients(3))
        line = stage.line()
        await stage.turn()
        began = loop.time()
        line.answer()
        assert (line.ids, stage.path.bind, stage.path.counts.throttled) == ([], "max_message_rate", 1)
        while not line.ids:
            await asyncio.sleep(0.01)
        assert 0.9 < loop.time() - began < 1.1
        assert stage.path.bind == "", "what limited it does no more"

    staged(test, replace(LIMITS, max_message_rate=Rate(1, 1, 1)))


def test_a_paused_path_makes_no_letters_and_goes_on_by_itself() -> None:
    async def test(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        path = stage.path
        path.push(recipients(20))
        line = stage.line()
        await stage.turn()
        path.pool.pause(loop.time(), 100.0)
        path.unmake()
        path.pump()
        line.answer()
        written = len(stage.signer.written)
        await asyncio.sleep(50.0)
        path.pump()
        assert (len(path.ready), path.prepared, len(stage.signer.written)) == (19, 0, written)
        await asyncio.sleep(51.0)
        assert line.ids == [2]

    staged(test)


def test_letters_that_come_back_signed_during_a_pause_are_given_back() -> None:
    async def test(stage: Stage) -> None:
        path, stage.signer.at_once = stage.path, False
        path.push(recipients(3))
        stage.line()
        path.pool.pause(asyncio.get_running_loop().time(), 100.0)
        stage.signer.sign()
        assert ([r.id for r in path.ready.queues[Priority.BULK]], path.prepared, path.in_flight) == ([1, 2, 3], 0, 0)

    staged(test)


def test_a_parked_path_holds_one_timer_and_nothing_else() -> None:
    async def test(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        stage.path.pool.pause(loop.time(), 100.0)
        before = len(loop._scheduled)  # type: ignore[attr-defined]
        for number in range(50):
            stage.path.push(recipients(1, first=number))
        assert len(loop._scheduled) == before + 1  # type: ignore[attr-defined]
        stage.path.recall(lambda _: True)
        await asyncio.sleep(150.0)
        assert len(loop._scheduled) == before  # type: ignore[attr-defined]
        assert stage.desk.opened == 0

    staged(test)


def test_so_many_messages_and_the_connection_ends() -> None:
    async def test(stage: Stage) -> None:
        stage.path.push(recipients(5))
        line = stage.line()
        await stage.turn()
        line.answer()
        line.answer()
        assert (line.quitting, line.ids, line.transactions) == (True, [], 2)
        line.close()
        await stage.turn()
        assert stage.desk.opened >= 2, "the rest gets another"

    staged(test, replace(LIMITS, max_deliveries_per_connection=2))


def test_starved_of_the_signer_it_is_called_again() -> None:
    async def test(stage: Stage) -> None:
        stage.signer.has_room = False
        stage.path.push(recipients(5))
        stage.line()
        stage.path.pump()
        assert (len(stage.signer.call_again), stage.signer.written) == (1, [])
        stage.signer.has_room = True
        stage.signer.call_again[0]()
        assert stage.signer.written == [[1, 2, 3, 4, 5]]

    staged(test)


def test_who_cannot_be_signed_goes_to_the_desk() -> None:
    async def test(stage: Stage) -> None:
        stage.signer.at_once = False
        stage.path.push(recipients(2))
        stage.line()
        taken, _, failed = stage.signer.sheets.popleft()
        failed(taken, RuntimeError("no signer"))
        assert (stage.desk.failed, stage.path.in_flight) == ([1, 2], 0)

    staged(test)


CLOSINGS = [
    # phases of what is on the line, the reply, transactions so far -> told to the desk, put back, window failures
    ((Phase.MAIL,), None, 1, [(1, Phase.MAIL, None)], [], 1),
    ((Phase.MAIL,), None, 7, [], [1], 1),
    ((Phase.MAIL,), GONE, 7, [(1, Phase.MAIL, 421)], [], 0),
    ((Phase.RCPT,), None, 7, [(1, Phase.RCPT, None)], [], 1),
    ((Phase.DATA,), None, 7, [(1, Phase.DATA, None)], [], 1),
    ((Phase.DOT,), None, 7, [(1, Phase.DOT, None)], [], 1),
    ((Phase.DOT,), GONE, 7, [(1, Phase.DOT, 421)], [], 0),
    ((Phase.DOT, Phase.MAIL), None, 7, [(1, Phase.DOT, None)], [2], 1),
    ((Phase.DOT, Phase.MAIL), GONE, 7, [(1, Phase.DOT, 421)], [2], 0),
    ((Phase.DOT, Phase.DOT), None, 7, [(1, Phase.DOT, None), (2, Phase.DOT, None)], [], 1),
    ((Phase.DATA, Phase.RCPT), None, 7, [(1, Phase.DATA, None)], [2], 1),
    ((), None, 7, [], [], 0),
]


@pytest.mark.parametrize(("phases", "reply", "transactions", "told", "back", "failures"), CLOSINGS)
def test_a_session_that_ends_in_each_phase(phases, reply, transactions, told, back, failures) -> None:
    async def test(stage: Stage) -> None:
        stage.path.push(recipients(len(phases)))
        line = stage.line()
        await stage.turn()
        while len(line.on_it) < len(phases):
            line.on_it.append(stage.path.next_transaction(line))  # type: ignore[arg-type]
        line.transactions = transactions
        lost = 0

        def failure() -> None:
            nonlocal lost
            lost += 1

        stage.path.pool.window = type("Window", (), {"failure": staticmethod(failure), "dead": False, "size": 1})()
        line.close(*phases, reply=reply)
        assert stage.desk.ended == told
        assert [recipient.id for recipient in stage.path.ready.take(9)] == back
        assert (stage.path.in_flight, stage.path.pool.connections, lost) == (0, set(), failures)

    staged(test)


def test_recall_finds_the_ready_and_the_made_and_leaves_the_wire_alone() -> None:
    async def test(stage: Stage) -> None:
        stage.path.push(recipients(20))
        line = stage.line()
        await stage.turn()
        assert (line.ids, stage.path.prepared) == ([1], 7)
        gone = stage.path.recall(lambda recipient: recipient.id in {1, 3, 15})
        assert sorted(recipient.id for recipient in gone) == [3, 15]
        assert (stage.path.in_flight, len(stage.path.ready), stage.path.prepared) == (7, 11, 6)
        assert stage.path.recall(lambda recipient: recipient.id == 3) == []

    staged(test)


def test_recall_makes_room() -> None:
    async def test(stage: Stage) -> None:
        stage.path.push(recipients(10))
        stage.path.want_more(Priority.BULK)
        stage.path.recall(lambda _: True)
        assert stage.desk.drained_ == 1

    staged(test, replace(LIMITS, max_ready=10))


def test_a_closing_path_begins_nothing_and_is_quiet_when_its_lines_are() -> None:
    async def test(stage: Stage) -> None:
        path = stage.path
        path.push(recipients(20))
        line = stage.line()
        await stage.turn()
        path.pool.pause(0.0, 5000.0)
        path.pump()
        path.close()
        assert line.quitting
        assert not path.is_quiet
        path.push(recipients(1, first=99))
        path.pump()
        line.on_it.clear()
        line.close()
        await stage.turn()
        assert path.is_quiet
        path.unmake()
        assert [recipient.id for recipient in path.ready.take(99)] == [*range(2, 21), 99]
        await asyncio.sleep(9000)
        assert stage.desk.begun == [1]

    staged(test)


def test_an_idle_line_is_woken_by_one_letter_when_none_is_busy() -> None:
    async def test(stage: Stage) -> None:
        first, second = stage.line(), stage.line()
        stage.path.push(recipients(1))
        await stage.turn()
        assert sorted([first.ids, second.ids]) == [[], [1]]
        stage.path.push(recipients(1, first=2))
        await stage.turn()
        assert sorted([first.ids, second.ids]) == [[1], [2]], "urgent enough: one letter wakes one line"

    staged(test)


def test_counts_by_end() -> None:
    counts = PathCounts()
    for outcome in (Outcome.DELIVERED, Outcome.DELIVERED, None, Outcome.BOUNCED, Outcome.CANCELLED):
        counts.note(outcome)
    assert (counts.delivered, counts.deferred, counts.failed) == (2, 1, 2)


def test_a_site_that_defers_everything_is_tried_slowly_until_it_takes_one() -> None:
    async def test(stage: Stage) -> None:
        path, loop = stage.path, asyncio.get_running_loop()
        for _ in range(SOUR_AFTER):
            path.counts.note(None)
        path.push(recipients(100))
        line = stage.line()
        await stage.turn()
        assert sum(map(len, stage.signer.written)) <= LETTERS_PER_CONNECTION, "few letters for a site that takes none"
        began = loop.time()
        for _ in range(3):
            while not line.ids:
                await asyncio.sleep(0.01)
            line.answer()
            path.counts.note(None)
        assert 0.9 < loop.time() - began < 1.6, "two a second, the first at once"
        assert path.bind == "deferring_message_rate"
        path.counts.note(Outcome.DELIVERED)
        began = loop.time()
        while not line.ids:
            await asyncio.sleep(0.01)
        for _ in range(10):
            line.answer()
            await stage.turn()
            assert line.ids
        assert loop.time() - began < 1

    staged(test, replace(LIMITS, deferring_message_rate=Rate(2, 1, 1)))
