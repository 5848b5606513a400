"""The sink over real sockets: what a sender sees, and what the sink then knows."""

import asyncio
import hashlib
import json
import os
import signal
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from bench.bare import UnexpectedReply, send_bare
from bench.certificate import self_signed
from bench.faults import Share
from bench.receipts import Ledger, read_receipts
from bench.receiver import Personality
from bench.server import Sink, SinkSettings, start_sink

MESSAGE = "Subject: 試験\r\nMessage-ID: <one@a.example>\r\n\r\nこんにちは\r\n..dots\r\n.\r\nend\r\n".encode()


def conversation(settings: SinkSettings, talk: Callable[[int], object], ledger: Ledger | None = None) -> Sink:
    """Runs the blocking client `talk(port)` in a thread against a sink in this process."""

    async def run() -> Sink:
        sink = await start_sink(settings, ledger)
        try:
            await asyncio.wait_for(asyncio.to_thread(talk, sink.port), 20)
        finally:
            await sink.close()
        return sink

    return uvloop.run(run())


def talk_smtplib(port: int, *recipients: str) -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        return client.sendmail("a@a.example", recipients, MESSAGE, mail_options=("BODY=8BITMIME",))


def test_message_of_another_implementation_arrives_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "receipts")
    conversation(SinkSettings(), lambda port: talk_smtplib(port, "x@b.example", "y@b.example"), ledger)
    receipts = list(read_receipts(tmp_path / "receipts"))
    assert [receipt.recipient for receipt in receipts] == ["x@b.example", "y@b.example"]
    assert {receipt.message_id for receipt in receipts} == {"<one@a.example>"}
    assert {receipt.sha256 for receipt in receipts} == {hashlib.sha256(MESSAGE).hexdigest()}


def test_starttls(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    server = self_signed(ca)

    def talk(port: int) -> None:
        with smtplib.SMTP("localhost", port, timeout=10) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(ca)))
            client.ehlo()
            assert not client.has_extn("starttls")
            client.sendmail("a@a.example", "x@b.example", MESSAGE, mail_options=("BODY=8BITMIME",))

    sink = conversation(SinkSettings(tls=server), talk)
    assert sink.ledger.received == 1
    assert sink.ledger.counters["tls_connections"] == 1


def test_failed_handshake_is_counted() -> None:
    def talk(port: int) -> None:
        with smtplib.SMTP("localhost", port, timeout=10) as client, pytest.raises(ssl.SSLError):
            client.starttls(context=ssl.create_default_context())

    sink = conversation(SinkSettings(tls=self_signed()), talk)
    assert sink.ledger.counters["failed_handshakes"] == 1


@pytest.mark.parametrize("tls", [False, True])
def test_pipelined_load(tls: bool) -> None:
    async def run() -> Sink:
        sink = await start_sink(SinkSettings(tls=self_signed() if tls else None))
        client = ssl.create_default_context()
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        address = ("127.0.0.1", sink.port)
        result = await send_bare(address, MESSAGE[:-8], messages=300, connections=3, tls=client if tls else None)
        assert result.messages == 300
        await sink.close()
        return sink

    counts = uvloop.run(run()).ledger.counts()
    assert (counts["received"], counts["unique"], counts["duplicates"]) == (300, 1, 299)
    assert counts["messages_with_bare_lf"] == 0


def test_refusals_by_name() -> None:
    def talk(port: int) -> None:
        refused = talk_smtplib(port, "bounce-1@b.example", "good@b.example", "defer-1-x@b.example")
        assert {name: reply[0] for name, reply in refused.items()} == {
            "bounce-1@b.example": 550,
            "defer-1-x@b.example": 451,
        }
        assert talk_smtplib(port, "defer-1-x@b.example") == {}

    assert conversation(SinkSettings(), talk).ledger.received == 2


def test_dot_refused() -> None:
    def talk(port: int) -> None:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            talk_smtplib(port, "dotfail-x@b.example")
        assert caught.value.smtp_code == 554

    assert conversation(SinkSettings(), talk).ledger.received == 0


@pytest.mark.parametrize(("phase", "received"), [("rcpt", 0), ("data", 0), ("payload", 0), ("dot", 1)])
def test_disconnects(phase: str, received: int) -> None:
    def talk(port: int) -> None:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            talk_smtplib(port, f"drop-{phase}-x@b.example")

    sink = conversation(SinkSettings(), talk)
    assert sink.ledger.received == received
    assert sink.ledger.counters["unanswered"] == received
    assert sink.ledger.counters[f"fault drop-{phase}"] == 1


@pytest.mark.parametrize("word", ["connect", "ehlo"])
def test_drops_everybody(word: str) -> None:
    def talk(port: int) -> None:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            talk_smtplib(port, "x@b.example")

    assert conversation(SinkSettings(drop_at=word), talk).ledger.received == 0


def test_refused_connections_then_accepted() -> None:
    def talk(port: int) -> None:
        with pytest.raises(smtplib.SMTPConnectError) as caught:
            smtplib.SMTP("127.0.0.1", port, timeout=10)
        assert caught.value.smtp_code == 421
        talk_smtplib(port, "x@b.example")

    assert conversation(SinkSettings(refuse_connections=1), talk).ledger.received == 1


def test_stall_says_nothing_more() -> None:
    def talk(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            client.ehlo()
            client.mail("a@a.example")
            assert client.sock is not None
            client.sock.settimeout(0.2)
            with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
                client.rcpt("stall-x@b.example")

    assert conversation(SinkSettings(), talk).ledger.counters["fault stall"] == 1


def test_latency_holds_back_all_replies_in_order() -> None:
    sink = conversation(SinkSettings(latency=0.01), lambda port: talk_smtplib(port, "x@b.example"))
    assert sink.ledger.received == 1


def test_share_is_the_same_in_two_runs() -> None:
    names = [f"person{number}@b.example" for number in range(60)]
    settings = SinkSettings(shares=(Share.parse("451=0.25"),))
    runs = []
    for _ in range(2):
        conversation(settings, lambda port: runs.append(talk_smtplib(port, *names)))
    assert runs[0] == runs[1]
    assert 5 <= len(runs[0]) <= 30


def test_bare_client_stops_at_a_refusal() -> None:
    async def run() -> None:
        sink = await start_sink(SinkSettings(shares=(Share.parse("550=1"),)))
        with pytest.raises(UnexpectedReply):
            await send_bare(("127.0.0.1", sink.port), b"Subject: x\r\n\r\n", messages=10, connections=1)
        await sink.close()

    uvloop.run(run())


def test_server_without_pipelining_says_so() -> None:
    def talk(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo()
            assert not client.has_extn("pipelining")

    conversation(SinkSettings(personality=Personality(pipelining=False)), talk)


def test_command_line(tmp_path: Path) -> None:
    control = tmp_path / "control"
    words = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--control", str(control), "--seconds", "30"]
    words += ["--receipts", str(tmp_path / "receipts"), "--sample", "4", "--samples", str(tmp_path / "samples")]
    command = [sys.executable, "-m", "bench.sink", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, second = json.loads(process.stdout.readline())["listening"]
        talk_smtplib(int(first.rpartition(":")[2]), "x@b.example")
        talk_smtplib(int(second.rpartition(":")[2]), "y@b.example")
        os.kill(process.pid, signal.SIGUSR1)
        assert json.loads(process.stdout.readline())["received"] == 2
        assert asyncio.run(_ask(control, "counts"))["duplicates"] == 1
        assert "unknown word" in str(asyncio.run(_ask(control, "rubbish"))["error"])
        assert asyncio.run(_ask(control, "reset"))["received"] == 0
        asyncio.run(_ask(control, "quit"))
        assert json.loads(process.stdout.readline())["received"] == 0
        assert process.wait(10) == 0
    assert len(list(read_receipts(tmp_path / "receipts"))) == 2
    assert not control.exists()


async def _ask(control: Path, word: str) -> dict[str, object]:
    reader, writer = await asyncio.open_unix_connection(control)
    writer.write(word.encode() + b"\n")
    answer = json.loads(await asyncio.wait_for(reader.readline(), 5))
    writer.close()
    await writer.wait_closed()
    return dict(answer)


@pytest.mark.parametrize("words", [["--listen", "192.0.2.1:25"], ["--listen", "here"], ["--share", "rubbish=1"]])
def test_wrong_command_line(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert subprocess.run([sys.executable, "-m", "bench.sink", *words], check=False).returncode == 2
    assert "error: argument" in capfd.readouterr().err
