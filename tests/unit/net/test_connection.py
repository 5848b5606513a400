"""Timers, flow control and the owner's calls, against a transport that only remembers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from engine.net.connection import Connection, Timeouts
from engine.smtp.event import Closed, Phase, Transaction
from engine.smtp.extensions import Extensions
from engine.smtp.reply import Reply

GO = b"250 ok\r\n250 ok\r\n354 go\r\n"


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.end = ""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.end = self.end or "closed"

    def abort(self) -> None:
        self.end = self.end or "aborted"


@dataclass
class Sender:
    waiting: deque[str] = field(default_factory=deque)
    outcomes: list[object] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    on_finished: Callable[[Connection], None] = lambda connection: None
    on_next: Callable[[Connection], None] = lambda connection: None

    def next_transaction(self, connection: Connection) -> Transaction | None:
        self.on_next(connection)
        if not self.waiting:
            return None
        recipient = self.waiting.popleft()
        return Transaction("s@us", recipient, b"hi\r\n", False, False, recipient)

    def finished(self, connection: Connection, transaction: Transaction, phase: Phase, reply: Reply) -> None:
        self.outcomes.append((transaction.recipient, phase, reply.code))
        self.on_finished(connection)

    def returned(self, connection: Connection, transaction: Transaction) -> None:
        self.outcomes.append((transaction.recipient, "returned"))

    def closed(self, connection: Connection, closed: Closed) -> None:
        self.outcomes.append(closed)
        self.ended.set()


def connection(*waiting: str, attached: bool = True, **kwargs: Timeouts) -> tuple[Connection, Wire, Sender]:
    wire, sender = Wire(), Sender(deque(waiting))
    made = Connection(wire, Extensions(pipelining=True), peer=("mx.example", "192.0.2.1"), **kwargs)
    if attached:
        made.attach(sender)
    return made, wire, sender


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test()

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


@on_loop
async def test_one_read_leads_to_one_write() -> None:
    made, wire, sender = connection("a@x", "b@x", "c@x")
    made.kick()
    made.data_received(GO)
    made.data_received(b"250 queued\r\n" + GO)
    assert len(wire.writes) == 3
    assert wire.writes[1] == b"hi\r\n.\r\nMAIL FROM:<s@us>\r\nRCPT TO:<b@x>\r\nDATA\r\n"
    assert sender.outcomes == [("a@x", Phase.DOT, 250)]
    assert made.transactions == 3
    made.abort()


@on_loop
async def test_what_was_not_sent_is_given_back_and_asked_for_again() -> None:
    made, wire, sender = connection("a@x", "b@x", "c@x")
    made.kick()
    made.data_received(GO)
    made.data_received(b"250 queued\r\n" + b"503 5.5.1 pipelined after end of DATA\r\n" * 3)
    assert wire.writes[-1] == b"RSET\r\n"
    made.data_received(b"250 ok\r\n")
    assert sender.outcomes == [("a@x", Phase.DOT, 250), ("b@x", "returned")]
    assert b"c@x" in wire.writes[-1], "the owner decides what goes next"
    made.abort()


@on_loop
async def test_idle_since() -> None:
    made, _, sender = connection()
    assert made.idle_since is not None
    made.kick()
    assert made.idle_since is not None
    sender.waiting.append("a@x")
    made.kick()
    assert made.idle_since is None
    assert made.phase is Phase.MAIL
    made.data_received(GO)
    made.data_received(b"250 queued\r\n250 reset\r\n")
    assert made.idle_since is not None
    assert made.phase is None
    made.abort()


@on_loop
async def test_nothing_is_begun_while_the_transport_is_full() -> None:
    made, wire, sender = connection("a@x", "b@x")
    made.kick()
    made.pause_writing()
    made.data_received(GO)
    assert wire.writes[-1] == b"hi\r\n.\r\nRSET\r\n"
    assert sender.waiting == deque(["b@x"])
    made.resume_writing()
    assert wire.writes[-1].startswith(b"MAIL FROM")
    made.abort()


@on_loop
async def test_quit_closes_and_everything_else_aborts() -> None:
    made, wire, sender = connection()
    made.quit()
    assert wire.writes == [b"QUIT\r\n"]
    made.data_received(b"221 bye\r\n")
    assert wire.end == "closed"
    assert sender.outcomes == [Closed(Phase.QUIT, Reply(221, "", "bye"), "", ())]
    made.connection_lost(None)
    made.abort()
    assert len(sender.outcomes) == 1
    assert made.is_closed


@pytest.mark.parametrize("end", ["eof_received", "connection_lost", "abort", "violation"])
def test_the_end_comes_once(end: str) -> None:
    @on_loop
    async def run() -> None:
        made, wire, sender = connection("a@x")
        made.kick()
        made.data_received(GO)
        if end == "violation":
            made.data_received(b"what\r\n")
        elif end == "connection_lost":
            made.connection_lost(ConnectionResetError("by peer"))
        else:
            getattr(made, end)()
        made.eof_received()
        made.connection_lost(None)
        (closed,) = sender.outcomes
        assert isinstance(closed, Closed)
        assert [(t.recipient, phase) for t, phase in closed.unresolved] == [("a@x", Phase.DOT)]
        assert wire.end == "aborted"

    run()


@on_loop
async def test_the_owner_may_quit_or_abort_in_its_callbacks() -> None:
    made, wire, sender = connection("a@x", "b@x")
    sender.on_finished = Connection.quit
    made.kick()
    made.data_received(b"550 no\r\n503 no\r\n503 no\r\n")
    assert wire.writes[-1] == b"QUIT\r\n"
    assert sender.waiting == deque(["b@x"])
    made, wire, sender = connection("a@x")
    sender.on_next = Connection.abort
    sender.waiting.clear()
    made.kick()
    assert wire.end == "aborted"
    assert wire.writes == []


@on_loop
async def test_kick_inside_a_callback_does_not_begin_twice() -> None:
    made, wire, sender = connection("a@x", "b@x")
    sender.on_finished = Connection.kick
    made.kick()
    made.data_received(b"550 no\r\n503 no\r\n503 no\r\n")
    assert wire.writes[-1] == b"MAIL FROM:<s@us>\r\nRCPT TO:<b@x>\r\nDATA\r\n"
    made.abort()


@on_loop
async def test_local_refusals_reach_the_owner() -> None:
    made, wire, sender = connection("a@x\r\nRSET", "b@x")
    made.kick()
    assert sender.outcomes == [("a@x\r\nRSET", Phase.RCPT, 553)]
    assert wire.writes == [b"MAIL FROM:<s@us>\r\nRCPT TO:<b@x>\r\nDATA\r\n"]
    made.abort()


@on_loop
async def test_an_end_before_the_owner_comes_is_kept_for_it() -> None:
    made, _, sender = connection(attached=False)
    made.data_received(b"421 bye\r\n")
    made.attach(sender)
    assert sender.outcomes == [Closed(None, Reply(421, "", "bye"), "", ())]


@on_loop
async def test_a_fault_of_the_owner_is_not_swallowed() -> None:
    made, _, sender = connection("a@x")

    def fail(_: Connection) -> None:
        raise LookupError("ours")

    sender.on_next = fail
    with pytest.raises(LookupError):
        made.kick()
    sender.on_next = lambda _: None
    made.kick()
    assert made.transactions == 1
    made.abort()


@on_loop
async def test_no_reply_within_the_phase() -> None:
    made, wire, sender = connection("a@x", timeouts=Timeouts(mail_from=0.02))
    made.kick()
    await sender.ended.wait()
    (closed,) = sender.outcomes
    assert isinstance(closed, Closed)
    assert closed.error == "no reply to MAIL within 0.02 seconds"
    assert wire.end == "aborted"


@on_loop
async def test_dripping_does_not_move_the_deadline() -> None:
    made, _, sender = connection("a@x", timeouts=Timeouts(mail_from=0.05))
    made.kick()

    def drip() -> None:
        made.data_received(b"250-x\r\n")
        if not made.is_closed:
            asyncio.get_running_loop().call_later(0.005, drip)

    drip()
    await sender.ended.wait()
    (closed,) = sender.outcomes
    assert isinstance(closed, Closed)
    assert closed.error == "no reply to MAIL within 0.05 seconds"


@on_loop
async def test_a_shorter_phase_rings_earlier_and_a_longer_one_later() -> None:
    made, _, sender = connection("a@x", timeouts=Timeouts(mail_from=0.02, rcpt_to=60, data=0.02))
    made.kick()
    made.data_received(b"250 ok\r\n")
    assert made.phase is Phase.RCPT
    made._ring()  # the timer of MAIL finds the deadline of RCPT
    assert not made.is_closed
    made.data_received(b"250 ok\r\n")
    await sender.ended.wait()
    (closed,) = sender.outcomes
    assert isinstance(closed, Closed)
    assert closed.error == "no reply to DATA within 0.02 seconds"


@on_loop
async def test_the_timer_of_an_idle_connection_rings_for_nobody() -> None:
    made, _, sender = connection("a@x", timeouts=Timeouts(mail_from=0.01))
    made.kick()
    made.data_received(b"550 no\r\n503 no\r\n503 no\r\n")
    assert made.phase is None
    made._ring()
    assert not made.is_closed
    assert sender.outcomes == [("a@x", Phase.MAIL, 550)]
    made.abort()


def test_timeouts_are_in_the_order_of_the_phases() -> None:
    assert Timeouts().by_phase() == tuple(phase.timeout for phase in Phase)


@on_loop
async def test_a_fault_in_finished_loses_no_event() -> None:
    made, wire, sender = connection("a@x", "b@x")

    def fail(_: Connection) -> None:
        raise LookupError("ours")

    made.kick()
    made.data_received(GO)
    sender.on_finished = fail
    with pytest.raises(LookupError):
        made.data_received(b"250 queued\r\n421 bye\r\n")
    assert sender.outcomes == [("a@x", Phase.DOT, 250)]
    await sender.ended.wait()
    (closed,) = sender.outcomes[1:]
    assert isinstance(closed, Closed)
    assert [(t.recipient, phase) for t, phase in closed.unresolved] == [("b@x", Phase.MAIL)]
    assert wire.end == "aborted"


@on_loop
async def test_a_closed_connection_has_no_timer() -> None:
    made, _, _ = connection("a@x")
    made.kick()
    assert made._timer is not None
    made.data_received(b"250 ok\r\n421 bye\r\n")
    assert made.phase is Phase.RCPT
    made.kick()
    made.quit()
    assert made._timer is None
