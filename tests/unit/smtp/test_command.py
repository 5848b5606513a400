from __future__ import annotations

import pytest

from engine.smtp.command import EIGHTBIT, CommandError, ehlo, group, mail_from, rcpt_to, transparency


@pytest.mark.parametrize("name", ["mta.example.jp", "[192.0.2.1]", "[IPv6:2001:db8::1]", "x"])
def test_ehlo(name: str) -> None:
    assert ehlo(name) == f"EHLO {name}\r\n".encode()


@pytest.mark.parametrize("name", ["", "a b", "a\r\nQUIT", "a\n", "日本", "a" * 256, "[", "a]"])
def test_ehlo_name_that_cannot_be(name: str) -> None:
    with pytest.raises(CommandError, match="EHLO name"):
        ehlo(name)


def test_mail_from() -> None:
    assert mail_from("") == b"MAIL FROM:<>\r\n"
    assert mail_from("a@x", size=12) == b"MAIL FROM:<a@x> SIZE=12\r\n"
    assert (
        mail_from("日@x", size=0, eightbit=True, utf8=True)
        == "MAIL FROM:<日@x> SIZE=0 BODY=8BITMIME SMTPUTF8\r\n".encode()
    )


def test_rcpt_to() -> None:
    assert rcpt_to("a@x") == b"RCPT TO:<a@x>\r\n"
    assert rcpt_to('"a..b"@docomo.ne.jp') == b'RCPT TO:<"a..b"@docomo.ne.jp>\r\n'
    assert rcpt_to('"a> b\\""@x') == b'RCPT TO:<"a> b\\""@x>\r\n'
    assert rcpt_to("日@x", utf8=True) == "RCPT TO:<日@x>\r\n".encode()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("a@x\r\nQUIT", "control character"),
        ("a@x\0", "control character"),
        ("a\x7f@x", "control character"),
        ("a@x\u2028", "not ASCII"),
        ("日@x", "not ASCII"),
        ("a@x> SIZE=1", "outside of quotes"),
        ("a b@x", "outside of quotes"),
        ("<a@x", "outside of quotes"),
        ('"a"@x> y', "outside of quotes"),
        ('"a\\"@x >"@', "outside of quotes"),
        ("", "0 bytes"),
        ("a" * 253 + "@x", "255 bytes"),
    ],
)
def test_addresses_that_cannot_be(address: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        rcpt_to(address)


@pytest.mark.parametrize("address", ["日@x\u2028", "日@x\u3000", "\ud800@x"])
def test_utf8_has_control_characters_too(address: str) -> None:
    with pytest.raises(CommandError, match="control character"):
        mail_from(address, utf8=True)


def test_group_is_the_three_commands() -> None:
    assert (
        group("s@a", "r@b", " SIZE=5" + EIGHTBIT)
        == mail_from("s@a", size=5, eightbit=True) + rcpt_to("r@b") + b"DATA\r\n"
    )
    assert group("", "r@b") == mail_from("") + rcpt_to("r@b") + b"DATA\r\n"


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        ("s@a", ""),
        ("s@a", "r@b\r\n"),
        ("s@a\r\n", "r@b"),
        ("s@a>", "r@b"),
        ("s@a", "r@b>"),
        ("s @a", "r@b"),
        ("日@a", "r@b"),
        ("s" * 255, "r@b"),
        ("s@a", "r" * 255),
    ],
)
def test_group_takes_plain_paths_only(sender: str, recipient: str) -> None:
    with pytest.raises(CommandError):
        group(sender, recipient)


@pytest.mark.parametrize(
    ("payload", "wire"),
    [
        (b"a\r\n", b"a\r\n"),
        (b".\r\n", b"..\r\n"),
        (b".a\r\n.\r\n..\r\nb.\r\n", b"..a\r\n..\r\n...\r\nb.\r\n"),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n..\r\n"),
    ],
)
def test_transparency(payload: bytes, wire: bytes) -> None:
    assert transparency(payload) == wire


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"a", b"a\n", b"a\r", b"a\r\nb\n\r\n", b"a\rb\r\n", b"a\nb\r\n", b"\n.\n\r\n", b"\n.\r\n\r\n", b"\r\n.\n\r\n",
        b"\r.\r\r\n", b"\r\n.\r\r\n", b"\r\n\0.\r\n", b"a\0\r\n", b"\n\r\r\n",
    ],
)  # fmt: skip
def test_what_splits_servers_is_refused(payload: bytes) -> None:
    with pytest.raises(CommandError, match="payload"):
        transparency(payload)
