"""The reserve: real blocks, given up once, and absent where there is no room."""

from __future__ import annotations

import errno

import pytest

from engine.spool.reserve import Reserve


def test_given_up_once_and_filled_again(tmp_path):
    path = tmp_path / "reserve"
    reserve = Reserve(path, 100_000)
    assert not reserve.whole
    assert not reserve.give_up()
    for _ in range(2):
        reserve.fill()
        reserve.fill()
        assert (reserve.whole, path.stat().st_size) == (True, 100_000)
        assert reserve.give_up()
        assert (reserve.give_up(), reserve.whole, path.stat().st_size) == (False, False, 0)


def test_no_reserve_is_asked_for(tmp_path):
    Reserve(tmp_path / "reserve", 0).fill()
    assert not (tmp_path / "reserve").exists()


def test_no_room_for_it_is_no_error(tmp_path):
    reserve = Reserve(tmp_path / "reserve", 1 << 60)
    try:
        reserve.fill()
    except OSError as error:
        assert error.errno == errno.EFBIG  # noqa: PT017 - file systems differ in which limit comes first
    assert not reserve.whole


def test_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "reserve").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="reserve"):
        Reserve(tmp_path / "reserve", 1).fill()
