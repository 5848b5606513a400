from __future__ import annotations

from ipaddress import ip_network

import pytest

from engine.net.address import parse_networks, why_never


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "this host"),
        ("0.255.255.255", "this host"),
        ("10.0.0.1", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "a 6to4 relay"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "this host"),
        ("::1", "loopback"),
        ("::127.0.0.1", "an IPv4 address in IPv6"),
        ("::ffff:127.0.0.1", "an IPv4 address mapped into IPv6"),
        ("::ffff:8.8.8.8", "an IPv4 address mapped into IPv6"),
        ("64:ff9b::7f00:1", "NAT64"),
        ("64:ff9b:1::a00:1", "NAT64"),
        ("100::1", "discard-only"),
        ("2001::1", "Teredo"),
        ("2001:2::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "6to4"),
        ("3fff::1", "documentation"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("4000::1", "not global unicast"),
        ("5f00::1", "not global unicast"),
        ("", "no IP address"),
        ("mx.example", "no IP address"),
        ("127.1", "no IP address"),
        ("0x7f000001", "no IP address"),
        ("fe80::1%eth0", "link-local"),
    ],
)
def test_never(address: str, why: str) -> None:
    assert why_never(address) == why


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.0.0.1", "128.0.0.1", "172.15.0.1",
        "172.32.0.1", "192.0.1.1", "192.169.0.1", "198.17.255.255", "198.20.0.0", "223.255.255.255",
        "2001:200::1", "2400::1", "2a00:1450::1", "2003::1", "3ffe::1",
    ],
)  # fmt: skip
def test_neighbours_may_be_connected_to(address: str) -> None:
    assert why_never(address) == ""


def test_allowed_networks_go_first() -> None:
    allowed = parse_networks(["127.0.1.0/24", "::1/128"])
    assert why_never("127.0.1.7", allowed) == ""
    assert why_never("::1", allowed) == ""
    assert why_never("127.0.2.7", allowed) == "loopback"
    assert allowed == (ip_network("127.0.1.0/24"), ip_network("::1/128"))


@pytest.mark.parametrize("text", ["127.0.0.1/8", "x", "", "1.2.3.4/33"])
def test_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="write a network such as"):
        parse_networks([text])
