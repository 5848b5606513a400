from __future__ import annotations

import pytest

from suppression.address import IDENTITY_BYTES, Keyring, forms

RING = Keyring(b"s" * 32)


@pytest.mark.parametrize(
    ("address", "exact"),
    [
        ("user@example.jp", "user@example.jp"),
        ("  User@EXAMPLE.jp \r\n", "user@example.jp"),
        ("FOOBAR@example.jp.", "foobar@example.jp"),
        ("ｕｓｅｒ＠ｅｘａｍｐｌｅ．ｊｐ", "user@example.jp"),
        ("user@例え.テスト", "user@xn--r8jz45g.xn--zckzah"),
        ("user@例え。テスト", "user@xn--r8jz45g.xn--zckzah"),
        ("user@XN--R8JZ45G.xn--zckzah", "user@xn--r8jz45g.xn--zckzah"),
        ("ﾕｰｻﾞｰ@example.jp", "ユーザー@example.jp"),
        ('"a..b"@docomo.ne.jp', "a..b@docomo.ne.jp"),
        ("a..b@docomo.ne.jp", "a..b@docomo.ne.jp"),
        (r'"a\"b"@x.jp', 'a"b@x.jp'),
        ('"a@b"@x.jp', "a@b@x.jp"),
        ("user@[192.0.2.1]", "user@[192.0.2.1]"),
        ("user@my_host.example", "user@my_host.example"),
    ],
)
def test_exact_form(address, exact) -> None:
    found = forms(address)
    assert found is not None
    assert found.exact == exact


@pytest.mark.parametrize(
    "address",
    [
        *("", "user", "@example.jp", "user@", "user@.jp", "user@a..jp", "user@exa mple.jp", '""@x.jp', '"@x.jp'),
        *('"ab@x.jp', "us\0er@x.jp", "us\ner@x.jp", "\ud800@x.jp", "user@\ud800.jp", "user@" + "é" * 70 + ".jp"),
        *("a" * 320 + "@x.jp", "u@" + "a." * 150 + "jp", "u@[" + "1" * 255 + "]"),
    ],
)
def test_what_cannot_be_an_address_has_no_form(address) -> None:
    assert forms(address) is None
    assert RING.identity(address) == b""


@pytest.mark.parametrize(
    ("address", "wide"),
    [
        ("F.oo.Bar+list@gmail.com", "foobar@gmail.com"),
        ("foobar@googlemail.com", "foobar@gmail.com"),
        ("foo+x+y@outlook.com", "foo@outlook.com"),
        ("fo.o+x@icloud.com", "fo.o@icloud.com"),
        ("foo+x@fastmail.fm", "foo@fastmail.fm"),
        ("foo@hotmail.co.jp", "foo@hotmail.co.jp"),
        ("foo+x@example.jp", "foo+x@example.jp"),
        ("f.oo@example.jp", "f.oo@example.jp"),
        ("+x@gmail.com", "+x@gmail.com"),
        ("...@gmail.com", "...@gmail.com"),
    ],
)
def test_wide_form(address, wide) -> None:
    found = forms(address)
    assert found is not None
    assert found.wide == wide


def test_an_identity_is_two_keys() -> None:
    plain, tagged, base = RING.identities(["user@example.jp", "user+x@gmail.com", "user@gmail.com"])
    assert len(plain) == IDENTITY_BYTES
    assert plain[:8] == plain[8:]
    assert tagged[:8] != tagged[8:] == base[8:] == base[:8]


def test_keys_depend_on_the_secret() -> None:
    other = Keyring(b"t" * 32)
    assert RING.identity("user@example.jp") != other.identity("user@example.jp")
    assert RING.fingerprint() != other.fingerprint() == Keyring(b"t" * 32).fingerprint()
