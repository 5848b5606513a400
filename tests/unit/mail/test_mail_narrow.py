"""ISO-2022-JP: what can be written, what is refused with what remedy, encoded-words, whole mails."""

from __future__ import annotations

import dataclasses
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mail_samples import PLAIN_SHOP, SHOP, content, facts, finish, mail, received

from engine.mail import narrow
from engine.mail.message import MessageError, decode, decode_message, encode, use_of
from engine.mail.slots import check_fields
from engine.mail.template import compile_message

TEXT = "{{name}} 様\n\n.点で始まる行\n秋の感謝祭  2つの空白 \nカタカナ、ひらがな、漢字～1000円\n配信停止: %cancelurl%\n"
HTML = '<p title="{{name}}">{{name}} 様</p>\n<a href="%cancelurl%">配信停止はこちら</a>'
JIS = st.text(st.sampled_from("abc .=-_&<>\"'山田太郎々ヶ、。ー～￥（）Ａ１ぁンж"), max_size=60)


def narrow_message(**parts: object) -> dict[str, object]:
    return {"subject": "{{name}}様へ 秋の感謝祭のご案内", "charset": "iso-2022-jp", **parts}


@pytest.mark.parametrize(
    ("text", "character", "remedy"),
    [
        ("ｶﾀｶﾅ", "ｶ", "write 'カ'"),
        ("第①回", "①", "write '1'"),
        ("㈱れい", "㈱", "write '(株)'"),
        ("髙島", "髙", "write it otherwise"),
        ("おめでとう🎉", "🎉", "write it otherwise"),
        ("\udc80", "\udc80", "write it otherwise"),
        ("～－∥￠￡￢—¥‾山田 abc", "", ""),
    ],
)
def test_what_cannot_be_written_is_named_with_a_remedy(text: str, character: str, remedy: str) -> None:
    assert narrow.foreign(text) == character
    if character:
        assert remedy in narrow.remedy(character)


@given(JIS)
def test_texts_begin_and_end_in_ascii_and_can_be_joined(text: str) -> None:
    octets = narrow.encode(text)
    assert octets.isascii()
    assert b"\x1b(J" not in octets
    assert octets.rfind(b"\x1b$B") <= octets.rfind(b"\x1b(B")
    joined = narrow.joined([octets, narrow.encode("山"), octets])
    assert joined.decode("iso2022_jp") == octets.decode("iso2022_jp") + "山" + octets.decode("iso2022_jp")
    assert b"\x1b(B\x1b$B" not in joined


def test_every_line_returns_to_ascii_before_it_ends() -> None:
    for line in narrow.encode("山\r\n田a\r\n太").split(b"\r\n"):
        assert line.rfind(b"\x1b$B") < line.rfind(b"\x1b(B")


@given(st.one_of(JIS, st.text(max_size=40)))
def test_encoded_words_are_short_and_say_the_text(text: str) -> None:
    words = narrow.encoded_words(text)
    assert all(len(word) <= 60 and word.isascii() for word in words)
    for word in words:
        (octets, charset), *rest = decode_header(word.decode())
        assert (charset, rest) == ("iso-2022-jp", [])
        assert octets.decode("iso2022_jp")  # each one by itself: split between escapes, never inside of them
    if not narrow.foreign(text) and text.isprintable():
        decoded = str(make_header(decode_header(" ".join(word.decode() for word in words)))) if words else ""
        assert decoded == narrow.encode(text).decode("iso2022_jp")


def test_a_whole_mail_in_two_parts() -> None:
    headers = {"Reply-To": "速達 <r@example.jp>", "Comments": "{{name}} 備考"}
    compiled = compile_message(decode_message(narrow_message(text=TEXT, html=HTML, headers=headers)), SHOP)
    parsed = mail(compiled, {"name": "山田～太郎 <&>"})
    assert [part.get_content_charset() for part in parsed.iter_parts()] == ["iso-2022-jp"] * 2
    assert [part["Content-Transfer-Encoding"] for part in parsed.iter_parts()] == ["7bit"] * 2
    assert str(parsed["Subject"]) == "山田〜太郎 <&>様へ 秋の感謝祭のご案内"
    assert str(parsed["From"]) == "速達ショップ <news@example.jp>"
    assert str(parsed["Comments"]) == "山田〜太郎 <&> 備考"
    assert "=?iso-2022-jp?b?" in bytes(parsed).decode("ascii")
    assert "=?utf-8?" not in bytes(parsed).decode("ascii")
    text = content(parsed, "plain")
    assert text.startswith("山田〜太郎 <&> 様\n\n.点で始まる行\n")
    assert "https://u.example.jp/u/" in text
    assert '<p title="山田〜太郎 &lt;&amp;&gt;">山田〜太郎 &lt;&amp;&gt; 様</p>' in content(parsed, "html")


def test_one_part_without_merge_fields_is_fixed() -> None:
    message = {"subject": "お知らせ", "text": "本文\n", "charset": "ISO-2022-JP"}
    parsed = mail(compile_message(decode_message(message), PLAIN_SHOP), {}, PLAIN_SHOP)
    assert (parsed.get_content_charset(), parsed["Content-Transfer-Encoding"]) == ("iso-2022-jp", "7bit")
    assert content(parsed, "plain") == "本文"


@pytest.mark.parametrize("text", ["山" * 500 + "\n{{name}}", "山" * 200 + "{{name}}" * 3])
def test_lines_too_long_for_7bit_make_base64_of_the_same_octets(text: str) -> None:
    compiled = compile_message(decode_message(narrow_message(text=text)), SHOP)
    parsed = mail(compiled, {"name": "田"})
    assert parsed["Content-Transfer-Encoding"] == "base64"
    assert content(parsed, "plain") == text.replace("{{name}}", "田")


@given(st.lists(JIS, min_size=2, max_size=2))
def test_every_value_arrives_as_it_was(values: list[str]) -> None:
    name, other = values
    fields = {"name": name, "other": other}
    spec = decode_message(
        narrow_message(subject="{{name}}", text="{{name}}{{other}}\n{{other}}x", html="<b>{{name}}</b>")
    )
    if check_fields(use_of(spec), fields) is not None:
        return
    parsed = received(finish(compile_message(spec, SHOP).compose(facts(fields)), keys=()))
    expected = narrow.encode(f"{name}{other}\n{other}x").decode("iso2022_jp")
    assert content(parsed, "plain") == expected


def test_a_value_cannot_end_a_part_or_a_header_field() -> None:
    spec = decode_message(narrow_message(text="{{name}}", html="<p>{{name}}</p>"))
    compiled = compile_message(spec, SHOP)
    boundary = mail(compiled, {"name": "x"}).get_boundary()
    for value in (f"\n--{boundary}--\n", f"--{boundary}\nContent-Type: text/html\n\n<b>"):
        parsed = mail(compiled, {"name": value})
        assert len(list(parsed.iter_parts())) == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ﾀﾛｳ", "write 'タ'"),
        ("髙橋", "not in ISO-2022-JP"),
        ("山" * 130, "a line of more than 250 octets"),
        ("&" * 60, "a line of more than 250 octets"),
        ("山" * 100 + "\n" + "山" * 100, None),
    ],
)
def test_a_value_that_does_not_fit_refuses_its_recipient_with_the_field_s_name(value: str, words: str | None) -> None:
    use = use_of(decode_message(narrow_message(subject="s", text="{{name}} {{city}}")))
    told = check_fields(use, {"city": "東京", "name": value})
    assert (told is None) if words is None else (told is not None and "'name'" in told and words in told)
    wide = use_of(decode_message({"subject": "s", "text": "{{name}} {{city}}"}))
    assert check_fields(wide, {"city": "東京", "name": value}) is None


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"subject": "①のお知らせ", "text": "t"}, "subject"),
        ({"text": "ｶﾀｶﾅ"}, "text"),
        ({"text": "t", "html": "<p>㈱</p>"}, "html"),
        ({"text": "t", "headers": {"Comments": "🎉"}}, "headers.Comments"),
        ({"text": "t", "headers": {"Reply-To": "髙橋 <a@example.jp>"}}, "headers.Reply-To"),
        ({"text": "t", "without_ad": {"text": "①"}}, "without_ad.text"),
    ],
)
def test_a_message_that_does_not_fit_is_refused_with_field_and_remedy(parts: dict[str, object], field: str) -> None:
    with pytest.raises(MessageError, match="JIS X 0208") as refused:
        decode_message(narrow_message(**parts))
    assert refused.value.field == field


@pytest.mark.parametrize("charset", ["shift_jis", 1, ""])
def test_other_charsets_are_refused(charset: object) -> None:
    with pytest.raises(MessageError, match="utf-8, iso-2022-jp"):
        decode_message({"subject": "s", "text": "t", "charset": charset})


def test_a_sender_s_name_that_does_not_fit_is_told_when_it_is_compiled() -> None:
    sender = dataclasses.replace(SHOP, from_display="髙島屋")
    with pytest.raises(MessageError, match="display name"):
        compile_message(decode_message(narrow_message(text="t")), sender)


def test_the_charset_is_stored_only_when_it_is_another() -> None:
    wide, same = ({"subject": "s", "text": "t", **more} for more in ({}, {"charset": "UTF-8"}))
    assert encode(decode_message(wide)) == encode(decode_message(same))
    assert b"charset" not in encode(decode_message(wide))
    spec = decode_message(narrow_message(text="t"))
    assert decode(encode(spec)) == spec
