"""The display check at the door: what refuses, what only warns, and that it is made once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import msgspec
import pytest

from engine import wire
from engine.flow.accept import LARGE_MESSAGE, Accept
from engine.flow.display import MOST_TEXT, MOST_WARNINGS, LintMode, Selling, refusing
from engine.flow.senders import ConfiguredSender, reading
from engine.mail.identity import SenderIdentity
from engine.mail.message import decode_message, encode
from engine.mail.profile import MailOrder, Profile
from engine.wire import Refusal
from suppression.unsubscribe import TokenKey
from tests.fakes.accepting import PlayedEngine
from tests.fakes.spool import MemorySpool

IDENTITY = SenderIdentity(
    "shop",
    "news@shop.jp",
    "shop.jp",
    "shop.jp",
    "shop.jp",
    unsubscribe_url="https://shop.jp/u/{token}",
    legal_name="株式会社ショップ",
    profile=Profile("〒100-0001 東京都千代田区千代田1-1-1", "03-0000-0000", "shop@shop.jp"),
)
ORDERING = replace(IDENTITY.profile or Profile(), mail_order=MailOrder(tokusho_url="https://shop.jp/tokusho"))
LAWFUL = {"subject": "s", "text": "hello\n%footer%"}
BARE = {"subject": "s", "text": "hello"}


def suits(message: dict[str, object], category: str, mode: LintMode = LintMode.AUTO, profile: Profile | None = None):
    identity = replace(IDENTITY, profile=profile or IDENTITY.profile)
    sender = ConfiguredSender(identity, "株式会社ショップ", frozenset({"AD"}), TokenKey(0, b"k" * 32), mode)
    return reading({"shop": sender}).suits(encode(decode_message(message)), "shop", category)


@pytest.mark.parametrize("category", ["AD", "AD_MO"])
def test_advertising_without_its_display_is_refused_with_every_finding(category: str) -> None:
    with pytest.raises(Refusal) as refused:
        suits(BARE, category)
    assert (refused.value.code, refused.value.field) == ("display", "text")
    for rule in ("D01", "D02", "D04"):
        assert f"[{rule} text: " in refused.value.text
    assert "「送信者：株式会社ショップ」" in refused.value.text
    assert "sokutatsu lint" in refused.value.text


@pytest.mark.parametrize(
    ("category", "mode", "refuses"),
    [
        ("AD", LintMode.AUTO, True), ("AD", LintMode.WARN, False),
        ("CONFIRM", LintMode.AUTO, True), ("CONFIRM", LintMode.WARN, False),
        ("CONFIRM", LintMode.ENFORCE, True), ("TX_AD", LintMode.AUTO, True), ("TX_AD", LintMode.ENFORCE, True),
        ("OTHER_AD", LintMode.AUTO, True), ("OTHER_AD", LintMode.WARN, False),
        ("FREE_AD", LintMode.AUTO, True), ("FREE_AD", LintMode.WARN, False), ("TX_AD", LintMode.WARN, False),
    ],
)  # fmt: skip
def test_how_hard_is_the_setting_s_to_say(category: str, mode: LintMode, refuses: bool, caplog) -> None:
    if refuses:
        with pytest.raises(Refusal, match="D01"):
            suits(BARE, category, mode)
        return
    with caplog.at_level(logging.WARNING):
        warnings = suits(BARE, category, mode)
    assert "D01" in [warning["rule"] for warning in warnings]
    assert all(
        warning["article"] and warning["ja"] and warning["en"] for warning in warnings if warning["rule"] == "D01"
    )
    assert f"sender=shop category={category} display findings={len(warnings)} D01 text" in caplog.text
    msgspec.msgpack.encode(warnings)


SALE = {"subject": "ご注文の確認", "text": "ご注文を承りました。[[x]]\n期間限定セール、今だけ半額です。\n"}


def test_a_tx_that_reads_like_advertising_is_sent_back_with_the_question_what_it_is() -> None:
    with pytest.raises(Refusal) as refused:
        suits(SALE, "TX")
    told = refused.value.text
    assert (refused.value.code, refused.value.field) == ("display", "text")
    assert told.startswith("1 findings forbid sending it")
    assert "D14 text:2" in told
    assert "send it as AD or TX_AD, or take it out" in told
    assert "AD か TX_AD に改めるか" in told
    assert "D11" not in told, "what would not refuse a TX is not told as if it did"
    with pytest.raises(Refusal, match="D01"):
        suits(SALE, "TX_AD")
    assert [warning["rule"] for warning in suits(SALE, "TX", LintMode.WARN)] == ["D11", "D14"]
    assert [warning["rule"] for warning in suits(SALE, "NP")] == ["D11"]


def test_whoever_has_looked_gets_a_warning_only() -> None:
    sender = ConfiguredSender(
        IDENTITY, "株式会社ショップ", frozenset({"TX"}), TokenKey(0, b"k" * 32), selling=Selling.WARN
    )
    content = encode(decode_message(SALE))
    assert [one["rule"] for one in reading({"shop": sender}).suits(content, "shop", "TX")] == ["D11", "D14"]
    assert refusing([], LintMode.AUTO, "TX", Selling.REFUSE) == []
    enforced = replace(sender, lint=LintMode.ENFORCE)
    with pytest.raises(Refusal, match="2 findings"):
        reading({"shop": enforced}).suits(content, "shop", "TX")


def test_a_link_to_a_campaign_makes_an_advertisement() -> None:
    profile = replace(IDENTITY.profile or Profile(), campaign_hosts=("Sale.shop.jp",))
    order = {"subject": "ご注文の確認", "text": "ご注文内容 https://my.shop.jp/orders/1\n"}
    assert suits(order, "TX", profile=profile) == []
    for host in ("sale.shop.jp", "summer.SALE.shop.jp"):
        with pytest.raises(Refusal, match=f"D14 text:1: .*{host.lower()}"):
            suits({**order, "text": f"こちらもどうぞ https://{host}/a\n"}, "TX", profile=profile)
    assert suits({**order, "text": "https://notsale.shop.jp/\n"}, "TX", profile=profile) == []


def test_off_looks_at_nothing_and_lawful_mail_has_nothing_to_say() -> None:
    assert suits(BARE, "AD", LintMode.OFF) == ()
    assert suits(LAWFUL, "AD") == []
    assert suits(BARE, "TX") == []


def test_mail_order_has_its_items_in_the_footer() -> None:
    assert suits(LAWFUL, "AD_MO", profile=ORDERING) == []
    with pytest.raises(Refusal, match="D10"):
        suits(LAWFUL, "AD_MO")


def test_texts_and_warnings_are_bounded() -> None:
    many = {"subject": "s", "text": "".join(f"[[slot{number}]]\n" for number in range(500)), "html": "[[a]]<br>" * 500}
    with pytest.raises(Refusal) as refused:
        suits(many, "AD")
    assert len(refused.value.text) <= MOST_TEXT + 1
    assert len(suits(many, "TX")) == MOST_WARNINGS


@pytest.mark.parametrize("size", [10, LARGE_MESSAGE])
def test_the_answer_has_the_warnings_and_the_check_is_made_once_a_category(size: int) -> None:
    asked: list[str] = []
    sender = ConfiguredSender(IDENTITY, "株式会社ショップ", frozenset({"AD", "TX", "TX_AD"}), TokenKey(0, b"k" * 32))
    real = reading({"shop": sender})

    def counted(content: bytes, name: str, category: str, region: str):
        asked.append(category)
        return real.suits(content, name, category, region)

    def request(number: int, category: str) -> wire.Submit:
        name = "[[coupon]]" if category == "TX" else "株式会社ショップ"
        message = wire.encode_message(wire.Message(subject="s", text="x" * size + f"\n{name}"))
        recipients = wire.encode_recipients([("a@x.example", {})])
        fields = {"key": f"k{number}", "sender": "shop", "category": category, "mailing": "m"}
        return wire.submit({**fields, "message": message, "recipients": recipients})

    async def main() -> None:
        accept = Accept(MemorySpool(), PlayedEngine(), {"shop": sender}, replace(real, suits=counted))
        told = [await accept.submit(request(number, "TX")) for number in range(3)]
        assert all([warning["rule"] for warning in one["warnings"]] == ["D11"] for one in told)
        assert "warnings" not in await accept.submit(request(4, "TX_AD"))
        with pytest.raises(Refusal):
            await accept.submit(request(5, "AD"))
        assert asked == ["TX", "TX_AD", "AD"]

    asyncio.run(main())


def test_what_a_recipients_region_wants_shown_is_looked_at_for_that_region_alone() -> None:
    linked = "配信停止はこちら\n%cancelurl%\n株式会社ショップ\n会社概要・お問い合わせ https://shop.jp/about\n"
    content = encode(decode_message({"subject": "s", "text": linked}))
    sender = ConfiguredSender(IDENTITY, "株式会社ショップ", frozenset({"AD"}), TokenKey(0, b"k" * 32))
    check = reading({"shop": sender}).suits
    assert check(content, "shop", "AD") == []
    assert check(content, "shop", "AD", "EU") == []
    with pytest.raises(Refusal, match="D15"):
        check(content, "shop", "AD", "US")
