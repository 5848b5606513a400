"""A session against a server that is right, refuses, lies or hangs up, cut anywhere.

The model server reads what the session wrote and keeps its own truth: which message it has taken. Whatever happens,
every transaction ends in exactly one place, nothing is "delivered" that the server did not take, and a message is
reported as impossible to have arrived only if the server has not seen its dot.
"""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.smtp.event import Closed, Event, Finished, Phase, Returned, Transaction
from engine.smtp.extensions import Extensions
from engine.smtp.session import Session

COMMANDS = ("MAIL", "RCPT", "DATA", "DOT", "RSET", "QUIT")


class Server:
    """Strict in its state, free in its replies: `script` says what goes wrong with the n-th reply."""

    def __init__(self, script: dict[int, str], *, streams: bool = True) -> None:
        self.script = script
        self.streams = streams
        """False: answers 503 to what it reads with a dot before it."""
        self.count = 0
        self.buffer = b""
        self.in_data = False
        self.mail = self.rcpt = ""
        self.taken: list[str] = []
        self.seen: list[str] = []
        self.gone = False

    def receive(self, data: bytes) -> bytes:
        self.buffer += data
        out = b""
        while (
            not self.gone
            and (
                end := self.buffer.find(
                    b"\r\n.\r\n" if self.in_data and not self.buffer.startswith(b".\r\n") else b"\r\n"
                )
            )
            >= 0
        ):
            size = end + (5 if self.in_data and not self.buffer.startswith(b".\r\n") else 2)
            if self.in_data and self.buffer.startswith(b".\r\n"):
                size = 3
            unit, self.buffer = self.buffer[:size], self.buffer[size:]
            was_in_data = self.in_data
            out += self.answer(unit)
            if was_in_data and not self.streams:
                out += b"503 5.5.1 pipelined after end of DATA\r\n" * self.buffer.count(b"\r\n") * (not self.gone)
                self.buffer = b""
        return out

    def answer(self, unit: bytes) -> bytes:
        fault = self.script.get(self.count, "")
        self.count += 1
        if fault == "gone":
            self.gone = True
            return b""
        if fault == "421":
            self.gone = True
            return b"421 4.3.2 closing\r\n"
        stray = b"250 stray\r\n" if fault in {"stray", "lie"} else b""
        if fault == "lie":
            fault = "refuse"
        return stray + (self.dot(fault) if self.in_data else self.command(unit.decode().rstrip(), fault))

    def dot(self, fault: str) -> bytes:
        self.in_data = False
        rcpt, self.mail, self.rcpt = self.rcpt, "", ""
        self.seen.append(rcpt)
        if fault == "refuse" or not rcpt:
            return b"554 5.6.0 no\r\n"
        self.taken.append(rcpt)
        return b"250 2.0.0 queued\r\n"

    def command(self, line: str, fault: str) -> bytes:  # noqa: PLR0911 - a table of commands
        if line.startswith("MAIL"):
            assert not self.mail, "MAIL inside a transaction"
            if fault == "refuse":
                return b"451 4.7.1 no\r\n"
            self.mail = line
            return b"250-ok\r\n250 ok\r\n"
        if line.startswith("RCPT"):
            if fault == "refuse" or not self.mail:
                return b"550 5.1.1 no\r\n"
            self.rcpt = line[9:-1]
            return b"250 ok\r\n"
        if line == "DATA":
            if fault == "refuse" or (not self.rcpt and fault != "354"):
                return b"554 5.5.1 no\r\n"
            self.in_data = True
            return b"354 go\r\n"
        if line == "RSET":
            self.mail = self.rcpt = ""
            return b"250 ok\r\n"
        assert line == "QUIT", f"not a command: {line!r}"
        self.gone = True
        return b"221 bye\r\n"


class Client:
    def __init__(self, count: int, pipelining: bool) -> None:
        self.session = Session(Extensions(size=0, pipelining=pipelining))
        self.all = [Transaction("s@us", f"r{n}@x", b"hi\r\n", False, False, n) for n in range(count)]
        self.waiting = deque(self.all)
        self.events: list[Event] = []

    def advance(self, events: list[Event]) -> bytes:
        self.events += events
        self.waiting.extendleft(event.transaction for event in events if isinstance(event, Returned))
        while self.session.wants_next and self.waiting:
            assert self.session.begin(self.waiting.popleft()) is None
        if self.session.wants_next:
            self.session.quit()
        return b"".join(self.session.data_to_send())


def play(
    count: int, pipelining: bool, script: dict[int, str], sizes: list[int], *, streams: bool = True
) -> tuple[Client, Server]:
    client, server = Client(count, pipelining), Server(script, streams=streams)
    out = client.advance([])
    turn = 0
    while not client.session.is_closed:
        replies = server.receive(out)
        out = b""
        while replies:
            size = sizes[turn % len(sizes)]
            turn += 1
            out += client.advance(client.session.receive_data(replies[:size]))
            replies = replies[size:]
        if server.gone and not client.session.is_closed:
            client.advance(client.session.receive_eof())
        else:
            assert out or client.session.is_closed, "both wait for each other"
    return client, server


faults = st.dictionaries(st.integers(0, 30), st.sampled_from(["refuse", "354", "gone", "421", "stray"]), max_size=4)
lies = st.dictionaries(st.integers(0, 30), st.sampled_from(["refuse", "stray", "lie"]), max_size=2)
"""A lie is a stray 250 before a refusal: the one thing that could make a refused message delivered. Two at most: a
server that writes three of them in a row, each in a packet of its own, can shift a 250 into every place of a proof.
"""
cuts = st.lists(st.sampled_from([1, 3, 7, 20, 1000]), min_size=1, max_size=4)
plays = (st.integers(1, 6), st.booleans(), faults, cuts)


@given(*plays, st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_transaction_ends_in_one_place(
    count: int, pipelining: bool, script: dict[int, str], sizes: list[int], streams: bool
) -> None:
    client, server = play(count, pipelining, script, sizes, streams=streams)
    finished = {e.transaction.recipient: e for e in client.events if isinstance(e, Finished)}
    (closed,) = [e for e in client.events if isinstance(e, Closed)]
    assert client.events[-1] is closed
    unresolved = {transaction.recipient: phase for transaction, phase in closed.unresolved}
    waiting = {transaction.recipient for transaction in client.waiting}
    assert sorted([*finished, *unresolved, *waiting]) == sorted(transaction.recipient for transaction in client.all)
    delivered = {r for r, e in finished.items() if e.phase is Phase.DOT and e.reply.is_positive}
    assert delivered <= set(server.taken), "reported as delivered and not taken"
    not_arrived = (
        (set(finished) - delivered) | waiting | {r for r, phase in unresolved.items() if phase is not Phase.DOT}
    )
    assert not not_arrived & set(server.taken), "taken, and reported as impossible"


@given(*plays)
@settings(max_examples=200, deadline=None)
def test_any_cut_gives_the_same_events(count: int, pipelining: bool, script: dict[int, str], sizes: list[int]) -> None:
    """Without strays: where one of them is told apart only by what comes with it, the cut matters."""
    script = {at: fault for at, fault in script.items() if fault != "stray"}

    def events(sizes: list[int]) -> list[str]:
        return [repr(event) for event in play(count, pipelining, script, sizes)[0].events]

    assert events(sizes) == events([100_000])


@given(st.integers(2, 6), cuts)
@settings(max_examples=50, deadline=None)
def test_a_server_that_takes_nothing_behind_a_dot_takes_everything(count: int, sizes: list[int]) -> None:
    client, server = play(count, True, {}, sizes, streams=False)
    assert server.taken == [transaction.recipient for transaction in client.all]
    assert [e.transaction.recipient for e in client.events if isinstance(e, Returned)] == ["r1@x"], "once a session"


@given(st.integers(1, 6), lies, cuts)
@settings(max_examples=200, deadline=None)
def test_a_stray_line_delivers_nothing(count: int, script: dict[int, str], sizes: list[int]) -> None:
    client, server = play(count, True, script, sizes)
    delivered = {e.transaction.recipient for e in client.events if isinstance(e, Finished) and e.reply.is_positive}
    assert delivered <= set(server.taken)


line = st.sampled_from(
    [b"250 ok", b"250-ok", b"354 go", b"550 no", b"421 bye", b"221 bye", b"251 fwd", b"999 x", b"", b"\0"]
)
junk = st.lists(st.one_of(line.map(lambda raw: raw + b"\r\n"), st.binary(max_size=12)), max_size=12)


@given(junk, st.booleans(), st.lists(st.integers(1, 40), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_whatever_a_server_writes(chunks: list[bytes], pipelining: bool, sizes: list[int]) -> None:
    """No exception, every transaction in one place, and only commands of ours on the wire."""
    client = Client(3, pipelining)
    written = client.advance([])
    stream = b"".join(chunks)
    turn = 0
    while stream:
        size = sizes[turn % len(sizes)]
        turn += 1
        written += client.advance(client.session.receive_data(stream[:size]))
        stream = stream[size:]
    client.advance(client.session.receive_eof())
    assert client.session.is_closed
    assert isinstance(client.events[-1], Closed)
    ends = [e.transaction for e in client.events if isinstance(e, Finished)]
    ends += [transaction for e in client.events if isinstance(e, Closed) for transaction, _ in e.unresolved]
    assert sorted(id(t) for t in [*ends, *client.waiting]) == sorted(id(t) for t in client.all)
    ours = ("MAIL FROM:<s@us> SIZE=4", "RCPT TO:<r", "DATA", "hi", ".", "RSET", "QUIT")
    assert all(sent.startswith(ours) for sent in written.decode().split("\r\n")[:-1])
