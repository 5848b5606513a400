"""Messages as clients hand them over: every refusal names its field; equal messages have equal octets."""

import pytest

from engine.mail.message import (
    MAX_FIELDS,
    MAX_PART,
    MessageError,
    MessageSpec,
    decode,
    decode_message,
    encode,
    use_of,
)
from engine.mail.slots import NO_FIELDS

GOOD = {
    "subject": "{{name}}様",
    "text": "a\r\nb\rc %cancelurl%",
    "html": "<p>{{points}}</p>",
    "headers": {"X-A": "{{name}}"},
}
RAW = b"From: a@example.jp\r\n\r\nx {{name}}\r\n"


def test_template() -> None:
    spec = decode_message(GOOD)
    assert spec.text == "a\nb\nc %cancelurl%"
    assert use_of(spec).names == {"name", "points"}
    assert use_of(spec).in_headers == {"name"}
    assert decode(encode(spec)) == spec
    assert encode(spec) == encode(decode_message(dict(reversed(GOOD.items()))))


def test_raw() -> None:
    spec = decode_message({"raw": RAW})
    assert spec == MessageSpec(raw=RAW)
    assert use_of(spec) is NO_FIELDS
    assert decode(encode(spec)) == spec


def test_every_kind_of_header() -> None:
    given = {"Reply-To": "Help <a@example.jp>", "List-Id": "<news.example.jp>", "x-a": "山 {{a}}", "Comments": "x"}
    assert dict(decode_message({"subject": "s", "text": "t", "headers": given}).headers) == given
    assert decode_message({"subject": "全角\u3000空白", "text": "t", "headers": None, "html": None}).headers == ()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (None, "message"),
        ([], "message"),
        ({}, "text"),
        ({"subject": "s", "text": "", "html": ""}, "text"),
        ({"text": "t"}, "subject"),
        ({"subject": " ", "text": "t"}, "subject"),
        ({"subject": "a\r\nBcc: x@example.com", "text": "t"}, "subject"),
        ({"subject": "\ud800", "text": "t"}, "subject"),
        ({"subject": 1, "text": "t"}, "subject"),
        ({"subject": "s" * 501, "text": "t"}, "subject"),
        ({"subject": "s", "text": b"t"}, "text"),
        ({"subject": "s", "text": "t" * (MAX_PART + 1)}, "text"),
        ({"subject": "s", "text": "a\0b"}, "text"),
        ({"subject": "s", "html": "a\x1b"}, "html"),
        ({"subject": "s", "html": "\udc80"}, "html"),
        ({"subject": "s", "text": "t", "body": "x"}, "body"),
        ({"subject": "s", "text": "t", 3: "x"}, "3"),
        ({"subject": "{{", "text": "t"}, "headers"),
        ({"subject": "%cancelurl%", "text": "t"}, "message"),
        ({"subject": "s", "text": "{{a b}}"}, "text"),
        ({"subject": "s", "text": "t", "html": "{{a"}, "html"),
        ({"subject": "s", "text": "{{a}}" * 501}, "message"),
        ({"subject": "s", "text": "t", "headers": []}, "headers"),
        ({"subject": "s", "text": "t", "headers": {f"X-{n}": "x" for n in range(MAX_FIELDS + 1)}}, "headers"),
        ({"subject": "s", "text": "t", "headers": {"X-A": 1}}, "headers"),
        ({"subject": "s", "text": "t", "headers": {1: "x"}}, "headers"),
        ({"subject": "s", "text": "t", "headers": {"X-A": "x" * 901}}, "headers"),
        ({"subject": "s", "text": "t", "headers": {"X-A": "a\r\nBcc: x"}}, "headers.X-A"),
        ({"subject": "s", "text": "t", "headers": {"X-A": " "}}, "headers.X-A"),
        ({"subject": "s", "text": "t", "headers": {"X-A": "x", "x-a": "x"}}, "headers.x-a"),
        ({"subject": "s", "text": "t", "headers": {"X-A: b\r\nX-B": "x"}}, "headers.X-A: b\\r\\nX-B"),
        ({"subject": "s", "text": "t", "headers": {"From": "a@example.com"}}, "headers.From"),
        ({"subject": "s", "text": "t", "headers": {"Bcc": "a@example.com"}}, "headers.Bcc"),
        ({"subject": "s", "text": "t", "headers": {"DKIM-Signature": "v=1"}}, "headers.DKIM-Signature"),
        ({"subject": "s", "text": "t", "headers": {"X-Sokutatsu-Sender": "x"}}, "headers.X-Sokutatsu-Sender"),
        ({"subject": "s", "text": "t", "headers": {"Precedence": "大量"}}, "headers.Precedence"),
        ({"subject": "s", "text": "t", "headers": {"Reply-To": "a, b"}}, "headers.Reply-To"),
        ({"subject": "s", "text": "t", "headers": {"Reply-To": "太郎@example.jp"}}, "headers.Reply-To"),
        ({"subject": "s", "text": "t", "headers": {"Reply-To": "x" * 201 + " <a@example.jp>"}}, "headers.Reply-To"),
        ({"subject": "s", "text": "t", "headers": {f"X-{n}": "x" * 900 for n in range(7)}}, "headers"),
        ({"subject": "s", "text": "t", "headers": {"X-A": "{{a"}}, "headers"),
        ({"raw": "text"}, "raw"),
        ({"raw": RAW, "subject": "s"}, "raw"),
        ({"raw": b"no mail"}, "raw"),
    ],
)
def test_refused(given: object, field: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_message(given)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: {caught.value.text}")
    assert len(caught.value.value) <= 80
