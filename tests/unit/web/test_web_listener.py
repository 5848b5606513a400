"""The listener over real sockets: what acts, what does not, and what hostile clients get."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from engine.web.confirm import Asked, NoConfirmations
from engine.web.listener import OptOutListener
from engine.web.settings import UnsubscribeSettings
from tests.fakes.optout import NEW, OLD, MemoryLedger, Site, site, token

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
JA, EN = {"Accept-Language": "ja"}, {"Accept-Language": "en"}


def with_site(
    steps: Callable[[aiohttp.ClientSession, Site], Awaitable[None]],
    ledger: MemoryLedger | None = None,
    **words: object,
) -> MemoryLedger:
    async def run() -> MemoryLedger:
        async with site(ledger, **words) as running, aiohttp.ClientSession() as session:
            await steps(session, running)
            return running.ledger

    return asyncio.run(run())


async def got(session: aiohttp.ClientSession, url: str, method: str = "GET", **words: object) -> tuple[int, str]:
    async with session.request(method, url, allow_redirects=False, **words) as answer:  # type: ignore[arg-type]
        assert not answer.cookies
        assert "Location" not in answer.headers
        return answer.status, await answer.text()


async def raw(running: Site, data: bytes) -> bytes:
    """Everything that an exact request gets, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.listener.port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_one_click_both_ways_then_200() -> None:
    async def steps(session, running) -> None:
        assert await got(session, running.link(), "POST", data=ONE_CLICK) == (200, "Unsubscribed.\n")
        form = aiohttp.FormData(ONE_CLICK, default_to_multipart=True)
        assert await got(session, running.link("hanako@example.jp"), "POST", data=form) == (200, "Unsubscribed.\n")
        assert await got(session, running.link(topic=""), "POST", data=ONE_CLICK) == (200, "Unsubscribed.\n")

    first, second, third = with_site(steps).events
    assert (first.address, first.sender, first.topic, first.channel) == (
        "taro@example.jp", "shop", "秋の感謝祭ニュース", "one-click",
    )  # fmt: skip
    assert (second.address, third.topic) == ("hanako@example.jp", None)
    evidence = json.loads(first.evidence)
    assert evidence["source"] == "127.0.0.1"
    assert evidence["user_agent"].startswith("Python")


def test_200_comes_after_the_record() -> None:
    async def steps(session, running) -> None:
        running.ledger.gate = asyncio.Event()
        post = asyncio.ensure_future(got(session, running.link(), "POST", data=ONE_CLICK))
        while not running.ledger.waiting:
            await asyncio.sleep(0.001)
        assert not post.done()
        running.ledger.gate.set()
        assert (await post)[0] == 200

    with_site(steps)


def test_looking_unsubscribes_no_one() -> None:
    async def steps(session, running) -> None:
        link = running.link()
        for number in range(1000):
            method = ("GET", "HEAD")[number % 2]
            prefetch = {"Sec-Purpose": "prefetch;prerender", "Purpose": "prefetch", "X-Moz": "prefetch"}
            query = "?scope=all&List-Unsubscribe=One-Click" if number % 3 else ""
            status, text = await got(session, link + query, method, headers=prefetch)
            assert status == 200
            assert ("scope" in text) == (method == "GET")

    ledger = with_site(steps, unknown_burst=1)
    assert ledger.events == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_no_other_method_does_anything(method) -> None:
    async def steps(session, running) -> None:
        assert (await got(session, running.link(), method, data=ONE_CLICK))[0] == 405

    assert with_site(steps).events == []


def test_every_bit_of_a_token_counts() -> None:
    async def steps(session, running) -> None:
        text = token()
        for place in range(len(text)):
            for bit in range(7):
                flipped = text[:place] + chr(ord(text[place]) ^ 1 << bit) + text[place + 1 :]
                if flipped.isprintable() and not set(flipped) & set("/?#%"):
                    assert running.listener._ring.read(flipped) is None
                    if bit == place % 7:
                        url = f"{running.base}/u/{flipped}"
                        assert (await got(session, url, "POST", data=ONE_CLICK)) == (200, "Unsubscribed.\n")

    assert with_site(steps, unknown_burst=100_000).events == []


def test_known_and_unknown_links_answer_one_click_alike() -> None:
    async def steps(session, running) -> None:
        answers = []
        for link in (running.link(), running.base + "/u/" + "A" * 120, running.base + "/u/x", running.link() + "A"):
            async with session.post(link, data=ONE_CLICK) as answer:
                fields = {name: value for name, value in answer.headers.items() if name != "Date"}
                answers.append((answer.status, fields, await answer.read()))
        assert answers.count(answers[0]) == 4
        for body in ("", "scope=x"):
            statuses = {(await got(session, running.base + "/u/x", "POST", data=body))[0]}
            assert statuses == {200}

    assert len(with_site(steps).events) == 1


def test_no_link_of_any_kind_is_answered_sooner_than_a_record_takes() -> None:
    async def steps(session, running) -> None:
        await got(session, running.link(), "POST", data=ONE_CLICK)
        running.listener.opt_outs.usual_seconds = usual = 0.08
        loop = asyncio.get_running_loop()
        for link in (running.link(), running.base + "/u/x", running.link() + "x"):
            began = loop.time()
            assert (await got(session, link, "POST", data=ONE_CLICK))[0] == 200
            assert loop.time() - began >= usual * 0.9

    with_site(steps)


def test_links_of_every_key_work_and_so_does_one_with_a_mark_behind_it() -> None:
    async def steps(session, running) -> None:
        for number, (key, mark) in enumerate(((OLD, ""), (NEW, "."), (NEW, ">"), (NEW, "」"), (NEW, ")."))):
            link = f"{running.base}/u/{token(f'a{number}@example.jp', key=key)}{mark}"
            assert (await got(session, link, "POST", data=ONE_CLICK))[0] == 200

    assert len(with_site(steps).events) == 5


def test_replays_are_answered_and_written_once() -> None:
    async def steps(session, running) -> None:
        posts = [got(session, running.link(), "POST", data=ONE_CLICK) for _ in range(200)]
        assert set(await asyncio.gather(*posts)) == {(200, "Unsubscribed.\n")}

    assert len(with_site(steps).events) == 1


def test_a_flood_of_forged_links_is_bounded_by_source_and_costs_no_event() -> None:
    async def steps(session, running) -> None:
        codes = []
        for number in range(60):
            headers = {"X-Forwarded-For": "203.0.113.5"}
            forged = f"{running.base}/u/{'A' * 100}{number}"
            async with session.post(forged, data=ONE_CLICK, headers=headers) as answer:
                codes.append(answer.status)
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) >= 1
        assert codes[:10] == [200] * 10
        assert codes.count(429) >= 45
        # links that are ours pass from that very source, and others are not held responsible for it
        for number in range(40):
            link = running.link(f"a{number}@example.jp")
            assert (await got(session, link, "POST", data=ONE_CLICK, headers=headers))[0] == 200
        other = {"X-Forwarded-For": "203.0.113.6"}
        assert (await got(session, running.base + "/u/x", "POST", data=ONE_CLICK, headers=other))[0] == 200
        assert (await got(session, running.base + "/u/x", headers=headers))[0] == 429
        results = running.listener.counts.results
        assert results["one_click"] == 40
        assert results["limited"] >= 46

    assert len(with_site(steps, unknown_rate=0.1, unknown_burst=10).events) == 40


def test_the_buttons_of_the_page() -> None:
    async def steps(session, running) -> None:
        status, text = await got(session, running.link(), headers=JA)
        assert (status, "メールの配信を停止しますか" in text) == (200, True)
        status, text = await got(session, running.link(), "POST", data={"scope": "topic"}, headers=JA)
        assert (status, "の配信を停止しました</h1>" in text) == (200, True)
        status, text = await got(session, running.link(), headers=EN)
        assert "already unsubscribed" in text
        status, text = await got(session, running.link(), "POST", data={"scope": "all"}, headers=EN)
        assert "unsubscribed from all mailings" in text
        assert "<button" not in (await got(session, running.link(), headers=EN))[1]

    assert [(event.topic, event.channel) for event in with_site(steps).events] == [
        ("秋の感謝祭ニュース", "web-page"), (None, "web-page"),
    ]  # fmt: skip


@pytest.mark.parametrize("body", ["", "scope=", "scope=topic&scope=all", "x=y", "List-Unsubscribe=Two-Clicks"])
def test_a_post_that_says_nothing_changes_nothing(body) -> None:
    async def steps(session, running) -> None:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        status, text = await got(session, running.link(), "POST", data=body, headers={**kind, **EN})
        assert (status, "Nothing has changed" in text, text.count("<button")) == (400, True, 2)
        assert (await got(session, running.link(topic=""), "POST", data="scope=topic", headers=kind))[0] == 400

    assert with_site(steps).events == []


def test_the_language_is_the_readers() -> None:
    async def steps(session, running) -> None:
        for query, accepted, expected in (
            ("", "en", "en"),
            ("", "ja,en;q=0.5", "ja"),
            ("?lang=en", "ja", "en"),
            ("", "", "ja"),
        ):
            async with session.get(running.link() + query, headers={"Accept-Language": accepted}) as answer:
                assert answer.headers["Content-Language"] == expected
                assert answer.headers["Vary"] == "Accept-Language"
                assert f'<html lang="{expected}">' in await answer.text()

    with_site(steps)


def test_strict_fields_stand_on_every_answer() -> None:
    async def steps(session, running) -> None:
        for method, path, status in (
            ("GET", "/u/x", 200), ("POST", "/u/x", 200), ("GET", "/", 404), ("GET", "/robots.txt", 404),
            ("DELETE", "/u/x", 405), ("GET", "/c/x", 200), ("POST", "/nowhere", 405),
        ):  # fmt: skip
            async with session.request(method, running.base + path) as answer:
                assert (path, answer.status) == (path, status)
                fields = answer.headers
            assert fields["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
            assert "frame-ancestors 'none'" in fields["Content-Security-Policy"]
            assert fields["Cache-Control"] == "no-store"
            assert fields["Referrer-Policy"] == "no-referrer"
            assert fields["X-Content-Type-Options"] == "nosniff"
            assert fields["Server"] == "Sokutatsu"
            assert "Set-Cookie" not in fields

    with_site(steps)


def test_a_failed_ledger_is_a_503_for_both_and_is_told() -> None:
    async def steps(session, running) -> None:
        for data in (ONE_CLICK, {"scope": "all"}):
            async with session.post(running.link(), data=data, headers=EN) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
                assert "has not been completed" in await answer.text()
        assert running.faults == ["No space left"] * 2

    assert with_site(steps, MemoryLedger(failure="No space left")).events == []


def test_bodies_are_bounded() -> None:
    async def steps(session, running) -> None:
        assert (await got(session, running.link(), "POST", data="a" * 20_000))[0] == 413

        async def endless():
            for _ in range(100):
                yield b"x" * 4096

        assert (await got(session, running.link(), "POST", data=endless()))[0] == 413

    assert with_site(steps).events == []


def test_a_body_that_never_comes_is_given_up() -> None:
    async def steps(session, running) -> None:
        path = running.link().removeprefix(running.base).encode()
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nList-" % path
        assert (await raw(running, head)).startswith(b"HTTP/1.1 408 ")

    assert with_site(steps, timeout=0.2).events == []


def test_a_silent_connection_is_closed_and_at_the_limit_makes_room() -> None:
    async def steps(session, running) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", running.listener.port) for _ in range(5)]
        silent[0][1].write(b"GET / HT")
        assert (await got(session, running.link()))[0] == 200
        assert len(running.listener._connections) <= 5
        for reader, writer in silent[:2]:
            assert await reader.read() == b""
            writer.close()
        assert await silent[4][0].read() == b"", "closed by its time"
        for _, writer in silent[2:]:
            writer.close()

    with_site(steps, connections=5, timeout=1.0)


def test_a_connection_that_is_being_answered_is_never_cut_for_another() -> None:
    async def steps(session, running) -> None:
        running.ledger.gate = asyncio.Event()
        posts = [
            asyncio.ensure_future(got(session, running.link(f"a{number}@b.jp"), "POST", data=ONE_CLICK))
            for number in range(3)
        ]
        while running.ledger.waiting < 3:
            await asyncio.sleep(0.001)
        assert await raw(running, b"") == b""
        assert running.listener.turned_away == 1
        running.ledger.gate.set()
        assert {status for status, _ in await asyncio.gather(*posts)} == {200}

    assert len(with_site(steps, connections=3).events) == 3


def test_garbage_is_no_request() -> None:
    async def steps(session, running) -> None:
        for data in (
            b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
            b"GET /u/%zz HTTP/9.9\r\n\r\n",
            b"POST /u/\xff HTTP/1.1\r\n\r\n",
        ):
            answer = await raw(running, data)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer[:80]
        head = b"GET /u/" + b"A" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        assert b" 400 " in (await raw(running, head))[:20]

    assert with_site(steps).events == []


def test_hostile_bytes_are_answered_or_cut_and_nothing_else() -> None:
    """Requests with a few octets changed, at random but the same ones each run."""
    chance = random.Random(8058)
    honest = (
        b"POST /u/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\nConnection: close\r\n\r\nList-Unsubscribe=One-Click"
        % (token().encode())
    )

    async def steps(session, running) -> None:
        for _ in range(250):
            data = bytearray(honest)
            for _ in range(chance.randrange(1, 8)):
                kind, place = chance.randrange(3), chance.randrange(len(data))
                if kind == 0:
                    data[place] = chance.randrange(256)
                elif kind == 1:
                    del data[place : place + chance.randrange(1, 40)]
                else:
                    data[place:place] = chance.choice(
                        [b"\r\n", b"\0", b"\xff" * 9, b"%00", b"Transfer-Encoding: chunked\r\n"]
                    )
            reader, writer = await asyncio.open_connection("127.0.0.1", running.listener.port)
            writer.write(bytes(data))
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
                assert answer[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 ", b""), answer[:80]
                assert answer[9:10] in (b"2", b"4", b""), answer[:80]
            writer.close()
        assert (await got(session, running.link(), "POST", data=ONE_CLICK))[0] == 200

    with_site(steps, unknown_burst=10_000, timeout=1.0)


def test_a_link_outlives_its_sender() -> None:
    async def steps(session, running) -> None:
        link = running.link(sender="gone")
        assert "<bdi>gone</bdi>" in (await got(session, link))[1]
        assert (await got(session, link, "POST", data=ONE_CLICK))[0] == 200

    assert with_site(steps).events[0].sender == "gone"


def test_double_opt_in_asks_first_and_confirms_on_the_button() -> None:
    async def steps(session, running) -> None:
        running.confirmations.known["abc"] = Asked("shop", ("秋", "冬"), "taro@example.jp")
        running.confirmations.expired["old"] = Asked("shop", (), "taro@example.jp")
        link = running.base + "/c/abc"
        for _ in range(3):
            status, text = await got(session, link, headers=EN)
            assert (status, "Confirm your subscription?" in text) == (200, True)
        await got(session, link, "HEAD")
        assert (await got(session, link, "POST", data={"scope": "all"}, headers=EN))[0] == 400
        assert running.confirmations.confirmed == []
        assert "is confirmed" in (await got(session, link, "POST", data={"scope": "confirm"}, headers=EN))[1]
        assert "confirmed before" in (await got(session, link, "POST", data={"scope": "confirm"}, headers=EN))[1]
        for name, text in (("old", "expired"), ("x", "does not work")):
            assert (
                text
                in (await got(session, f"{running.base}/c/{name}", "POST", data={"scope": "confirm"}, headers=EN))[1]
            )
        assert "does not work" in (await got(session, f"{running.base}/c/x", "POST", data="", headers=EN))[1]
        assert running.confirmations.confirmed[0][:2] == ("abc", "127.0.0.1")
        running.confirmations.failure = "No space left"
        assert (await got(session, link, "POST", data={"scope": "confirm"}, headers=EN))[0] == 503
        assert running.listener.counts.results["confirmed"] == 1

    with_site(steps)


def test_a_flood_of_confirmations_is_bounded_too() -> None:
    async def steps(session, running) -> None:
        codes = [
            (await got(session, f"{running.base}/c/{number}", "POST", data={"scope": "confirm"}))[0]
            for number in range(5)
        ]
        assert codes == [200, 200, 429, 429, 429]
        assert (await got(session, f"{running.base}/c/1"))[0] == 429
        assert (await got(session, f"{running.base}/elsewhere"))[0] == 429

    with_site(steps, unknown_rate=0.01, unknown_burst=2)


def test_without_double_opt_in_every_link_is_unknown() -> None:
    async def run() -> None:
        nobody = NoConfirmations()
        assert await nobody.asked("x", 0.0) is None
        assert (await nobody.confirm("x", source="", user_agent="", now=0.0)).result == "unknown"

    asyncio.run(run())


def test_a_port_in_use_is_told_with_its_key() -> None:
    async def run() -> None:
        async with site() as running:
            first = running.listener
            second = OptOutListener(
                UnsubscribeSettings(listen=f"127.0.0.1:{first.port}"), ring=first._ring, opt_outs=first.opt_outs,
                confirmations=NoConfirmations(), senders={}, clock=first._clock,
            )  # fmt: skip
            with pytest.raises(OSError, match=r"unsubscribe\.listen '127\.0\.0\.1:\d+': .*choose another port"):
                await second.start()
            await second.close()

    asyncio.run(run())
