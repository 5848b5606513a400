"""The loopback HTTP listener: /metrics, /healthz, /readyz and /status. It reads snapshots and changes nothing.

A request must name a loopback host (or one that the configuration allows) in its Host field: a page in somebody's
browser must not reach the listener by rebinding a name of its own to 127.0.0.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from engine.metrics import Observed, exposition

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class AdminSettings:
    listen: str = "127.0.0.1:9180"
    """host:port; empty switches the listener off. Another host than loopback shows mailing names to the network."""
    hosts: tuple[str, ...] = ()
    """Further names that a request's Host field may carry."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the listener shows, each made anew by a call."""

    observe: Callable[[], Observed]
    status: Callable[[], Mapping[str, object]]
    healthy: Callable[[], str]
    """Empty, or what is wrong for good."""
    ready: Callable[[], str]
    """Empty, or why no mail is taken now."""


class Admin:
    def __init__(self, settings: AdminSettings, views: Views) -> None:
        self._settings = settings
        self._views = views
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Raises OSError when the address is taken."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status", self._status)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        host, _, port = self._settings.listen.rpartition(":")
        await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.host.rpartition(":")[0] or request.host
        own = self._settings.listen.rpartition(":")[0].strip("[]")
        if name.strip("[]").lower() not in LOOPBACK | {own} | set(self._settings.hosts):
            return web.Response(status=403, text="This host name is not served here; see admin.hosts.\n")
        return await handler(request)

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = exposition(self._views.observe())
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=1.0.0; charset=utf-8"})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _verdict(self._views.healthy())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self._views.healthy() or self._views.ready())

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._views.status(), dumps=lambda value: json.dumps(value, ensure_ascii=False))


def _verdict(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=(problem or "ok") + "\n")
