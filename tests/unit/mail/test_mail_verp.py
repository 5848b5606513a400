"""VERP: round trip, the address's key, folding of case, forgery."""

from engine.mail.verp import Verp, make_verp, read_verp

SECRET = b"s" * 32
WHO = bytes(range(16))


def test_round_trip() -> None:
    for number in (0, 1, 3 << 48 | 77, (1 << 64) - 1):
        for who in (b"", WHO):
            local, _, domain = make_verp(number, SECRET, "b.example.jp", who).partition("@")
            assert domain == "b.example.jp"
            assert len(local) <= 64
            assert read_verp(local, SECRET) == Verp(number, who[:8])
            assert read_verp(local.upper(), SECRET) == Verp(number, who[:8])


def test_a_key_does_not_lie_open_and_differs_from_mail_to_mail() -> None:
    first, second = (make_verp(number, SECRET, "b.example.jp", WHO).partition("@")[0] for number in (1, 2))
    assert WHO[:8].hex() not in first
    assert first.rpartition("-")[2] != second.rpartition("-")[2]


def test_forgery() -> None:
    local = make_verp(1, SECRET, "b.example.jp").partition("@")[0]
    assert read_verp(local, b"t" * 32) is None
    assert read_verp(local.replace("b+0", "b+1"), SECRET) is None
    assert read_verp(local[:-1] + ("0" if local[-1] != "0" else "1"), SECRET) is None
    assert read_verp(local + "0", SECRET) is None
    assert read_verp("news", SECRET) is None
    assert read_verp("", SECRET) is None
    assert read_verp("b+" + "0" * 100_000, SECRET) is None


def test_a_changed_key_is_another_key() -> None:
    local = make_verp(1, SECRET, "b.example.jp", WHO).partition("@")[0]
    changed = local[:-1] + ("0" if local[-1] != "0" else "1")
    found = read_verp(changed, SECRET)
    assert found is not None
    assert found.recipient_id == 1
    assert found.key != WHO[:8]
