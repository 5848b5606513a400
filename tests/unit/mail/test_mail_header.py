"""Free-text header fields: plain, folded, encoded; and what they read back as."""

import email
import email.policy

import pytest

from engine.mail.dkim import relaxed_field
from engine.mail.header import FieldTemplate, encoded_words, fold
from engine.mail.slots import cut


def read_back(name: str, wire: bytes) -> str:
    parsed = email.message_from_bytes(wire + b"\r\n", policy=email.policy.default)
    assert parsed.keys() == [name]
    return str(parsed[name])


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("Hello {{x}}!", "Taro", "Hello Taro!"),
        ("{{x}}", "Taro", "Taro"),
        ("{{x}}様、今月のお知らせ", "山田 太郎", "山田 太郎様、今月のお知らせ"),
        ("{{x}}様", "", "様"),
        ("Hello {{x}}", "山田\u3000太郎", "Hello 山田\u3000太郎"),
        ("Hello {{x}}", "=?utf-8?q?x?=", "Hello =?utf-8?q?x?="),
        ("Hello {{x}}", "a  b", "Hello a  b"),
        ("Hello {{x}} and a subject of more than a line, which is folded at spaces", "Taro" * 9, None),
        ("今月の{{x}}", "長" * 60, "今月の" + "長" * 60),
        ("{{x}}", "x" * 1000, "x" * 1000),
        ("{{x}}", "x " * 600 + "x", "x " * 600 + "x"),
        ("{{x}}", "a\r\nBcc: b@example.com\0\x85\u2028", "a  Bcc: b@example.com"),
        ("{{x}}", "", ""),
    ],
)
@pytest.mark.parametrize("name", ["Subject", "X-A-Name-That-Leaves-No-Room-For-A-Word"])
def test_field(name: str, template: str, value: str, text: str | None) -> None:
    field = FieldTemplate(name, cut(template))
    assert field.names == {"x"}
    wire, canonical = field.render({"x": value})
    assert wire.isascii()
    assert wire.endswith(b"\r\n")
    assert canonical == relaxed_field(*wire.split(b":", 1))
    lines = wire.removesuffix(b"\r\n").split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert max(map(len, lines)) <= 78 or b"=?utf-8" not in wire
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    expected = template.replace("{{x}}", value) if text is None else text
    # Python keeps the space of a first line that is empty.
    assert read_back(name, wire).strip() == expected


def test_lone_surrogates_become_question_marks() -> None:
    assert read_back("Subject", FieldTemplate("Subject", cut("件名{{x}}")).render({"x": "\ud800"})[0]) == "件名?"


def test_words_cut_between_characters() -> None:
    words = encoded_words("𠮷野家" * 20)
    assert all(len(word) <= 60 for word in words)
    assert read_back("Subject", b"Subject: " + b"\r\n ".join(words) + b"\r\n") == "𠮷野家" * 20
    assert encoded_words("") == []


def test_fold() -> None:
    assert fold(b"a b", 9) == b"a b"
    folded = fold(b"word " * 40 + b"x" * 90 + b" end", 20)
    assert folded.replace(b"\r\n", b"") == b"word " * 40 + b"x" * 90 + b" end"
    assert [len(line) for line in folded.split(b"\r\n")][-2:] == [91, 4]
