"""The live page's routes on the admin listener: the page and its files, the event stream, one domain, the orders.

Everything but an order with the token only reads. Answers carry a content security policy that allows our own files
and nothing else, and no file of ours holds inline script or style. Listeners are bounded in number; one that does not
read for a while is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec
from aiohttp import hdrs, web

from engine.page.feed import Feed, Source
from engine.page.order import read_order, shown_order
from engine.page.permit import Permit, refusal, refuse_foreign
from engine.request import Why
from engine.web.language import language_of
from engine.web.source import UNKNOWN, Strangers
from engine.wire import Refusal

log = logging.getLogger(__name__)

QUESTIONS_RATE = 5.0
"""Questions about a domain a second, of all who look: each walks the lanes."""
QUESTIONS_BURST = 10
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
STATUS = {"bad_request": 400, "unknown_sender": 404, "unavailable": 503}


class LivePage:
    def __init__(self, source: Source, token_file: Path) -> None:
        self.feed = Feed(source)
        self._source = source
        self._permit = Permit(token_file, source.clock)
        self._questions = Strangers(QUESTIONS_RATE, QUESTIONS_BURST)
        folder = files("engine.page").joinpath("assets")
        self._page = folder.joinpath("live.html").read_text(encoding="utf-8")
        self._files = {
            entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in TYPES
        }

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", self._index)
        router.add_get("/live/events", self._events)
        router.add_get("/live/why", self._why)
        router.add_post("/live/order", self._order)
        router.add_post("/live/token", self._try_token)
        router.add_get("/live/{file}", self._file)

    def start(self) -> None:
        self.feed.start()

    async def close(self) -> None:
        await self.feed.close()

    async def _index(self, request: web.Request) -> web.Response:
        language = language_of(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""), request.query.get("lang", ""))
        text = self._page.replace('<html lang="ja"', f'<html lang="{language}"', 1)
        return web.Response(text=text, content_type="text/html", headers={**SECURITY, "Vary": "Accept-Language"})

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        content = self._files.get(name)
        if content is None:
            raise web.HTTPNotFound(text="Nothing is here.\n")
        kind = TYPES[name.rpartition(".")[2]]
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=SECURITY)

    # -- looking -------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.StreamResponse:
        refuse_foreign(request)
        feed = self.feed
        if feed.is_full:
            raise refusal(web.HTTPServiceUnavailable, "full", f"{feed.listeners} people look already")
        fields = {**SECURITY, hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8", hdrs.CACHE_CONTROL: "no-store"}
        response = web.StreamResponse(headers={**fields, "X-Accel-Buffering": "no"})
        listener = feed.join()
        try:
            await response.prepare(request)
            await self._stream(response, listener)
        except TimeoutError:
            log.info("live page: a reader that was too slow is dropped")
            if request.transport:
                request.transport.abort()
        except ConnectionError:
            log.debug("live page: a reader has left")
        finally:
            feed.leave(listener)
        return response

    async def _stream(self, response: web.StreamResponse, listener: asyncio.Event) -> None:
        feed, version = self.feed, 0
        possible = b"event: actions\ndata: %s\n\n"
        data = b"retry: 2000\n\n" + feed.history()
        while not feed.closing:
            newer, version = feed.since(version)
            data += newer + possible % (b"true" if self._permit.is_possible else b"false")
            async with asyncio.timeout(self._source.patience):
                await response.write(data)
            data = b""
            listener.clear()
            await listener.wait()
        async with asyncio.timeout(self._source.patience):
            await response.write(b"event: stopped\ndata: null\n\n")

    async def _why(self, request: web.Request) -> web.Response:
        refuse_foreign(request)
        if self._questions.wait("all", self._source.clock()):
            raise refusal(web.HTTPTooManyRequests, "limited", "too many questions: try again in a second")
        try:
            domain = request.query.get("domain", "").strip()[:300]
            asked = msgspec.convert({"type": "why", "id": 0, "domain": domain}, type=Why)
        except msgspec.ValidationError:
            raise refusal(web.HTTPBadRequest, "bad_request", "a domain has 1 to 253 characters") from None
        try:
            told = await self._source.answer(asked)
        except Refusal as refused:
            return _refused(refused)
        return _json(told)

    # -- acting --------------------------------------------------------------------------------------------

    async def _try_token(self, request: web.Request) -> web.Response:
        self._permit.check(request)
        return _json({"ok": True})

    async def _order(self, request: web.Request) -> web.Response:
        self._permit.check(request)
        body = await self._body(request)
        who = ascii(request.remote or UNKNOWN)[1:-1][:80]
        try:
            order, asked = read_order(body)
            # Before it is carried out: what was ordered must be known whatever happens then.
            log.warning("live page: %s orders: %s", who, shown_order(order))
            told = await self._source.answer(asked)
        except Refusal as refused:
            log.warning("live page: the order of %s was refused: %s", who, refused.text[:200])
            return _refused(refused)
        return _json({"ok": True, **told})

    async def _body(self, request: web.Request) -> bytes:
        """The application bounds its size."""
        try:
            async with asyncio.timeout(self._source.patience):
                return await request.read()
        except TimeoutError:
            raise refusal(web.HTTPRequestTimeout, "slow", "the order did not come") from None


def _refused(refused: Refusal) -> web.Response:
    error = {"code": refused.code, "field": refused.field, "value": refused.value, "text": refused.text}
    return _json({"error": error}, STATUS.get(refused.code, 400))


def _json(value: Mapping[str, object], status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", charset="utf-8",
        headers=SECURITY,
    )  # fmt: skip
