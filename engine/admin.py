"""The loopback HTTP listener: /metrics, /healthz, /readyz, /status, and the live page at /. It reads snapshots; the
orders of the live page are all that changes anything, and they need a token (engine/page).

A request must name a loopback host, one that the configuration allows, or the very address that it came to in its Host
field, once: a page in somebody's browser must not reach the listener by rebinding a name of its own to 127.0.0.1. An
address cannot be rebound, and probes and scrapes of a pod know nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from engine import kumomta
from engine.metrics import CONTENT_TYPE, Observed, exposition
from engine.page.feed import Source
from engine.page.order import LONGEST
from engine.page.routes import LivePage
from engine.page.settings import AdminSettings
from engine.tables import parse_listen

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
VIEWS: Mapping[str, Callable[[Observed], bytes]] = {"": exposition, "kumomta": kumomta.exposition}
"""Value of `view` -> the exposition in its names."""
STOP_SECONDS = 2.0
"""A scrape under way may end; the engine's stop does not wait longer for it."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the listener shows, each made anew by a call."""

    observe: Callable[[], Observed]
    status: Callable[[], Mapping[str, object]]
    healthy: Callable[[], str]
    """Empty, or what is wrong for good."""
    ready: Callable[[], str]
    """Empty, or why no mail is taken now."""
    live: Source | None = None
    """What the live page shows; None: there is none."""


class Admin:
    def __init__(self, settings: AdminSettings, views: Views) -> None:
        self._settings = settings
        self._views = views
        self._page = LivePage(views.live, settings.token_file) if views.live else None
        self._runner: web.AppRunner | None = None
        self._names: frozenset[str] = frozenset()

    @property
    def port(self) -> int:
        """The port that we listen on, also when any was asked for."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Raises OSError with the remedy when the address cannot be had."""
        listen = self._settings.listen
        host, port = parse_listen(listen)
        self._names = LOOPBACK | {host.lower()} | {name.lower() for name in self._settings.hosts}
        app = web.Application(middlewares=[self._guard], client_max_size=LONGEST)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status", self._status)
        if self._page:
            self._page.add_to(app.router)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=STOP_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on admin.listen {listen!a}: {error.strerror}; choose another port"
            ) from None
        if self._page:
            self._page.start()

    async def close(self) -> None:
        if self._page:
            await self._page.close()
        if self._runner:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        names = request.headers.getall("Host", [])
        if len(names) != 1 or _host_of(names[0]) not in self._names | _own_addresses(request):
            return web.Response(status=403, text="This host name is not served here; see admin.hosts.\n")
        response = await handler(request)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _metrics(self, request: web.Request) -> web.Response:
        view = request.query.get("view", "")
        if view not in VIEWS:
            text = f"no view {view[:80]!a} of the metrics; leave it out, or take view=kumomta\n"
            return web.Response(status=404, text=text)
        return web.Response(body=VIEWS[view](self._views.observe()), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _verdict(self._views.healthy())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self._views.healthy() or self._views.ready())

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._views.status(), dumps=lambda value: json.dumps(value, ensure_ascii=False))


def _own_addresses(request: web.Request) -> set[str]:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return {str(name[0])} if name else set()


def _host_of(field: str) -> str:
    """The host of a Host field, without port and brackets (RFC 9110 7.2)."""
    host, colon, port = field.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.startswith("[")):
        host = field
    return host.removeprefix("[").removesuffix("]").lower()


def _verdict(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=(problem or "ok") + "\n")
