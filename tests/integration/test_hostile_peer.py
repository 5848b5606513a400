"""Receivers that break the protocol: nothing they write crashes the engine, delivers falsely, or holds up the others.

What each does stands in its speech. Beside each hostile site a good one gets its mail meanwhile, and the engine's
memory stays what it was.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from bench.configuration import REPOSITORY
from bench.processes import resident
from engine.journal import segments
from tests.integration.running import Hostile, Running, drip, engine, impatient, read_until, received, sink, terms

RECIPIENTS = 3
LARGE = b"From: news@shop.example\r\nSubject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 80_000


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


def never_reads(server: Hostile, connection: socket.socket) -> None:
    """Asks for a message that fills all buffers on the way, and lets it stand there."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    read_until(connection, b"DATA\r\n")
    connection.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
    server.ending.wait()


def labels(_server: Hostile, connection: socket.socket) -> None:
    """Another text in each reply: none may become a label of the metrics or stay in memory."""
    while True:
        read_until(connection, b"DATA\r\n")
        text = os.urandom(300).hex().encode()
        connection.sendall(b"250 ok\r\n450 4.2.0 label-" + text + b"\r\n503 no\r\n")


def reset(_server: Hostile, connection: socket.socket) -> None:
    read_until(connection, b"\r\n")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


SPEECHES = (
    endless_reply, endless_line, dripping, stray_replies, acceptance_before_the_message, garbage, wrong_class,
    goodbye_for_the_dot, another_command_in_the_text, labels, reset,
)  # fmt: skip
GREETINGS = {
    "endless": b"220-hello\r\n" * 4000,
    "garbage": b"\x00\xff\xfe" * 100 + b"\r\n",
    "silence": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "refusal": b"554 5.7.1 no\r\n",
    "half": b"220-hello\r\n",
    "nul": b"220 \0\x1b[2J\x07hello\r\n",
}
EHLOS = {
    "many": b"250-mx\r\n" + b"".join(b"250-KEYWORD%d\r\n" % n for n in range(120)) + b"250 SIZE 9999999\r\n",
    "long": b"250-mx\r\n250 " + b"X" * 100_000 + b"\r\n",
    "endless": b"250-mx\r\n" + b"250-PIPELINING\r\n" * 20_000,
    "parameters": b"250-mx\r\n250 SIZE " + b"9" * 4000 + b"\r\n",
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


def is_harmless(text: str) -> bool:
    """What a terminal would obey is not in it."""
    return bool(text) and not set(text) & {chr(code) for code in (*range(9), *range(11, 32), 127, *range(128, 160))}


def said_status(running: Running) -> str:
    command = [sys.executable, "-m", "engine", "status", "--socket", running.socket]
    return subprocess.run(command, check=True, capture_output=True, timeout=30, cwd=REPOSITORY).stdout.decode()


def journal_text(running: Running) -> str:
    found = b""
    for segment in segments(running.folder / "state" / "journal"):
        with segment.open("rb") as file:
            found += zstandard.ZstdDecompressor().stream_reader(file).read()
    return found.decode()


def test_hostile_receivers_crash_nothing_and_deliver_nothing(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(sink(tmp_path))
        servers = {speech.__name__.replace("_", "-"): Hostile(speech) for speech in SPEECHES}
        servers |= {f"greets-{name}": Hostile(nobody, greeting) for name, greeting in GREETINGS.items()}
        for name, offered in EHLOS.items():
            servers[f"offers-{name}"] = Hostile(nobody)
            servers[f"offers-{name}"].ehlo = offered
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
        assert "label-" not in running.page("metrics")
        assert is_harmless("".join(running.page(name) for name in ("metrics", "status")) + said_status(running))
        assert running.stop() == 0
        assert is_harmless(journal_text(running))
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


def test_a_receiver_that_lets_a_large_message_stand_costs_nothing_but_its_time(tmp_path: Path) -> None:
    with Hostile(never_reads) as server, engine(
        tmp_path, {"*": f"127.0.0.1:{server.port}"}, more=impatient(server.port), stop=1
    ) as running, running.client() as client:  # fmt: skip
        assert running.child is not None
        client.submit([f"r{n}@d.example" for n in range(2)], replace(terms(), message={"raw": LARGE}))
        running.until(lambda: server.connections >= 2, "all tried")
        memory = resident(running.child.pid)
        running.until(lambda: server.connections >= 4, "all tried twice")
        is_well(running, memory)
        assert running.status()["delivered"] == 0
        client.cancel("shop", "m")
        running.until(lambda: running.status()["cancelled"] == 2, "cancelled")
