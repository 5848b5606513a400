"""Whose domain is foreign, which reverse name generic, how findings and records read."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from engine.policy.readiness import (
    Finding,
    Level,
    Report,
    foreign,
    is_generic,
    removed,
    shown,
    spare,
    txt_line,
    worst,
)


@pytest.mark.parametrize(
    ("domain", "provider"),
    [
        ("gmail.com", "gmail.com"),
        ("Docomo.ne.jp.", "docomo.ne.jp"),
        ("t.vodafone.ne.jp", "vodafone.ne.jp"),
        ("notgmail.com", ""),
        ("gmail.com.example.jp", ""),
        ("example.jp", ""),
    ],
)
def test_a_provider_s_domain_is_nobody_else_s(domain, provider) -> None:
    assert foreign(domain) == provider


@pytest.mark.parametrize(
    "name",
    [
        "192-0-2-17.example.net",
        "p192.0.2.17.dyn.example.net",
        "17.2.0.192.example.net",
        "host192000002017.example.net",
        "c0000211.example.net",
        "ppp17.dynamic.example.net",
        "customer-17.example.net",
    ],
)
def test_a_name_made_from_the_address_is_generic(name) -> None:
    assert is_generic(name, ip_address("192.0.2.17"))


@pytest.mark.parametrize(
    "name", ["out1.example.jp", "mail17.example.jp", "mx-2.static.example.jp", "smtp.pool.example"]
)
def test_a_name_that_somebody_chose_is_not(name) -> None:
    assert not is_generic(name, ip_address("192.0.2.17"))


def test_generic_names_of_ipv6() -> None:
    address = ip_address("2001:db8::25:17")
    assert is_generic("2001-db8-0000-0000-0000-0000-0025-0017.example.net", address)
    assert not is_generic("out1.example.jp", address)


def test_a_report_is_as_bad_as_its_worst_finding() -> None:
    findings = [Finding("a", level, "x") for level in Level]
    report = Report("shop", 1.0, tuple(findings))
    assert report.level is Level.REFUSE
    assert report.of(Level.WARN) == [findings[2]]
    assert worst([]) is Level.OK
    assert worst([Level.UNKNOWN, Level.WARN]) is Level.UNKNOWN


def test_long_records_are_cut_into_strings() -> None:
    assert txt_line("a.example", "v=spf1 -all") == 'a.example. IN TXT "v=spf1 -all"'
    line = txt_line("a.example", "x" * 300)
    assert line == f'a.example. IN TXT ( "{"x" * 255}" "{"x" * 45}" )'


def test_strangers_text_is_shown_escaped_and_short() -> None:
    assert shown("a\x1b[31m\r\n b") == "a\\x1b[31m b"
    assert len(shown("x" * 1000)) == 160


def about(source: str, level: Level = Level.REFUSE) -> Finding:
    return Finding("ptr.missing", level, "192.0.2.1", source=source)


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {one.source: one.level for one in findings}


def test_what_is_wrong_with_one_source_of_several_costs_that_source() -> None:
    spared = spare([about("a"), about("b", Level.OK)], [("a", "b"), ("b", "c")])
    assert levels(spared) == {"a": Level.REMOVE, "b": Level.OK}
    assert Report("shop", 1.0, tuple(spared)).level is Level.REMOVE


@pytest.mark.parametrize("pools", [[], [("a",)], [("a", "b"), ("a",)]])
def test_without_a_source_left_in_each_pool_the_sender_is_refused(pools: list[tuple[str, ...]]) -> None:
    assert levels(spare([about("a"), about("b", Level.OK)], pools)) == {"a": Level.REFUSE, "b": Level.OK}


def test_refusals_that_are_no_source_s_stay() -> None:
    spared = spare([about("a"), about("")], [("a", "b")])
    assert levels(spared) == {"a": Level.REMOVE, "": Level.REFUSE}


def test_a_source_is_back_when_it_is_known_to_be_in_order() -> None:
    found = [
        about("a", Level.REMOVE),
        about("b", Level.UNKNOWN),
        about("c", Level.OK),
        about("d", Level.UNKNOWN),
        about(""),
    ]
    assert removed(found, ["b", "c", "gone"]) == ["a", "b"]
    assert removed([about("a"), about("b")], ["b"]) == ["b"], "the sender is refused: nothing new of its sources"
