"""Which addresses are nobody's mail server: asked of every address that DNS gave, before it is connected to.

A stranger writes the MX records of his domain, and would otherwise choose what we connect to inside our own network.
The list follows IANA's special-purpose registries (RFC 6890); of IPv6 only global unicast is left, without the forms
that carry an IPv4 address inside (mapped, compatible, NAT64, 6to4, Teredo), whichever address that is. Pure: no
socket, no name. Routes that the operator wrote are not asked: a relay in 10.0.0.0/8 is an ordinary one.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

_REFUSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(text), why)
    for text, why in (
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "this host"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "an IPv4 address mapped into IPv6"),
        ("::/96", "an IPv4 address in IPv6"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard-only"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL: Final = ip_network("2000::/3")


def why_never(text: str, allowed: Iterable[Network] = ()) -> str:
    """Why this address is never connected to; empty when it may be. `allowed` goes first: networks of tests."""
    try:
        address = ip_address(text)
    except ValueError:
        return "no IP address"
    if any(address in network for network in allowed if network.version == address.version):
        return ""
    for network, why in _REFUSED:
        if network.version == address.version and address in network:
            return why
    return "" if address.version == 4 or address in _GLOBAL else "not global unicast"


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError with the text that is no network and the remedy."""
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError:
            remedy = "write a network such as 127.0.0.0/8, its host bits zero"
            raise ValueError(f"{text[:80]!a} is no network; {remedy}") from None
    return tuple(networks)
