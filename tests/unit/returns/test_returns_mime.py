"""MIME as strangers write it."""

from __future__ import annotations

from engine.returns.mime import MAX_BYTES, MAX_PARTS, Fields, decode, decode_words, read_mail, split_message
from engine.returns.shape import shape_of
from engine.returns.words import MAX_FOUND, address_of, addresses, tokens


def test_fields() -> None:
    fields, body = split_message(b"From x Thu\nA: 1\nB : 2\n  3\nA:4\nno field\nbody\n")
    assert fields == Fields((("a", "1"), ("b", "2  3"), ("a", "4")))
    assert body == b"no field\nbody\n"
    assert (fields.first("c", "b"), fields.first("c"), fields.every("a")) == ("2  3", "", ["1", "4"])
    assert split_message(b"") == (Fields(), b"")
    assert split_message(b"A: 1") == (Fields((("a", "1"),)), b"")
    assert split_message(b"\nx") == (Fields(), b"x")
    assert split_message(b" folded without a field\n")[0] == Fields()


def test_a_parameter_that_is_not_folded() -> None:
    fields, _ = split_message(b'Content-Type: multipart/mixed;\nboundary="x"\nA: 1\n\n')
    assert fields.first("content-type") == 'multipart/mixed; boundary="x"'
    assert fields.first("a") == "1"


def test_fields_are_bounded() -> None:
    fields, _ = split_message(b"A: 1\n" * 1000 + b"\n")
    assert len(fields.pairs) == 400


def test_parts_and_their_transfer_encodings() -> None:
    mail = read_mail(
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\npreamble\r\n--x\r\n\r\nbare\r\n"
        b"--x\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n=E7=8C=AB\r\n"
        b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nbmVr\r\nbw==\r\n"
        b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nb\r\n"
        b"--x--\r\nepilogue\r\n"
    )
    assert [part.text.strip() for part in mail.parts] == ["", "bare", "猫", "neko", ""]


def test_a_boundary_that_never_comes() -> None:
    mail = read_mail(b"Content-Type: multipart/mixed; boundary=x\n\nall of it\n")
    assert mail.parts[1].text == "\nall of it\n"
    empty = read_mail(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x\n--x")
    assert len(empty.parts) == 4


def test_returned_messages_are_deeper() -> None:
    mail = read_mail(b"Content-Type: message/rfc822\n\n\nSubject: a\nContent-Type: message/rfc822\n\nSubject: b\n\nx\n")
    assert [(part.depth, part.fields.first("subject")) for part in mail.parts] == [(0, ""), (1, "a"), (2, "b")]


def test_bounds() -> None:
    deep = b"Content-Type: message/rfc822\n\n" * 100
    assert len(read_mail(deep).parts) == 9
    wide = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * 500
    assert len(read_mail(wide).parts) <= MAX_PARTS + 1
    nested = (
        b"Content-Type: multipart/mixed; boundary=x\n\n"
        + b"--x\nContent-Type: multipart/mixed; boundary=y\n\n--y\n\n--y\n\n" * 60
    )
    assert len(read_mail(nested).parts) == MAX_PARTS
    assert read_mail(b"x" * (MAX_BYTES + 1)).is_cut


def test_charsets() -> None:
    assert decode("猫".encode("iso2022_jp"), "us-ascii") == "猫"
    assert decode("猫".encode("cp932"), "Shift_JIS") == "猫"
    assert decode("猫".encode("cp932"), "") == "猫"
    assert decode("猫".encode(), "x-no-such") == "猫"
    assert decode("猫".encode("euc_jp"), "x-euc-jp") == "猫"
    assert decode(b"\x81\x20\xff", "") == "\x81 \xff"
    assert decode(b"+2AA-", "utf-7") == "?", "no lone surrogate comes out"
    assert decode(b"abc", "punycode") == "abc", "not a charset of mail"
    assert decode(b"abc", "iso-8859-99") == "abc"


def test_encoded_words() -> None:
    assert decode_words("=?utf-8?Q?=E7=8C=AB_?= =?utf-8?B?54yr?= x") == "猫 猫 x"
    assert decode_words("=?utf-8?X?a?=") == "=?utf-8?X?a?="


def test_addresses() -> None:
    assert addresses("<neko@example.jp>, 'tora@a.example'. neko@example.jp x@y") == [
        "neko@example.jp",
        "tora@a.example",
    ]
    assert addresses("a..b.@docomo.ne.jp") == ["a..b.@docomo.ne.jp"]
    assert address_of("rfc822; <neko@example.jp>") == "neko@example.jp"
    assert address_of("neko@example.jp; tora@example.jp") == "neko@example.jp"
    assert address_of("x") == ""
    assert len(addresses(" ".join(f"a{number}@example.jp" for number in range(200)))) == MAX_FOUND


def test_tokens() -> None:
    long = "AQB" + "x" * 40
    assert tokens([f"<https://a.example/{long}>", f"b+{'0' * 16}-{'a' * 16}", "-" * 70, "x" * 2000]) == (long,)
    assert len(tokens([" ".join(f"AQBx{number:040}z" for number in range(200))])) == MAX_FOUND


def test_an_original_without_a_media_type() -> None:
    raw = b"""From: MAILER-DAEMON
Content-Type: multipart/mixed; boundary=x

--x

User unknown
--x
Received: from a
From: news@shop.example
To: neko@example.jp
Message-Id: <1@shop.example>

user unknown
--x
Content-Type: text/rfc822-headers

List-Unsubscribe: <https://a.example/AQBxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx>
--x--
"""
    shape = shape_of(read_mail(raw))
    assert shape.words.strip() == "User unknown"
    assert shape.original.message_id == "<1@shop.example>"
    assert shape.original.recipients == ("neko@example.jp",)
    assert shape.original.tokens == ("AQBxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",)


def test_an_original_in_the_text() -> None:
    for lead in ("", "   ", "> "):
        header = ("Return-Path: <a@b.example>", "From: a@b.example", "To: neko@example.jp", "Subject: x", " folded")
        quoted = "".join(f"{lead}{line}\n" for line in header)
        shape = shape_of(read_mail(f"Subject: y\n\nIt failed.\n{quoted}\nbody\n".encode()))
        assert shape.words.strip() == "It failed."
        assert shape.original.recipients == ("neko@example.jp",)


def test_a_field_at_the_end_of_the_text_begins_no_original() -> None:
    assert shape_of(read_mail(b"Subject: y\n\nIt failed.\nFrom: a@b.example\nTo: c@d.example")).words.endswith(
        "c@d.example"
    )


def test_an_extract_for_people_is_no_original() -> None:
    text = "Subject: y\n\n Message-id: <1@a>\n Date: x\n From: a@b.example\n To: neko@example.jp\n\nIt failed.\n"
    assert "It failed." in shape_of(read_mail(text.encode())).words


def test_an_announced_report_is_read() -> None:
    text = "Subject: y\n\n--- Original message follows\nReporting-MTA: dns; a\n\nFinal-Recipient: rfc822; neko@example.jp\n"
    assert shape_of(read_mail(text.encode())).statuses[0].first("final-recipient") == "rfc822; neko@example.jp"
