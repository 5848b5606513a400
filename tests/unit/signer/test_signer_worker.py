"""The worker's queue: any split of the stream gives the same batches, and urgent goes first in every slice."""

import hashlib
import os
import signal
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.signer.frames import ANSWER, BATCH_LIMIT, request_head
from engine.signer.worker import SLICE, SLICE_LIMIT, Inbox, read_greeting, send_greeting, serve, sign_slice

SLOW = (True, False)
"""Key 0 is RSA, key 1 is Ed25519."""


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def request(id_: int, indexes: list[int], *, urgent: bool = False) -> bytes:
    head = request_head(len(indexes)).pack(id_, len(indexes), urgent, *indexes)
    return head + b"".join(digest(id_ * 1000 + place) for place in range(len(indexes)))


class Echo:
    """A backend whose signature is the digest, so that an answer shows what was signed."""

    name = "echo"

    def __init__(self, fallbacks: int = 0) -> None:
        self.fallbacks = 0
        self._each = fallbacks

    def sign(self, slice_: list[tuple[int, bytes]]) -> list[bytes]:
        self.fallbacks += self._each
        return [signed for _, signed in slice_]


def drain(inbox: Inbox) -> list[tuple[int, int, bytes]]:
    taken = []
    while inbox.waiting:
        taken += [(batch.id, index, signed) for batch, index, signed in inbox.take()]
    return taken


batches = st.lists(st.tuples(st.lists(st.integers(0, 1), min_size=1, max_size=20), st.booleans()), max_size=6)


@given(batches, st.lists(st.integers(1, 200), max_size=30))
def test_any_split_of_the_stream_gives_the_same_batches(asked: list[tuple[list[int], bool]], cuts: list[int]) -> None:
    stream = b"".join(request(id_, indexes, urgent=urgent) for id_, (indexes, urgent) in enumerate(asked))
    whole, parts = Inbox(SLOW), Inbox(SLOW)
    whole.feed(stream)
    position = 0
    for cut in cuts:
        parts.feed(stream[position : position + cut])
        position += cut
    parts.feed(stream[position:])
    got = drain(parts)
    assert got == drain(whole)
    urgent_first = sorted(range(len(asked)), key=lambda id_: not asked[id_][1])
    assert got == [
        (id_, index, digest(id_ * 1000 + place)) for id_ in urgent_first for place, index in enumerate(asked[id_][0])
    ]


def test_a_slice_has_eight_rsa_across_batches_and_the_ed25519_between() -> None:
    inbox = Inbox(SLOW)
    inbox.feed(request(1, [0, 1] * 5) + request(2, [0] * 5))
    lanes = inbox.take()
    assert [index for _, index, _ in lanes].count(0) == SLICE
    assert [batch.id for batch, _, _ in lanes] == [1] * 10 + [2] * 3
    assert len(inbox.take()) == 2
    assert not inbox.waiting


def test_a_slice_of_ed25519_alone_is_bounded() -> None:
    inbox = Inbox(SLOW)
    inbox.feed(request(1, [1] * 100))
    assert len(inbox.take()) == SLICE_LIMIT


def test_urgent_interrupts_a_bulk_batch_after_one_slice() -> None:
    inbox = Inbox(SLOW)
    inbox.feed(request(1, [0] * BATCH_LIMIT))
    inbox.take()
    inbox.feed(request(2, [0, 0], urgent=True))
    assert [batch.id for batch, _, _ in inbox.take()] == [2, 2] + [1] * 6


def test_answers_come_when_a_batch_is_complete_with_its_fallbacks() -> None:
    inbox = Inbox(SLOW)
    backend = Echo(fallbacks=1)
    inbox.feed(request(7, [0] * 10))
    assert sign_slice(inbox.take(), backend) == b""
    answer = sign_slice(inbox.take(), backend)
    assert ANSWER.unpack_from(answer) == (7, 320, 2)
    assert answer[ANSWER.size :] == b"".join(digest(7000 + place) for place in range(10))


def test_serve_signs_what_was_sent_before_the_end_and_then_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(request(1, [0, 1]) + request(2, [0]))
        ours.shutdown(socket.SHUT_WR)
        serve(theirs, Echo(), SLOW)
        answer = ours.recv(10_000)
    assert ANSWER.unpack_from(answer) == (1, 64, 0)


def test_greetings_cross_the_socket_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_greeting(ours, {"keys": ["速達"], "nice": 5})
        assert read_greeting(theirs) == {"keys": ["速達"], "nice": 5}
        ours.sendall(b"\5\0\0\0{")
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError, match="during the greeting"):
            read_greeting(theirs)


def test_the_worker_ends_quietly_when_the_core_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.signer.worker", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
        )
    with ours:
        send_greeting(ours, {"keys": [], "nice": 0, "backend": "auto"})
        assert read_greeting(ours)["backend"] == "cryptography"
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, number)
        ours.sendall(request(1, [0])[:20])
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, b"")
