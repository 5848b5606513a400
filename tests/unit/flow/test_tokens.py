"""The ring of keys: the newest makes, all read, none is lost silently."""

from __future__ import annotations

import pytest

from engine.flow.tokens import NoMoreKeys, file_name, key_numbers, open_ring, rotate
from suppression.secret import SecretError
from suppression.unsubscribe import token_of


def test_the_first_start_makes_the_first_key_and_every_other_reads_it(tmp_path) -> None:
    ring = open_ring(tmp_path)
    assert (ring.newest.number, ring.missing, key_numbers(tmp_path)) == (0, (), {0})
    assert open_ring(tmp_path).newest.secret == ring.newest.secret
    assert (tmp_path / "unsubscribe.secret").stat().st_mode & 0o777 == 0o600


def test_links_outlive_every_rotation(tmp_path) -> None:
    tokens = []
    for number in range(12):
        ring = open_ring(tmp_path)
        assert ring.newest.number == number
        tokens.append(token_of("shop", "news", f"a{number}@example.jp", number, ring.newest))
        assert rotate(tmp_path) == (number + 1, tmp_path / f"unsubscribe-{number + 1}.secret")
    ring = open_ring(tmp_path)
    for number, token in enumerate(tokens):
        found = ring.read(token)
        assert found is not None
        assert found.address == f"a{number}@example.jp"
    assert ring.read("x") is None


def test_a_lost_key_is_told_and_never_made_up(tmp_path) -> None:
    open_ring(tmp_path)
    for _ in range(3):
        rotate(tmp_path)
    (tmp_path / file_name(0)).unlink()
    (tmp_path / file_name(2)).unlink()
    ring = open_ring(tmp_path)
    assert (ring.missing, ring.newest.number, sorted(ring.keys)) == ((0, 2), 3, [1, 3])
    assert not (tmp_path / file_name(0)).exists()
    assert rotate(tmp_path)[0] == 4, "a number is never used again"


def test_numbers_end(tmp_path) -> None:
    open_ring(tmp_path)
    (tmp_path / file_name(1)).write_bytes(b"x" * 32)
    (tmp_path / file_name(1)).rename(tmp_path / file_name(255))
    with pytest.raises(NoMoreKeys, match="last number"):
        rotate(tmp_path)


def test_other_files_are_no_keys_and_a_key_that_others_can_read_is_refused(tmp_path) -> None:
    open_ring(tmp_path)
    for name in ("unsubscribe-0.secret", "unsubscribe-01.secret", "unsubscribe-256.secret", "unsubscribe-x.secret"):
        (tmp_path / name).write_bytes(b"x")
    assert key_numbers(tmp_path) == {0}
    path = tmp_path / file_name(7)
    path.write_bytes(b"x" * 32)
    path.chmod(0o644)
    with pytest.raises(SecretError, match=r"unsubscribe-7\.secret: mode 0644"):
        open_ring(tmp_path)


def test_a_rotation_before_the_first_start_makes_the_first_key(tmp_path) -> None:
    assert rotate(tmp_path / "state") == (0, tmp_path / "state" / "unsubscribe.secret")
    assert open_ring(tmp_path / "state").newest.number == 0
