"""SMTP smuggling (CVE-2023-51764 and others): what one program hands over is one message at a receiver that would split it.

Postfix 3.7 as Debian ships it takes <LF>.<LF>, <LF>.<CR><LF> and <CR><LF>.<LF> for the end of a message; the first
test makes sure that it does. Whatever comes in at the socket or by SMTP is refused with a reason, or arrives once.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import free_port
from engine.client import EngineError
from engine.flow.users import entry_line
from tests.integration.running import Running
from tests.interop.peers.haraka import NEEDED, haraka
from tests.interop.peers.names import Names
from tests.interop.peers.place import Peer
from tests.interop.peers.postfix import postfix
from tests.interop.peers.readers import opendkim
from tests.interop.rig import Keys, engine, terms

ENDS = {
    "lf-dot-lf": "\n.\n",
    "lf-dot-crlf": "\n.\r\n",
    "crlf-dot-lf": "\r\n.\n",
    "cr-dot-cr": "\r.\r",
    "crlf-dot-cr": "\r\n.\r",
    "nul": "\r\n\0.\r\n",
    "whole": "\r\n.\r\n",
}
SPLITTING = ("lf-dot-lf", "lf-dot-crlf", "crlf-dot-lf")


def smuggled(end: str) -> str:
    """Text that ends a message for whoever takes `end` for it, and then is another one."""
    lines = "MAIL FROM:<thief@evil.example>", "RCPT TO:<smuggled@peer.example>", "DATA", "Subject: smuggled", "", "Ha"
    return f"before{end}" + "\r\n".join(lines) + f"{end}after"


def header(subject: str = "one") -> str:
    return f"From: news@shop.example\r\nTo: r@peer.example\r\nSubject: {subject}\r\n"


@pytest.fixture(scope="module")
def peer(place: Path) -> Iterator[Peer]:
    with postfix(place / "canary") as running:
        yield running


@pytest.fixture(scope="module")
def submission() -> int:
    return free_port()


@pytest.fixture(scope="module")
def running(place: Path, keys: Keys, peer: Peer, submission: int) -> Iterator[Running]:
    folder = place / "smuggling"
    folder.mkdir()
    (folder / "users").touch(0o600)
    (folder / "users").write_text(entry_line("shop", "right", ("shop",), cost=16) + "\n")
    more = f'[submission]\nlisten = "127.0.0.1:{submission}"\nusers = "users"\n'
    with engine(folder, keys, {"*": f"127.0.0.1:{peer.port}"}, more=more) as started:
        yield started


def dialogue(port: int, message: bytes) -> list[bytes]:
    """MAIL, RCPT, DATA and the message as they are, without smtplib's corrections; all replies until it closes."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        replies = connection.makefile("rb")
        for line in (b"EHLO x", b"MAIL FROM:<a@shop.example>", b"RCPT TO:<direct@peer.example>", b"DATA"):
            _reply(replies)
            connection.sendall(line + b"\r\n")
        _reply(replies)
        connection.sendall(message + b"\r\n.\r\nQUIT\r\n")
        return replies.readlines()


def _reply(replies: socket.SocketIO) -> bytes:
    line = replies.readline()
    while line[3:4] == b"-":
        line = replies.readline()
    return line


def arrived(peer: Peer) -> list[str]:
    return sorted(copy.recipient for copy in peer.copies())


@NEEDED
@pytest.mark.parametrize("end", ENDS)
def test_haraka_gets_one_message_or_refuses_it(end: str, place: Path, dns: Names, keys: Keys) -> None:
    """Where Haraka itself refuses an end that is none, ours never has one: what was submitted arrives once, or was
    refused at the door.
    """
    folder = place / f"haraka-{end}"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(haraka(folder / "peer", dns.resolver))
        running = stack.enter_context(engine(folder / "engine", keys, {"*": f"127.0.0.1:{peer.port}"}))
        offered = Offered(running, peer)
        text = smuggled(ENDS[end])
        offered.message(f"raw-{end}", {"raw": (header() + "\r\n" + text).encode()})
        offered.message(f"text-{end}", {"subject": "s", "text": text})
        offered.message(f"value-{end}", {"subject": "s", "html": "<p>{{v}}</p>"}, {"v": text})
        offered.check()
        copies = [copy for copy in peer.copies() if copy.recipient != "last@peer.example"]
        assert sorted(copy.recipient for copy in copies) == sorted(f"{name}@peer.example" for name in offered.taken)
        for copy in copies:
            assert opendkim(copy.message, dns.resolver, folder) == "", copy.recipient


@pytest.mark.parametrize("end", SPLITTING)
def test_the_canary_sings(place: Path, end: str) -> None:
    """Without this Postfix the tests below would prove nothing."""
    with postfix(place / f"canary-{end}") as splitting:
        dialogue(splitting.port, (header() + "\r\n" + smuggled(ENDS[end])).encode())
        splitting.await_stored(2)
        assert any(b"smuggled@peer.example" in stored for stored in splitting.stored())


class Offered:
    """Counts what the engine took, and waits until Postfix has as many."""

    def __init__(self, running: Running, peer: Peer) -> None:
        self.running, self.peer = running, peer
        self.before = len(peer.stored())
        self.taken: list[str] = []
        self.refused: list[str] = []

    def message(self, name: str, message: dict, fields: dict | None = None) -> None:
        with self.running.client() as client:
            recipient = f"{name}@peer.example"
            try:
                answer = client.submit([(recipient, fields or {})], terms(message, "smuggling"))
            except EngineError:
                self.refused.append(name)
                return
            assert answer.accepted + len(answer.refused) == 1
            (self.taken if answer.accepted else self.refused).append(name)

    def check(self) -> None:
        """Each once, and nothing else: also not a moment later."""
        self.running.settled()
        with smtplib.SMTP("127.0.0.1", self.peer.port) as last:
            last.sendmail("last@peer.example", "last@peer.example", "Subject: last\r\n\r\n")
        self.peer.await_stored(self.before + len(self.taken) + 1)
        stored = [one.replace(b"\r\n", b"\n") for one in self.peer.stored()]
        assert len(stored) == self.before + len(self.taken) + 1, "one for each that was taken"
        assert not any(b"\nSubject: smuggled" in one.partition(b"\n\n")[0] for one in stored)
        assert not any(b"for <smuggled@" in one for one in stored)


@pytest.fixture
def offered(running: Running, peer: Peer) -> Offered:
    return Offered(running, peer)


def test_raw_messages(offered: Offered) -> None:
    """What is not wholly CRLF or wholly LF is refused; the rest goes as one message, dots doubled."""
    for name, end in ENDS.items():
        offered.message(f"body-{name}", {"raw": (header() + "\r\n" + smuggled(end)).encode()})
        offered.message(f"head-{name}", {"raw": (header(smuggled(end)) + "\r\nBody\r\n").encode()})
        only_lf = (header() + "\r\n" + smuggled(end)).replace("\r\n", "\n")
        offered.message(f"unix-{name}", {"raw": only_lf.encode()})
    assert {name for name in offered.taken if name.startswith("body")} == {"body-whole"}
    assert {"unix-lf-dot-lf", "unix-whole"} <= set(offered.taken)
    assert len(offered.refused) >= 13
    offered.check()


@pytest.mark.parametrize("part", ["text", "html"])
def test_templates_and_their_merge_values(offered: Offered, part: str) -> None:
    for name, end in ENDS.items():
        offered.message(f"{part}-value-{name}", {"subject": "s", part: "{{v}}"}, {"v": smuggled(end)})
        offered.message(f"{part}-{name}", {"subject": "s", part: smuggled(end)})
    assert offered.taken
    offered.check()


def test_subjects_and_header_fields(offered: Offered) -> None:
    for name, end in ENDS.items():
        text = smuggled(end)
        offered.message(f"subject-value-{name}", {"subject": "{{v}}", "text": "t"}, {"v": text})
        offered.message(f"subject-{name}", {"subject": text, "text": "t"})
        offered.message(f"field-{name}", {"subject": "s", "text": "t", "headers": {"X-A": text}})
        offered.message(f"name-{name}", {"subject": "s", "text": "t", "headers": {f"X-A{end}B": "v"}})
        offered.message(f"field-value-{name}", {"subject": "s", "text": "t", "headers": {"X-A": "{{v}}"}}, {"v": text})
    offered.check()


def test_addresses(offered: Offered) -> None:
    for end in ENDS.values():
        offered.message(f"a{end}b", {"subject": "s", "text": "t"})
        offered.message(f'"a{smuggled(end)}"', {"subject": "s", "text": "t"})
    assert not offered.taken
    offered.check()


def test_smtp_submission(offered: Offered, submission: int) -> None:
    """Over its own listener: one 250 at most for each message, and the commands inside are none."""
    for name, end in ENDS.items():
        if name == "whole":
            continue
        subject = f"sub-{name}"
        fields = header(subject) + "X-Sokutatsu-Category: TX\r\n\r\n"
        replies = submitted(submission, (fields + smuggled(end)).encode())
        final = [reply for reply in replies if reply[:3] != b"221"]
        assert len(final) <= 1, (name, replies)
        if final and final[0].startswith(b"250"):
            offered.taken.append(subject)
    offered.check()


def submitted(port: int, message: bytes) -> list[bytes]:
    with contextlib.closing(smtplib.SMTP("127.0.0.1", port, timeout=10)) as server:
        server.login("shop", "right")
        server.mail("a@shop.example")
        server.rcpt("submitted@peer.example")
        server.putcmd("data")
        assert server.getreply()[0] == 354
        server.sock.sendall(message + b"\r\n.\r\nQUIT\r\n")
        return server.file.readlines()
