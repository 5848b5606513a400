"""One bounded GET of a stranger's web server, or one POST to it. The client side of aiohttp lives here.

A stranger's DNS says where we connect, so the addresses are checked as those of mail servers are. Certificates are
verified for the name, redirects are not followed, nothing is unpacked, no cookie is kept, size and time are bounded.
Whatever goes wrong is a value with a text that is safe to log.
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

AT_ONCE: Final = 20
ADDRESSES_TRIED: Final = 4


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    content_type: str
    location: str
    """Where a redirect leads; empty: nowhere."""
    body: bytes | None
    """Of status 200, else empty. None: longer than was asked for."""


@dataclass(frozen=True, slots=True)
class NotGot:
    text: str
    is_certificate: bool = False
    """It was reached, and its TLS does not verify."""


class Fetch:
    def __init__(
        self,
        asker: Asker,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        *,
        seconds: float = 10.0,
        allowed: tuple[Network, ...] = (),
    ) -> None:
        """`context`: verifies, TLS 1.2 or newer. `seconds`: for one, with DNS and TLS. `allowed`: networks that may be
        connected to although they are nobody's.
        """
        self._names = _Names(asker, allowed)
        self._context = context
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, url: str, accept: str, longest: int) -> Got | NotGot:
        try:
            async with self._places, asyncio.timeout(self._seconds):
                return await self._got(url, accept, longest)
        except TimeoutError:
            return NotGot(f"no answer within {self._seconds:g} seconds")
        except aiohttp.ClientConnectorCertificateError as error:
            return NotGot(_text(error.certificate_error), is_certificate=True)
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            return NotGot(_text(error), is_certificate=True)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return NotGot(_text(error))

    async def _got(self, url: str, accept: str, longest: int) -> Got:
        async with (
            _session(self._names, self._context(), {"Accept": accept}) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            body = await _read(response.content, longest) if response.status == 200 else b""
            location = response.headers.get("Location", "")[:2048]
            return Got(response.status, response.content_type, location, body)


class ReportPoster:
    """Posts a TLS report to a place (RFC 8460 5.3). What the server says beyond its status is not read."""

    def __init__(
        self,
        asker: Asker,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        *,
        seconds: float = 10.0,
        allowed: tuple[Network, ...] = (),
    ) -> None:
        """As Fetch."""
        self._names = _Names(asker, allowed)
        self._context = context
        self._seconds = seconds

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


def _session(names: _Names, context: ssl.SSLContext, headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """One connection each: they are rare, and nothing is shared between strangers."""
    connector = aiohttp.TCPConnector(resolver=names, ssl=context, force_close=True, use_dns_cache=False, limit=1)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "Sokutatsu", **headers},
    )


async def _read(content: aiohttp.StreamReader, longest: int) -> bytes | None:
    raw = bytearray()
    while piece := await content.read(longest + 1 - len(raw)):
        raw += piece
        if len(raw) > longest:
            return None
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


def _text(error: Exception) -> str:
    return ascii(str(error))[1:-1][:200]
