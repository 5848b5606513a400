"""Whose claim is believed, and how often a stranger may ask."""

from __future__ import annotations

import pytest

from engine.web.source import MOST_SOURCES, Proxies, Strangers, bucket_of, parse_proxies

OURS = Proxies(parse_proxies(["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8:1::/48"]))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", ["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", ["203.0.113.9", "192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", ["203.0.113.9, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),
        ("127.0.0.1", ["10.1.1.1, 10.1.2.3"], "10.1.1.1"),
        ("::1", ["2001:db8:ffff::5, 2001:db8:1::9"], "2001:db8:ffff::5"),
        ("::ffff:127.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        # a stranger's claim is not believed
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("127.0.0.1", ["not an address"], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.7, <script>"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["10.0.0.1," * 10_000], "127.0.0.1"),
        ("", ["192.0.2.7"], "unknown"),
        ("fe80::1%eth0", [], "fe80::1"),
    ],
)
def test_source(peer, forwarded, expected) -> None:
    assert OURS.source_of(peer, forwarded) == expected


def test_a_proxy_that_is_none_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"'proxy\.example': write an address or a network"):
        parse_proxies(["proxy.example"])
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        parse_proxies(["10.0.0.1/8"])


def test_one_customer_is_one_source() -> None:
    assert bucket_of("192.0.2.1") == "192.0.2.1"
    assert bucket_of("2001:db8::1:2:3:4") == bucket_of("2001:db8::ffff") == "2001:db8::"
    assert bucket_of("unknown") == "unknown"


def test_a_source_may_ask_in_a_burst_and_then_at_its_rate() -> None:
    strangers = Strangers(rate=2.0, burst=3)
    assert [strangers.wait("192.0.2.1", 100.0) for _ in range(3)] == [0.0] * 3
    assert strangers.wait("192.0.2.1", 100.0) == pytest.approx(0.5)
    assert strangers.wait("192.0.2.1", 100.0) == pytest.approx(0.5)
    assert strangers.wait("192.0.2.2", 100.0) == 0.0
    assert strangers.wait("192.0.2.1", 100.5) == 0.0
    assert strangers.wait("192.0.2.1", 100.5) == pytest.approx(0.5)
    assert [strangers.wait("192.0.2.1", 200.0) for _ in range(4)][:3] == [0.0] * 3


def test_memory_of_sources_is_bounded() -> None:
    strangers = Strangers(rate=0.01, burst=1)
    strangers.wait("192.0.2.1", 0.0)
    for number in range(MOST_SOURCES):
        strangers.wait(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1.0)
    assert len(strangers._due) == MOST_SOURCES
    assert strangers.wait("192.0.2.1", 1.0) == 0.0, "the one that was silent longest is forgotten"
