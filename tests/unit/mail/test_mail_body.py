"""Bodies: pieces for the wire and the hash of what a receiver unstuffs."""

import pytest
from mail_samples import unstuffed

from engine.mail.body import FixedBody, MergedBody
from engine.mail.dkim import body_hash, relaxed_body
from engine.mail.slots import cut
from engine.mail.transfer import FixedPart, Places, encode_part


@pytest.mark.parametrize("body", [b".\r\na  b \r\n..\r\n\r\n", b""])
def test_fixed(body: bytes) -> None:
    first, second, value = FixedBody(body).render({}, "")
    assert unstuffed(first + second) == body
    assert value == body_hash(relaxed_body(body))


@pytest.mark.parametrize("url", ["https://u.example.jp/1", ""])
def test_merged(url: str) -> None:
    places = Places()
    text = "{{a}}様\n" + "ありがとうございます。\n" * 5 + "%cancelurl% {{a}}{{b}}\n"
    parts = [
        FixedPart("7bit", b"first\r\n"),
        encode_part(cut(text), markup=False, places=places, alone=False),
        encode_part(cut(text), markup=True, places=places, alone=False),
    ]
    body = MergedBody([b"--b\r\n", b"--b\r\n", b"--b\r\n", b"--b--\r\n"], parts, places)
    first, second, value = body.render({"a": "山&田", "b": "1"}, url)
    whole = first + second
    assert whole.startswith(b"--b\r\nfirst\r\n--b\r\n")
    assert whole.count(b"--b\r\n") == 3
    assert whole.endswith(b"\r\n--b--\r\n")
    assert value == body_hash(relaxed_body(whole))
    assert body.render({"a": "x", "b": "1"}, url)[2] != value
    with pytest.raises(KeyError):
        body.render({"a": "x"}, url)
