"""Policies over real HTTPS: what is fetched, and everything that must not be."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from engine.net.dns import Answer, Kind, Status
from engine.net.fetch import ReportPoster
from engine.net.negotiate import TlsContexts
from engine.net.sts import Trouble
from engine.net.stsfetch import LONGEST_POLICY, FetchSettings, PolicyFetcher

OURS, THEIRS = trustme.CA(), trustme.CA()
POLICY = b"version: STSv1\nmode: enforce\nmx: mx.example.jp\nmax_age: 86400\n"
Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> TlsContexts:
    file: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    OURS.cert_pem.write_to_path(str(file))
    return TlsContexts.load(str(file))


class Dns:
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.names: set[str] = set()

    async def query(self, name: str, kind: Kind) -> Answer:
        self.names.add(name)
        if kind is Kind.AAAA or not self.addresses:
            return Answer(Status.SERVFAIL, text="SERVFAIL of ours") if not self.addresses else Answer(Status.NODATA)
        return Answer(Status.NOERROR, self.addresses)

    ask = query


def server_tls(authority: trustme.CA, name: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    if newest < ssl.TLSVersion.TLSv1_2:
        context.minimum_version = newest
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    authority.issue_cert(name).configure_cert(context)
    return context


async def plain(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=POLICY, content_type="text/plain")


def fetched(
    contexts: TlsContexts,
    answer: Answerer = plain,
    *,
    tls: ssl.SSLContext | None = None,
    dns: Dns | None = None,
    allowed: bool = True,
    seconds: float = 5.0,
) -> tuple[bytes | Trouble, list[str]]:
    """What came, and the paths that were asked for."""
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        asked.append(f"{request.host.partition(':')[0]}{request.path}")
        return await answer(request)  # type: ignore[arg-type]

    async def main() -> bytes | Trouble:
        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls or server_tls(OURS, "mta-sts.example.jp"))
        await site.start()
        port = runner.addresses[0][1]
        networks = (ip_network("127.0.0.0/8"),) if allowed else ()
        fetch = PolicyFetcher(
            dns or Dns("127.0.0.1"), lambda: contexts.verified, FetchSettings(seconds, port, networks)
        )
        try:
            return await fetch("example.jp")
        finally:
            await runner.cleanup()

    return asyncio.run(main()), asked


def test_a_policy_is_fetched_from_its_one_place(contexts: TlsContexts) -> None:
    dns = Dns("127.0.0.1")
    found, asked = fetched(contexts, dns=dns)
    assert (found, asked) == (POLICY, ["mta-sts.example.jp/.well-known/mta-sts.txt"])
    assert dns.names == {"mta-sts.example.jp"}


async def redirect(request: web.Request) -> web.StreamResponse:
    if request.path.endswith("elsewhere"):
        return await plain(request)
    raise web.HTTPFound("/elsewhere")


async def missing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=404, text="no")


async def html(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=POLICY, content_type="text/html")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    for _ in range(LONGEST_POLICY // 1000 + 100):
        await response.write(b"x" * 1000)
    return response


async def packed(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\x1f\x8b not unpacked", headers={"Content-Encoding": "gzip"}, content_type="text/plain")


async def hanging(_request: web.Request) -> web.StreamResponse:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


@pytest.mark.parametrize(
    ("answer", "result", "told"),
    [
        (redirect, "sts-policy-fetch-error", "HTTP status 302"),
        (missing, "sts-policy-fetch-error", "HTTP status 404"),
        (html, "sts-policy-invalid", "text/html"),
        (endless, "sts-policy-invalid", "longer than 65536"),
        (hanging, "sts-policy-fetch-error", "no answer within 0.5 seconds"),
    ],
)
def test_what_is_no_policy(contexts: TlsContexts, answer: Answerer, result: str, told: str) -> None:
    found, asked = fetched(contexts, answer, seconds=0.5 if answer is hanging else 5.0)
    assert isinstance(found, Trouble)
    assert found.result == result
    assert told in found.text
    assert len(asked) == 1, "no redirect is followed"


def test_nothing_is_unpacked(contexts: TlsContexts) -> None:
    assert fetched(contexts, packed)[0] == b"\x1f\x8b not unpacked"


@pytest.mark.parametrize(
    ("authority", "name", "newest"),
    [
        (THEIRS, "mta-sts.example.jp", "TLSv1_3"),
        (OURS, "example.jp", "TLSv1_3"),
        (OURS, "mta-sts.example.jp", "TLSv1_1"),
    ],
    ids=["another authority", "another name", "TLS 1.1"],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_a_server_that_is_not_the_domains_is_not_asked(
    contexts: TlsContexts, authority: trustme.CA, name: str, newest: str
) -> None:
    found, asked = fetched(contexts, tls=server_tls(authority, name, ssl.TLSVersion[newest]))
    assert isinstance(found, Trouble)
    # An old server may hang up before its alert is read.
    results = {"sts-webpki-invalid"} | ({"sts-policy-fetch-error"} if newest == "TLSv1_1" else set())
    assert found.result in results
    assert asked == []


@pytest.mark.parametrize(
    ("dns", "told"),
    [
        (Dns("127.0.0.1"), "loopback"),
        (Dns("10.0.0.1", "::1"), "private"),
        (Dns("169.254.169.254"), "link-local"),
        (Dns(), "SERVFAIL of ours"),
    ],
)
def test_a_strangers_dns_does_not_choose_a_host_inside(contexts: TlsContexts, dns: Dns, told: str) -> None:
    found, asked = fetched(contexts, dns=dns, allowed=False)
    assert isinstance(found, Trouble)
    assert found.result == "sts-policy-fetch-error"
    assert told in found.text
    assert asked == []


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\x00garbage\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 20_000 + b"\r\n\r\n",
        OK + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        OK + b"a: b\r\n" * 100_000,
        OK + b"Content-Type: text/plain\r\nContent-Length: -5\r\n\r\nabc",
        OK + b"Content-Type: text/plain\r\nContent-Length: 500\r\n\r\nabc",
        OK + b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nabc",
        OK + b"Content-Type: text/plain; charset=\xff\xfe\r\nContent-Length: 99\r\n\r\nabc",
        OK + b"Content-Type: \x80/\x81\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    ],
)
def test_a_server_that_speaks_no_http_is_a_trouble(contexts: TlsContexts, raw: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def main() -> bytes | Trouble:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=server_tls(OURS, "mta-sts.example.jp"))
        settings = FetchSettings(5.0, server.sockets[0].getsockname()[1], (ip_network("127.0.0.0/8"),))
        async with server:
            return await PolicyFetcher(Dns("127.0.0.1"), lambda: contexts.verified, settings)("example.jp")

    found = asyncio.run(main())
    assert isinstance(found, Trouble), found
    assert found.text.isascii()
    assert len(found.text) <= 200


# -- reports (RFC 8460 5.3) ------------------------------------------------------------------------------------


def posted(contexts: TlsContexts, answer: Answerer, *, name: str = "reports.example.jp", allowed: bool = True) -> str:
    async def main() -> str:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await answer(request)  # type: ignore[arg-type]

        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls(OURS, name)).start()
        networks = (ip_network("127.0.0.0/8"),) if allowed else ()
        poster = ReportPoster(Dns("127.0.0.1"), lambda: contexts.verified, seconds=1.0, allowed=networks)
        try:
            return await poster(f"https://reports.example.jp:{runner.addresses[0][1]}/v1?x=1", b"\x1f\x8bpacked")
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def test_a_report_is_posted_as_it_is(contexts: TlsContexts) -> None:
    seen: list[tuple[str, str, str, bytes]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.content.read()
        seen.append((request.method, request.path_qs, request.headers["Content-Type"], body))
        return web.Response(status=201)

    assert posted(contexts, answer) == ""
    assert seen == [("POST", "/v1?x=1", "application/tlsrpt+gzip", b"\x1f\x8bpacked")]


@pytest.mark.parametrize(
    ("answer", "words", "why"),
    [
        (missing, {}, "HTTP status 404"),
        (redirect, {}, "HTTP status 302"),
        (hanging, {}, "no answer within 1 seconds"),
        (plain, {"name": "other.example"}, "certificate"),
        (plain, {"allowed": False}, "loopback"),
    ],
)
def test_reports_that_are_not_taken(
    contexts: TlsContexts, answer: Answerer, words: dict[str, object], why: str
) -> None:
    assert why in posted(contexts, answer, **words)  # type: ignore[arg-type]
