"""Fetches MTA-STS policy files over HTTPS (RFC 8461 3.3): from mta-sts.DOMAIN, and nothing but what a policy may be."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.net.address import Network
from engine.net.dns import Asker
from engine.net.fetch import Fetch, NotGot
from engine.net.sts import Trouble

LONGEST_POLICY: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class FetchSettings:
    seconds: float = 10.0
    """For one policy, with DNS and TLS."""
    port: int = 443
    allowed: tuple[Network, ...] = ()
    """Networks that may be connected to although they are nobody's: tests."""


class PolicyFetcher:
    def __init__(self, asker: Asker, context: Callable[[], ssl.SSLContext], settings: FetchSettings) -> None:
        """`context`: verifies, TLS 1.2 or newer."""
        self._fetch = Fetch(asker, context, seconds=settings.seconds, allowed=settings.allowed)
        self._port = settings.port

    async def __call__(self, domain: str) -> bytes | Trouble:
        url = f"https://mta-sts.{domain}:{self._port}/.well-known/mta-sts.txt"
        got = await self._fetch(url, "text/plain", LONGEST_POLICY)
        if isinstance(got, NotGot):
            return Trouble("sts-webpki-invalid" if got.is_certificate else "sts-policy-fetch-error", got.text)
        if got.status != 200:
            return Trouble("sts-policy-fetch-error", f"HTTP status {got.status}")
        if got.content_type != "text/plain":
            return Trouble("sts-policy-invalid", f"content type {got.content_type[:80]!a}, not text/plain")
        if got.body is None:
            return Trouble("sts-policy-invalid", f"longer than {LONGEST_POLICY} bytes")
        return got.body
