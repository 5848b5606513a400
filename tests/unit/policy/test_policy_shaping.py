from __future__ import annotations

import ast
import inspect
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from engine.policy import limits
from engine.policy.shaping import MARKS, Limits, Shaping, Sheet, overlay, read_limits, read_shaping
from engine.policy.throttle import Rate


def _limits(**table: object) -> Limits:
    read = read_limits(table, "shaping.default")
    assert isinstance(read, Limits), read
    return read


def _errors(**table: object) -> list[str]:
    read = read_limits(table, "shaping.default")
    assert isinstance(read, list)
    return read


def test_an_empty_table_is_the_defaults() -> None:
    assert _limits() == Limits()


def test_defaults_are_those_that_kumomta_users_and_the_rfc_expect() -> None:
    limits = Limits()
    assert (limits.connection_limit, limits.max_deliveries_per_connection, limits.max_ready) == (10, 100, 1024)
    assert (str(limits.max_connection_rate), str(limits.max_message_rate)) == ("100/min", "100/s")
    assert (limits.banner_timeout, limits.mail_from_timeout, limits.rcpt_to_timeout) == (300, 300, 300)
    assert (limits.data_timeout, limits.data_dot_timeout, limits.idle_timeout) == (120, 600, 60)


def test_every_key_is_read() -> None:
    table = {
        "connection_limit": 2,
        "initial_connection_limit": 1,
        "failed_cohort_limit": 2,
        "max_connection_rate": "10/min",
        "max_message_rate": "unlimited",
        "deferring_message_rate": "5/s",
        "max_deliveries_per_connection": 20,
        "max_ready": 2048,
        "idle_timeout": "5s",
        "connect_timeout": 1,
        "banner_timeout": "2m",
        "ehlo_timeout": "2m",
        "starttls_timeout": 0.5,
        "auth_timeout": 30,
        "mail_from_timeout": "1 minute",
        "rcpt_to_timeout": "1m",
        "data_timeout": "1m",
        "data_dot_timeout": "5m",
        "rset_timeout": 5,
        "enable_tls": "Required",
        "enable_pipelining": False,
        "consecutive_connection_failures_before_delay": 5,
        "retry_interval": "5m",
        "retry_steps": ["5m", 900, "1h"],
        "max_retry_interval": "8h",
        "retry_jitter": 0.5,
        "provider_connection_limit": 5,
        "provider_max_message_rate": "20/s",
        "quiet_hours": "22:00-07:00 Asia/Tokyo",
        "spread_minute": 5,
        "max_message_size": 1_000_000,
    }
    limits = _limits(**table)
    assert list(table) == [field.name for field in fields(Limits)]
    assert (limits.max_message_rate, limits.max_connection_rate) == (None, Rate(10, 60, 10))
    assert (limits.retry_steps, limits.banner_timeout, limits.starttls_timeout) == ((300.0, 900.0, 3600.0), 120.0, 0.5)
    assert all(getattr(limits, field.name) != getattr(Limits(), field.name) for field in fields(Limits))


def _docstrings() -> dict[str, str]:
    (cls,) = (
        node
        for node in ast.parse(inspect.getsource(limits)).body
        if isinstance(node, ast.ClassDef) and node.name == "Limits"
    )
    found = {}
    for field, text in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(field.target, ast.Name):
            assert isinstance(text.value, ast.Constant)
            found[field.target.id] = str(text.value.value)
    return found


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_each_field_documents_the_default_that_it_has(name: str) -> None:
    text = _docstrings()[name]
    default = text.rsplit("Default ", 1)[1].removesuffix(".")
    value = {"true": True, "[]": []}.get(default, default.strip('"'))
    if isinstance(value, str) and not default.startswith('"'):
        value = float(value) if "." in value else int(value)
    assert getattr(_limits(**{name: value}), name) == getattr(Limits(), name)
    assert getattr(Limits(), name) == {field.name: field.default for field in fields(Limits)}[name]


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("connection_limit", 0, "write a whole number from 1 to 100000"),
        ("connection_limit", "10", "write a whole number from 1 to 100000"),
        ("connection_limit", True, "write a whole number from 1 to 100000"),
        ("failed_cohort_limit", "1", "write a number from 0 to 1000"),
        ("failed_cohort_limit", True, "write a number from 0 to 1000"),
        ("retry_jitter", 0.6, "write a number from 0 to 0.5"),
        ("retry_jitter", float("nan"), "write a number from 0 to 0.5"),
        ("max_message_rate", "100", 'write a rate such as "100/s"'),
        ("max_message_rate", 100, 'write a rate such as "100/s"'),
        ("max_message_rate", "0/s", "write a count from 1"),
        ("idle_timeout", "soon", "write seconds, or a text such as"),
        ("idle_timeout", 0, "write a duration from 0.05 to 3600 seconds"),
        ("idle_timeout", "2h", "write a duration from 0.05 to 3600 seconds"),
        ("retry_steps", "5m", "write a list of at most 32 durations"),
        ("retry_steps", ["5m"] * 33, "write a list of at most 32 durations"),
        ("retry_steps", ["0s"], "write a duration from 1 to 604800 seconds"),
        ("enable_pipelining", 1, "write true or false"),
        ("enable_tls", "required", "write one of Opportunistic, "),
        ("enable_tls", 1, "write one of Opportunistic, "),
        ("quiet_hours", 22, 'write "22:00-07:00 Asia/Tokyo"'),
        ("quiet_hours", "22-7", 'write "22:00-07:00 Asia/Tokyo"'),
    ],
)
def test_wrong_values_are_named_with_their_remedy(key: str, value: object, remedy: str) -> None:
    (error,) = _errors(**{key: value})
    shown = value if isinstance(value, str) and value.isidentifier() else ascii(value)
    assert error.startswith(f"shaping.default.{key}: {shown}"[:80])
    assert remedy in error


def test_unknown_keys_are_refused_with_the_nearest_known() -> None:
    assert _errors(conection_limit=1, nyaan=1) == [
        "shaping.default.conection_limit: unknown key; did you mean connection_limit?",
        "shaping.default.nyaan: unknown key; remove it",
    ]


def test_all_errors_at_once_short_and_escaped() -> None:
    errors = _errors(**{"max_ready": "x" * 500 + "!", "\x1b[2J": 1, "enable_tls": "\x1b"})
    assert len(errors) == 3
    assert all(error.isprintable() and error.isascii() and len(error) < 250 for error in errors)
    assert "..." in errors[0]


def test_intervals_must_agree() -> None:
    assert _errors(retry_interval="2h", max_retry_interval="1h") == [
        "shaping.default.retry_interval: 7200s exceeds max_retry_interval (3600s): raise the one or lower the other"
    ]


def test_a_base_gives_what_the_table_leaves_out() -> None:
    base = replace(Limits(), connection_limit=3, max_ready=7)
    read = read_limits({"connection_limit": 4}, "x", base)
    assert read == replace(base, connection_limit=4)


def test_ladder_and_window_are_made_of_the_limits() -> None:
    limits = _limits(connection_limit=3, retry_interval=60, max_retry_interval=100, retry_jitter=0)
    assert [limits.ladder().delay(n, 0.9) for n in range(3)] == [60, 100, 100]
    assert limits.window().size == 3
    assert _limits(retry_steps=["10s"], retry_jitter=0).ladder().delay(0, 0.5) == 10


def test_shaping_domain_before_site_before_default() -> None:
    read = read_shaping(
        {
            "default": {"connection_limit": 9, "max_ready": 50},
            "site": {"mx.example:25": {"connection_limit": 2, "max_deliveries_per_connection": 20}},
            "domain": {"Docomo.NE.jp": {"connection_limit": 1}},
        }
    )
    assert isinstance(read, Shaping)
    both = read.limits("mx.example:25", "docomo.ne.jp")
    assert (both.connection_limit, both.max_deliveries_per_connection, both.max_ready) == (1, 20, 50)
    assert read.limits("mx.example:25", "x.example").connection_limit == 2
    assert read.limits("other:25", "docomo.ne.jp").connection_limit == 1
    assert read.limits("other:25", "docomo.ne.jp").max_deliveries_per_connection == 100
    assert read.limits("other:25", "x.example") is read.default
    assert read.limits("mx.example:25", "docomo.ne.jp") is both


def test_shaping_of_nothing() -> None:
    assert Shaping().limits("", "") == Limits()


def test_shaping_collects_the_errors_of_all_tables() -> None:
    assert read_shaping(
        {
            "default": {"max_ready": 0},
            "site": {"mx.example:25": {"nyaan": 1}, "b": 5, "c": {"retry_interval": "5h"}},
            "domain": [],
            "providers": {},
        }
    ) == [
        "shaping.providers: not a table of shaping; write default, provider, site, domain",
        "shaping.default.max_ready: 0: write a whole number from 1 to 1000000",
        "shaping.site.'mx.example:25'.nyaan: unknown key; remove it",
        "shaping.site.b: 5 is not a table; write [shaping.site.b]",
        "shaping.site.c.retry_interval: 18000s exceeds max_retry_interval (14400s): raise the one or lower the other",
        "shaping.domain: [] is not a table; write [shaping.domain]",
    ]


def test_the_sites_with_a_table_of_their_own_are_known_by_name() -> None:
    assert Shaping().site_names == frozenset()
    assert Shaping(by_site={"mx.example.jp:25": {}}, by_domain={"example.jp": {}}).site_names == {"mx.example.jp:25"}


def test_the_sizes_that_are_said() -> None:
    assert Shaping().message_sizes == {}
    said = Shaping(
        sheets={("default", ""): Sheet({"max_message_size": 9})},
        by_domain={"a.jp": {"max_message_size": 5}, "b.jp": {}},
    )
    assert said.message_sizes == {"default": 9, "a.jp": 5}


def test_a_domain_with_a_table_of_its_own_is_known() -> None:
    shaping = Shaping(by_domain={"docomo.ne.jp": {"connection_limit": 2}})
    assert shaping.is_own("docomo.ne.jp")
    assert not shaping.is_own("example.jp")


# -- providers, sources, marks -----------------------------------------------------------------------------------

SHIPPED = tomllib.loads((Path(limits.__file__).parent / "shaping.toml").read_text("utf-8"))


def _shaping(**tables: object) -> Shaping:
    read = read_shaping(tables)
    assert isinstance(read, Shaping), read
    return read


def test_the_general_before_the_special_and_a_sources_word_behind_each() -> None:
    read = _shaping(
        default={"connection_limit": 9, "max_ready": 50, "sources": {"new": {"connection_limit": 8}}},
        provider={"p": {"match": [{"DomainSuffix": "x.jp"}], "connection_limit": 7,
                        "sources": {"new": {"connection_limit": 6}}, "marks": {"connection_limit": "guess"}}},
        site={"s": {"connection_limit": 5}},
    )  # fmt: skip
    assert read.limits("", "").connection_limit == 9
    assert read.limits("", "", "", "new").connection_limit == 8
    assert read.limits("", "", "p").connection_limit == 7
    assert read.limits("", "", "p", "new").connection_limit == 6
    assert read.limits("s", "", "p", "new").connection_limit == 5
    assert read.limits("s", "", "p").max_ready == 50
    assert read.origins("", "", "p") == {"connection_limit": "provider p (guess)", "max_ready": "default"}
    assert read.origins("", "", "p", "new")["connection_limit"] == "provider p, source new (guess)"
    assert read.origins("s", "", "p")["connection_limit"] == "site s"


def test_replace_base_forgets_what_is_more_general() -> None:
    read = _shaping(
        default={"connection_limit": 9},
        provider={"p": {"match": [{"DomainSuffix": "x.jp"}], "max_ready": 3}},
        domain={"x.jp": {"replace_base": True, "idle_timeout": 5}},
    )
    found = read.limits("", "x.jp", "p")
    assert (found.connection_limit, found.max_ready, found.idle_timeout) == (10, 1024, 5)
    assert read.origins("", "x.jp", "p") == {"idle_timeout": "domain x.jp"}


def test_overlay_joins_key_by_key_and_drops_the_mark_of_what_it_changes() -> None:
    base = {"provider": {"p": {"a": 1, "b": 2, "marks": {"a": "guess", "b": "custom"}, "automation": [1]}}}
    own = {"provider": {"p": {"a": 3, "automation": [2]}, "q": {}}}
    assert overlay(base, own) == {
        "provider": {"p": {"a": 3, "b": 2, "marks": {"b": "custom"}, "automation": [2, 1]}, "q": {}}
    }
    assert overlay(base, {"provider": {"p": {"replace_base": True, "a": 4}}}) == {
        "provider": {"p": {"replace_base": True, "a": 4}}
    }


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({"provider": {"p": {}}}, "shaping.provider.p.match: None: write a list such as"),
        ({"provider": {"p": 1}}, "shaping.provider.p: 1 is not a table"),
        ({"site": {"s": {"match": []}}}, "shaping.site.s.match: only a provider is matched"),
        ({"site": {"s": {"replace_base": 1}}}, "shaping.site.s.replace_base: 1: write true or false"),
        ({"site": {"s": {"sources": {"a": 1}}}}, "shaping.site.s.sources.a: 1 is not a table"),
        ({"site": {"s": {"sources": 1}}}, "shaping.site.s.sources: 1 is not a table"),
        ({"site": {"s": {"automation": {}}}}, "shaping.site.s.automation: {} is not a list"),
        ({"site": {"s": {"automation": [1]}}}, "shaping.site.s.automation[0]: 1 is not a table"),
        ({"site": {"s": {"marks": {"max_ready": "guess"}}}}, "shaping.site.s.marks.max_ready: guess: write documented"),
        ({"site": {"s": {"max_ready": 1, "marks": {"max_ready": "?"}}}}, "shaping.site.s.marks.max_ready: '?': write"),
    ],
)
def test_each_table_names_what_is_wrong(tables: dict[str, object], error: str) -> None:
    found = read_shaping(tables)
    assert isinstance(found, list)
    assert found[0].startswith(error), found


def test_there_is_a_bound_of_rules() -> None:
    rule = {"regex": "x", "action": "Suspend", "duration": 60}
    found = read_shaping({"default": {"automation": [rule] * 1001}})
    assert found == ["shaping: more than 1000 automation tables; remove some"]


# -- what is shipped ----------------------------------------------------------------------------------------------


def test_every_shipped_value_has_its_mark() -> None:
    read = read_shaping(SHIPPED, "")
    assert isinstance(read, Shaping), read
    for name, table in SHIPPED["provider"].items():
        keys = {key for key in table if key not in ("match", "marks", "automation", "sources")}
        assert table["marks"].keys() == keys, name
    rules = [
        rule for table in (SHIPPED["default"], *SHIPPED["provider"].values()) for rule in table.get("automation", [])
    ]
    assert rules
    assert all(rule["mark"] in MARKS for rule in rules)


def test_deploy_shows_what_is_shipped() -> None:
    root = Path(limits.__file__).parents[2]
    assert (root / "deploy" / "shaping.toml").read_bytes() == (root / "engine" / "policy" / "shaping.toml").read_bytes()


@pytest.mark.parametrize(
    ("domain", "hosts", "provider", "connections"),
    [
        ("gmail.com", ("gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"), "gmail", 5),
        ("workspace.example", ("aspmx.l.google.com",), "gmail", 5),
        ("aol.com", ("mx-aol.mail.gm0.yahoodns.net",), "yahoo", 5),
        ("hotmail.co.jp", ("hotmail-com.olc.protection.outlook.com",), "outlook", 5),
        ("company.example", ("company.mail.protection.outlook.com",), "", 10),
        ("icloud.com", ("mx01.mail.icloud.com",), "icloud", 10),
        ("yahoo.co.jp", ("mx1.mail.yahoo.co.jp",), "yahoo-japan", 2),
        ("docomo.ne.jp", ("mfsmax.docomo.ne.jp",), "docomo", 2),
        ("ezweb.ne.jp", ("lsean.ezweb.ne.jp",), "au", 2),
        ("au.com", ("msmx.au.com",), "au", 2),
        ("i.softbank.jp", ("mx.i.softbank.jp",), "softbank", 2),
        ("disney.ne.jp", ("host.example",), "softbank", 2),
        ("rakumail.jp", ("host.example",), "rakuten", 2),
        ("notdocomo.ne.jp", ("host.example",), "", 10),
    ],
)
def test_the_large_receivers_are_known(domain: str, hosts: tuple[str, ...], provider: str, connections: int) -> None:
    read = read_shaping(SHIPPED, "")
    assert isinstance(read, Shaping)
    assert read.providers.of(domain, hosts) == provider
    assert read.limits("site", domain, provider).connection_limit == connections
