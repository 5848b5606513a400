"""The return path's listener over real sockets: what it takes, what it refuses, and its bounds."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
import uvloop

from engine.flow.feedback import Arrival
from engine.flow.returnpath import Directory, ReturnPath, ReturnPathSettings, client_of
from engine.mail.verp import make_verp
from engine.policy.throttle import Rate
from suppression import LedgerFailed

SECRET = b"s" * 32
VERP = make_verp(7, SECRET, "bounce.example")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    return asyncio.run if request.param == "asyncio" else uvloop.run


class Taken:
    def __init__(self) -> None:
        self.mails: list[tuple[Arrival, bytes]] = []
        self.fails: Exception | None = None

    async def take(self, arrival: Arrival, raw: bytes) -> None:
        if self.fails:
            raise self.fails
        self.mails.append((arrival, raw))


@asynccontextmanager
async def listening(taken: Taken, **settings: Any) -> AsyncIterator[ReturnPath]:
    given = ReturnPathSettings("127.0.0.1", 0, "mx.example", **settings)
    directory = Directory({"bounce.example": ("shop",)}, {}, given, SECRET)
    listener = ReturnPath(directory, taken.take, asyncio.get_running_loop().time)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.close(patience=0.5)


def spoken(run: Any, speak: Callable[[smtplib.SMTP], Any], taken: Taken | None = None, **settings: Any) -> Any:
    async def main() -> Any:
        async with listening(taken or Taken(), **settings) as listener:

            def talk() -> Any:
                with smtplib.SMTP("127.0.0.1", listener.port, timeout=5) as client:
                    client.ehlo("client.example")
                    return speak(client)

            return await asyncio.to_thread(talk), listener.counts

    return run(main())


def handed_in(client: smtplib.SMTP, content: bytes = b"Subject: x\r\n\r\nx\r\n", sender: str = "") -> int:
    codes = [client.mail(sender)[0], client.rcpt(VERP)[0]]
    return client.data(content)[0] if codes == [250, 250] else max(codes)


def test_the_null_sender_is_taken(run) -> None:
    taken = Taken()
    code, counts = spoken(run, handed_in, taken)
    assert code == 250
    assert [(arrival.peer, raw) for arrival, raw in taken.mails] == [("127.0.0.1", b"Subject: x\r\n\r\nx\r\n")]
    assert (counts.connections, counts.messages) == (1, 1)


def test_nothing_is_taken_for_others(run) -> None:
    def speak(client: smtplib.SMTP) -> list[int]:
        client.mail("")
        forged = VERP.replace("b+0", "b+1")
        return [client.rcpt(address)[0] for address in ("a@elsewhere.example", "news@bounce.example", forged, VERP)]

    codes, counts = spoken(run, speak)
    assert codes == [550, 550, 550, 250]
    assert counts.recipients_refused == 3


def test_auth_is_not_offered(run) -> None:
    features, _ = spoken(run, lambda client: client.esmtp_features)
    assert "auth" not in features


def test_no_promise_without_a_disk(run) -> None:
    taken = Taken()
    taken.fails = LedgerFailed("disk")
    code, counts = spoken(run, handed_in, taken)
    assert code == 451
    assert (counts.messages, counts.faults) == (0, 1)
    taken.fails = ZeroDivisionError()
    code, counts = spoken(run, handed_in, taken)
    assert code == 451
    assert counts.faults == 1


def test_too_large(run) -> None:
    taken = Taken()
    code, _ = spoken(
        run, lambda client: handed_in(client, b"x" * 900 + b"\r\n" + b"y\r\n" * 40_000), taken, size_limit=65_536
    )
    assert code == 552
    assert taken.mails == []


def test_long_lines_are_taken(run) -> None:
    code, _ = spoken(run, lambda client: handed_in(client, b"x" * 20_000 + b"\r\n"))
    assert code == 250


def test_a_client_has_its_rate(run) -> None:
    def speak(client: smtplib.SMTP) -> list[int]:
        return [handed_in(client) for _ in range(3)] + [client.rset()[0]]

    codes, counts = spoken(run, speak, rate=Rate(2, 3600, 2))
    assert codes[:2] == [250, 250]
    assert 451 <= codes[2] <= 503
    assert counts.throttled == 1


def test_recipients_of_one_mail_are_bounded(run) -> None:
    def speak(client: smtplib.SMTP) -> list[int]:
        client.mail("")
        return [client.rcpt(make_verp(number, SECRET, "bounce.example"))[0] for number in range(12)]

    codes, _ = spoken(run, speak)
    assert codes == [250] * 10 + [452] * 2


def test_connections_are_bounded(run) -> None:
    def speak(client: smtplib.SMTP) -> bytes:
        with socket.create_connection(
            (client.sock.getpeername()[0], client.sock.getpeername()[1]), timeout=5
        ) as second:
            return second.recv(100)

    said, counts = spoken(run, speak, connections=4)
    assert said.startswith(b"421 ")
    assert counts.connections_refused == 1


def test_a_line_without_end_ends_the_connection(run) -> None:
    def speak(client: smtplib.SMTP) -> bytes:
        client.mail("")
        client.rcpt(VERP)
        client.docmd("DATA")
        try:
            for _ in range(64):
                client.sock.sendall(b"x" * 65_536)
            while client.sock.recv(65_536):
                pass
        except OSError:
            return b"gone"
        return b"gone"

    said, _ = spoken(run, speak, size_limit=65_536)
    assert said == b"gone"


def test_starttls(run) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def speak(client: smtplib.SMTP) -> int:
        client.starttls(context=trusting)
        client.ehlo("client.example")
        assert "auth" not in client.esmtp_features
        return handed_in(client)

    code, _ = spoken(run, speak, tls=context)
    assert code == 250


def test_clients_by_their_network() -> None:
    assert client_of(("192.0.2.1", 25)) == "192.0.2.1"
    assert client_of(("2001:db8:1:2:3:4:5:6", 25, 0, 0)) == "2001:db8:1:2"
    assert client_of(None) == "?"


def test_clients_that_are_remembered_are_bounded() -> None:
    settings = ReturnPathSettings("127.0.0.1", 0, "mx.example", rate=Rate(1, 3600, 1))
    listener = ReturnPath(Directory({}, {}, settings, SECRET), Taken().take, lambda: 0.0)
    assert listener.admits("a")
    assert not listener.admits("a")
    for number in range(5000):
        listener.admits(str(number))
    assert listener.admits("a"), "forgotten"
