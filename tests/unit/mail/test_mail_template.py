"""Compiling: what a receiver sees of templates and raw messages, verified by dkimpy; what does not suit a sender."""

import dataclasses
import email.utils

import dkim
import pytest
from mail_samples import ED, PLAIN_SHOP, RSA, SHOP, content, dns, facts, finish, mail, received, unstuffed

from engine.mail.identity import SenderIdentity
from engine.mail.message import MessageError, decode_message
from engine.mail.template import compile_message

TEXT = "{{name}} 様\n\n" + "いつもご利用いただき、ありがとうございます。\n" * 6 + "残高 {{points}}\n%cancelurl%\n"
HTML = (
    "<p>{{name}} 様</p>\n"
    + "<p>いつもご利用いただき、ありがとうございます。</p>\n" * 6
    + '<a href="%cancelurl%">停止 {{points}}</a>\n'
)
HEADERS = {
    "Reply-To": "ヘルプ <help@example.jp>",
    "X-Customer": "{{points}}",
    "List-Id": "<news.example.jp>",
    "Comments": "春 {{name}}",
}
FIELDS = {"name": "O'Neil <太郎> & 花子", "points": "1,234"}
URL = facts({}).cancel_url


def test_text_and_html() -> None:
    compiled = compile_message(
        decode_message({"subject": "{{name}}様", "text": TEXT, "html": HTML, "headers": HEADERS}), SHOP
    )
    assert compiled.use.names == {"name", "points"}
    parsed = mail(compiled, FIELDS)
    assert parsed.get_content_type() == "multipart/alternative"
    text = TEXT.replace("{{name}}", FIELDS["name"]).replace("{{points}}", "1,234").replace("%cancelurl%", URL)
    assert content(parsed, "plain") == text.removesuffix("\n")
    name, url = "O&#x27;Neil &lt;太郎&gt; &amp; 花子", URL.replace("&", "&amp;")
    markup = HTML.replace("{{name}}", name).replace("{{points}}", "1,234").replace("%cancelurl%", url)
    assert content(parsed, "html") == markup.removesuffix("\n")
    assert str(parsed["Subject"]) == FIELDS["name"] + "様"
    assert str(parsed["X-Customer"]) == "1,234"
    assert str(parsed["Comments"]) == "春 " + FIELDS["name"]
    assert str(parsed["List-Id"]) == "<news.example.jp>"
    assert str(parsed["Reply-To"]) == "ヘルプ <help@example.jp>"
    assert str(parsed["From"]) == "速達ショップ <news@example.jp>"


@pytest.mark.parametrize(
    "given",
    [
        {"text": "plain\n"},
        {"text": "plain\n\n\n"},
        {"text": "Dear {{name}},\n" + "word " * 100},
        {"text": "{{name}}"},
        {"html": "<b>{{name}}</b>"},
        {"html": "<b>ありがとう</b>"},
        {"text": ".\n..\n", "html": "<b>  x</b>\n"},
        {"text": "no slot", "html": "<b>{{name}}</b>" + "x" * 2000},
        {"text": "{{name}}", "html": "no slot"},
        {"text": "Dear {{name}}\n", "html": HTML.replace("{{points}}", "")},
    ],
)
@pytest.mark.parametrize("subject", ["Hello", "こんにちは", "Hello {{name}}", "word " * 30])
@pytest.mark.parametrize("sender", [SHOP, PLAIN_SHOP])
def test_every_form_verifies(given: dict[str, str], subject: str, sender: SenderIdentity) -> None:
    if "%cancelurl%" in given.get("html", "") and sender is PLAIN_SHOP:
        given = {"text": "x"}
    compiled = compile_message(decode_message({"subject": subject, **given}), sender)
    for name in ("Taro", "山田 太郎", "", ".", "a\nb"):
        fields = {"name": name} if compiled.use.names else {}
        if "\n" in name and compiled.use.in_headers:
            continue
        parsed = mail(compiled, fields, sender)
        for subtype, part in (("plain", given.get("text")), ("html", given.get("html"))):
            if part and "%" not in part:
                assert content(parsed, subtype) == part.rstrip("\n").replace("{{name}}", name).rstrip(
                    "\n" if name == "" else ""
                )
        assert len(parsed.get_all("From", [])) == 1
        assert ("List-Unsubscribe" in parsed) == bool(sender.unsubscribe_url)
        assert ("Feedback-ID" in parsed) == bool(sender.feedback_id)


def test_signed_fields() -> None:
    compiled = compile_message(decode_message({"subject": "s", "text": TEXT, "html": HTML, "headers": HEADERS}), SHOP)
    parsed = mail(compiled, FIELDS)
    tags = dict(tag.strip().split("=", 1) for tag in str(parsed["DKIM-Signature"]).split(";"))
    names = "".join(tags["h"].split()).lower().split(":")
    assert names.count("from") == 2
    for name in (
        "subject",
        "to",
        "date",
        "message-id",
        "mime-version",
        "content-type",
        "list-id",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "feedback-id",
        "reply-to",
    ):
        assert name in names
    assert "x-customer" not in names
    assert "l" not in tags
    assert tags["c"] == "relaxed/relaxed"


@pytest.mark.parametrize(
    "added", [b"From: evil@example.com\r\n", b"Subject: evil\r\n", b"To: x@example.com\r\n", b"Cc: x@example.com\r\n"]
)
def test_nobody_can_add_what_is_oversigned(added: bytes) -> None:
    compiled = compile_message(decode_message({"subject": "s", "text": "t"}), PLAIN_SHOP)
    payload = finish(compiled.compose(facts({}, sender=PLAIN_SHOP)))
    assert dkim.DKIM(payload).verify(0, dnsfunc=dns)
    assert not dkim.DKIM(added + payload).verify(0, dnsfunc=dns)
    assert not dkim.DKIM(payload.replace(b"\r\nFrom: ", b"\r\n" + added + b"From: ")).verify(0, dnsfunc=dns)
    with pytest.raises(dkim.ValidationError, match="body hash"):
        dkim.DKIM(payload.replace(b"\r\nt\r\n", b"\r\nu\r\n")).verify(0, dnsfunc=dns)


RAW = b"X-First: 1\r\nFrom: =?utf-8?b?5bGx?=\r\n <news@example.jp>\r\nSubject:  a\r\n\t b \r\nReceived: 1\r\nReceived: 2\r\n\r\n.\r\n..two  words \r\n\r\n\r\n"


def test_raw_gets_what_is_missing_and_keeps_the_rest() -> None:
    compiled = compile_message(decode_message({"raw": RAW}), SHOP)
    draft = compiled.compose(facts({}))
    payload = finish(draft)
    parsed = received(payload)
    assert unstuffed(payload).endswith(RAW)
    assert parsed["Date"]
    assert parsed["Message-ID"] == "<0000000000000007@example.jp>"
    assert parsed["List-Unsubscribe"] == f"<{URL}>"
    assert parsed["List-Unsubscribe-Post"]
    assert parsed["Feedback-ID"]
    assert parsed["To"] is None
    assert (draft.eightbit, draft.utf8) == (False, False)


def test_raw_fields_are_never_doubled() -> None:
    header = b"Date: Tue, 14 Nov 2023 22:13:20 +0900\nMessage-ID: <own@example.jp>\nTo: list@example.jp\nList-Unsubscribe: <https://own.example.jp>\nFeedback-ID: a:b:c:ownsender\nFrom: news@example.jp\n\nx\n"
    compiled = compile_message(decode_message({"raw": header}), SHOP)
    payload = finish(compiled.compose(facts({})))
    parsed = received(payload)
    assert unstuffed(payload).endswith(header.replace(b"\n", b"\r\n"))
    assert all(
        len(parsed.get_all(name, [])) == 1
        for name in ("Date", "Message-ID", "To", "List-Unsubscribe", "Feedback-ID", "From")
    )
    assert "List-Unsubscribe-Post" not in parsed
    assert email.utils.parsedate_to_datetime(parsed["Date"]).hour == 22


@pytest.mark.parametrize(
    ("raw", "flags"),
    [
        (b"From: news@example.jp\r\n\r\n\xe5\xb1\xb1\r\n", (True, False)),
        (b"From: news@example.jp\r\nX-A: \xe5\xb1\xb1\r\n\r\nx\r\n", (True, True)),
        (b"From: news@example.jp", (False, False)),
    ],
)
def test_raw_flags(raw: bytes, flags: tuple[bool, bool]) -> None:
    draft = compile_message(decode_message({"raw": raw}), PLAIN_SHOP).compose(facts({}, sender=PLAIN_SHOP))
    assert (draft.eightbit, draft.utf8) == flags
    received(finish(draft, (RSA,)))
    received(finish(draft, (ED,)))


def test_what_does_not_suit_the_sender() -> None:
    linked = decode_message({"subject": "s", "html": "%cancelurl%"})
    with pytest.raises(MessageError, match="has no unsubscribe_url") as caught:
        compile_message(linked, PLAIN_SHOP)
    assert caught.value.field == "html"
    foreign = decode_message({"raw": b"From: a@example.com\r\n\r\n"})
    with pytest.raises(MessageError, match="signing domain"):
        compile_message(foreign, SHOP)
    broken = dataclasses.replace(foreign, raw=b"no mail")
    with pytest.raises(MessageError, match="no header field"):
        compile_message(broken, SHOP)
