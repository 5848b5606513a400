from __future__ import annotations

import base64
import string

import pytest

from suppression.unsubscribe import MAX_TOKEN, TokenError, TokenKey, Unsubscribe, read_token, token_of

OLD, NEW = TokenKey(1, b"o" * 32), TokenKey(2, b"n" * 32)
RING = {1: OLD, 2: NEW}
WHAT = Unsubscribe("株式会社例", "news", "user@example.jp", 2**64 - 1)


def make_token(what: Unsubscribe, key: TokenKey) -> str:
    return token_of(what.sender, what.topic, what.address, what.recipient, key)


@pytest.mark.parametrize("what", [WHAT, Unsubscribe("", "", "", 0), Unsubscribe("s" * 255, "t" * 255, "a" * 255, 7)])
def test_reads_what_was_made(what) -> None:
    token = make_token(what, NEW)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert read_token(token, RING) == what


def test_a_rotated_key_still_reads() -> None:
    assert read_token(make_token(WHAT, OLD), RING) == WHAT


def test_a_dropped_key_reads_nothing() -> None:
    assert read_token(make_token(WHAT, OLD), {2: NEW}) is None


def test_another_secret_under_the_same_number_reads_nothing() -> None:
    assert read_token(make_token(WHAT, OLD), {1: TokenKey(1, b"x" * 32)}) is None


def test_a_retry_has_the_same_link_and_another_recipient_another() -> None:
    assert make_token(WHAT, NEW) == make_token(WHAT, NEW)
    assert make_token(Unsubscribe("s", "t", "a@b.c", 1), NEW) != make_token(Unsubscribe("s", "t", "a@b.c", 2), NEW)


def test_the_address_is_not_to_be_seen() -> None:
    raw = base64.urlsafe_b64decode(make_token(WHAT, NEW) + "==")
    assert b"user" not in raw
    assert b"example" not in raw


def test_any_changed_character_reads_nothing() -> None:
    token = make_token(Unsubscribe("s", "t", "a@b.c", 1), NEW)
    alphabet = string.ascii_letters + string.digits + "-_="
    for at in range(len(token)):
        for other in alphabet:
            if other != token[at]:
                assert read_token(token[:at] + other + token[at + 1 :], RING) is None


def test_any_cut_or_lengthened_token_reads_nothing() -> None:
    token = make_token(WHAT, NEW)
    for end in range(len(token)):
        assert read_token(token[:end], RING) is None
    for more in ("A", "AA", "AAAA", "=", "==", "\n", " "):
        assert read_token(token + more, RING) is None


@pytest.mark.parametrize("token", ["", "é", "株", "!" * 40, "A" * (MAX_TOKEN + 1), "\ud800" * 8])
def test_garbage_reads_nothing(token) -> None:
    assert read_token(token, RING) is None


def test_refuses_to_make_what_it_could_not_read() -> None:
    with pytest.raises(TokenError, match=r"address: 'aaa.* 256 octets"):
        make_token(Unsubscribe("s", "t", "a" * 256), NEW)
    with pytest.raises(TokenError, match="recipient: -1"):
        make_token(Unsubscribe("s", "t", "a", -1), NEW)


@pytest.mark.parametrize(("number", "secret"), [(256, b"k" * 32), (-1, b"k" * 32), (1, b"short")])
def test_refuses_a_weak_or_misnumbered_key(number, secret) -> None:
    with pytest.raises(TokenError):
        TokenKey(number, secret)


def test_a_key_does_not_show_itself() -> None:
    assert repr(NEW) == "TokenKey(number=2)"
