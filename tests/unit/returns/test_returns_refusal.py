"""Refusals by mail, in the charsets of Japan; and replies that are none."""

from __future__ import annotations

import pytest

from engine.returns import AutoReply, OptOutMail, Unknown
from engine.returns.shape import unquoted
from tests.unit.returns.returned_samples import says

TOKEN = "AQBabcdefghijklmnopqrstuvwxyz0123456789"


def reply(words: str, charset: str = "utf-8", subject: str = "Re: News") -> bytes:
    text = f"""From: Neko <neko@example.jp>
To: b+1@bounce.example
Subject: {subject}
Content-Type: text/plain; charset={charset}

{words}

On Thu, 24 Sep 2026 shop <news@shop.example> wrote:
> unsubscribe: https://shop.example/u/{TOKEN}
> 配信停止はこちら
"""
    return text.encode(charset)


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "shift_jis", "euc-jp"])
@pytest.mark.parametrize(
    "words",
    [
        "停止",
        "配信停止をお願いします。",
        "メールの配信を停止してください",
        "解除希望",
        "退会します",
        "メルマガ解除",
        "もう送らないでください",
        "unsubscribe",
        "Please remove me",
        "STOP",
    ],
)
def test_words_of_refusal(words, charset) -> None:
    (told,) = says(reply(words, charset))
    assert isinstance(told, OptOutMail)
    assert told.address == "neko@example.jp"
    assert told.words


@pytest.mark.parametrize(
    "words",
    [
        "ありがとうございます。",
        "Thank you!",
        "配信停止の解除をお願いします",
        "メール配信を再開してください",
        "",
        "x" * 500 + " unsubscribe",
    ],
)
def test_the_quoted_mail_does_not_refuse(words) -> None:
    assert says(reply(words)) == (Unknown(),)


def test_the_subject_of_a_mail_refuses_and_that_of_a_reply_repeats_ours() -> None:
    assert says(reply("", subject="unsubscribe"))[0].words == "unsubscribe"
    assert says(reply("", subject="=?iso-2022-jp?B?GyRCRzs/LkRkO18bKEI=?=")) == (Unknown(),), "another word"
    assert says(reply("", subject="=?utf-8?B?6YWN5L+h5YGc5q2i?="))[0].words == "配信停止"
    assert says(reply("", subject="Re: unsubscribe from boredom")) == (Unknown(),)


def test_tokens_of_the_subject_go_before_those_of_the_quote() -> None:
    (told,) = says(reply("", subject=f"unsubscribe {TOKEN[::-1]}"))
    assert told.tokens == (TOKEN[::-1],)
    (told,) = says(reply("停止"))
    assert told.tokens == (TOKEN,)


def test_an_address_for_refusing_needs_no_words() -> None:
    bare = "From: neko@example.jp\nTo: stop@shop.example\nSubject: \n\n\n"
    assert says(bare) == (Unknown(),)
    assert says(bare, is_optout_address=True) == (OptOutMail("neko@example.jp", (), ""),)
    automatic = bare.replace("Subject: ", "Auto-Submitted: auto-replied\nSubject: Out of office")
    assert says(automatic, is_optout_address=True) == (AutoReply("neko@example.jp"),)


def test_programs_that_refuse_for_a_person() -> None:
    apple = "From: neko@icloud.com\nSubject: unsubscribe\nAuto-Submitted: auto-replied\n\nSent to unsubscribe.\n"
    (told,) = says(apple, is_optout_address=True)
    assert isinstance(told, OptOutMail)


def test_what_is_written_between_quotes_counts() -> None:
    assert unquoted("a\n> b\nc\nOn Thursday somebody wrote:\nd") == "a\nc"


def test_a_mail_below_a_ruled_line_is_quoted() -> None:
    outlook = "From: neko@example.jp\nSubject: Re: News\n\nNo thanks\n\n________________________________\nunsubscribe\n"
    assert says(outlook) == (Unknown(),)
