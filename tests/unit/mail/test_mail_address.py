"""Addresses: what is accepted, how it is written on the wire, why others are refused."""

import pytest

from engine.mail.address import AddressError, parse_address


@pytest.mark.parametrize(
    ("text", "local", "domain", "wire"),
    [
        ("taro@example.com", "taro", "example.com", "taro@example.com"),
        ("Taro.Yamada+x@Example.COM", "Taro.Yamada+x", "example.com", "Taro.Yamada+x@example.com"),
        ("a..b@docomo.ne.jp", "a..b", "docomo.ne.jp", '"a..b"@docomo.ne.jp'),
        (".a@ezweb.ne.jp", ".a", "ezweb.ne.jp", '".a"@ezweb.ne.jp'),
        ("a.@AU.com", "a.", "au.com", '"a."@au.com'),
        ('"a..b"@docomo.ne.jp', "a..b", "docomo.ne.jp", '"a..b"@docomo.ne.jp'),
        ('"taro"@example.com', "taro", "example.com", "taro@example.com"),
        ('"a@b"@example.com', "a@b", "example.com", '"a@b"@example.com'),
        (r'"a\"\\b"@example.com', 'a"\\b', "example.com", r'"a\"\\b"@example.com'),
        ("太郎@example.com", "太郎", "example.com", "太郎@example.com"),
        ("taro@日本語.jp", "taro", "xn--wgv71a119e.jp", "taro@xn--wgv71a119e.jp"),
        ("taro@xn--wgv71a119e.jp", "taro", "xn--wgv71a119e.jp", "taro@xn--wgv71a119e.jp"),
        ("a" * 64 + "@example.com", "a" * 64, "example.com", "a" * 64 + "@example.com"),
    ],
)
def test_accepted(text: str, local: str, domain: str, wire: str) -> None:
    address = parse_address(text)
    assert address == (local, domain, text, wire)
    assert address.utf8 == (not wire.isascii())
    assert parse_address(wire).wire == wire


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "local@domain"),
        ("taro", "local@domain"),
        ("@example.com", "local@domain"),
        ("taro@", "local@domain"),
        ("Taro <taro@example.com>", "wrong characters"),
        ("a b@example.com", "need quotes"),
        (" taro@example.com", "need quotes"),
        ("taro@example.com ", "wrong characters"),
        ('"a b"@example.com', "need quotes"),
        ("a..b@example.com", "need quotes"),
        ("a,b@docomo.ne.jp", "need quotes"),
        ("a\r\nRCPT TO:<b@example.com", "do not print"),
        ("ta\0ro@example.com", "do not print"),
        ("=?utf-8?q?=0d=0a?=@example.com", "encoded-word"),
        ('"=?utf-8?q?x?="@example.com', "encoded-word"),
        ('"a\nb"@example.com', "do not print"),
        ("ｔａｒｏ@example.com", "full-width"),
        ("taro@localhost", "no full host name"),
        ("taro@[192.0.2.1]", "wrong characters"),
        ("taro@192.0.2.1", "no full host name"),
        ("taro@-a.com", "wrong characters"),
        ("taro@a..com", "wrong characters"),
        ("taro@" + "a" * 64 + ".com", "wrong characters"),
        ("taro@straße.de", "safe A-label"),
        ("taro@日" + "本" * 60 + ".jp", "no A-label form"),
        ("taro@日\n.jp", "wrong characters"),
        ("a" * 65 + "@example.com", "too long"),
        ("太" * 22 + "@example.com", "too long"),
        ("a@" + "b." * 125 + "com", "too long"),
        ("a b@" + "b." * 200 + "com", "too long"),
        ("太@" + "日本" * 130 + ".jp", "too long"),
        ("太@" + "日." * 80 + "jp", "too long"),
        ("taro@" + "日" * 249, "no A-label form"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason) as caught:
        parse_address(text)
    assert len(str(caught.value)) < 1100
