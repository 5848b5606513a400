"""VERP: round trip, folding of case, forgery."""

from engine.mail.verp import make_verp, read_verp

SECRET = b"s" * 32


def test_round_trip() -> None:
    for number in (0, 1, 3 << 48 | 77, (1 << 64) - 1):
        local, _, domain = make_verp(number, SECRET, "b.example.jp").partition("@")
        assert domain == "b.example.jp"
        assert len(local) <= 64
        assert read_verp(local, SECRET) == number
        assert read_verp(local.upper(), SECRET) == number


def test_forged_or_foreign() -> None:
    local = make_verp(1, SECRET, "b.example.jp").partition("@")[0]
    assert read_verp(local, b"t" * 32) is None
    assert read_verp(local.replace("b+0", "b+1"), SECRET) is None
    assert read_verp(local[:-1] + ("0" if local[-1] != "0" else "1"), SECRET) is None
    assert read_verp(local + "0", SECRET) is None
    assert read_verp("news", SECRET) is None
    assert read_verp("", SECRET) is None
    assert read_verp("b+" + "0" * 100_000, SECRET) is None
