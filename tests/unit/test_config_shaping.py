"""[shaping] with its file, [sources] and [pools]: how layers are laid over one another, and what every error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Settings, read_configuration
from engine.config.shaping import read_shaping_file

MINIMAL = """[engine]
state = "state"
ehlo_name = "mta1.example.jp"
source_address = "192.0.2.1"
[senders.shop]
legal_name = "株式会社れい"
address = "れい商店 <news@news.example.jp>"
unsubscribe_url = "https://news.example.jp/u/{token}"
[[senders.shop.dkim]]
selector = "s1"
key = "dkim.pem"
[routes]
"*" = "relay.example.jp:25"
"""


def read(folder: Path, more: str = "", shaping: str | None = None, in_sender: str = "") -> Settings | list[str]:
    file = folder / "sokutatsu.toml"
    file.write_text(MINIMAL.replace("[[senders", f"{in_sender}\n[[senders") + more, encoding="utf-8")
    if shaping is not None:
        (folder / "shaping.toml").write_text(shaping, encoding="utf-8")
    return read_configuration(file)


def settings(folder: Path, more: str = "", shaping: str | None = None, in_sender: str = "") -> Settings:
    found = read(folder, more, shaping, in_sender)
    assert isinstance(found, Settings), found
    return found


def errors(folder: Path, more: str = "", shaping: str | None = None, in_sender: str = "") -> list[str]:
    found = read(folder, more, shaping, in_sender)
    assert isinstance(found, list)
    return [line.removeprefix(f"{folder}/") for line in found]


FILE = '[shaping]\nfile = "shaping.toml"\n'


def test_what_is_shipped_is_in_force_without_being_named(tmp_path) -> None:
    shaping = settings(tmp_path).shaping
    assert shaping.providers.of("docomo.ne.jp", ("mfsmax.docomo.ne.jp",)) == "docomo"
    assert shaping.limits("", "", "docomo").connection_limit == 2
    assert [rule.scope for rule in shaping.automation].count("gmail") == 2


def test_a_file_is_laid_over_it_and_the_main_file_over_both(tmp_path) -> None:
    own = "[provider.docomo]\nconnection_limit = 3\nmax_message_rate = '5/s'\n[default]\nmax_ready = 7\n"
    shaping = settings(tmp_path, FILE + "[shaping.provider.docomo]\nconnection_limit = 4\n", own).shaping
    limits = shaping.limits("", "", "docomo")
    assert (limits.connection_limit, str(limits.max_message_rate), limits.max_deliveries_per_connection) == (
        4,
        "5/s",
        20,
    )
    assert limits.max_ready == 7
    origins = shaping.origins("", "", "docomo")
    assert origins["connection_limit"] == "provider docomo", "nobody's mark vouches for another value"
    assert origins["max_deliveries_per_connection"] == "provider docomo (custom)"


def test_a_file_may_replace_what_is_shipped(tmp_path) -> None:
    own = "replace_base = true\n[provider.mine]\nmatch = [{MXSuffix = '.mine.example'}]\n"
    shaping = settings(tmp_path, FILE, own).shaping
    assert shaping.providers.of("docomo.ne.jp", ("mfsmax.docomo.ne.jp",)) == ""
    assert shaping.providers.of("x", ("mx.mine.example",)) == "mine"
    assert shaping.automation == ()


def test_every_error_of_both_files_with_file_line_and_key(tmp_path) -> None:
    own = "[provider.docomo]\nconection_limit = 3\n[provider.new]\nmax_ready = 1\n[[default.automation]]\nregex = '('\n"
    found = errors(tmp_path, FILE + "[shaping.provider.docomo]\nmax_ready = 0\n", own)
    expected = [
        "shaping.toml:6: default.automation[0].regex: '(': no regular expression of RE2: missing ): (",
        "shaping.toml:5: default.automation[0].action: None: write one of Suspend, SuspendSite",
        "shaping.toml:5: default.automation[0].duration: None: write seconds",
        "shaping.toml:2: provider.docomo.conection_limit: unknown key; did you mean connection_limit?",
        "shaping.toml:3: provider.new.match: None: write a list such as",
        "sokutatsu.toml:18: shaping.provider.docomo.max_ready: 0: write a whole number from 1 to 1000000",
    ]
    assert len(found) == len(expected), found
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "No such file or directory; name an existing file in shaping.file"),
        (b"\xff", "not TOML: 'utf-8' codec"),
        (b"[", "not TOML: "),
        (b"a = " + b"[" * 100_000, "not TOML: "),
        (b"#" * (4 * 1024 * 1024 + 1), "larger than 4194304 bytes"),
    ],
)
def test_a_file_that_is_none(tmp_path, content: bytes | None, error: str) -> None:
    if content is not None:
        (tmp_path / "shaping.toml").write_bytes(content)
    found = read_shaping_file(tmp_path / "shaping.toml")
    assert isinstance(found, list)
    assert error in found[0]
    assert errors(tmp_path, FILE)[0].endswith(found[0].rpartition("/")[2])


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("[shaping]\nfile = 1\n", "sokutatsu.toml:16: shaping.file: 1: write the name of a file"),
        ("[shaping]\nprovider = 1\n", "sokutatsu.toml:16: shaping.provider: 1 is not a table"),
        ("[sources]\na = 1\n", "sokutatsu.toml:16: sources.a: write a table with a name"),
        ("[sources.a]\naddress = 'x'\n", "sokutatsu.toml:16: sources.a.address: 'x': write an IP address"),
        ("[sources.a]\nnyaan = 1\n", "sokutatsu.toml:16: sources.a.nyaan: unknown key"),
        ("[sources.a]\nwarmup = 1\n", "sokutatsu.toml:16: sources.a.warmup: 1: write {start"),
        ("[pools.a]\nsources = {}\n", "sokutatsu.toml:16: pools.a.sources: is empty"),
        ("[pools.a]\nsources = {x = 1}\n", "sokutatsu.toml:16: pools.a.sources.'x': 1: write a source (default)"),
        ("[pools.a]\nsources = {default = 0}\n", "sokutatsu.toml:16: pools.a.sources.'default': 0: write a source"),
        ("[pools]\na = 1\n", "sokutatsu.toml:16: pools.a: 1: write sources = { NAME = WEIGHT"),
    ],
)
def test_what_is_wrong_in_the_main_file(tmp_path, more: str, error: str) -> None:
    assert errors(tmp_path, more)[0].startswith(error), errors(tmp_path, more)


def test_tables_that_are_none(tmp_path) -> None:
    file = tmp_path / "sokutatsu.toml"
    file.write_text("shaping = 1\nsources = 1\npools = 1\n" + MINIMAL, encoding="utf-8")
    found = read_configuration(file)
    assert isinstance(found, list)
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == ["shaping", "sources", "pools"]


def test_without_sources_there_is_one_and_without_pools_one_of_all(tmp_path) -> None:
    one = settings(tmp_path)
    assert (one.sources["default"].address, one.sources["default"].ehlo_name) == ("192.0.2.1", "mta1.example.jp")
    assert one.pools["default"].order == ("default",)
    more = (
        '[sources.a]\naddress = "192.0.2.2"\n[sources.b]\nehlo_name = "b.example.jp"\n[pools.tx]\nsources = {b = 2}\n'
    )
    two = settings(tmp_path, more, in_sender='pool_transactional = "tx"')
    assert two.sources["a"].ehlo_name == "mta1.example.jp"
    assert sorted(two.pools["default"].order) == ["a", "b"]
    assert (two.senders["shop"].pool, two.senders["shop"].pool_transactional) == ("default", "tx")
    assert settings(tmp_path, more, in_sender='pool = "tx"').senders["shop"].pool_transactional == "tx"


def test_a_sender_names_a_pool_that_is_there(tmp_path) -> None:
    (error,) = errors(tmp_path, in_sender='pool = "nyaan"')
    assert "senders.shop.pool: no pool 'nyaan'; known are default: add [pools.nyaan]" in error


def test_a_source_that_warms_up(tmp_path) -> None:
    more = "[sources.a.warmup]\nstart = 2026-04-01\nschedule = [10, 20]\nprovider = { docomo = [1] }\n"
    warmup = settings(tmp_path, more).sources["a"].warmup
    assert warmup is not None
    assert (warmup.schedule, warmup.providers) == ((10, 20), {"docomo": (1,)})
