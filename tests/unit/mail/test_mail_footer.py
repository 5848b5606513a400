"""%footer%: what the law wants, from the profile, in the language and charset of the mail, escaped, and the variant."""

from __future__ import annotations

import dataclasses

import pytest
from mail_samples import PLAIN_SHOP, SHOP, content, mail

from engine.mail.footer import Footer
from engine.mail.message import MessageError, decode, decode_message, encode, use_of
from engine.mail.profile import Language, MailOrder, Profile, foreign_texts, profile_faults, text_faults
from engine.mail.template import compile_message

PROFILE = Profile(
    postal_address="〒100-0001 東京都千代田区千代田1-1-1",
    phone="03-1234-5678",
    contact_mail="info@example.jp",
    contact_url="https://example.jp/contact?a=1&b=2",
    representative='代表取締役 速達 <太郎> "Taro"',
    mail_order=MailOrder("株式会社ほか", "shop@other.jp", "https://other.jp/stop", "https://example.jp/tokusho"),
)
SENDER = dataclasses.replace(SHOP, legal_name="株式会社速達 & Co.", profile=PROFILE)
MESSAGE = {"subject": "s", "text": "前\n%footer%\n後", "html": "<p>前</p>%footer%<p>後</p>"}
URL = "https://u.example.jp/u/0123456789abcdef0123456789abcdef?a=1&b=2"


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp"])
def test_the_footer_stands_where_its_macro_stood_with_the_recipient_s_own_link(charset: str) -> None:
    parsed = mail(compile_message(decode_message({**MESSAGE, "charset": charset}), SENDER), {}, SENDER)
    text, html = content(parsed, "plain"), content(parsed, "html")
    before, footer = text.split("\n", 1)
    assert (before, text.splitlines()[-1]) == ("前", "後")
    lines = footer.splitlines()
    link = lines.index(URL)
    assert lines[link - 1] == "配信の停止をご希望の方は、次のページからお手続きいただけます。"
    for line in (
        "送信者：株式会社速達 & Co.",
        '代表者：代表取締役 速達 <太郎> "Taro"',
        "住所：〒100-0001 東京都千代田区千代田1-1-1",
        "お問い合わせ・苦情の受付：03-1234-5678 / info@example.jp / https://example.jp/contact?a=1&b=2",
    ):
        assert line in lines
    assert "販売業者" not in text + html
    assert f'<a href="{URL.replace("&", "&amp;")}">配信停止のページ</a>からお手続きいただけます' in html
    assert "送信者：株式会社速達 &amp; Co.<br>" in html
    assert "速達 &lt;太郎&gt; &quot;Taro&quot;" in html
    assert '<a href="mailto:info@example.jp">' in html


def test_mail_order_has_more() -> None:
    compiled = compile_message(decode_message(MESSAGE), SENDER, mail_order=True)
    text = content(mail(compiled, {}, SENDER), "plain")
    for line in (
        "販売業者：株式会社ほか",
        "販売業者のメールアドレス：shop@other.jp",
        "販売業者からの広告メールの配信停止はこちら：https://other.jp/stop",
        "特定商取引法に基づく表示：https://example.jp/tokusho",
    ):
        assert line in text.splitlines()
    own = Footer(
        "株式会社速達", dataclasses.replace(PROFILE, mail_order=None), can_opt_out=True, mail_order=True
    ).text()
    assert "販売業者：株式会社速達\n販売業者のメールアドレス：info@example.jp" in own


def test_in_english() -> None:
    english = dataclasses.replace(PROFILE, language=Language.EN)
    footer = Footer("Sokutatsu K.K.", english, can_opt_out=True, mail_order=True)
    assert "you can unsubscribe on this page:\n%cancelurl%" in footer.text()
    assert "Sender: Sokutatsu K.K." in footer.text()
    assert 'you can <a href="%cancelurl%">unsubscribe on this page</a> at any time.' in footer.html()


def test_without_an_opt_out_it_has_the_rest() -> None:
    sender = dataclasses.replace(SENDER, unsubscribe_url="")
    text = content(mail(compile_message(decode_message(MESSAGE), sender), {}, sender), "plain")
    assert "配信の停止" not in text
    assert "送信者：株式会社速達" in text


@pytest.mark.parametrize(
    ("message", "sender", "words"),
    [
        (MESSAGE, PLAIN_SHOP, r"add \[senders.shop.profile\]"),
        ({**MESSAGE, "html": "%footer%%footer%"}, SENDER, "more than once"),
        (
            {**MESSAGE, "charset": "iso-2022-jp"},
            dataclasses.replace(SENDER, legal_name="株式会社髙"),
            "profile in %footer%",
        ),
        ({"subject": "s", "text": "t", "without_ad": {"text": "%footer%"}}, PLAIN_SHOP, r"^without_ad.text: uses"),
    ],
)
def test_what_cannot_be_is_told_when_it_is_compiled(message, sender, words) -> None:
    with pytest.raises(MessageError, match=words):
        compile_message(decode_message(message), sender)


@pytest.mark.parametrize("parts", [{"subject": "%footer%"}, {"headers": {"Comments": "%footer%"}}])
def test_it_may_stand_in_text_and_html_only(parts) -> None:
    with pytest.raises(MessageError, match="in the text and in the HTML only"):
        decode_message({"subject": "s", "text": "t", **parts})


# -- the variant without the advertisement ---------------------------------------------------------------------------

BOTH = {
    "subject": "{{name}}様 領収書と秋のセール",
    "text": "領収 {{total}} 円。セールのご案内 {{coupon}}",
    "headers": {"Comments": "{{name}}"},
    "without_ad": {"html": "<p>領収 {{total}} 円</p>%footer%"},
}


def test_the_variant_has_the_message_s_subject_and_fields_and_its_own_parts() -> None:
    spec = decode_message(BOTH)
    assert use_of(spec).names == {"name", "total", "coupon"}
    assert decode(encode(spec)) == spec
    compiled = compile_message(spec, SENDER)
    assert compiled.without_ad is not None
    fields = {"name": "山田", "total": "100", "coupon": "AKI"}
    whole, variant = mail(compiled, fields, SENDER), mail(compiled.without_ad, fields, SENDER)
    assert "AKI" in content(whole, "plain")
    assert (str(variant["Subject"]), variant.get_content_type()) == ("山田様 領収書と秋のセール", "text/html")
    assert "AKI" not in content(variant, "html")
    assert str(variant["Comments"]) == "山田"


def test_messages_without_one_are_stored_as_before() -> None:
    spec = decode_message({"subject": "s", "text": "t"})
    assert encode(spec) == b'T{"subject":"s","text":"t","html":null,"headers":[]}'
    assert compile_message(spec, SENDER).without_ad is None


@pytest.mark.parametrize(
    ("variant", "field"),
    [
        ("x", "without_ad"),
        ({}, "without_ad.text"),
        ({"text": "t", "headers": {}}, "without_ad.headers"),
        ({"text": "t", "subject": " "}, "without_ad.subject"),
        ({"text": 1}, "without_ad.text"),
        ({"html": "{{a b}}"}, "without_ad.html"),
    ],
)
def test_a_variant_that_is_none(variant: object, field: str) -> None:
    with pytest.raises(MessageError) as refused:
        decode_message({"subject": "s", "text": "t", "without_ad": variant})
    assert refused.value.field == field
    assert decode_message({"subject": "s", "text": "t", "without_ad": None}).without_ad is None


def test_raw_messages_have_no_variant() -> None:
    with pytest.raises(MessageError, match="nothing beside it"):
        decode_message({"raw": b"From: a@example.jp\r\n\r\nx\r\n", "without_ad": {"text": "t"}})


# -- the profile -----------------------------------------------------------------------------------------------------


def test_a_good_profile_has_no_faults() -> None:
    assert list(profile_faults(PROFILE)) == []
    assert list(profile_faults(dataclasses.replace(PROFILE, campaign_hosts=("a.example.jp", "b.example.jp")))) == []
    assert list(foreign_texts(PROFILE, "株式会社速達")) == []


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"postal_address": ""}, "postal_address", "is missing"),
        ({"phone": "", "contact_mail": "", "contact_url": ""}, "phone", "give phone, contact_mail or contact_url"),
        ({"phone": "no phone"}, "phone", "write digits and hyphens"),
        ({"contact_mail": "nobody"}, "contact_mail", "no mail address"),
        ({"contact_mail": "太郎@example.jp"}, "contact_mail", "no mail address"),
        ({"contact_url": "ftp://example.jp"}, "contact_url", "http or https"),
        ({"contact_url": "https://" + "x" * 600}, "contact_url", "at most 500"),
        ({"representative": "x" * 201}, "representative", "has 201 characters"),
        ({"representative": "㈱れい 代表"}, "representative", "write 株式会社"),
        ({"representative": "(有)れい"}, "representative", "write 有限会社"),
        ({"representative": "ﾀﾛｳ"}, "representative", "write 'タ'"),
        ({"postal_address": "東京都千代田区①"}, "postal_address", "write '1'"),
        ({"representative": "{{name}}"}, "representative", "nothing is merged"),
        ({"representative": "%footer%"}, "representative", "nothing is merged"),
        ({"mail_order": MailOrder(seller="株式会社ほか")}, "mail_order.seller_unsubscribe", "is missing"),
        ({"mail_order": MailOrder(seller="㈱", seller_unsubscribe="a@b.jp")}, "mail_order.seller", "write 株式会社"),
        ({"mail_order": MailOrder(seller_mail="x")}, "mail_order.seller_mail", "no mail address"),
        ({"mail_order": MailOrder(seller_unsubscribe="x")}, "mail_order.seller_unsubscribe", "no mail address"),
        ({"mail_order": MailOrder(tokusho_url="x")}, "mail_order.tokusho_url", "http or https"),
        ({"campaign_hosts": ("https://x.jp/",)}, "campaign_hosts", "name of a host"),
        ({"mail_order": MailOrder(seller_unsubscribe="x://y")}, "mail_order.seller_unsubscribe", "http or https"),
    ],
)
def test_every_fault_is_told_with_its_key(changes, key, words) -> None:
    ((found, _, text),) = profile_faults(dataclasses.replace(PROFILE, **changes))
    assert found == key
    assert words in text


def test_a_name_that_old_telephones_cannot_show_is_no_fault() -> None:
    assert list(text_faults("株式会社髙島屋")) == []
    ((key, why),) = foreign_texts(Profile(), "株式会社髙島屋")
    assert (key, "髙" in why) == ("legal_name", True)
