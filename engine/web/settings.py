"""[unsubscribe]: where the opt-out listener stands and what it takes from strangers.

Without the table there is no listener: a sender whose unsubscribe_url leads to a system of its own needs none. The keys
of the links are not named here: they lie in the state folder (flow/tokens.py), because no configuration may forget one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnsubscribeSettings:
    listen: str = "127.0.0.1:8025"
    """host:port. Plain HTTP: the proxy in front has the certificate (RFC 8058 3.1 wants https)."""
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses or networks whose X-Forwarded-For is believed; of anybody else it is ignored."""
    connections: int = 1000
    timeout: float = 10.0
    """Seconds that a request may take to arrive, and that a silent connection is kept."""
    unknown_rate: float = 2.0
    """Requests a second, for each source, with links that are not ours. Links of ours are never throttled."""
    unknown_burst: int = 60
    """How many of them may come at once."""
