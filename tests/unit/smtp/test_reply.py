from __future__ import annotations

import pytest

from engine.smtp.reply import MAX_LINE, Reply, ReplyError, ReplyReader, decode_text, make_reply, shown


def read(*chunks: bytes) -> list[Reply]:
    reader, replies = ReplyReader(), []
    for chunk in chunks:
        reader.feed(chunk)
        while (reply := reader.next()) is not None:
            replies.append(reply)
    return replies


@pytest.mark.parametrize(
    ("stream", "reply"),
    [
        (b"250 ok\r\n", Reply(250, "", "ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250 \r\n", Reply(250, "", "")),
        (b"250 ok\n", Reply(250, "", "ok")),
        (b"550 5.1.1 no such user\r\n", Reply(550, "5.1.1", "no such user")),
        (b"250 2.0.0\r\n", Reply(250, "2.0.0", "")),
        (b"250 2.0.0 \t queued\r\n", Reply(250, "2.0.0", "queued")),
        (b"571 5.7.1 delivery not authorized\r\n", Reply(571, "5.7.1", "delivery not authorized")),
        # the class of the enhanced code must be that of the reply (RFC 2034 4)
        (b"550 4.1.1 no such user\r\n", Reply(550, "", "4.1.1 no such user")),
        (b"250 10.0.0.1 hello\r\n", Reply(250, "", "10.0.0.1 hello")),
        (b"550 5.1.1234 no\r\n", Reply(550, "", "5.1.1234 no")),
        (
            b"550-5.7.26 This mail has been blocked\r\n550-5.7.26 because it is\r\n550 5.7.26 unauthenticated. k-gsmtp\r\n",
            Reply(550, "5.7.26", "This mail has been blocked\nbecause it is\nunauthenticated. k-gsmtp"),
        ),
        (b"550-5.7.1 first\r\n550 5.7.26 second\r\n", Reply(550, "5.7.1", "first\n5.7.26 second")),
        (b"250-\r\n250 ok\r\n", Reply(250, "", "\nok")),
        ("550 ユーザー不明\r\n".encode(), Reply(550, "", "ユーザー不明")),
        (b"550 \xff\r\n", Reply(550, "", "\ufffd")),
    ],
)
def test_one_reply(stream: bytes, reply: Reply) -> None:
    assert read(stream) == [reply]
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == [reply]


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"hello\r\n", "not a reply: b'hello'"),
        (b"\r\n", "not a reply"),
        (b"25 ok\r\n", "not a reply"),
        (b"250_ok\r\n", "not a reply"),
        (b"150 ok\r\n", "not a reply"),
        (b"650 ok\r\n", "not a reply"),
        (b"\xef\xbc\x92\xef\xbc\x95\xef\xbc\x90 ok\r\n", "not a reply"),
        (b"250-a\r\n251 b\r\n", "different codes"),
        (b"250 " + b"x" * MAX_LINE + b"\r\n", "line of more than 4096"),
        (b"250 " + b"x" * MAX_LINE, "line of more than 4096"),
        (b"250-x\r\n" * 129, "more than 16384 bytes or 128 lines"),
        (
            b"250-"
            + b"x" * 4000
            + b"\r\n250-"
            + b"x" * 4000
            + b"\r\n"
            + b"250-"
            + b"y" * 4000
            + b"\r\n"
            + b"250-"
            + b"z" * 4000
            + b"\r\n250-"
            + b"z" * 999
            + b"\r\n",
            "more than 16384",
        ),
    ],
)
def test_no_reply(stream: bytes, text: str) -> None:
    with pytest.raises(ReplyError, match=text):
        read(stream)


def test_what_came_before_the_error_is_given_first() -> None:
    reader = ReplyReader()
    reader.feed(b"250 ok\r\nhello\r\n")
    assert reader.next() == Reply(250, "", "ok")
    with pytest.raises(ReplyError):
        reader.next()


def test_limits_count_per_reply() -> None:
    assert len(read((b"250-x\r\n" * 127 + b"250 x\r\n") * 3)) == 3


def test_text_is_cut() -> None:
    assert read(b"250-" + b"x" * 1000 + b"\r\n250 " + b"y" * 1000 + b"\r\n") == [
        Reply(250, "", "x" * 1000 + "\n" + "y" * 23)
    ]


def test_take() -> None:
    reader = ReplyReader()
    assert not reader.take(b"250 ")
    reader.feed(b"250 ok\r\n250-a\r\n250 b\r\n354 go\r\n250 " + b"x" * MAX_LINE + b"\r\n25")
    assert not reader.take(b"354 ")
    assert reader.take(b"250 ")
    assert not reader.take(b"250 ")
    assert reader.next() == Reply(250, "", "a\nb")
    assert reader.take(b"354 ")
    assert not reader.take(b"250 ")
    with pytest.raises(ReplyError):
        reader.next()


def test_take_leaves_an_open_reply_alone() -> None:
    reader = ReplyReader()
    reader.feed(b"250-a\r\n")
    assert reader.next() is None
    reader.feed(b"250 b\r\n")
    assert not reader.take(b"250 ")
    assert reader.next() == Reply(250, "", "a\nb")


@pytest.mark.parametrize("held", [b"2", b"250-a\r\n", b"250 a\r\n"])
def test_is_empty(held: bytes) -> None:
    reader = ReplyReader()
    assert reader.is_empty
    reader.feed(held)
    if held != b"250 a\r\n":
        assert reader.next() is None
    assert not reader.is_empty


def test_make_reply() -> None:
    assert make_reply(550, "5.1.1 no such\n5.1.1 user") == Reply(550, "5.1.1", "no such\nuser")
    assert make_reply(250, "") == Reply(250, "", "")
    assert make_reply(250, "\udcff") == Reply(250, "", "\ufffd")


def test_shown_as_text() -> None:
    assert str(Reply(550, "5.1.1", "no")) == "550 5.1.1 no"
    assert str(Reply(250, "", "")) == "250"
    assert shown(b"\x1b[2J" + b"x" * 100) == "b'\\x1b[2J" + "x" * 76 + "'"
    assert shown("日本") == "'\\u65e5\\u672c'"


def test_is_positive() -> None:
    assert Reply(250, "", "").is_positive
    assert not Reply(354, "", "").is_positive
    assert not Reply(450, "", "").is_positive


def test_decode_text_is_bounded() -> None:
    assert len(decode_text(b"x" * 5000)) == 1024
