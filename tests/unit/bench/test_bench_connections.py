"""A few connections are opened, counted while they idle, and measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.connections import measured


@pytest.mark.parametrize("tls", [False, True])
def test_all_are_open_at_once(tls: bool, tmp_path: Path) -> None:
    found = measured(120, tls=tls, folder=tmp_path)
    assert (found["kind"], found["connections"], found["alive"]) == ("tls" if tls else "plain", 120, 120)
    assert 0 < found["kb_each"] < 400
