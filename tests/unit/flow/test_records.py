"""The requests over a real ledger: what is answered, what is refused one by one, what is in force afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from engine import wire
from engine.flow.ledger import SuppressionLedger
from engine.wire import Refusal
from suppression import Consent, LedgerFailed, Suppression, SuppressionSettings
from suppression.parties import Parties, Party
from suppression.view import LedgerView
from tests.fakes.accepting import NOW, READING, Sender, Served, served

FORM = "<h1>れい商店だより</h1>株式会社れいの広告宣伝メールを受け取ります".encode()
SHA256 = hashlib.sha256(FORM).digest()
PUT = {
    "type": "put_form",
    "id": 1,
    "sender": "shop",
    "kind": "web",
    "content": FORM,
    "displayed_sender": "株式会社れい",
    "statement": "広告宣伝メールを受け取ります",
    "shown_from": 1_790_000_000,
    "acquired_url": "https://shop.example/mag",
}
ASK = {
    "type": "consent_request",
    "id": 1,
    "sender": "shop",
    "address": "a@example.jp",
    "at": int(NOW),
    "ip": "192.0.2.1",
}
AT = 1_795_000_000


class House:
    def __init__(self, folder: Path) -> None:
        self.settings = SuppressionSettings(folder / "ledger", folder / "secret")
        self.suppression = Suppression.open(self.settings, clock=lambda: NOW)
        self.behind: Served = served(self.suppression, {"shop": Sender(frozenset({"AD", "TX", "CONFIRM"}))})

    def asked(self, fields: dict[str, Any]) -> dict[str, Any]:
        request = wire.decode_request(msgpack.packb(fields))
        return dict(asyncio.run(self.behind.requests.answer(request)))  # type: ignore[arg-type]

    def refused(self, fields: dict[str, Any]) -> tuple[str, str]:
        with pytest.raises(Refusal) as caught:
            self.asked(fields)
        return caught.value.code, caught.value.field

    def consents(self, *records: dict[str, Any], **words: Any) -> tuple[int, list[Any]]:
        """Through the ledger of the flow, as the engine wires it."""
        fields = {"type": "consent", "id": 1, "sender": "shop", "records": list(records), **words}
        request = wire.decode_request(msgpack.packb(fields))
        assert isinstance(request, wire.Consent)
        refused: list[wire.Refused] = []
        ledger = SuppressionLedger(self.suppression, lambda: NOW)
        recorded, _ = asyncio.run(ledger.consent(request, refused, READING, now=NOW))
        return recorded, refused

    def reason(self, address: str, category: str = "AD", sender: str = "shop", topic: str = "") -> str:
        (decision,) = self.suppression.decide(sender, topic, category, [address])
        return decision.reason or decision.basis

    def person(self, address: str) -> list[dict[str, Any]]:
        with LedgerView(self.settings.folder, self.settings.secret_file) as view:
            return view.person(address)


@pytest.fixture
def house(tmp_path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.suppression.close()


def test_a_form_is_put_again_and_retired(house) -> None:
    assert house.asked(PUT) == {"form": SHA256}
    assert house.asked(PUT) == {"form": SHA256}
    retire = {"type": "retire_form", "id": 1, "sender": "shop", "form": SHA256, "shown_to": AT}
    assert house.asked(retire) == {}
    assert house.asked(retire) == {}


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"sender": "nobody"}, "unknown_sender", "sender"),
        ({"kind": "radio"}, "bad_request", "kind"),
        ({"covers": ["TV"]}, "bad_form", "covers"),
        ({"acquired_url": ""}, "bad_form", "acquired_url"),
        ({"shown_from": 2_000_000_000}, "bad_form", "shown_from"),
    ],
)
def test_what_is_no_form_is_refused(house, change, code, field) -> None:
    assert house.refused(PUT | change) == (code, field)


def test_a_form_is_never_another(house) -> None:
    house.asked(PUT)
    assert house.refused(PUT | {"statement": "x"}) == ("bad_form", "statement")
    unknown = {"type": "retire_form", "id": 1, "sender": "shop", "form": bytes(32), "shown_to": AT}
    assert house.refused(unknown) == ("bad_form", "form")


def test_each_bad_consent_is_refused_alone(house) -> None:
    house.asked(PUT)
    recorded, refused = house.consents(
        {"address": "old@example.jp", "at": AT, "source": "web", "evidence": "form 12"},
        {"address": "nobody", "at": AT, "source": "web", "evidence": "x"},
        {"address": "form@example.jp", "at": AT, "source": "web", "form": SHA256},
        {"address": "bare@example.jp", "at": AT, "source": "web"},
        {"address": "basis@example.jp", "at": AT, "source": "web", "evidence": "x", "basis": "WISH"},
        {"address": "covers@example.jp", "at": AT, "source": "web", "evidence": "x", "covers": ["TV"]},
        {"address": "future@example.jp", "at": int(NOW) + 400, "source": "web", "evidence": "x"},
        {"address": "ip@example.jp", "at": AT, "source": "web", "ip": "here"},
        {"address": "early@example.jp", "at": 1_789_999_999, "source": "web", "form": SHA256},
    )
    assert recorded == 2
    assert [(index, code) for index, code, _ in refused] == [
        (1, "bad_address"),
        (3, "incomplete"),
        (4, "bad_record"),
        (5, "bad_record"),
        (6, "bad_record"),
        (7, "bad_record"),
        (8, "incomplete"),
    ]
    assert [house.reason(f"{name}@example.jp") for name in ("old", "form", "bare")] == ["C1_OPTIN"] * 2 + ["NO_CONSENT"]


def test_incomplete_ones_are_kept_when_that_is_asked(house) -> None:
    assert house.consents({"address": "a@example.jp", "at": AT, "source": "web"}, incomplete="norec") == (1, [])
    assert house.reason("a@example.jp") == "NO_CONSENT_RECORD"


def test_a_contract_names_its_last_day(house) -> None:
    customer = {"at": AT, "source": "contract", "evidence": "no. 5", "basis": "BIZREL"}
    recorded, refused = house.consents(
        {"address": "ended@example.jp", "until": "2026-12-31", **customer},
        {"address": "runs@example.jp", "until": "2030-12-31", **customer},
        {"address": "odd@example.jp", "until": "31.12.2030", **customer},
    )
    assert (recorded, [(index, code) for index, code, _ in refused]) == (2, [(2, "bad_record")])
    assert [house.reason(f"{name}@example.jp") for name in ("ended", "runs")] == ["BIZREL_ENDED", "EX3_BIZREL"]
    assert house.person("runs@example.jp")[0]["until"] == "2030-12-31"


def test_every_field_of_a_record_is_kept(house) -> None:
    house.asked(PUT)
    fields = {
        "method": "web",
        "form": SHA256,
        "url": "https://shop.example/?q",
        "ip": "192.0.2.1",
        "user_agent": "b",
        "checkbox_default": "off",
        "displayed_sender": "れい",
        "privacy_policy_url": "https://p/",
        "acquired_url": "https://a/",
        "third_parties": ["甲社"],
        "evidence_ref": "scan",
        "evidence": "text",
        "doi_sent_at": AT,
        "doi_clicked_at": AT + 1,
    }
    assert house.consents({"address": "a@example.jp", "at": AT, "source": "web", **fields})[0] == 1
    (event,) = house.person("a@example.jp")
    expected = {**fields, "form": SHA256.hex(), "third_parties": ["甲社"]}
    expected |= {"doi_sent_at": "2026-11-18T11:06:40Z", "doi_clicked_at": "2026-11-18T11:06:41Z"}
    assert {name: event[name] for name in fields} == expected


def test_double_opt_in_over_the_socket(house) -> None:
    asked = house.asked(ASK)
    assert asked["url"] == f"https://shop.example/c/{asked['token']}"
    assert house.asked(ASK)["repeated"] is True
    confirm = {"type": "consent_confirm", "id": 1, "token": asked["token"], "ip": "192.0.2.2", "user_agent": "x"}
    assert house.asked(confirm) == {"confirmed": False}, "not mailed"
    submit = {
        "type": "submit",
        "id": 1,
        "key": "k",
        "sender": "shop",
        "category": "CONFIRM",
        "mailing": "signup",
        "message": {"subject": "s", "text": "{{url}}"},
        "recipients": [["a@example.jp", {"url": asked["url"]}], ["b@example.jp", {"url": "-"}]],
    }
    told = house.asked(submit)
    assert (told["accepted"], msgpack.unpackb(bytes(told["refused"]))[0][:2]) == (1, [1, "no_signup"])
    assert house.asked(submit)["repeated"] is True
    again = house.asked(submit | {"key": "k2"})
    assert (again["accepted"], len(msgpack.unpackb(bytes(again["refused"])))) == (0, 2)
    looked = asyncio.run(house.behind.records.asked(asked["token"]))
    assert (looked.address, looked.is_repeated) == ("a@example.jp", False)
    assert asyncio.run(house.behind.records.asked("x")) is None
    done = house.asked(confirm)
    assert (done["confirmed"], done["address"], done["repeated"]) == (True, "a@example.jp", False)
    assert house.asked(confirm)["repeated"] is True
    for forged in ("", "x", asked["token"][:-1], asked["token"] + "A", "A" * 60):
        assert house.asked(confirm | {"token": forged}) == {"confirmed": False}
    assert house.refused(confirm | {"ip": "here"}) == ("bad_request", "doi_ip")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"address": "nobody"}, "bad_address", "address"),
        ({"sender": "nobody"}, "unknown_sender", "sender"),
        ({"at": int(NOW) + 301}, "bad_request", "at"),
        ({"ip": "here"}, "bad_request", "ip"),
        ({"ip": ""}, "bad_request", "evidence"),
        ({"covers": ["TV"]}, "bad_request", "covers"),
        ({"form": bytes(32)}, "bad_request", "form"),
        ({"basis": "OPTIN_REC"}, "bad_request", "basis"),
    ],
)
def test_a_sign_up_that_is_none(house, change, code, field) -> None:
    assert house.refused(ASK | change) == (code, field)


def test_a_flood_of_sign_ups_mails_once(house) -> None:
    house.asked(ASK)
    assert house.refused(ASK | {"at": int(NOW) - 1}) == ("too_many_signups", "address")


def test_lists_of_opt_outs(house) -> None:
    consent = {"at": AT, "source": "web", "evidence": "x"}
    house.consents(*({**consent, "address": f"{name}@example.jp"} for name in "abcd"))
    told = house.asked(
        {
            "type": "suppress_many",
            "id": 1,
            "sender": "shop",
            "channel": "former",
            "records": [
                {"address": "a@example.jp", "at": AT + 1, "message_id": "<m@x>", "evidence": "mail"},
                {"address": "b@example.jp", "topic": "news", "channel": "phone"},
                {"sha256": hashlib.sha256(b"c@example.jp").digest(), "at": AT + 1},
                {"address": "d@example.jp", "at": AT - 1},
                {"address": "nobody"},
                {"address": "d@example.jp", "sha256": bytes(32)},
                {},
                {"address": "d@example.jp", "at": int(NOW) + 400},
                {"hmac_sha256": bytes(32)},
                {"hmac_sha256": bytes(32), "sha256": bytes(32)},
            ],
        }
    )
    assert (told["recorded"], [(index, code) for index, code, _ in told["refused"]]) == (
        4,
        [(4, "bad_address"), *((index, "bad_record") for index in range(5, 10))],
    )
    assert house.reason("a@example.jp") == house.reason("c@example.jp") == "OPTOUT_ALL"
    assert (house.reason("b@example.jp", topic="news"), house.reason("b@example.jp")) == ("OPTOUT_TOPIC", "C1_OPTIN")
    assert house.reason("d@example.jp") == "C1_OPTIN", "the consent is the later word"
    event = house.person("a@example.jp")[1]
    assert (event["source"], event["message_id"], event["evidence"]) == ("former", "<m@x>", "mail")


def test_lists_for_every_sender_have_no_topics(house) -> None:
    told = house.asked(
        {
            "type": "suppress_many",
            "id": 1,
            "records": [{"address": "a@example.jp"}, {"address": "b@x.jp", "topic": "n"}],
        }
    )
    assert (told["recorded"], told["refused"][0][:2]) == (1, (1, "bad_record"))
    assert house.reason("a@example.jp", sender="anybody") == "OPTOUT_ALL"


def test_hashes_wait_for_the_last_request_when_that_is_asked(house) -> None:
    house.consents({"address": "a@example.jp", "at": AT, "source": "web", "evidence": "x"})
    fields = {"type": "suppress_many", "id": 1, "sender": "shop"}
    records = [{"sha256": hashlib.sha256(b"a@example.jp").digest()}]
    house.asked({**fields, "records": records, "match": False})
    assert house.reason("a@example.jp") == "C1_OPTIN"
    house.asked({**fields, "records": records})
    assert house.reason("a@example.jp") == "OPTOUT_ALL"


def test_hmacs_come_with_their_key_and_too_many_keys_are_refused(house) -> None:
    house.suppression.apply_now([Consent("a@example.jp", AT, "web", "shop")])
    fields = {"type": "suppress_many", "id": 1, "sender": "shop"}
    for number in range(16):
        key = bytes([number]) * 16
        records = [{"hmac_sha256": hmac.digest(key, b"a@example.jp", "sha256")}]
        assert house.asked({**fields, "hmac_key": key, "records": records})["recorded"] == 1
        assert house.reason("a@example.jp") == "OPTOUT_ALL"
    assert house.refused({**fields, "hmac_key": b"k" * 17, "records": records}) == ("bad_request", "hmac_key")
    assert house.refused({**fields, "hmac_key": b"short", "records": records}) == ("bad_request", "hmac_key")


def test_a_hash_about_a_client_is_kept_for_every_sender_of_it(house) -> None:
    house.suppression.parties = Parties({"shop": Party("x"), "other": Party("x"), "third": Party()})
    for sender in ("other", "third"):
        house.suppression.apply_now([Consent("a@example.jp", AT, "web", sender)])
    records = [{"sha256": hashlib.sha256(b"a@example.jp").digest()}]
    told = house.asked({"type": "suppress_many", "id": 1, "sender": "shop", "records": records})
    assert told["recorded"] == 1
    assert house.reason("a@example.jp", sender="other") == "OPTOUT_ALL"
    assert house.reason("a@example.jp", sender="third") == "C1_OPTIN"


def test_one_opt_out_with_what_was_said(house) -> None:
    ledger = SuppressionLedger(house.suppression, lambda: NOW)
    told = {"sender": "shop", "topic": None, "channel": "mail", "now": NOW}
    asyncio.run(ledger.opt_out("a@example.jp", **told, evidence="停止してください", message_id="<m@x>"))
    (event,) = house.person("a@example.jp")
    assert (event["evidence"], event["message_id"], event["event"]) == ("停止してください", "<m@x>", 1)


def test_a_failed_ledger_says_so(house, monkeypatch) -> None:
    async def fail(*_: object) -> int:
        raise LedgerFailed("disk")

    monkeypatch.setattr(house.suppression, "perform", fail)
    monkeypatch.setattr(house.suppression, "apply", fail)
    assert house.refused(PUT) == ("unavailable", "")
    many = {"type": "suppress_many", "id": 1, "records": [{"address": "a@example.jp"}]}
    assert house.refused(many) == ("unavailable", "")
