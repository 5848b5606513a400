"""Where an opt-out leads: a played DNS, a real web server behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from engine.net.dns import Answer, Kind, Mx, Status
from engine.net.fetch import Fetch, Got
from engine.net.landing import LONGEST_PAGE, landing
from engine.policy.readiness import Finding, Level

LOCAL = (ip_network("127.0.0.0/8"),)


class Dns:
    def __init__(self, **records: Any) -> None:
        self.records = records

    async def query(self, _name: str, kind: Kind) -> Answer:
        found = self.records.get(kind.name, Status.NXDOMAIN)
        return Answer(found, text=f"{found}") if isinstance(found, Status) else Answer(Status.NOERROR, tuple(found))

    ask = query


def looked(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], dns: Dns | None = None, **more: Any
) -> Finding:
    async def main() -> Finding:
        runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)  # type: ignore[arg-type]
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        asker = dns or Dns(A=["127.0.0.1"], AAAA=Status.NODATA)
        get = Fetch(asker, seconds=more.get("seconds", 5.0), allowed=LOCAL)
        try:
            return await landing(asker, get, f"http://shop.example:{port}/u/0", LOCAL)
        finally:
            await runner.cleanup()

    return asyncio.run(main())


async def page(request: web.BaseRequest) -> web.StreamResponse:
    assert request.method == "GET"
    assert request.headers["Accept"] == "text/html"
    assert "Cookie" not in request.headers
    return web.Response(text="<button>stop</button>", content_type="text/html")


async def login(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="<input type=password>", content_type="text/html")


async def moved(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/elsewhere"})


async def broken(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=502)


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(LONGEST_PAGE // 1000 + 100):
        await response.write(b"x" * 1000)
    return response


async def silent(_: web.BaseRequest) -> web.StreamResponse:
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("answer", "code", "level"),
    [
        (page, "optout.page", Level.OK),
        (endless, "optout.page", Level.OK),
        (login, "optout.login", Level.REFUSE),
        (moved, "optout.moved", Level.WARN),
        (broken, "optout.error", Level.REFUSE),
        (silent, "optout.unreachable", Level.WARN),
    ],
)
def test_a_page_is_opened_as_a_reader_opens_it(answer, code, level) -> None:
    found = looked(answer, seconds=0.5 if answer is silent else 5.0)
    assert (found.code, found.level) == (code, level), found


@pytest.mark.parametrize(
    ("dns", "code", "level"),
    [
        (Dns(), "optout.no_host", Level.REFUSE),
        (Dns(A=Status.NODATA, AAAA=Status.NODATA), "optout.no_host", Level.REFUSE),
        (Dns(A=Status.SERVFAIL), "dns.failed", Level.UNKNOWN),
        (Dns(A=["10.0.0.1"], AAAA=["fd00::1"]), "optout.private", Level.REFUSE),
    ],
)
def test_a_name_that_leads_nowhere(dns, code, level) -> None:
    found = looked(page, dns)
    assert (found.code, found.level) == (code, level), found


@pytest.mark.parametrize("url", ["https:///u", "http://[", "https://"])
def test_what_names_no_host(url: str) -> None:
    async def never(*_: Any) -> Got:
        raise AssertionError

    assert asyncio.run(landing(Dns(), never, url)).code == "optout.no_host"


@pytest.mark.parametrize(
    ("url", "dns", "code", "level"),
    [
        ("mailto:stop@shop.example?subject=x", Dns(MX=[Mx(10, "mx.shop.example")]), "optout.mail", Level.OK),
        ("mailto:stop@shop.example", Dns(A=["192.0.2.1"]), "optout.mail", Level.OK),
        ("mailto:stop@shop.example", Dns(MX=[Mx(0, "")], A=["192.0.2.1"]), "optout.mail_dead", Level.REFUSE),
        ("mailto:stop@shop.example", Dns(), "optout.mail_dead", Level.REFUSE),
        ("mailto:stop@shop.example", Dns(MX=Status.SERVFAIL), "dns.failed", Level.UNKNOWN),
        ("mailto:", Dns(), "optout.mail_dead", Level.REFUSE),
    ],
)
def test_a_mailbox_whose_domain_takes_mail(url, dns, code, level) -> None:
    async def never(*_: Any) -> Got:
        raise AssertionError

    found = asyncio.run(landing(dns, never, url))
    assert (found.code, found.level) == (code, level), found
