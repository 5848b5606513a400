"""The way back, end to end: what was really sent comes back by SMTP, and the next submit knows it.

A sink takes the mail and keeps it; its envelope sender and its List-Unsubscribe are what reports are then made of.
"""

from __future__ import annotations

import re
import smtplib
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from bench.processes import free_port
from bench.rig import RunningSink
from engine.client import Terms
from engine.journal import Record, read_records, segments
from tests.integration.running import MESSAGE, Running, engine, sink

DSN = """From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example>
To: <{to}>
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

<{failed}>: host mx.example said: 550 5.1.1 User unknown (in reply to RCPT TO command)

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {failed}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 User unknown

--b1
Content-Type: message/rfc822

{original}
--b1--
"""
ARF = """From: fbl@provider.example
To: fbl@shop.example
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

A complaint.

--b1
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: FBL/1.0
Version: 1
Original-Rcpt-To: redacted@x.example

--b1
Content-Type: message/rfc822

{original}
--b1--
"""


@dataclass(frozen=True)
class Sent:
    """One mail as the sink got it."""

    envelope_from: str
    text: str

    @property
    def token(self) -> str:
        found = re.search(r"List-Unsubscribe:\s*<https://shop\.example/u/([A-Za-z0-9_-]+)>", self.text)
        assert found
        return found[1]


@dataclass
class House:
    running: Running
    port: int
    receiver: RunningSink

    def send(self, *addresses: str) -> dict[str, Sent]:
        terms = Terms(sender="shop", category="TX", mailing=f"m{len(addresses)}-{addresses[0]}", message=MESSAGE)
        with self.running.client() as client:
            client.submit([(address, {}) for address in addresses], terms)
        self.running.settled()
        records = {record.recipient: record for record in self.records() if record.type == "Delivery"}
        self.receiver.flushed()
        texts = [file.read_bytes() for file in self.receiver.samples.glob("*.eml")]
        found = {message_from_bytes(raw, policy=policy.default)["To"]: raw.decode() for raw in texts}
        return {address: Sent(records[address].sender, found[address]) for address in addresses}

    def suppressed(self, address: str, category: str = "TX") -> str:
        """The reason for which a further mail does not go, or nothing."""
        before = len(self.records())
        terms = Terms(sender="shop", category=category, mailing="next", message=MESSAGE)
        with self.running.client() as client:
            client.submit([(address, {})], terms)
        self.running.settled()
        later = [record for record in self.records()[before:] if record.recipient == address]
        return next((record.reason for record in later if record.type == "Suppressed"), "")

    def records(self) -> list[Record]:
        folder = self.running.folder / "state" / "journal"
        return [record for segment in segments(folder) for record in read_records(segment)]

    def hand_in(self, to: str, text: str | bytes, sender: str = "") -> tuple[int, bytes]:
        raw = text if isinstance(text, bytes) else text.replace("\r\n", "\n").encode()
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
            client.ehlo("mx.example")
            client.mail(sender)
            refused = client.rcpt(to)
            return refused if refused[0] != 250 else client.data(raw)

    def last(self, kind: str) -> Record:
        return [record for record in self.records() if record.type == kind][-1]


@pytest.fixture
def house(tmp_path):
    port = free_port()
    more = f"""[return_path]
listen = "127.0.0.1:{port}"
optout_addresses = ["stop@shop.example"]
addresses = ["fbl@shop.example"]
"""
    with (
        sink(tmp_path) as receiver,
        engine(tmp_path / "engine", {"*": f"127.0.0.1:{receiver.ports[0]}"}, more=more) as running,
    ):
        yield House(running, port, receiver)
        assert running.stop() == 0


def test_what_comes_back_is_in_force_for_the_next_mail(house) -> None:
    gone, angry, tired, well = (f"{name}@x.example" for name in ("gone", "angry", "tired", "well"))
    sent = house.send(gone, angry, tired, well)

    report = DSN.format(to=sent[gone].envelope_from, failed=gone, original=sent[gone].text)
    assert house.hand_in(sent[gone].envelope_from, report)[0] == 250
    told = house.last("OOB")
    assert (told.recipient, told.reason, told.bounce_classification) == (gone, "UNKNOWN_USER", "unknown_user")
    assert told.id
    assert told.legal_sender == "shop"
    assert house.suppressed(gone)

    assert house.hand_in("fbl@shop.example", ARF.format(original=sent[angry].text), "fbl@provider.example")[0] == 250
    told = house.last("Feedback")
    assert (told.recipient, told.reason) == (angry, "COMPLAINT")
    assert told.feedback_report is not None
    assert told.feedback_report.original_rcpto_to == ("redacted@x.example",)
    assert house.suppressed(angry, "AD")

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = (
        "somebody@else.example",
        "stop@shop.example",
        f"unsubscribe {sent[tired].token}",
    )
    mail.set_content("\n")
    assert house.hand_in("stop@shop.example", mail.as_bytes(), "somebody@else.example")[0] == 250
    told = house.last("OptOut")
    assert (told.recipient, told.reason) == (tired, "OPTOUT")
    assert house.suppressed(tired, "AD")

    assert not house.suppressed(well)


def test_what_is_not_proved_suppresses_nobody(house) -> None:
    mine, victim = "mine@x.example", "victim@x.example"
    sent = house.send(mine, victim)
    verp = sent[mine].envelope_from

    # A report about somebody else, to an address that is mine, without any of the mail.
    assert house.hand_in(verp, DSN.format(to=verp, failed=victim, original="Subject: x\n\nx\n"))[0] == 250
    assert (house.last("OOB").recipient, house.last("OOB").reason) == (victim, "UNPROVEN")
    # The same with the victim's name in my own mail's place, and a token of mine: it is mine that I can stop.
    assert house.hand_in("fbl@shop.example", DSN.format(to=verp, failed=victim, original="Subject: x\n\nx\n"))[0] == 250
    assert house.last("OOB").reason == "UNPROVEN"
    assert not house.suppressed(victim)

    changed = verp.replace(verp[4], "f" if verp[4] != "f" else "e", 1)
    forged = changed.partition("-")[0] + verp[len(changed.partition("-")[0]) :]
    assert house.hand_in(forged, "Subject: x\n\nx\n")[0] == 550
    assert house.hand_in("news@shop.example", "Subject: x\n\nx\n")[0] == 550
    assert house.hand_in("neko@elsewhere.example", "Subject: x\n\nx\n")[0] == 550

    # Without the original, by the address's key in the envelope.
    assert house.hand_in(verp, DSN.format(to=verp, failed=mine, original="Subject: x\n\nx\n"))[0] == 250
    assert house.last("OOB").reason == "UNKNOWN_USER"
    assert house.suppressed(mine)
    page = house.running.page("metrics")
    assert 'sokutatsu_returns_total{kind="bounce"} 3.0' in page
    assert "sokutatsu_returns_unproven_total 2.0" in page
    assert "sokutatsu_return_path_recipients_refused_total 3.0" in page


def test_people_and_machines_that_reply(house) -> None:
    first, second = "first@x.example", "second@x.example"
    sent = house.send(first, second)
    quoted = "".join(f"> {line}\n" for line in sent[first].text.splitlines())
    reply = f"From: {first}\nTo: {sent[first].envelope_from}\nSubject: Re: Hello\n\n{{}}\n\n{quoted}"
    assert house.hand_in(sent[first].envelope_from, reply.format("Thank you!"), first)[0] == 250
    away = (
        f"From: {second}\nSubject: Out of office: Hello\nAuto-Submitted: auto-replied\n\nThis mailbox is full of joy.\n"
    )
    assert house.hand_in(sent[second].envelope_from, away)[0] == 250
    assert [record.type for record in house.records() if record.type in {"OOB", "OptOut", "Feedback"}] == []
    japanese = reply.format("配信停止をお願いします。").replace(
        "\n\n", "\nContent-Type: text/plain; charset=iso-2022-jp\n\n", 1
    )
    assert house.hand_in(sent[first].envelope_from, japanese.encode("iso2022_jp"), first)[0] == 250
    assert house.last("OptOut").recipient == first
    assert house.suppressed(first, "AD")
    assert house.running.stop() == 0
