"""SMTP submission over real sockets: smtplib speaks to the listener, on both event loops."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest
import trustme
import uvloop

from engine.flow.submission import Submission, SubmissionSettings, _reply
from engine.flow.users import UsersError, entry_line, read_users
from engine.spool.port import SpoolFull
from tests.fakes.accepting import READING, served, until

LINE = entry_line("shop", "right", ("shop",), cost=16)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"# who may submit\n{LINE}\n")
    path.chmod(0o640)
    return path


@asynccontextmanager
async def listening(behind, users, **settings: Any) -> AsyncIterator[Submission]:
    listener = Submission(
        SubmissionSettings("127.0.0.1", 0, "mta.example.jp", **settings),
        read_users(users),
        behind.requests.answer,
        READING.address,
    )
    await listener.start()
    try:
        yield listener
    finally:
        await listener.close(patience=0.5)


def mail(**fields: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "shop@example.jp"
    message["To"] = "a@x.example"
    message["Subject"] = "Order"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content("Thank you\n.dot\n")
    return message


def said(port: int, speak: Callable[[smtplib.SMTP], Any], *, login: bool = True) -> Any:
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as server:
        server.ehlo("client.example")
        if login:
            server.login("shop", "right")
        return speak(server)


def data(port: int, message: EmailMessage, *recipients: str) -> tuple[int, bytes]:
    def speak(server: smtplib.SMTP) -> tuple[int, bytes]:
        server.mail("bounce@example.jp")
        for recipient in recipients or ("a@x.example",):
            assert server.rcpt(recipient)[0] == 250
        return server.data(message.as_bytes(policy=SMTP))

    return said(port, speak)


def test_the_fields_become_a_submit_and_250_names_the_recipients(users, run) -> None:
    async def scenario() -> None:
        behind = served()
        message = mail(X_Sokutatsu_Category="TX", X_Sokutatsu_Topic="orders", X_Sokutatsu_Mailing="order-17")
        async with listening(behind, users) as listener:
            reply = await asyncio.to_thread(data, listener.port, message, "a@x.example", "b@x.example")
        assert reply == (250, b"2.0.0 Accepted 2: 0001000000000000-0001000000000001")
        (submission,) = behind.spool.submissions.values()
        assert (submission.sender, submission.category, submission.topic) == ("shop", "TX", "orders")
        assert (submission.mailing, submission.priority.name) == ("order-17", "TRANSACTIONAL")
        assert [r.address for r in submission.recipients] == ["a@x.example", "b@x.example"]
        (content,) = behind.spool.contents
        assert b"Sokutatsu" not in content
        assert b"Subject: Order\r\n" in content
        assert b"\r\n.dot\r\n" in content

    run(scenario())


def test_a_field_says_the_region_of_all_its_recipients(users, run) -> None:
    async def scenario() -> None:
        behind = served()
        async with listening(behind, users) as listener:
            here = mail(X_Sokutatsu_Category="TX", X_Sokutatsu_Region="EU")
            assert (await asyncio.to_thread(data, listener.port, here))[0] == 250
            there = mail(X_Sokutatsu_Category="TX", X_Sokutatsu_Region="Mars")
            code, text = await asyncio.to_thread(data, listener.port, there)
        assert (code // 100, b"Mars" in text) == (5, True)
        (submission,) = behind.spool.submissions.values()
        assert [one.fields for one in submission.recipients] == [{"@stated": "EU"}]

    run(scenario())


def test_250_comes_only_after_the_commit(users, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with listening(behind, users) as listener:
            sending = asyncio.create_task(asyncio.to_thread(data, listener.port, mail(X_Sokutatsu_Category="TX")))
            await until(lambda: any(not connection.idle.is_set() for connection in listener.connections))
            assert not sending.done()
            behind.spool.synced.set()
            assert (await sending)[0] == 250

    run(scenario())


def test_the_same_mail_again_is_answered_and_not_mailed_twice(users) -> None:
    async def scenario() -> None:
        behind = served()
        fields = {
            "X_Sokutatsu_Category": "TX",
            "Message_ID": "<1@example.jp>",
            "Date": "Tue, 24 Nov 2026 07:00:00 +0900",
        }
        async with listening(behind, users) as listener:
            first = await asyncio.to_thread(data, listener.port, mail(**fields))
            assert await asyncio.to_thread(data, listener.port, mail(**fields)) == first
        assert behind.spool.accepted() == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        ({}, b"5.6.0 bad_request: the field X-Sokutatsu-Category is missing: add it"),
        ({"X_Sokutatsu_Category": "AD_MO"}, b"5.6.0 category_not_allowed"),
        (
            {"X_Sokutatsu_Category": "AD", "X_Sokutatsu_Sender": "other"},
            b"5.6.0 forbidden: this login may send as shop",
        ),
        (
            {"X_Sokutatsu_Category": "AD", "X_Sokutatsu_Catgory": "AD"},
            b"5.6.0 bad_request: the field X-Sokutatsu-catgory is unknown",
        ),
        (
            {"X_Sokutatsu_Category": "AD", "X_Sokutatsu_Priority": "high"},
            b"5.6.0 bad_request: Invalid enum value 'high'",
        ),
        (
            {"X_Sokutatsu_Category": "AD", "X_Sokutatsu_Expires": "tomorrow"},
            b"5.6.0 bad_date: the field X-Sokutatsu-Expires",
        ),
        ({"X_Sokutatsu_Category": "AD", "X_Sokutatsu_Expires": "5"}, b"5.6.0 expired: expires 5 is"),
    ],
)
def test_what_cannot_be_is_refused_for_good_with_the_field(users, fields, reply) -> None:
    async def scenario() -> None:
        behind = served()
        async with listening(behind, users) as listener:
            code, text = await asyncio.to_thread(data, listener.port, mail(**fields))
        assert code == 554
        assert text.startswith(reply)
        assert not behind.spool.submissions

    asyncio.run(scenario())


def test_bare_line_feeds_are_refused_so_that_nobody_reads_another_mail_than_we_do(users) -> None:
    def speak(server: smtplib.SMTP) -> tuple[int, bytes]:
        server.mail("a@example.jp")
        server.rcpt("a@x.example")
        return server.data(b"From: a@example.jp\nX-Sokutatsu-Category: TX\n\nbody\n")

    async def scenario() -> None:
        async with listening(served(), users) as listener:
            reply = await asyncio.to_thread(said, listener.port, speak)
        assert reply[0] == 554
        assert b"bare CR or LF" in reply[1]

    asyncio.run(scenario())


def test_what_passes_is_answered_with_4xx(users) -> None:
    async def scenario() -> None:
        behind = served()
        async with listening(behind, users) as listener:
            behind.spool.failing = SpoolFull()
            assert (await asyncio.to_thread(data, listener.port, mail(X_Sokutatsu_Category="TX")))[0] == 452
            behind.engine.draining = True
            assert (await asyncio.to_thread(data, listener.port, mail(X_Sokutatsu_Category="TX")))[0] == 451

    asyncio.run(scenario())


def test_nobody_submits_without_a_login_and_three_wrong_ones_end_the_connection(users) -> None:
    def wrong(server: smtplib.SMTP) -> list[int]:
        codes = []
        for _ in range(3):
            server.user, server.password = "shop", "wrong"
            with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
                server.auth("PLAIN", server.auth_plain)
            codes.append(caught.value.smtp_code)
        return codes

    async def scenario() -> None:
        behind = served()
        async with listening(behind, users) as listener:
            ask = lambda server: server.mail("a@example.jp")  # noqa: E731 - one line, used once
            assert (await asyncio.to_thread(said, listener.port, ask, login=False))[0] == 530
            with pytest.raises(smtplib.SMTPServerDisconnected):
                await asyncio.to_thread(said, listener.port, lambda s: (wrong(s), s.noop()), login=False)
            assert listener.counts.logins_failed == 3

    asyncio.run(scenario())


def test_login_and_plain_both_work(users) -> None:
    def by_login(server: smtplib.SMTP) -> tuple[int, bytes]:
        server.user, server.password = "shop", "right"
        return server.auth("LOGIN", server.auth_login)

    async def scenario() -> None:
        async with listening(served(), users) as listener:
            assert (await asyncio.to_thread(said, listener.port, by_login, login=False))[0] == 235

    asyncio.run(scenario())


def test_bad_recipients_are_refused_at_rcpt_and_the_docomo_forms_reach_the_parser(users) -> None:
    def speak(server: smtplib.SMTP) -> list[int]:
        server.mail("a@example.jp")
        return [
            server.docmd(f"RCPT TO:{path}")[0]
            for path in ("<nobody>", "<a..b@docomo.ne.jp>", "a@x.example", "<a b@x.example>")
        ]

    async def scenario() -> None:
        async with listening(served(), users) as listener:
            assert await asyncio.to_thread(said, listener.port, speak) == [501, 250, 553, 553]

    asyncio.run(scenario())


def test_size_and_connections_are_bounded(users) -> None:
    def endless(server: smtplib.SMTP) -> bytes:
        server.mail("a@example.jp")
        server.rcpt("a@x.example")
        server.docmd("DATA")
        try:
            for _ in range(100):
                server.sock.sendall(b"x" * 65536)
            return server.sock.recv(100)
        except OSError:
            return b""

    async def scenario() -> None:
        async with listening(served(), users, size_limit=100_000, connections=1) as listener:
            large = mail(X_Sokutatsu_Category="TX")
            large.set_content("x" * 70 + "\n" + ("y" * 70 + "\n") * 2000)
            assert (await asyncio.to_thread(data, listener.port, large))[0] == 552
            assert await asyncio.to_thread(said, listener.port, endless) == b""
            with pytest.raises(smtplib.SMTPConnectError, match="Too many"):
                await asyncio.to_thread(said, listener.port, lambda _: smtplib.SMTP("127.0.0.1", listener.port))

    asyncio.run(scenario())


@pytest.mark.parametrize("is_implicit", [True, False])
def test_tls(users, run, is_implicit) -> None:
    authority = trustme.CA()
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(ours)
    authority.configure_trust(theirs)

    def speak(port: int) -> int:
        kind = smtplib.SMTP_SSL if is_implicit else smtplib.SMTP
        extra = {"context": theirs} if is_implicit else {}
        with kind("localhost", port, timeout=5, **extra) as server:
            server.ehlo("client.example")
            if not is_implicit:
                assert server.docmd("MAIL FROM:<a@example.jp>")[0] == 530
                server.starttls(context=theirs)
            server.login("shop", "right")
            server.mail("a@example.jp")
            server.rcpt("a@x.example")
            return server.data(mail(X_Sokutatsu_Category="TX").as_bytes(policy=SMTP))[0]

    async def scenario() -> None:
        behind = served()
        async with listening(behind, users, tls=ours, is_tls_implicit=is_implicit) as listener:
            assert await asyncio.to_thread(speak, listener.port) == 250
        assert behind.spool.accepted() == 1

    run(scenario())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("shop", "is not login"),
        ("shop:scrypt$3$8$1$AAAAAAAAAAA=$AAAA", "costs out of bounds"),
        ("shop:scrypt$16384$8$1$!$AAAA", "not base64"),
        ("shop:scrypt$16384$8$1$AAAAAAAAAAA=$AAAA", "not 32 bytes"),
        (f"{LINE}\n{LINE}", "there twice"),
    ],
)
def test_a_users_file_that_cannot_be_right_is_refused_with_its_line(users, line, told) -> None:
    users.write_text(line)
    with pytest.raises(UsersError, match=told):
        read_users(users)


def test_a_users_file_that_others_may_read_is_refused(users) -> None:
    users.chmod(0o644)
    with pytest.raises(UsersError, match="chmod 0640"):
        read_users(users)
    with pytest.raises(UsersError, match="cannot read"):
        read_users(users.with_name("none"))


def test_of_a_finding_in_two_languages_the_english_half_is_said() -> None:
    text = "[D01 text: the name is missing: write it / 名称がありません] [D02 text: the link / お手続き]"
    assert _reply("554 5.6.0", text) == "554 5.6.0 [D01 text: the name is missing: write it] [D02 text: the link]"
    assert _reply("554 5.6.0", "yes / no, 名称") == "554 5.6.0 yes"
