"""What becomes of what comes back: records, events, and what is not believed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence

import pytest

from engine.flow.feedback import Arrival, Returns
from engine.flow.proof import Witness
from engine.flow.returnpath import Directory, ReturnPathSettings
from engine.journal import Record
from engine.mail.verp import make_verp, read_verp
from suppression import Complaint, Event, EventError, HardBounce, LedgerFailed, OptOut, Scope
from suppression.unsubscribe import TokenKey, read_token, token_of
from tests.unit.returns.returned_samples import ARF, ORIGINAL, POSTFIX, READER, VACATION, dsn

SECRET = b"s" * 32
KEY = TokenKey(0, b"k" * 32)
NOW = 1_790_000_000.0


def who(address: str) -> bytes:
    return hashlib.blake2b(address.lower().encode(), digest_size=16).digest()


def identify(addresses: Iterable[str]) -> Sequence[bytes]:
    return [who(address) for address in addresses]


DIRECTORY = Directory(
    {"bounce.example": ("shop", "club")}, {}, ReturnPathSettings("127.0.0.1", 0, "mx.example"), SECRET
)


class House:
    def __init__(self) -> None:
        self.written: list[str] = []
        self.records: list[Record] = []
        self.events: list[Event] = []
        self.refuses: Exception | None = None
        witness = Witness(lambda token: read_token(token, {0: KEY}), DIRECTORY.verp, identify)
        self.returns = Returns(
            READER,
            witness,
            note=self.records.append,
            drain=self.drain,
            apply=self.apply,
            clock=lambda: NOW,
            node="n0",
        )

    async def drain(self) -> None:
        self.written.append("journal")

    async def apply(self, events: Sequence[Event]) -> int:
        self.written.append("ledger")
        if self.refuses:
            raise self.refuses
        self.events += events
        return 1

    def take(self, text: str, address: str = "", number: int = 7, **words: object) -> None:
        """As if it came to the return path of recipient 7, who is `address`; to a feedback address when that is empty."""
        if address:
            verp = make_verp(number, SECRET, "bounce.example", who(address))
            arrival = DIRECTORY.arrival(verp, "192.0.2.1")
            assert isinstance(arrival, Arrival)
        else:
            arrival = Arrival("fbl@shop.example", (), peer="192.0.2.1", **words)
        asyncio.run(self.returns.take(arrival, text.encode()))


@pytest.fixture
def house():
    return House()


def with_token(text: str, address: str, recipient: int = 7, sender: str = "shop", topic: str = "news") -> str:
    token = token_of(sender, topic, address, recipient, KEY)
    return text.replace("AQBabcdefghijklmnopqrstuvwxyz0123456789", token)


def test_the_key_in_the_envelope_proves_the_address(house) -> None:
    house.take(POSTFIX, "neko@example.jp")
    (event,) = house.events
    assert isinstance(event, HardBounce)
    assert (event.address, event.source, event.at) == ("neko@example.jp", "oob", NOW)
    assert "User unknown" in event.evidence
    (record,) = house.records
    assert (record.type, record.id, record.reason) == ("OOB", f"{7:016x}", "UNKNOWN_USER")
    assert record.legal_sender == "", "two senders share the domain"
    assert record.response is not None
    assert record.response.code == 550
    assert house.written == ["journal", "ledger"], "in this order"
    assert house.returns.counts.suppressed == {"bounce": 1}


def test_the_token_proves_it_and_names_the_sender(house) -> None:
    house.take(with_token(POSTFIX, "neko@example.jp"))
    assert [type(event) for event in house.events] == [HardBounce]
    assert (house.records[0].legal_sender, house.records[0].topic) == ("shop", "news")


def test_a_token_of_another_mail_proves_nothing(house) -> None:
    house.take(with_token(POSTFIX, "neko@example.jp", recipient=8), "tora@example.jp")
    assert house.events == []
    assert house.records[0].reason == "UNPROVEN"
    assert house.records[0].id == f"{7:016x}", "the envelope is ours all the same"


def test_a_report_without_proof_suppresses_nobody(house) -> None:
    house.take(POSTFIX)
    house.take(POSTFIX, "tora@example.jp")
    assert house.events == []
    assert [record.reason for record in house.records] == ["UNPROVEN", "UNPROVEN"]
    assert house.returns.counts.unproven == 2


def test_a_mail_that_was_forwarded(house) -> None:
    group = "Final-Recipient: rfc822; old@elsewhere.example\nAction: failed\nDiagnostic-Code: smtp; 550 5.1.1 user unknown\n"
    house.take(dsn(group), "neko@example.jp")
    assert house.events == []
    assert house.records[0].reason == "FORWARDED"
    assert house.records[0].recipient == "neko@example.jp"


def test_what_passes_or_is_about_the_host_is_written_down_only(house) -> None:
    for line in ("552 5.2.2 mailbox full", "550 5.1.2 host unknown"):
        group = f"Final-Recipient: rfc822; neko@example.jp\nAction: failed\nDiagnostic-Code: smtp; {line}\n"
        house.take(dsn(group), "neko@example.jp")
    assert house.events == []
    assert [record.reason for record in house.records] == ["", ""]
    assert house.returns.counts.classes == {"mailbox_full": 1, "unknown_host": 1}


def test_what_says_nothing_of_the_address_is_counted_only(house) -> None:
    group = "Final-Recipient: rfc822; neko@example.jp\nAction: delayed\nStatus: 4.4.1\n"
    house.take(VACATION, "taro@example.jp")
    house.take(dsn(group), "neko@example.jp")
    house.take(dsn(group.replace("delayed", "delivered")), "neko@example.jp")
    house.take("Subject: x\n\nHello\n", "neko@example.jp")
    assert house.records == []
    assert house.written == []
    assert house.returns.counts.kinds == {"auto_reply": 1, "delayed": 1, "delivered": 1, "unknown": 1}


def test_a_complaint_is_a_refusal_of_all_that_its_sender_mails(house) -> None:
    house.take(with_token(ARF, "neko@example.jp"))
    (event,) = house.events
    assert isinstance(event, Complaint)
    assert (event.address, event.sender, event.source) == ("neko@example.jp", "shop", "arf")
    (record,) = house.records
    assert record.feedback_report is not None
    assert record.feedback_report.original_rcpto_to == ("neko@example.jp",)


def test_a_quoted_envelope_sender_proves_it_too(house) -> None:
    verp = make_verp(9, SECRET, "bounce.example", who("neko@example.jp"))
    house.take(ARF.replace("b+1@bounce.example", verp))
    assert [(event.address, event.sender) for event in house.events] == [
        ("neko@example.jp", "shop"),
        ("neko@example.jp", "club"),
    ]
    assert house.records[0].id == f"{9:016x}"


def test_complaints_that_are_none(house) -> None:
    house.take(ARF)
    house.take(with_token(ARF.replace("Feedback-Type: abuse", "Feedback-Type: auth-failure"), "neko@example.jp"))
    assert house.events == []
    assert [record.reason for record in house.records] == ["UNPROVEN", ""]


def test_a_refusal_by_token_is_for_its_topic(house) -> None:
    token = token_of("shop", "news", "neko@example.jp", 7, KEY)
    text = f"From: other@example.jp\nSubject: unsubscribe {token}\n\n\n"
    house.take(text, is_optout_address=True)
    assert house.events == [
        OptOut("neko@example.jp", NOW, "mail", Scope.TOPIC, "shop", "news", house.events[0].evidence)
    ]


def test_a_refusal_in_words_is_for_all_of_the_senders_mail(house) -> None:
    text = with_token(f"From: neko@example.jp\nSubject: Re: News\n\n配信停止\n\n> {ORIGINAL}", "neko@example.jp")
    house.take(text, "neko@example.jp")
    (event,) = house.events
    assert (event.scope, event.sender, event.topic) == (Scope.SENDER, "shop", "")


def test_a_refusal_without_proof_reaches_the_address_that_it_comes_from(house) -> None:
    house.take("From: tora@example.jp\nSubject: unsubscribe\n\n\n", "neko@example.jp")
    assert [(event.address, event.sender) for event in house.events] == [
        ("tora@example.jp", "shop"),
        ("tora@example.jp", "club"),
    ]
    house.take("From: neko@example.jp\nSubject: unsubscribe\n\n\n")
    assert house.records[-1].reason == "UNPROVEN", "nobody knows whose mail is refused"


def test_an_event_that_the_ledger_will_not_take_is_counted(house) -> None:
    house.refuses = EventError("address: cannot be an address")
    house.take(POSTFIX, "neko@example.jp")
    assert house.returns.counts.malformed == 1
    assert house.returns.counts.suppressed == {}


def test_a_ledger_that_failed_is_told(house) -> None:
    house.refuses = LedgerFailed("disk")
    with pytest.raises(LedgerFailed):
        house.take(POSTFIX, "neko@example.jp")


def test_whom_mail_is_taken_for() -> None:
    settings = ReturnPathSettings(
        "127.0.0.1",
        0,
        "mx.example",
        optout_addresses=frozenset({"stop@shop.example", "club@lists.example"}),
        addresses=frozenset({"fbl@shop.example"}),
    )
    directory = Directory(
        {"bounce.example": ("shop",)}, {"shop.example": ("shop",), "club@lists.example": ("club",)}, settings, SECRET
    )
    verp = make_verp(7, SECRET, "bounce.example")
    found = directory.arrival(verp.upper(), "192.0.2.1")
    assert isinstance(found, Arrival)
    assert found.verp == read_verp(verp.partition("@")[0], SECRET)
    stop = directory.arrival("Stop+abc@shop.example", "")
    assert isinstance(stop, Arrival)
    assert (stop.is_optout_address, stop.senders) == (True, ("shop",))
    assert isinstance(directory.arrival("fbl@shop.example", ""), Arrival)
    club = directory.arrival("club@lists.example", "")
    assert isinstance(club, Arrival)
    assert club.senders == ("club",)
    for address in ("x@bounce.example", verp.replace("b+0", "b+1")):
        assert str(directory.arrival(address, "")).startswith("550 5.1.1")
    for address in ("x@elsewhere.example", "postmaster", "<>", "", "@"):
        assert str(directory.arrival(address, "")).startswith("550 5.7.1")
    assert directory.verp("x@elsewhere.example") is None
    assert directory.verp("x@bounce.example") is None
