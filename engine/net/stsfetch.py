"""Fetches MTA-STS policy files over HTTPS (RFC 8461 3.3), and posts TLS reports (RFC 8460 5.3) the same careful way.

The client side of aiohttp lives here.

A stranger's DNS says where we connect, so the addresses are checked as those of mail servers are; the certificate is
verified for mta-sts.DOMAIN, redirects are not followed, nothing is unpacked, no cookie is kept, size and time are
bounded. Whatever goes wrong is a value with a text that is safe to log.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from engine.net.address import Network, why_never
from engine.net.dns import Asker, Kind
from engine.net.resolver import addresses_of
from engine.net.sts import Trouble

LONGEST_POLICY: Final = 64 * 1024
AT_ONCE: Final = 20
ADDRESSES_TRIED: Final = 4


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
        self._names = _Names(asker, settings.allowed)
        self._context = context
        self._settings = settings
        self._places = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, domain: str) -> bytes | Trouble:
        try:
            async with self._places, asyncio.timeout(self._settings.seconds):
                return await self._fetched(domain)
        except TimeoutError:
            return _failed(f"no policy within {self._settings.seconds:g} seconds")
        except aiohttp.ClientConnectorCertificateError as error:
            return Trouble("sts-webpki-invalid", _text(error.certificate_error))
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            return Trouble("sts-webpki-invalid", _text(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(_text(error))

    async def _fetched(self, domain: str) -> bytes | Trouble:
        async with (
            _session(self._names, self._context(), {"Accept": "text/plain"}) as session,
            session.get(
                f"https://mta-sts.{domain}:{self._settings.port}/.well-known/mta-sts.txt", allow_redirects=False
            ) as response,
        ):
            if response.status != 200:
                return _failed(f"HTTP status {response.status}")
            if response.content_type != "text/plain":
                return Trouble("sts-policy-invalid", f"content type {response.content_type[:80]!a}, not text/plain")
            return await _read(response.content)


def _session(names: _Names, context: ssl.SSLContext, headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """One connection a request: there is one a day, and nothing is shared between strangers."""
    connector = aiohttp.TCPConnector(resolver=names, ssl=context, force_close=True, use_dns_cache=False, limit=1)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "Sokutatsu", **headers},
    )


class ReportPoster:
    """Posts one report to one place. What the server says beyond its status is not read."""

    def __init__(self, asker: Asker, context: Callable[[], ssl.SSLContext], settings: FetchSettings) -> None:
        """`settings`: its port is not used, the place has one."""
        self._names = _Names(asker, settings.allowed)
        self._context = context
        self._seconds = settings.seconds

    async def __call__(self, place: str, packed: bytes) -> str:
        """`packed` with gzip. Why it was not taken, or nothing."""
        headers = {"Content-Type": "application/tlsrpt+gzip"}
        try:
            async with (
                asyncio.timeout(self._seconds),
                _session(self._names, self._context(), headers) as session,
                session.post(place, data=packed, allow_redirects=False) as response,
            ):
                return "" if 200 <= response.status < 300 else f"HTTP status {response.status}"
        except TimeoutError:
            return f"no answer within {self._seconds:g} seconds"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _text(error) or type(error).__name__


async def _read(content: aiohttp.StreamReader) -> bytes | Trouble:
    raw = bytearray()
    while piece := await content.read(LONGEST_POLICY + 1 - len(raw)):
        raw += piece
        if len(raw) > LONGEST_POLICY:
            return Trouble("sts-policy-invalid", f"longer than {LONGEST_POLICY} bytes")
    return bytes(raw)


class _Names(AbstractResolver):
    """aiohttp's port for names, by the engine's DNS."""

    def __init__(self, asker: Asker, allowed: tuple[Network, ...]) -> None:
        self._asker = asker
        self._allowed = allowed

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - the port's; both kinds are tried
    ) -> list[ResolveResult]:
        answers = await asyncio.gather(*(self._asker.query(host, kind) for kind in (Kind.A, Kind.AAAA)))
        found = addresses_of(*answers)
        usable = [address for address in found if not why_never(address, self._allowed)]
        if not usable:
            why = next((answer.text for answer in answers if answer.text), "no address")
            raise OSError(None, f"{host[:80]!a}: {f'{found[0]}: {why_never(found[0])}' if found else why}")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in usable[:ADDRESSES_TRIED]
        ]  # fmt: skip

    async def close(self) -> None:
        """The engine's DNS is not ours to close."""


def _failed(text: str) -> Trouble:
    return Trouble("sts-policy-fetch-error", text)


def _text(error: Exception) -> str:
    return ascii(str(error))[1:-1][:200]
