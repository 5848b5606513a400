"""Senders: what cannot be wrong once check_identity() has passed."""

import dataclasses

import pytest
from mail_samples import PLAIN_SHOP, SHOP

from engine.mail.identity import (
    IdentityError,
    around_token,
    cancel_url,
    check_identity,
    feedback_id,
    is_aligned,
    mailto_uri,
)


def test_good() -> None:
    check_identity(SHOP)
    check_identity(PLAIN_SHOP)
    check_identity(dataclasses.replace(SHOP, from_address="a@news.example.jp"))
    check_identity(dataclasses.replace(SHOP, domain="mail.example.jp"))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("domain", "Example.jp", "domain"),
        ("domain", "a b.jp", "domain"),
        ("return_path_domain", "localhost", "return_path_domain"),
        ("message_id_domain", "x\r\n.jp", "message_id_domain"),
        ("from_address", "news", "from"),
        ("from_address", "news@example.com", "from_address"),
        ("from_address", "news@badexample.jp", "from_address"),
        ("from_address", "速達@example.jp", "from_address"),
        ("from_display", "a\nb", "from"),
        ("unsubscribe_url", "http://u.example.jp/{token}", "unsubscribe_url"),
        ("unsubscribe_url", "https://u.example.jp/", "unsubscribe_url"),
        ("unsubscribe_url", "https://u.example.jp/{token}>", "unsubscribe_url"),
        ("unsubscribe_url", "https://u.example.jp/{token} x", "unsubscribe_url"),
        ("unsubscribe_url", "https://u.example.jp/配信停止/{token}", "unsubscribe_url"),
        ("unsubscribe_url", "https://u.example.jp/{token}" + "x" * 800, "unsubscribe_url"),
        ("unsubscribe_mailto", "stop", "unsubscribe_mailto"),
        ("unsubscribe_mailto", "stop@example", "unsubscribe_mailto"),
        ("unsubscribe_mailto", "a b@example.jp", "unsubscribe_mailto"),
        ("unsubscribe_mailto", "停止@example.jp", "unsubscribe_mailto"),
        ("unsubscribe_mailto", "stop@example.jp?cc=x@example.jp", "unsubscribe_mailto"),
        ("unsubscribe_mailto", "stop@example.jp>", "unsubscribe_mailto"),
        ("unsubscribe_mailto", f"stop@{'a' * 250}.jp", "unsubscribe_mailto"),
        ("feedback_id", ("a", "b", "c", "d", "sokutatsu"), "feedback_id"),
        ("feedback_id", ("a", "shop"), "feedback_id"),
        ("feedback_id", ("a:b", "sokutatsu"), "feedback_id"),
        ("feedback_id", ("a", "sokutatsu\r\nX: y"), "feedback_id"),
    ],
)
def test_bad(field: str, value: object, named: str) -> None:
    with pytest.raises(IdentityError) as caught:
        check_identity(dataclasses.replace(SHOP, **{field: value}))  # type: ignore[arg-type]
    assert caught.value.field == named
    assert str(caught.value).startswith(named)


def test_feedback_id() -> None:
    assert feedback_id(SHOP) == "::spring:sokutatsu"
    assert feedback_id(PLAIN_SHOP) == ""
    assert feedback_id(dataclasses.replace(SHOP, feedback_id=("a", "b", "c", "sokutatsu"))) == "a:b:c:sokutatsu"


def test_cancel_url() -> None:
    assert cancel_url(SHOP, "T0") == "https://u.example.jp/u/T0?a=1&b=2"
    assert cancel_url(PLAIN_SHOP, "T0") == ""


def test_a_refusal_by_mail_needs_a_link_with_one_token() -> None:
    stop = dataclasses.replace(SHOP, unsubscribe_mailto="stop@example.jp")
    check_identity(stop)
    assert mailto_uri(stop) == "mailto:stop@example.jp?subject=unsubscribe%20{token}"
    assert mailto_uri(SHOP) == ""
    assert around_token(SHOP.unsubscribe_url) == (len("https://u.example.jp/u/"), len("?a=1&b=2"))
    for url in ("", "https://u.example.jp/{token}/{token}"):
        with pytest.raises(IdentityError, match="once"):
            check_identity(dataclasses.replace(stop, unsubscribe_url=url))


def test_alignment() -> None:
    assert is_aligned("example.jp", "example.jp")
    assert is_aligned("news.example.jp", "example.jp")
    assert is_aligned("example.jp", "mail.example.jp")
    assert not is_aligned("example.jp", "example.com")
    assert not is_aligned("notexample.jp", "example.jp")
