"""Raw messages: what is refused, what is repaired, what keeps its octets."""

import re

import pytest

from engine.mail.raw import MAX_HEADER_FIELDS, MAX_RAW, RawError, read_raw


def test_octets_are_kept() -> None:
    raw = b"From: Shop <a@example.jp>\r\nSubject: a\r\n\tb  c \r\nX-A : 1\r\nReceived: x\r\nReceived: y\r\n\r\n.\r\n..x\r\n\r\n"
    message = read_raw(raw)
    assert b"".join(field.wire for field in message.fields) + b"\r\n" + message.body == raw
    assert [field.name for field in message.fields] == ["From", "Subject", "X-A", "Received", "Received"]
    assert message.fields[1].value == b" a\r\n\tb  c "
    assert message.names == {"from", "subject", "x-a", "received"}
    assert message.author.wire == "a@example.jp"


def test_line_feeds_become_crlf_and_the_last_line_ends() -> None:
    message = read_raw(b"From: a@example.jp\nTo:\n b@example.jp\n\nx\ny")
    assert message.body == b"x\r\ny\r\n"
    assert message.fields[1].wire == b"To:\r\n b@example.jp\r\n"


def test_no_body() -> None:
    assert read_raw(b"From: a@example.jp").body == b""
    assert read_raw(b"From: a@example.jp\r\n\r\n").body == b""


def test_what_no_reader_should_see_is_taken_away() -> None:
    message = read_raw(
        b"Return-Path: <x@example.jp>\nBcc: secret@example.jp\nX-Sokutatsu-Sender: shop\nDate: \nMessage-ID:\nFrom: a@example.jp\n\n"
    )
    assert message.names == {"from"}


HEAD = b"From: a@example.jp\r\n"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no header field"),
        (b"\r\n" + HEAD, "no header field"),
        (HEAD + b"\r\na\0b\r\n", "NUL"),
        (HEAD + b"\r\na\rb\r\n", "bare CR or LF"),
        (HEAD + b"\r\na\nb\r\n", "bare CR or LF"),
        (HEAD + b"\r\na\n.\r\nb\r\n", "bare CR or LF"),
        (HEAD + b"\r\na\r.\r\nb\r\n", "bare CR or LF"),
        (HEAD + b"\r\na\n\r", "bare CR or LF"),
        (HEAD + b"\r\n" + b"x" * 999 + b"\r\n", "more than 998"),
        (HEAD + b"X-A: " + b"x" * 999 + b"\r\n\r\n", "more than 998"),
        (HEAD + HEAD, "two From"),
        (HEAD + b"message-id: <a@b>\r\nMessage-ID: <b@c>\r\n", "two Message-ID"),
        (HEAD + b"Subject: a\r\nsubject: b\r\n", "two subject"),
        (HEAD + b"List-Unsubscribe: a\r\nList-Unsubscribe: b\r\n", "two List-Unsubscribe"),
        (b"Subject: x\r\n\r\n", "no From"),
        (b"From:\r\n\r\n", "no single mailbox"),
        (b"From: a@example.jp, b@example.jp\r\n\r\n", "no single mailbox"),
        (b"From: a@example.jp <b@example.jp>\r\n\r\n", "no single mailbox"),
        (HEAD + b"no field here\r\n\r\n", "no header field"),
        (HEAD + b".X: dot\r\n\r\n", "no header field"),
        (HEAD + b" \r\nSubject: x\r\n\r\n", "blank folded"),
        (b" folded\r\n" + HEAD, "no header field"),
        (HEAD + b"Subject: \x1b[0m\r\n\r\n", "control characters"),
        (HEAD + b"Subject: \xff\r\n\r\n", "not UTF-8"),
        (HEAD + b"X-A: 1\r\n" * MAX_HEADER_FIELDS, "more than 300 fields"),
        (HEAD + b"X-A: " + (b"x" * 900 + b"\r\n ") * 80 + b"x\r\n\r\n", "header of"),
        (HEAD + b"\r\n" + b"x\r\n" * (MAX_RAW // 3), "at most"),
    ],
)
def test_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(RawError, match=re.escape(reason)):
        read_raw(raw)
