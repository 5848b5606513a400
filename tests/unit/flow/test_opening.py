"""Opening: addresses in their order, which TLS, when plain text, and what is remembered of broken TLS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bench.server import Sink, start_sink
from engine.flow.opening import ADDRESSES_TRIED, Opening, OpeningSettings, timeouts_of
from engine.flow.path import ONLY_SOURCE
from engine.net.connection import Connection
from engine.net.negotiate import Refused, TlsContexts
from engine.net.resolver import Credentials, ResolveFailure, Target, TlsMode
from engine.policy.shaping import Limits
from engine.smtp.event import Phase

LIMITS = Limits(connect_timeout=5.0, banner_timeout=5.0, ehlo_timeout=5.0, starttls_timeout=5.0)


class Resolver:
    def __init__(self, found: list[Target] | ResolveFailure) -> None:
        self.found = found

    async def targets(self, _route: object) -> list[Target] | ResolveFailure:
        return self.found


def target(port: int, tls: TlsMode = TlsMode.DISABLED, address: str = "127.0.0.1") -> Target:
    return Target("mx.example", port, address, tls)


class Stage:
    def __init__(self) -> None:
        self.now = 0.0
        self.opening: Opening

    async def open(self, found: list[Target] | ResolveFailure, limits: Limits = LIMITS) -> Connection | Refused:
        if not hasattr(self, "opening"):
            settings = OpeningSettings("out.example", None)
            self.opening = Opening(
                settings, resolver=Resolver(found), contexts=TlsContexts.load(), clock=lambda: self.now
            )  # type: ignore[arg-type]
        self.opening._resolver = Resolver(found)  # type: ignore[assignment]
        path: Any = SimpleNamespace(route=None, source=ONLY_SOURCE, limits=limits)
        result = await self.opening(path)
        if isinstance(result, Connection):
            result.attach(SimpleNamespace(closed=lambda *_: None))  # type: ignore[arg-type]
            result.abort()
        return result


def opened(test: Callable[[Stage, Sink], Awaitable[None]]) -> None:
    async def main() -> None:
        sink = await start_sink()
        try:
            await test(Stage(), sink)
        finally:
            await sink.close()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def broken_tls() -> AsyncIterator[int]:
    """Its port. Offers STARTTLS and hangs up at the handshake; in plain text it answers EHLO."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        talks.add(current)
        with contextlib.suppress(ConnectionError):
            writer.write(b"220 mx\r\n")
            while line := await reader.readline():
                if line.startswith(b"STARTTLS"):
                    writer.write(b"220 go\r\n")
                    break
                writer.write(b"250-mx\r\n250 STARTTLS\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*talks)


def test_addresses_are_tried_in_their_order_up_to_a_bound() -> None:
    async def test(stage: Stage, sink: Sink) -> None:
        closed = target(9)
        assert isinstance(await stage.open([closed, target(sink.port)]), Connection)
        refused = await stage.open([closed] * ADDRESSES_TRIED + [target(sink.port)])
        assert isinstance(refused, Refused)
        assert (refused.phase, refused.reply) == (Phase.CONNECT, None)

    opened(test)


def test_a_name_that_is_not_found_is_a_refusal() -> None:
    async def test(stage: Stage, _sink: Sink) -> None:
        refused = await stage.open(ResolveFailure(final=False, text="mx.example: no such name"))
        assert isinstance(refused, Refused)
        assert refused.error == "mx.example: no such name"

    opened(test)


def test_a_routes_login_is_used() -> None:
    async def test(stage: Stage, sink: Sink) -> None:
        login = replace(target(sink.addresses[0][1]), credentials=Credentials("shop", "secret"))
        result = await stage.open([login])
        assert isinstance(result, Refused), "the sink offers no AUTH"
        assert result.phase is Phase.AUTH

    opened(test)


def test_broken_opportunistic_tls_is_replaced_by_plain_text_and_remembered_for_a_while() -> None:
    async def test(stage: Stage, _sink: Sink) -> None:
        async with broken_tls() as port:
            for number, (now, fallbacks) in enumerate([(0.0, 1), (3599.0, 1), (3601.0, 2)]):
                stage.now = now
                result = await stage.open([target(port, TlsMode.OPPORTUNISTIC)])
                assert isinstance(result, Connection), number
                assert (result.tls, stage.opening.tls_fallbacks) == ("", fallbacks)

    opened(test)


@pytest.mark.parametrize("asks", ["route", "limits"])
def test_required_tls_is_never_replaced_by_plain_text(asks: str) -> None:
    async def test(stage: Stage, _sink: Sink) -> None:
        route = TlsMode.REQUIRED_INSECURE if asks == "route" else TlsMode.OPPORTUNISTIC
        limits = replace(LIMITS, enable_tls="RequiredInsecure") if asks == "limits" else LIMITS
        async with broken_tls() as port:
            await stage.open([target(port, TlsMode.OPPORTUNISTIC)])
            refused = await stage.open([target(port, route)], limits)
            assert isinstance(refused, Refused), "not even where plain text was remembered"
            assert refused.tls_failed

    opened(test)


@pytest.mark.parametrize(
    ("route", "limits", "expected"),
    [
        (TlsMode.OPPORTUNISTIC, "Opportunistic", TlsMode.OPPORTUNISTIC),
        (TlsMode.DISABLED, "Opportunistic", TlsMode.DISABLED),
        (TlsMode.OPPORTUNISTIC, "Disabled", TlsMode.DISABLED),
        (TlsMode.OPPORTUNISTIC, "Required", TlsMode.REQUIRED),
        (TlsMode.REQUIRED, "Disabled", TlsMode.REQUIRED),
        (TlsMode.REQUIRED_INSECURE, "Opportunistic", TlsMode.REQUIRED_INSECURE),
    ],
)
def test_the_stricter_word_counts(route: TlsMode, limits: str, expected: TlsMode) -> None:
    settings = OpeningSettings("out.example", None)
    opening = Opening(settings, resolver=None, contexts=None, clock=lambda: 0.0)  # type: ignore[arg-type]
    assert opening._mode(target(25, route), replace(LIMITS, enable_tls=limits)) is expected


def test_every_timeout_of_the_limits_reaches_the_session() -> None:
    limits = Limits(
        connect_timeout=1, banner_timeout=2, ehlo_timeout=3, starttls_timeout=4, auth_timeout=5, mail_from_timeout=6,
        rcpt_to_timeout=7, data_timeout=8, data_dot_timeout=9, rset_timeout=10,
    )  # fmt: skip
    assert timeouts_of(limits).by_phase() == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10)
