"""What a reload may change: every key of the configuration is either live or refused by its name."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from engine.config import Settings, read_configuration
from engine.config.changing import FIXED, LIVE, WHOLE, fixed_changes, live_changes, restart_only
from tests.integration.running import configuration, make_key


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read(tmp_path, configuration({"*": "127.0.0.1:25"}, 9180))


def read(folder: Path, text: str) -> Settings:
    make_key(folder)
    (folder / "sokutatsu.toml").write_text(text, "utf-8")
    found = read_configuration(folder / "sokutatsu.toml")
    assert isinstance(found, Settings), found
    return found


def test_every_table_is_one_or_the_other() -> None:
    names = {field.name for field in fields(Settings)}
    assert names == {*FIXED, *WHOLE, "file", "senders"}
    assert LIVE.keys() <= FIXED.keys()


def test_the_same_is_no_change(settings: Settings, tmp_path: Path) -> None:
    again = read(tmp_path, configuration({"*": "127.0.0.1:25"}, 9180))
    assert (fixed_changes(settings, again), live_changes(settings, again)) == ([], [])


@pytest.mark.parametrize(
    ("old", "new", "refused", "live"),
    [
        ("[signer]\nworkers = 1", "[signer]\nworkers = 2", ["signer.workers: 1 to 2 cannot change"], []),
        ("127.0.0.1:9180", "127.0.0.1:9181", ["admin.listen: '127.0.0.1:9180' to '127.0.0.1:9181' cannot change"], []),
        ("[signer]", "[unsubscribe]\n[signer]", ["unsubscribe: the table is new, which cannot change"], []),
        ("stop_seconds = 10.0", "stop_seconds = 11.0\nmax_recipients = 5", [],
         ["engine.max_recipients changed", "engine.stop_seconds changed"]),
        ("株式会社ショップ", "株式会社みせ", [], ["senders changed: shop"]),
        ("[senders.shop", "[senders.mise", [], ["senders new: mise", "senders gone, their mail waits: shop"]),
        ("127.0.0.1:25", "127.0.0.1:26", [], ["routes changed"]),
        ("connection_limit = 4", "connection_limit = 5", [], ["shaping changed"]),
        ("[signer]", "[resolver]\nlookups = 7\n[signer]", [], ["resolver changed"]),
        ('[preflight]\nmode = "off"\n', "[tls]\nmta_sts = false\n[guard]\ncanary = 0\n[preflight]\nmode = 'warn'\n", [],
         ["tls changed", "guard changed", "preflight changed"]),
    ],
)  # fmt: skip
def test_changes(settings: Settings, tmp_path: Path, old: str, new: str, refused: list[str], live: list[str]) -> None:
    after = read(tmp_path, configuration({"*": "127.0.0.1:25"}, 9180).replace(old, new))
    found = fixed_changes(settings, after)
    assert len(found) == len(refused)
    assert all(line.startswith(word) and "restart it" in line for line, word in zip(found, refused, strict=True))
    if not refused:
        assert live_changes(settings, after) == live


def test_a_table_that_is_gone(settings: Settings, tmp_path: Path) -> None:
    with_it = read(tmp_path, configuration({"*": "127.0.0.1:25"}, 9180, more="[unsubscribe]\n"))
    (line,) = fixed_changes(with_it, replace(with_it, unsubscribe=None))
    assert line.startswith("unsubscribe: the table is gone")


def test_what_needs_a_restart_is_listed_once() -> None:
    listed = restart_only()
    assert len(listed) == len(FIXED)
    assert {"[socket]", "[engine] (but log_level, max_recipients, stop_seconds)"} <= {*listed}
    assert not {"[resolver]", "[tls]", "[guard]", "[preflight]"} & {*listed}
