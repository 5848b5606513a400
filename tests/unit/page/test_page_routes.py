"""The live page over a real socket: what it serves, to how many, and who may act."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.page import feed as feed_module
from engine.page.token import make_token
from engine.request import Cancel, Resume, Steer, Why
from engine.wire import Refusal
from tests.fakes.livepage import HOSTILE, Stand, mailing, sections, site, stand

ASSETS = Path(feed_module.__file__).parent / "assets"
Steps = Callable[[aiohttp.ClientSession, Stand], Awaitable[None]]
ORDER = {"do": "suspend", "reason": "苦情", "seconds": 60, "scope": {"domain": "one.example.jp"}}


def look(steps: Steps, token_file: Path = Path("/nonexistent/token"), **given: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), stand(token_file, **given) as story, aiohttp.ClientSession() as session:
            await steps(session, story)

    asyncio.run(run())


async def events(content: aiohttp.StreamReader) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in content:
        if line.startswith(b"event: "):
            name = line[7:-1].decode()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


def page_feed(story: Stand) -> feed_module.Feed:
    assert story.admin is not None
    assert story.admin._page is not None
    return story.admin._page.feed


# -- looking -------------------------------------------------------------------------------------------------


def test_the_page_and_its_files_come_with_a_policy_and_hold_nothing_inline() -> None:
    async def steps(session, story) -> None:
        names = [entry.name for entry in ASSETS.iterdir() if entry.name != "live.html"]
        assert {"live.js", "live.css", "early.js", "words.js", "icon.svg"} <= set(names)
        for path in ("/", *(f"/live/{name}" for name in names)):
            async with session.get(story.base + path) as answer:
                text = await answer.text()
                policy = answer.headers["Content-Security-Policy"]
                assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert not re.search(r"https?://(?!www\.w3\.org)", text), "no external resource"
            assert "innerHTML" not in text
        async with session.get(story.base + "/") as answer:
            html = await answer.text()
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)

    look(steps)


@pytest.mark.parametrize(
    ("accepted", "query", "expected"),
    [
        ("", "", "ja"),
        ("en-GB,ja;q=0.5", "", "en"),
        ("ja", "?lang=en", "en"),
        ("en", "?lang=ja", "ja"),
        ("de", "", "en"),
    ],
)
def test_the_language_is_the_readers(accepted, query, expected) -> None:
    async def steps(session, story) -> None:
        async with session.get(story.base + "/" + query, headers={"Accept-Language": accepted}) as answer:
            assert f'<html lang="{expected}"' in await answer.text()
            assert answer.headers["Vary"] == "Accept-Language"

    look(steps)


@pytest.mark.parametrize(
    "path", ["/live/", "/live/x.js", "/live/live.html", "/live/..%2fadmin.py", "/live/%2e%2e/feed.py"]
)
def test_nothing_else_is_served(path) -> None:
    async def steps(session, story) -> None:
        async with session.get(story.base + path) as answer:
            assert answer.status == 404

    look(steps)


def test_a_listener_gets_everything_then_what_changed() -> None:
    async def steps(session, story) -> None:
        async with session.get(story.base + "/live/events") as answer:
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            first: dict[str, Any] = {}
            points = 0
            for _ in range(2):
                page_feed(story).tick()
            async for name, value in events(answer.content):
                if name == "point" and value:
                    points += 1
                    if points == 2:
                        break
                    story.sections = sections(sites={"total": 0, "rows": []})
                    page_feed(story).tick()
                elif points == 1:
                    assert name not in ("facts", "suppressed"), "what did not change is not sent again"
                first[name] = value
        assert {"history", "now", "facts", "sites", "mailings", "domains", "suppressed", "actions"} <= first.keys()
        assert first["sites"] == {"total": 0, "rows": []}
        assert first["actions"] is False

    look(steps)


def test_texts_of_strangers_cannot_break_out_of_an_event() -> None:
    async def steps(session, story) -> None:
        nasty = HOSTILE + "\r\n\r\nevent: now\ndata: {}\n\n\u2028"
        story.sections = sections(remarks=[{"site": nasty, "kind": "policy", "text": nasty, "count": 1, "at": 1}])
        async with session.get(story.base + "/live/events") as answer:
            async for name, value in events(answer.content):
                assert value != {}
                if name == "remarks":
                    assert value[0]["text"] == nasty
                    break

    look(steps)


def test_as_many_listen_as_may_and_each_leaves_a_place() -> None:
    async def steps(session, story) -> None:
        feed = page_feed(story)
        async with contextlib.AsyncExitStack() as stack:
            many = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            await stack.enter_async_context(many)
            for _ in range(feed_module.MOST_LISTENERS):
                answer = await stack.enter_async_context(many.get(story.base + "/live/events"))
                assert answer.status == 200
            async with session.get(story.base + "/live/events") as answer:
                assert answer.status == 503
                assert (await answer.json())["error"]["code"] == "full"
            assert feed.listeners == feed_module.MOST_LISTENERS
        while feed.listeners:
            feed.tick()
            await asyncio.sleep(0.01)
        async with session.get(story.base + "/live/events") as answer:
            assert answer.status == 200

    look(steps)


def test_a_reader_that_stops_reading_is_dropped_and_others_go_on() -> None:
    async def steps(session, story) -> None:
        feed = page_feed(story)
        silent = socket.socket()
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(("127.0.0.1", int(story.base.rpartition(":")[2])))
        silent.sendall(b"GET /live/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while feed.listeners < 1:
            await asyncio.sleep(0)
        async with session.get(story.base + "/live/events") as answer:
            number = 0
            while feed.listeners > 1:
                number += 1
                story.sections = sections(remarks=[str(number) + "x" * 400_000])
                feed.tick()
                await answer.content.readany()
            story.sections = sections(remarks=["the last"])
            feed.tick()
            while b"the last" not in await answer.content.readany():
                assert feed.listeners == 1
        silent.close()

    look(steps, patience=0.5)


def test_a_hundred_thousand_domains_make_no_larger_snapshot() -> None:
    """The view's bounds, as engine/live.py keeps them, filled with the longest texts."""

    async def steps(session, story) -> None:
        long = "m" * 253
        story.sections = sections(
            sites={"total": 100_000, "rows": [site(f"{n}{long}", error="e" * 300) for n in range(50)]},
            remarks=[{"site": long, "kind": "policy", "text": "t" * 300, "count": 9, "at": 1} for _ in range(100)],
        )
        story.slow["mailings"] = [mailing("m" * 128) for _ in range(50)]
        feed = page_feed(story)
        feed.publish(story.slow)
        feed.join()
        data, _ = feed.since(0)
        assert len(data) < 160_000
        assert feed.since(feed.since(0)[1])[0] == b""

    look(steps)


def test_the_end_is_told() -> None:
    async def steps(session, story) -> None:
        async with session.get(story.base + "/live/events") as answer:
            stream = events(answer.content)
            await anext(stream)
            await story.admin.close()
            assert [name for name, _ in [event async for event in stream]][-1] == "stopped"

    look(steps)


def test_a_fault_in_the_view_is_shown_and_the_page_goes_on(caplog) -> None:
    async def steps(session, story) -> None:
        story.sections = None
        async with session.get(story.base + "/live/events") as answer:
            async for name, value in events(answer.content):
                if name == "fault":
                    assert value == {"text": "see the engine's log"}
                    break
        story.sections = sections()
        async with session.get(story.base + "/live/events") as answer:
            async for name, value in events(answer.content):
                if name == "fault" and value is None:
                    break

    look(steps)
    assert "numbers could not be made" in caplog.text


def test_nothing_is_made_while_nobody_looks() -> None:
    async def steps(session, story) -> None:
        feed = page_feed(story)
        story.sections = None  # would be a fault
        for _ in range(5):
            feed.tick()
        assert feed.since(0) == (b"", 0)
        assert len(feed.series.points()) >= 4

    look(steps)


def test_why_asks_the_engine_within_bounds() -> None:
    async def steps(session, story) -> None:
        story.answers["Why"] = {"domain": "one.example.jp", "binds": {"what": "window"}}
        async with session.get(story.base + "/live/why", params={"domain": " one.example.jp "}) as answer:
            assert (answer.status, (await answer.json())["binds"]) == (200, {"what": "window"})
        assert story.asked == [Why(id=0, domain="one.example.jp")]
        for domain in ("", "   ", "a" * 254):
            async with session.get(story.base + "/live/why", params={"domain": domain}) as answer:
                assert answer.status == 400
        found = []
        for _ in range(20):
            async with session.get(story.base + "/live/why", params={"domain": "one.example.jp"}) as answer:
                found.append(answer.status)
        assert 429 in found

    look(steps)


@pytest.mark.parametrize("path", ["/live/events", "/live/why?domain=a.example"])
@pytest.mark.parametrize(
    "fields", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_another_pages_requests_make_no_work(path, fields) -> None:
    async def steps(session, story) -> None:
        async with session.get(story.base + path, headers=fields) as answer:
            assert answer.status == 403

    look(steps)


# -- acting --------------------------------------------------------------------------------------------------


def test_without_a_token_file_nothing_can_be_done() -> None:
    async def steps(session, story) -> None:
        for path in ("/live/order", "/live/token"):
            async with session.post(story.base + path, json=ORDER, headers={"Authorization": "Bearer "}) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (403, "no_token")
        assert story.asked == []

    look(steps)


def test_orders_with_the_token_reach_the_engine_and_the_log(tmp_path, caplog) -> None:
    token = make_token(tmp_path / "token", renew=False)
    caplog.set_level(logging.WARNING)

    async def steps(session, story) -> None:
        story.answers["Steer"] = {"number": 4, "until": None}
        fields = {"Authorization": f"Bearer {token}", "Origin": story.base, "Sec-Fetch-Site": "same-origin"}
        async with session.post(story.base + "/live/token", json={}, headers=fields) as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True})
        async with session.post(story.base + "/live/order", json=ORDER, headers=fields) as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True, "number": 4, "until": None})
        resume = {"do": "resume", "number": 4, "reason": "完了"}
        cancel = {"do": "cancel", "sender": "shop", "mailing": "aki-1", "reason": "価格\n誤り"}
        for order in (resume, cancel):
            async with session.post(story.base + "/live/order", json=order, headers=fields) as answer:
                assert answer.status == 200
        assert [type(asked) for asked in story.asked] == [Steer, Resume, Cancel]
        story.refusal = Refusal("bad_request", "sender", "shop", "is not in the configuration")
        async with session.post(story.base + "/live/order", json=cancel, headers=fields) as answer:
            assert (answer.status, (await answer.json())["error"]["field"]) == (400, "sender")

    look(steps, tmp_path / "token")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "live page: 127.0.0.1 orders: suspend domain=one.example.jp for 60 s, reason: \\u82e6\\u60c5"
    assert (
        lines[2]
        == "live page: 127.0.0.1 orders: cancel sender=shop mailing=aki-1, reason: \\u4fa1\\u683c\\n\\u8aa4\\u308a"
    )
    assert "was refused" in lines[-1]
    assert token not in caplog.text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic {token}"}, 401),
        ({"Authorization": "{token}"}, 401),
        ({"Authorization": "Bearer {token}x"}, 401),
        ({"Authorization": "Bearer \u00e9"}, 401),
        ({"Cookie": "token={token}"}, 401),
        ({"Authorization": "Bearer {token}", "Origin": "http://evil.example"}, 403),
        ({"Authorization": "Bearer {token}", "Origin": "null"}, 403),
        ({"Authorization": "Bearer {token}", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Authorization": "Bearer {token}", "Content-Type": "text/plain"}, 415),
        ({"Authorization": "Bearer {token}", "Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Authorization": "Bearer {token}", "Host": "evil.example"}, 403),
    ],
)
def test_whoever_is_not_the_page_with_the_token_is_refused(tmp_path, fields, status) -> None:
    token = make_token(tmp_path / "token", renew=False)
    given = {"Content-Type": "application/json", **fields}

    async def steps(session, story) -> None:
        sent = {name: value.replace("{token}", token) for name, value in given.items()}
        async with session.post(story.base + "/live/order", data=json.dumps(ORDER), headers=sent) as answer:
            assert answer.status == status
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert story.asked == []

    look(steps, tmp_path / "token")


def test_a_guesser_is_slowed_and_the_token_still_works(tmp_path) -> None:
    token = make_token(tmp_path / "token", renew=False)

    async def steps(session, story) -> None:
        found = []
        for number in range(12):
            story.time = 1_800_000_000.0
            wrong = {"Authorization": f"Bearer {number}"}
            async with session.post(story.base + "/live/token", json={}, headers=wrong) as answer:
                found.append(answer.status)
        assert found[0] == 401
        assert found[-1] == 429
        assert answer.headers["Retry-After"].isdecimal()
        right = {"Authorization": f"Bearer {token}"}
        async with session.post(story.base + "/live/token", json={}, headers=right) as answer:
            assert answer.status == 200

    look(steps, tmp_path / "token")


def test_a_token_file_that_others_read_ends_all_actions(tmp_path, caplog) -> None:
    token = make_token(tmp_path / "token", renew=False)
    (tmp_path / "token").chmod(0o644)

    async def steps(session, story) -> None:
        fields = {"Authorization": f"Bearer {token}"}
        async with session.post(story.base + "/live/order", json=ORDER, headers=fields) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (503, "token_file")

    look(steps, tmp_path / "token")
    assert "mode 0644" in caplog.text


def test_an_order_is_bounded(tmp_path) -> None:
    token = make_token(tmp_path / "token", renew=False)

    async def steps(session, story) -> None:
        fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        for body, status in ((b"x" * 5000, 413), (b"{", 400), (b'{"do":"drop"}', 400)):
            async with session.post(story.base + "/live/order", data=body, headers=fields) as answer:
                assert answer.status == status
        assert story.asked == []

    look(steps, tmp_path / "token")
