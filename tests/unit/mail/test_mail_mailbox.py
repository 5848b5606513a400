"""One mailbox, read strictly and written safely."""

import email
import email.policy
from email.header import decode_header, make_header

import pytest

from engine.mail.address import AddressError, parse_address
from engine.mail.mailbox import read_mailbox, write_mailbox


@pytest.mark.parametrize(
    ("text", "display", "wire"),
    [
        ("a@example.com", "", "a@example.com"),
        (" <a@example.com> ", "", "a@example.com"),
        ("Taro Yamada <a@example.com>", "Taro Yamada", "a@example.com"),
        ("J. R. Shop <a@example.com>", "J. R. Shop", "a@example.com"),
        ("速達ショップ <a@example.com>", "速達ショップ", "a@example.com"),
        (r'"A, \"B\"" <a@example.com>', 'A, "B"', "a@example.com"),
        ('"a..b"@docomo.ne.jp', "", '"a..b"@docomo.ne.jp'),
        ("a@example.com (Taro)", "", "a@example.com"),
        ("=?utf-8?b?5bGx?= <a@example.com>", "=?utf-8?b?5bGx?=", "a@example.com"),
    ],
)
def test_read(text: str, display: str, wire: str) -> None:
    name, address = read_mailbox(text)
    assert (name, address.wire) == (display, wire)


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "<>", "a@example.com, b@example.com", "a@example.com b@example.com", "Team: a@example.com;",
        "<a@example.com> <b@example.com>", "a@example.com <b@example.com>", "A <a@example.com", "A <a@example.com>\r\nX: y",
        "<@relay:a@example.com>", "a(b)c@example.com",
    ],
)  # fmt: skip
def test_read_refuses(text: str) -> None:
    with pytest.raises(AddressError):
        read_mailbox(text)


@pytest.mark.parametrize(
    "display",
    [
        "",
        "Shop",
        "O'Neil & Sons",
        'A, "B" \\ <c@example.com>',
        "速達 ショップ",
        "速\u3000達" * 60,
        "=?x?=",
        "x" * 90,
        "a  b, c",
    ],
)
def test_write(display: str) -> None:
    address = parse_address("news@example.jp")
    wire = write_mailbox(display, address).encode("ascii")
    assert max(map(len, wire.split(b"\r\n"))) <= 100
    parsed = email.message_from_bytes(b"From: " + wire + b"\r\n\r\n", policy=email.policy.default)
    assert parsed.keys() == ["From"]
    (mailbox,) = parsed["From"].addresses
    assert mailbox.addr_spec == "news@example.jp"
    # This parser puts a space between encoded-words of a phrase; the older one does not (RFC 2047 6.2).
    name = (
        mailbox.display_name if display.isascii() else str(make_header(decode_header(wire.decode()))).partition(" <")[0]
    )
    assert name == display


@pytest.mark.parametrize("display", ["a\r\nBcc: x", "a\0", "x" * 201, "a\u2028b"])
def test_write_refuses(display: str) -> None:
    with pytest.raises(ValueError, match="display name"):
        write_mailbox(display, parse_address("news@example.jp"))
