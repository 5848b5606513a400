"""Negotiation with a server written by others (aiosmtpd), plain and with certificates of trustme, on both loops."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trustme
import uvloop
from aiosmtpd.smtp import SMTP as Smtpd  # noqa: N811 - two things of that name here
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as SmtpdSession

from engine.net.connection import Connection, Timeouts
from engine.net.negotiate import Credentials, Refused, TlsContexts, open_connection
from engine.net.resolver import Target, TlsMode
from engine.smtp.command import CommandError
from engine.smtp.event import Closed, Phase, Transaction
from engine.smtp.reply import Reply

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]
OURS = trustme.CA()
THEIRS = trustme.CA()
PAYLOAD = b"Subject: x\r\n\r\n..dot\r\n" + b"x" * 70 + b"\r\n"


def run(loop: Callable[[], asyncio.AbstractEventLoop], test: Awaitable[None]) -> None:
    async def main() -> None:
        await test

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> TlsContexts:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    OURS.cert_pem.write_to_path(str(path))
    return TlsContexts.load(str(path))


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


class Inbox:
    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(
        self, server: Smtpd, session: SmtpdSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("unknown"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Smtpd, session: SmtpdSession, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 2.0.0 queued"


def authenticate(
    server: Smtpd, session: SmtpdSession, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    good = (data.login, data.password) == (b"user", b"secret")
    return AuthResult(success=good, handled=False) if not good else AuthResult(success=True)


@asynccontextmanager
async def smtpd(inbox: Inbox, context: ssl.SSLContext | None = None, **options: object) -> AsyncIterator[Target]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Smtpd(inbox, hostname="mx", tls_context=context, loop=loop, **options), "127.0.0.1", 0
    )
    yield Target("localhost", server.sockets[0].getsockname()[1], "127.0.0.1", TlsMode.OPPORTUNISTIC)
    server.close()
    await asyncio.sleep(0.01)  # the server's own tasks see the end of their connections


class Sender:
    def __init__(self, *recipients: str, payload: bytes) -> None:
        self.waiting = list(recipients)
        self.payload = payload
        self.outcomes: list[tuple[str, str, int]] = []
        self.ended: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()

    def next_transaction(self, connection: Connection) -> Transaction | None:
        if not self.waiting:
            connection.quit()
            return None
        return Transaction("s@us.example", self.waiting.pop(0), self.payload, False, False, None)

    def finished(self, connection: Connection, transaction: Transaction, phase: Phase, reply: Reply) -> None:
        self.outcomes.append((transaction.recipient, phase.name, reply.code))

    def returned(self, connection: Connection, transaction: Transaction) -> None:
        raise AssertionError("nothing is pipelined behind a dot here")

    def closed(self, connection: Connection, closed: Closed) -> None:
        self.ended.set_result(closed)


async def send(
    connection: Connection | Refused, *recipients: str, payload: bytes = PAYLOAD
) -> list[tuple[str, str, int]]:
    assert isinstance(connection, Connection), connection
    sender = Sender(*recipients, payload=payload)
    connection.attach(sender)
    connection.kick()
    closed = await asyncio.wait_for(sender.ended, 5)
    assert closed.phase is Phase.QUIT
    assert closed.error == ""
    return sender.outcomes


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("mode", TlsMode)
def test_a_real_server_in_every_mode(
    loop: Callable[[], asyncio.AbstractEventLoop], mode: TlsMode, contexts: TlsContexts
) -> None:
    async def test() -> None:
        inbox = Inbox()
        async with smtpd(inbox, server_context(OURS, "localhost")) as target:
            opened = await open_connection(target, ehlo_name="us.example", tls=mode, contexts=contexts)
            assert isinstance(opened, Connection)
            assert opened.tls.startswith("" if mode is TlsMode.DISABLED else "TLSv1.3/TLS_")
            assert bool(opened.tls) == (mode is not TlsMode.DISABLED)
            assert opened.peer == ("localhost", "127.0.0.1")
            assert len(opened.session_id) == 16
            outcomes = await send(opened, "a@x.example", "unknown@x.example", "b@x.example")
        assert outcomes == [
            ("a@x.example", "DOT", 250),
            ("unknown@x.example", "RCPT", 550),
            ("b@x.example", "DOT", 250),
        ]
        assert [envelope.rcpt_tos for envelope in inbox.envelopes] == [["a@x.example"], ["b@x.example"]]
        content = inbox.envelopes[0].content
        assert content == PAYLOAD.replace(b"\r\n..", b"\r\n.")

    run(loop, test())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("authority", "name"), [(THEIRS, "localhost"), (OURS, "other.example")])
def test_certificates_count_in_required_only(
    loop: Callable[[], asyncio.AbstractEventLoop], authority: trustme.CA, name: str, contexts: TlsContexts
) -> None:
    async def test() -> None:
        for mode in (TlsMode.REQUIRED, TlsMode.REQUIRED_INSECURE, TlsMode.OPPORTUNISTIC):
            async with smtpd(Inbox(), server_context(authority, name)) as target:
                opened = await open_connection(target, ehlo_name="us.example", tls=mode, contexts=contexts)
                if mode is not TlsMode.REQUIRED:
                    assert await send(opened, "a@x.example") == [("a@x.example", "DOT", 250)]
                    continue
                assert isinstance(opened, Refused)
                assert opened.phase is Phase.STARTTLS
                assert opened.tls_failed
                assert "certificate" in opened.error

    run(loop, test())


@pytest.mark.parametrize("loop", LOOPS)
def test_login(loop: Callable[[], asyncio.AbstractEventLoop], contexts: TlsContexts) -> None:
    async def test() -> None:
        inbox = Inbox()
        options = {"authenticator": authenticate, "auth_required": True}
        async with smtpd(inbox, server_context(OURS, "localhost"), **options) as target:
            for password, code in (("secret", 250), ("wrong", 535)):
                opened = await open_connection(
                    target,
                    ehlo_name="us.example",
                    tls=TlsMode.REQUIRED,
                    contexts=contexts,
                    credentials=Credentials("user", password),
                )
                if code == 250:
                    assert await send(opened, "a@x.example") == [("a@x.example", "DOT", 250)]
                else:
                    assert isinstance(opened, Refused)
                    assert opened.phase is Phase.AUTH
                    assert opened.reply is not None
                    assert opened.reply.code == code

    run(loop, test())


def test_login_where_it_is_not_offered(contexts: TlsContexts) -> None:
    async def test() -> None:
        async with smtpd(Inbox()) as target:
            opened = await open_connection(
                target,
                ehlo_name="us.example",
                tls=TlsMode.DISABLED,
                contexts=contexts,
                credentials=Credentials("u", "p"),
            )
            assert isinstance(opened, Refused)
            assert opened.phase is Phase.AUTH
            assert "AUTH" in opened.error

    run(asyncio.new_event_loop, test())


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("user", "secret"))


@contextmanager
def silent() -> Iterator[Target]:
    """Connections come to stand, and nothing is ever said."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield Target("localhost", listening.getsockname()[1], "127.0.0.1", TlsMode.DISABLED)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_silent_server(loop: Callable[[], asyncio.AbstractEventLoop], contexts: TlsContexts) -> None:
    async def test() -> None:
        with silent() as target:
            opened = await open_connection(
                target, ehlo_name="us", tls=TlsMode.DISABLED, contexts=contexts, timeouts=Timeouts(banner=0.05)
            )
        assert opened == Refused(Phase.GREETING, None, "no reply within 0.05 seconds")

    run(loop, test())


@pytest.mark.parametrize("loop", LOOPS)
def test_cancelled_means_closed(loop: Callable[[], asyncio.AbstractEventLoop], contexts: TlsContexts) -> None:
    """At whatever step. A socket left open would be a ResourceWarning, which is an error here."""

    async def test() -> None:
        for steps in range(15):
            with silent() as target:
                opening = asyncio.create_task(
                    open_connection(target, ehlo_name="us", tls=TlsMode.DISABLED, contexts=contexts)
                )
                for _ in range(steps):
                    await asyncio.sleep(0)
                opening.cancel()
                async with asyncio.timeout(5):
                    with pytest.raises(asyncio.CancelledError):
                        await opening

    run(loop, test())


@pytest.mark.parametrize("loop", LOOPS)
def test_nobody_listens(loop: Callable[[], asyncio.AbstractEventLoop], contexts: TlsContexts) -> None:
    async def test() -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            target = Target("localhost", held.getsockname()[1], "127.0.0.1", TlsMode.DISABLED)
            opened = await open_connection(target, ehlo_name="us", tls=TlsMode.DISABLED, contexts=contexts)
        assert isinstance(opened, Refused)
        assert (opened.phase, opened.reply, opened.is_local) == (Phase.CONNECT, None, False)
        assert opened.error == "Connection refused"

    run(loop, test())


def test_a_shortage_of_ours_is_no_fault_of_the_site(contexts: TlsContexts) -> None:
    """203.0.113.1 (RFC 5737) is no address of this machine."""

    async def test() -> None:
        target = Target("localhost", 9, "127.0.0.1", TlsMode.DISABLED)
        opened = await open_connection(
            target, ehlo_name="us", tls=TlsMode.DISABLED, contexts=contexts, source_address="203.0.113.1"
        )
        assert isinstance(opened, Refused)
        assert opened.is_local
        assert opened.error == os.strerror(errno.EADDRNOTAVAIL)

    run(asyncio.new_event_loop, test())


def test_source_address(contexts: TlsContexts) -> None:
    async def test() -> None:
        peers: list[str] = []

        class Noting(Inbox):
            async def handle_DATA(self, server: Smtpd, session: SmtpdSession, envelope: Envelope) -> str:
                peers.append(session.peer[0])
                return "250 ok"

        async with smtpd(Noting()) as target:
            opened = await open_connection(
                target, ehlo_name="us", tls=TlsMode.DISABLED, contexts=contexts, source_address="127.0.0.77"
            )
            await send(opened, "a@x.example")
        assert peers == ["127.0.0.77"]

    run(asyncio.new_event_loop, test())


def test_a_bad_ehlo_name_is_our_mistake(contexts: TlsContexts) -> None:
    target = Target("localhost", 9, "127.0.0.1", TlsMode.DISABLED)
    with pytest.raises(CommandError, match="EHLO name"):
        asyncio.run(open_connection(target, ehlo_name="us example", tls=TlsMode.DISABLED, contexts=contexts))


class Pipelining(Inbox):
    """aiosmtpd reads pipelined commands well, it only does not say so."""

    async def handle_EHLO(
        self, server: Smtpd, session: SmtpdSession, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], "250-PIPELINING", *responses[1:]]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("mode", [TlsMode.DISABLED, TlsMode.REQUIRED])
def test_pipelining_with_a_server_of_others(
    loop: Callable[[], asyncio.AbstractEventLoop], mode: TlsMode, contexts: TlsContexts
) -> None:
    async def test() -> None:
        inbox = Pipelining()
        recipients = [f"{'unknown' if n % 3 == 1 else 'user'}{n}@x.example" for n in range(20)]
        async with smtpd(inbox, server_context(OURS, "localhost")) as target:
            opened = await open_connection(target, ehlo_name="us.example", tls=mode, contexts=contexts)
            assert isinstance(opened, Connection)
            assert opened.extensions.pipelining
            outcomes = await send(opened, *recipients)
        assert [(recipient, code) for recipient, _, code in outcomes] == [
            (recipient, 550 if recipient.startswith("unknown") else 250) for recipient in recipients
        ]
        assert [envelope.rcpt_tos[0] for envelope in inbox.envelopes] == [r for r in recipients if r.startswith("user")]

    run(loop, test())


@pytest.mark.parametrize("loop", LOOPS)
def test_payloads_larger_than_the_buffers(loop: Callable[[], asyncio.AbstractEventLoop], contexts: TlsContexts) -> None:
    payload = (b"x" * 76 + b"\r\n") * 20_000

    async def test() -> None:
        inbox = Pipelining()
        async with smtpd(inbox, server_context(OURS, "localhost")) as target:
            for mode in (TlsMode.DISABLED, TlsMode.REQUIRED):
                opened = await open_connection(target, ehlo_name="us.example", tls=mode, contexts=contexts)
                outcomes = await send(opened, "a@x", "b@x", "c@x", payload=payload)
                assert [code for _, _, code in outcomes] == [250] * 3
        assert [envelope.content == payload for envelope in inbox.envelopes] == [True] * 6

    run(loop, test())
