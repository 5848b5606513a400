"""The listener over a real socket: what it shows, whom it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_metrics import observed

from engine.admin import Admin, Views
from engine.page.settings import AdminSettings

STATUS = {"accepted": 3, "sites": [{"site": "mx.example.jp:25", "last_error": "猫は留守"}]}


class Story:
    """What the views tell; a test changes it."""

    healthy = ""
    ready = ""
    numbers = staticmethod(observed)


def with_admin(steps: Callable[[aiohttp.ClientSession, str, Story], Awaitable[None]], **settings: object) -> None:
    async def run() -> None:
        story = Story()
        views = Views(lambda: dict(story.numbers()), lambda: STATUS, lambda: story.healthy, lambda: story.ready)
        admin = Admin(AdminSettings(**{"listen": "127.0.0.1:0", **settings}), views)  # type: ignore[arg-type]
        await admin.start()
        try:
            async with aiohttp.ClientSession() as session:
                await steps(session, f"http://127.0.0.1:{admin.port}", story)
        finally:
            await admin.close()

    asyncio.run(run())


def test_metrics_are_what_prometheus_reads() -> None:
    async def steps(session, base, story) -> None:
        async with session.get(base + "/metrics") as answer:
            text = await answer.text()
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        names = {family.name for family in text_string_to_metric_families(text)}
        assert {"sokutatsu_attempts", "process_cpu_seconds"} <= names

    with_admin(steps)


def test_metrics_have_a_view_in_kumomtas_names_and_no_third_one() -> None:
    async def steps(session, base, story) -> None:
        async with session.get(base + "/metrics", params={"view": "kumomta"}) as answer:
            text = await answer.text()
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        names = {family.name for family in text_string_to_metric_families(text)}
        assert "total_messages_delivered" in names
        assert not {name for name in names if name.startswith("sokutatsu")}
        async with session.get(base + "/metrics", params={"view": "x" * 999 + "\n"}) as answer:
            text = await answer.text()
            assert (answer.status, text.count("\n"), "take view=kumomta" in text) == (404, 1, True)

    with_admin(steps)


def test_a_fault_in_a_view_is_a_500_and_the_listener_goes_on(caplog) -> None:
    async def steps(session, base, story) -> None:
        story.numbers = dict
        async with session.get(base + "/metrics") as answer:
            assert answer.status == 500
        async with session.get(base + "/healthz") as answer:
            assert answer.status == 200

    with_admin(steps)
    assert "KeyError" in caplog.text


def test_health_and_readiness_say_what_is_wrong() -> None:
    async def steps(session, base, story) -> None:
        async def ask(path: str) -> tuple[int, str]:
            async with session.get(base + path) as answer:
                assert answer.headers["Cache-Control"] == "no-store"
                return answer.status, await answer.text()

        assert (await ask("/healthz"), await ask("/readyz")) == ((200, "ok\n"), (200, "ok\n"))
        story.ready = "stopping"
        assert (await ask("/healthz"), await ask("/readyz")) == ((200, "ok\n"), (503, "stopping\n"))
        story.healthy = "journal: No space left on device"
        failed = (503, "journal: No space left on device\n")
        assert (await ask("/healthz"), await ask("/readyz")) == (failed, failed)

    with_admin(steps)


def test_status_is_json_and_says_japanese_as_it_is() -> None:
    async def steps(session, base, story) -> None:
        async with session.get(base + "/status") as answer:
            assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
            raw = await answer.read()
        assert json.loads(raw) == STATUS
        assert "猫は留守".encode() in raw

    with_admin(steps)


def test_nothing_can_be_changed_and_nothing_else_is_there() -> None:
    async def steps(session, base, story) -> None:
        for method, path, status in (
            ("POST", "/status", 405),
            ("DELETE", "/metrics", 405),
            ("PUT", "/healthz", 405),
            ("HEAD", "/healthz", 200),
            ("GET", "/", 404),  # these views have no live page
            ("GET", "/metrics/x", 404),
            ("GET", "/../etc/passwd", 404),
        ):
            async with session.request(method, base + path) as answer:
                assert (method, path, answer.status) == (method, path, status)

    with_admin(steps)


async def raw_request(base: str, head: bytes) -> bytes:
    """The status line that an exact request gets."""
    port = int(base.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.rstrip()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Host: localhost", 200),
        (b"Host: LOCALHOST:1", 200),
        (b"Host: 127.0.0.1:9180", 200),
        (b"Host: [::1]:9180", 200),
        (b"Host: [::1]", 200),
        (b"Host: metrics.example.jp:9180", 200),
        (b"Host: evil.example", 403),
        (b"Host: localhost.evil.example", 403),
        (b"Host: evil.example:localhost", 403),
        (b"Host: localhost:80@evil.example", 403),
        (b"Host: ::1:80", 403),
        (b"Host: ", 403),
        (b"Accept: */*", 400),
    ],
)
def test_a_page_that_rebinds_its_name_to_us_is_refused(head, status) -> None:
    async def steps(session, base, story) -> None:
        for path in (b"/metrics", b"/status", b"/nowhere"):
            line = await raw_request(base, b"GET %s HTTP/1.1\r\n%s\r\nConnection: close\r\n\r\n" % (path, head))
            expected = 404 if path == b"/nowhere" and status == 200 else status
            assert line.split()[1] == b"%d" % expected, (path, line)

    with_admin(steps, hosts=("Metrics.example.jp",))


def test_the_address_that_a_request_came_to_is_served_and_no_other() -> None:
    async def steps(session, base, story) -> None:
        port = base.rpartition(":")[2]
        for came_to, named, status in (("127.0.0.2", "127.0.0.2", 200), ("127.0.0.2", "127.0.0.3", 403)):
            async with session.get(f"http://{came_to}:{port}/healthz", headers={"Host": f"{named}:{port}"}) as answer:
                assert answer.status == status, (came_to, named)

    with_admin(steps, listen="0.0.0.0:0")


def test_no_host_field_or_two_of_them_are_refused() -> None:
    async def steps(session, base, story) -> None:
        line = await raw_request(base, b"GET /status HTTP/1.0\r\n\r\n")
        assert line.split()[1] == b"403"
        line = await raw_request(base, b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert line.split()[1] in (b"400", b"403")

    with_admin(steps)


def test_a_port_in_use_is_told_with_its_key() -> None:
    async def run() -> None:
        views = Views(observed, lambda: STATUS, lambda: "", lambda: "")
        first = Admin(AdminSettings("127.0.0.1:0"), views)
        await first.start()
        second = Admin(AdminSettings(f"127.0.0.1:{first.port}"), views)
        try:
            with pytest.raises(
                OSError, match=r"admin\.listen '127\.0\.0\.1:\d+': .*address already in use.*another port"
            ):
                await second.start()
        finally:
            await second.close()
            await first.close()
        await Admin(AdminSettings(), views).close()

    asyncio.run(run())
