"""What accept learns of a message before it becomes durable: can this sender send it at all?"""

from __future__ import annotations

import pytest

from engine.flow.senders import ConfiguredSender, reading
from engine.mail.identity import SenderIdentity
from engine.mail.message import MessageSpec, encode
from engine.wire import Refusal
from suppression.unsubscribe import TokenKey, read_token

KEY = TokenKey(3, b"s" * 32)


def sender(url: str = "") -> ConfiguredSender:
    identity = SenderIdentity("shop", "news@shop.example.jp", "shop.example.jp", "b.shop.example.jp", "shop.example.jp",
                              unsubscribe_url=url)  # fmt: skip
    return ConfiguredSender(identity, "株式会社ショップ", frozenset({"AD"}), KEY)


def test_a_link_without_an_address_for_it_is_refused_at_accept() -> None:
    content = encode(MessageSpec(subject="s", text="stop: %cancelurl%"))
    with pytest.raises(Refusal) as refused:
        reading({"shop": sender()}).suits(content, "shop", "TX")
    assert (refused.value.code, refused.value.field) == ("bad_message", "text")
    assert reading({"shop": sender("https://shop.example.jp/u/{token}")}).suits(content, "shop", "TX") == []


def test_the_link_names_its_recipient() -> None:
    url = sender("https://shop.example.jp/u/{token}").cancel_url(77, "taro@example.jp", "news")
    what = read_token(url.removeprefix("https://shop.example.jp/u/"), {3: KEY})
    assert what is not None
    assert (what.sender, what.topic, what.address, what.recipient) == ("shop", "news", "taro@example.jp", 77)
    assert sender().cancel_url(77, "taro@example.jp", "news") == ""
