"""SPF records as values, macros, and the record that would put it right (RFC 7208)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from engine.policy.spf import (
    MOST_BYTES,
    Facts,
    Record,
    SpfError,
    Term,
    chosen,
    expand,
    is_domain,
    names_validated,
    parse,
    with_addresses,
)

FACTS = Facts(ip_address("192.0.2.3"), "strong-bad@email.example.com", "mail.example.com", "email.example.com")
SIXTH = Facts(ip_address("2001:db8::cb01"), FACTS.sender, FACTS.helo, FACTS.domain)


def test_the_record_is_chosen_among_others() -> None:
    assert chosen([b"x", b"V=SPF1 -all", b"v=spf10 -all"]) == "V=SPF1 -all"
    assert chosen([b"v=spf1"]) == "v=spf1"
    assert chosen([]) is None


@pytest.mark.parametrize("texts", [[b"v=spf1", b"v=spf1 -all"], [b"v=spf1 \xff"], [b"v=spf1 " + b"a" * MOST_BYTES]])
def test_what_is_no_single_record_is_an_error(texts) -> None:
    with pytest.raises(SpfError):
        chosen(texts)


def test_terms_are_read() -> None:
    record = parse(
        "v=spf1 mx a:x.example/24//64 ~ip4:192.0.2.0/24 ?include:%{d}.b.example redirect=c.example -all x=%{i}"
    )
    assert record == Record(
        (
            Term("+", "mx"),
            Term("+", "a", "x.example", 24, 64),
            Term("~", "ip4", network=ip_network("192.0.2.0/24")),
            Term("?", "include", "%{d}.b.example"),
            Term("-", "all"),
        ),
        "c.example",
    )


def test_a_domain_may_end_in_a_macro() -> None:
    assert parse("v=spf1 exists:x.%{d}").terms[0].domain == "x.%{d}"


@pytest.mark.parametrize(
    "word",
    [
        "al", "all:x", "all/8", "ip4", "ip4:", "ip4:1.2.3", "ip4:1.2.3.4/33", "ip4:1.2.3.4/08", "ip4:::1", "ip6:1.2.3.4",
        "ip6:%{i}", "a/33", "a//129", "a/024", "a:", "a:example", "a:x.example.1", "a:%{x}.example", "a:%{d0}.example",
        "a:%a.example", "a:b%{c}.example", "include", "exists", "include:", "mx/", "redirect=", "x=%{", "-", "a:é.example",
        "redirect=a.example redirect=b.example", "ptr/24",
    ],
)  # fmt: skip
def test_an_error_anywhere_is_an_error(word) -> None:
    with pytest.raises(SpfError):
        parse(f"v=spf1 {word} -all")


def test_a_record_of_too_many_terms_is_an_error() -> None:
    with pytest.raises(SpfError, match="terms"):
        parse("v=spf1" + " a" * 501)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l-}", "strong.bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{h}.%{p}", "mail.example.com.unknown"),
        ("%%%_%-.x.", "% %20.x"),
        ("%{L}", "strong-bad"),
        ("%{S}", "strong-bad%40email.example.com"),
    ],
)
def test_the_macros_of_the_document(spec, name) -> None:
    assert expand(spec, FACTS) == name


def test_the_address_of_the_sixth_version_in_nibbles() -> None:
    assert expand("%{ir}.%{v}._spf.%{d2}", SIXTH) == (
        "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
    )


def test_names_that_are_too_long_lose_labels_at_the_left() -> None:
    long = Facts(FACTS.address, "a" * 300 + ".b@x.example", "h", "x.example")
    assert expand("%{l}.%{d}", long) == "b.x.example"
    assert expand("%{l}", Facts(FACTS.address, "a" * 300 + "@x", "h", "d")) == "a" * 300


def test_which_specs_cost_reverse_lookups() -> None:
    assert names_validated("%{p}.a.example")
    assert not names_validated("%{d}.%%.example")


def test_what_may_be_asked_about() -> None:
    assert is_domain("a.example.")
    assert not any(map(is_domain, ("", "localhost", "a..b", ("x" * 64) + ".b", "a." * 130 + "b")))


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (None, "v=spf1 ip4:192.0.2.3 ip6:2001:db8::1 ~all"),
        ("v=spf1 mx -all", "v=spf1 mx ip4:192.0.2.3 ip6:2001:db8::1 -all"),
        ("v=spf1 a redirect=x.example", "v=spf1 a ip4:192.0.2.3 ip6:2001:db8::1 redirect=x.example"),
        ("v=spf1 a", "v=spf1 a ip4:192.0.2.3 ip6:2001:db8::1"),
    ],
)
def test_the_record_to_publish(record, wanted) -> None:
    assert with_addresses(record, [ip_address("192.0.2.3"), ip_address("2001:db8::1")]) == wanted
