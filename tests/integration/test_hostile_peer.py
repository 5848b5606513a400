"""Receivers that break the protocol: nothing they write crashes the engine, delivers falsely, or holds up the others.

What each does stands in its speech. Beside each hostile site a good one gets its mail meanwhile, and the engine's
memory stays what it was.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from bench.processes import resident
from tests.integration.running import Hostile, Running, drip, engine, impatient, read_until, received, sink, terms

RECIPIENTS = 3


def endless_reply(server: Hostile, connection: socket.socket) -> None:
    """250- without end, to MAIL."""
    read_until(connection, b"\r\n")
    while not server.ending.is_set():
        connection.sendall(b"250-and more\r\n" * 1000)


def endless_line(server: Hostile, connection: socket.socket) -> None:
    read_until(connection, b"\r\n")
    while not server.ending.is_set():
        connection.sendall(b"2" * 65536)


def dripping(server: Hostile, connection: socket.socket) -> None:
    """One byte after the other keeps no connection alive: the reply as a whole has a time."""
    read_until(connection, b"\r\n")
    drip(server, connection, b"250-" + b"x" * 10_000, 0.05)


def stray_replies(_server: Hostile, connection: socket.socket) -> None:
    """A 250 too many: counted naively, the next message's dot would be taken for accepted."""
    while True:
        read_until(connection, b"\r\n")
        connection.sendall(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued as 1\r\n250 queued as 2\r\n")


def acceptance_before_the_message(_server: Hostile, connection: socket.socket) -> None:
    read_until(connection, b"DATA\r\n")
    connection.sendall(b"250 ok\r\n250 ok\r\n250 queued\r\n")
    read_until(connection, b"\r\n.\r\n")


def garbage(_server: Hostile, connection: socket.socket) -> None:
    read_until(connection, b"\r\n")
    connection.sendall(bytes(range(256)) * 64)


def wrong_class(_server: Hostile, connection: socket.socket) -> None:
    """The message is there, and the answer to its dot is a 354."""
    read_until(connection, b"DATA\r\n")
    connection.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
    read_until(connection, b"\r\n.\r\n")
    connection.sendall(b"354 go\r\n")
    read_until(connection, b"no such thing")


def goodbye_for_the_dot(_server: Hostile, connection: socket.socket) -> None:
    read_until(connection, b"DATA\r\n")
    connection.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
    read_until(connection, b"\r\n.\r\n")
    connection.sendall(b"221 bye\r\n")


def another_command_in_the_text(_server: Hostile, connection: socket.socket) -> None:
    """Bare CR and NUL in a refusal, which goes to the journal and the log."""
    read_until(connection, b"DATA\r\n")
    connection.sendall(b"250 ok\r\n450 4.2.0 wait\r\x1b[2J\x00<script>\r\n503 no\r\n")
    read_until(connection, b"no such thing")


def reset(_server: Hostile, connection: socket.socket) -> None:
    read_until(connection, b"\r\n")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


SPEECHES = (
    endless_reply, endless_line, dripping, stray_replies, acceptance_before_the_message, garbage, wrong_class,
    goodbye_for_the_dot, another_command_in_the_text, reset,
)  # fmt: skip
GREETINGS = {
    "endless": b"220-hello\r\n" * 4000,
    "garbage": b"\x00\xff\xfe" * 100 + b"\r\n",
    "silence": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "refusal": b"554 5.7.1 no\r\n",
}


def nobody(_server: Hostile, connection: socket.socket) -> None:
    read_until(connection, b"no such thing")


def is_well(running: Running, memory: int) -> None:
    assert running.child is not None
    running.child.check()
    log = running.log.read_text("utf-8", "replace")
    assert "Traceback" not in log
    assert "\x1b" not in log
    assert resident(running.child.pid) < memory + (40 << 20)


def test_hostile_receivers_crash_nothing_and_deliver_nothing(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(sink(tmp_path))
        servers = {speech.__name__.replace("_", "-"): Hostile(speech) for speech in SPEECHES}
        servers |= {f"greets-{name}": Hostile(nobody, greeting) for name, greeting in GREETINGS.items()}
        for server in servers.values():
            stack.enter_context(server)
        routes = {f"{name}.example": f"127.0.0.1:{server.port}" for name, server in servers.items()}
        routes["*"] = f"127.0.0.1:{receiver.ports[0]}"
        more = "\n".join(impatient(server.port) for server in servers.values())
        running = stack.enter_context(engine(tmp_path, routes, more=more, stop=3))
        assert running.child is not None
        memory = resident(running.child.pid)
        client = stack.enter_context(running.client())
        client.submit([f"r{n}@{name}.example" for name in servers for n in range(RECIPIENTS)], terms("hostile"))
        client.submit([f"good{n}@d.example" for n in range(200)], terms("good"))
        running.until(lambda: running.status()["delivered"] == 200, "the good ones delivered", 20)
        running.until(lambda: all(server.connections >= 2 for server in servers.values()), "all tried again", 40)
        status = running.status()
        assert (status["delivered"], status["bounced"]) == (200, 0), "a hostile site accepts nothing and refuses nobody"
        is_well(running, memory)
        client.cancel("shop", "hostile")
        status = running.settled(20)
        assert status["cancelled"] == RECIPIENTS * len(servers)
        assert sum(received(receiver).values()) == 200
        assert running.stop() == 0
        doubtful = {record.recipient.partition("@")[2] for record in running.journal() if record.in_doubt}
        assert doubtful == {"wrong-class.example", "goodbye-for-the-dot.example"}, "there the message had left"


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_receiver_that_hangs_up_after_each_message_gets_them_all_once(tmp_path: Path, pipelining: bool) -> None:
    got: list[bytes] = []

    def one_each(_server: Hostile, connection: socket.socket) -> None:
        data = read_until(connection, b"\r\n")
        if not pipelining:
            connection.sendall(b"250 ok\r\n")
            data = read_until(connection, b"\r\n")
            connection.sendall(b"250 ok\r\n")
            read_until(connection, b"\r\n")
            connection.sendall(b"354 go\r\n")
        else:
            while b"DATA\r\n" not in data:
                data += connection.recv(65536)
            connection.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
        message = read_until(connection, b"\r\n.\r\n")
        got.append(message)
        connection.sendall(b"250 queued\r\n250 reset\r\n" if pipelining else b"250 queued\r\n")

    with Hostile(one_each, pipelining=pipelining) as server, engine(
        tmp_path, {"*": f"127.0.0.1:{server.port}"}
    ) as running, running.client() as client:  # fmt: skip
        client.submit([f"r{n}@d.example" for n in range(12)], terms())
        status = running.settled(40)
        assert status["delivered"] == 12
        assert len(got) <= 12 + status["in_doubt"]
