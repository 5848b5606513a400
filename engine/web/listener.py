"""The opt-out listener: the one-click endpoint of RFC 8058 3.1, the page for people, the page of double opt-in.

POST acts, and only with a body that says so; GET, HEAD and whatever prefetches them change nothing. No cookie, no
redirect, no script. A link of ours is always served; links that are not ours are answered alike, and beyond a rate of
their source with 429. Bodies, heads, connections and the time for them are bounded. When the ledger's disk has failed
the answer is 503: then nothing may be promised.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from engine.flow.tokens import TokenRing
from engine.tables import parse_listen
from engine.web import views
from engine.web.confirm import Asked, Confirmation, Confirmations, Confirmed
from engine.web.connections import SWEEP_SECONDS, Connections
from engine.web.displayed import Displayed, displayed
from engine.web.form import FORM_LIMIT, Wanted, wanted
from engine.web.language import language_of
from engine.web.optout import Caller, OptOuts
from engine.web.page import Page, Pages, Words
from engine.web.settings import UnsubscribeSettings
from engine.web.source import Proxies, Strangers, parse_proxies
from engine.web.views import Receipt, Stopped
from engine.wire import Refusal
from suppression.unsubscribe import Unsubscribe

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
UNKNOWN = Confirmation(Confirmed.UNKNOWN)
ONE_CLICK_ANSWER = "Unsubscribed.\n"
_TRAILING = ".,;:!?)>]}'\"、。」』）＞】"
"""What mail programs take along when they find a link in text. No token of ours ends so."""


@dataclass(slots=True)
class WebCounts:
    """Since the start, by result."""

    results: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("looked", "one_click", "page", "confirmed", "unknown", "limited", "unclear", "failed"), 0
        )
    )


class OptOutListener:
    def __init__(
        self,
        settings: UnsubscribeSettings,
        *,
        ring: TokenRing,
        opt_outs: OptOuts,
        confirmations: Confirmations,
        senders: Mapping[str, Displayed],
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.counts = WebCounts()
        self.opt_outs = opt_outs
        self._ring = ring
        self._confirmations = confirmations
        self.senders = senders
        """Whom the pages show; a reload puts another in its place."""
        self._clock = clock
        self._pages = Pages()
        self._proxies = Proxies(parse_proxies(settings.proxies))
        self._strangers = Strangers(settings.unknown_rate, settings.unknown_burst)
        self._fields = _fields(self._pages.style_source)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._connections: Connections | None = None
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that we listen on, also when any was asked for."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def turned_away(self) -> int:
        """Connections, since the start."""
        return self._connections.turned_away if self._connections else 0

    # -- start and stop ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises OSError with the remedy when the address cannot be had."""
        listen = self.settings.listen
        host, port = parse_listen(listen)
        app = web.Application(middlewares=[self._bounded], client_max_size=FORM_LIMIT)
        app.router.add_get("/u/{token}", self._look)
        app.router.add_post("/u/{token}", self._post)
        app.router.add_get("/c/{token}", self._look_confirm)
        app.router.add_post("/c/{token}", self._confirm)
        app.router.add_get("/{rest:.*}", self._nowhere)
        app.on_response_prepare.append(self._prepare)
        runner = self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=STOP_SECONDS, auto_decompress=False,
            keepalive_timeout=self.settings.timeout,
        )  # fmt: skip
        await runner.setup()
        assert runner.server is not None
        loop = asyncio.get_running_loop()
        connections = Connections(runner.server, self.settings.connections, self.settings.timeout, loop.time)
        self._connections = connections
        try:
            self._server = await loop.create_server(connections.accept, host, port, backlog=1024)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on unsubscribe.listen {listen!a}: {error.strerror}; choose another port"
            ) from None
        self._sweeping = loop.create_task(_sweep(connections), name="unsubscribe connections")

    async def close(self) -> None:
        """What is being answered is answered; nobody new comes in."""
        if self._sweeping:
            self._sweeping.cancel()
        if self._server:
            self._server.close()
        if self._runner:
            await self._runner.cleanup()

    # -- every request -------------------------------------------------------------------------------------

    @web.middleware
    async def _bounded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        assert self._connections is not None
        self._connections.begun(request.protocol)
        try:
            return await handler(request)
        finally:
            self._connections.ended(request.protocol)

    async def _prepare(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Also of the answers that aiohttp makes itself."""
        for name, value in self._fields:
            response.headers[name] = value

    def _html(self, request: web.Request, make: Callable[[Words], Page], status: int = 200) -> web.Response:
        language = self._language(request)
        body = self._pages.html(make(self._pages.words[language]), language)
        fields = {"Content-Language": language, "Vary": "Accept-Language"}
        return web.Response(body=body, status=status, content_type="text/html", charset="utf-8", headers=fields)

    def _language(self, request: web.Request) -> str:
        accepted = ",".join(request.headers.getall(hdrs.ACCEPT_LANGUAGE, []))
        return language_of(accepted, request.query.get("lang", ""))

    def _source(self, request: web.Request) -> str:
        return self._proxies.source_of(request.remote or "", request.headers.getall("X-Forwarded-For", []))

    def _held_off(self, request: web.Request) -> web.Response | None:
        """For a link that is not ours: None, or the answer to a source that tries too many."""
        wait = self._strangers.wait(self._source(request), self._clock())
        if not wait:
            self._count("unknown")
            return None
        self._count("limited")
        answer = self._html(request, views.busy, 429)
        answer.headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(wait)))
        answer.force_close()
        return answer

    def _count(self, result: str) -> None:
        self.counts.results[result] += 1

    def _failed(self, request: web.Request, refusal: Refusal, sender: Displayed | None) -> web.Response:
        self._count("failed")
        log.error("opt-out not recorded: %s", refusal.text)
        answer = self._html(request, lambda words: views.down(words, sender), 503)
        answer.headers[hdrs.RETRY_AFTER] = "60"
        return answer

    async def _read(self, request: web.Request) -> Wanted:
        """Raises HTTPRequestEntityTooLarge, HTTPRequestTimeout."""
        try:
            async with asyncio.timeout(self.settings.timeout):
                body = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(headers={hdrs.CONNECTION: "close"}) from None
        return wanted(request.headers.get(hdrs.CONTENT_TYPE, ""), body)

    # -- opting out ----------------------------------------------------------------------------------------

    def _wish(self, request: web.Request) -> Unsubscribe | None:
        return self._ring.read(_token(request))

    async def _look(self, request: web.Request) -> web.Response:
        wish = self._wish(request)
        if wish is None:
            return self._held_off(request) or self._html(request, views.invalid)
        self._count("looked")
        sender = displayed(self.senders, wish.sender)
        reach = self.opt_outs.standing(wish)
        if reach is Stopped.NOTHING:
            return self._html(request, lambda words: views.ask(words, wish, sender))
        return self._html(request, lambda words: views.stopped(words, wish, sender, reach, None))

    async def _post(self, request: web.Request) -> web.Response:
        wish = self._wish(request)
        if wish is None and (answer := self._held_off(request)):
            return answer
        want = await self._read(request)
        if want is Wanted.ONE_CLICK:
            return await self._one_click(request, wish)
        if wish is None:
            return self._html(request, views.invalid)
        if want is Wanted.ALL or (want is Wanted.TOPIC and wish.topic):
            return await self._button(request, wish, Stopped.ALL if want is Wanted.ALL else Stopped.TOPIC)
        self._count("unclear")
        sender = displayed(self.senders, wish.sender)
        return self._html(request, lambda words: views.ask(words, wish, sender, unclear=True), 400)

    async def _one_click(self, request: web.Request, wish: Unsubscribe | None) -> web.Response:
        """The same for a known, a repeated and an unknown link, and none sooner than a record usually takes."""
        began = self._clock()
        if wish is not None:
            reach = Stopped.TOPIC if wish.topic else Stopped.ALL
            try:
                await self.opt_outs.stop(wish, reach, "one-click", self._caller(request))
            except Refusal as refusal:
                return self._failed(request, refusal, displayed(self.senders, wish.sender))
            self._count("one_click")
        early = self.opt_outs.usual_seconds - (self._clock() - began)
        if early > 0.0:
            await asyncio.sleep(early)
        return web.Response(text=ONE_CLICK_ANSWER)

    async def _button(self, request: web.Request, wish: Unsubscribe, reach: Stopped) -> web.Response:
        caller = self._caller(request)
        try:
            await self.opt_outs.stop(wish, reach, "web-page", caller)
        except Refusal as refusal:
            return self._failed(request, refusal, displayed(self.senders, wish.sender))
        self._count("page")
        sender = displayed(self.senders, wish.sender)
        receipt = Receipt(caller.request, self._clock())
        return self._html(request, lambda words: views.stopped(words, wish, sender, reach, receipt))

    def _caller(self, request: web.Request) -> Caller:
        return Caller(secrets.token_hex(6), self._source(request), request.headers.get(hdrs.USER_AGENT, ""))

    # -- double opt-in -------------------------------------------------------------------------------------

    async def _look_confirm(self, request: web.Request) -> web.Response:
        asked = await self._confirmations.asked(_token(request), self._clock())
        if asked is None:
            return self._held_off(request) or self._confirmed(request, UNKNOWN)
        self._count("looked")
        return self._ask_confirm(request, asked)

    async def _confirm(self, request: web.Request) -> web.Response:
        token = _token(request)
        asked = await self._confirmations.asked(token, self._clock())
        if asked is None and (answer := self._held_off(request)):
            return answer
        if await self._read(request) is not Wanted.CONFIRM:
            self._count("unclear")
            return self._ask_confirm(request, asked, 400) if asked else self._confirmed(request, UNKNOWN)
        caller = self._caller(request)
        try:
            confirmation = await self._confirmations.confirm(
                token, source=caller.source, user_agent=caller.user_agent, now=self._clock()
            )
        except Refusal as refusal:
            return self._failed(request, refusal, displayed(self.senders, asked.sender) if asked else None)
        if confirmation.result is Confirmed.NOW:
            self._count("confirmed")
        return self._confirmed(request, confirmation)

    def _ask_confirm(self, request: web.Request, asked: Asked, status: int = 200) -> web.Response:
        sender = displayed(self.senders, asked.sender)
        return self._html(request, lambda words: views.ask_confirm(words, asked, sender), status)

    def _confirmed(self, request: web.Request, confirmation: Confirmation) -> web.Response:
        asked = confirmation.asked
        sender = displayed(self.senders, asked.sender) if asked else None
        return self._html(request, lambda words: views.confirmed(words, confirmation, sender))

    async def _nowhere(self, request: web.Request) -> web.Response:
        """A link that was cut before the token began, or somebody who looks around."""
        return self._held_off(request) or self._html(request, views.invalid, 404)


def _token(request: web.Request) -> str:
    return request.match_info["token"].rstrip(_TRAILING)


async def _sweep(connections: Connections) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        connections.sweep()


def _fields(style_source: str) -> tuple[tuple[str, str], ...]:
    policy = (
        f"default-src 'none'; style-src {style_source}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return (
        ("Content-Security-Policy", policy),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("X-Robots-Tag", "noindex, nofollow"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Server", "Sokutatsu"),
    )
