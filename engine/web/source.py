"""Who is asking, as far as it can be known, and how often strangers may ask in vain.

X-Forwarded-For is a claim: it is believed only as far as proxies of ours wrote it, read from the right, and what stands
left of the first stranger is the stranger's own text. IPv6 sources count by their /64: one customer has that many. The
throttle is a leaky bucket as a meter (GCRA), one number a source, and forgets the source that was silent longest first.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_HOPS = 20
MOST_SOURCES = 65_536
UNKNOWN = "unknown"
"""A Unix socket, or a proxy that hides its client."""


def parse_proxies(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError with the remedy."""
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            raise ValueError(f"{text[:80]!a}: write an address or a network, such as 10.0.0.0/8") from None
    return tuple(networks)


class Proxies:
    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def source_of(self, peer: str, forwarded: Sequence[str]) -> str:
        """`forwarded`: the X-Forwarded-For fields in their order."""
        source = _address(peer)
        if source is None:
            return UNKNOWN
        hops = ",".join(forwarded).split(",") if forwarded else []
        for text in reversed(hops[-MOST_HOPS:]):
            if not self._is_ours(source):
                break
            nearer = _address(text.strip())
            if nearer is None:
                break  # not an address: the proxy that we trust is the last thing that is known
            source = nearer
        return str(source)

    def _is_ours(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def _address(text: str) -> Address | None:
    try:
        # a zone (fe80::1%eth0) is this machine's affair
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def bucket_of(source: str) -> str:
    """What counts as one source."""
    if ":" not in source:
        return source
    return str(ipaddress.ip_network(f"{source}/64", strict=False).network_address)


class Strangers:
    """Requests in vain, by source."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1.0 / rate
        self._tolerance = self._interval * burst
        self._due: OrderedDict[str, float] = OrderedDict()

    def wait(self, source: str, now: float) -> float:
        """Seconds until this source may ask again; 0.0: now, and then it counts."""
        bucket = bucket_of(source)
        due = max(self._due.pop(bucket, now), now)
        wait = due + self._interval - self._tolerance - now
        if wait <= 1e-9:
            due, wait = due + self._interval, 0.0
        self._due[bucket] = due
        if len(self._due) > MOST_SOURCES:
            self._due.popitem(last=False)
        return wait
