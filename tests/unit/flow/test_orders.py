"""Steer, resume and why as requests: what is refused, and what an operator is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.flow.directives import DirectiveFile
from engine.flow.explain import Explain
from engine.flow.orders import Orders
from engine.policy.shaping import Shaping, read_shaping
from engine.request import Resume, Steer, Why
from engine.smtp.reply import Reply
from engine.spool.port import Outcome
from engine.wire import Refusal
from tests.fakes.flow import LIMITS, REFUSED, Setting, World
from tests.fakes.virtual import virtually


def ordering(test: Callable[[World, Orders], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        chosen = setting or Setting()
        world = World(chosen)
        shaping = chosen.shaping or Shaping(chosen.limits)
        explain = Explain(
            ways=world.dispatch.ways, steering=world.steering, shaping=shaping, timeline=world.timeline,
            clock=world.clock,
        )  # fmt: skip
        orders = Orders(
            world.steering,
            explain,
            senders=frozenset({"shop"}),
            providers=frozenset({"docomo"}),
            mailings=world.spool.totals,
        )
        world.start()
        await test(world, orders)
        world.check()
        await world.end()

    virtually(main())


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({}, "domain", "name a domain, provider"),
        ({"sender": "shup"}, "sender", "is not in the configuration; known are shop"),
        ({"provider": "dokomo"}, "provider", "known are docomo"),
        ({"source": "x"}, "source", "known are default"),
        ({"domain": "d1.example", "to": "relay.example"}, "to", "belong to a reroute"),
        ({"domain": "d1.example", "verb": "reroute"}, "to", "name where to"),
        ({"domain": "d1.example", "verb": "reroute", "pool": "x"}, "pool", "known are default"),
        ({"domain": "d1.example", "verb": "reroute", "to": "a b:25"}, "to", "expected host:port"),
        ({"source": "default", "verb": "bounce"}, "source", "belongs to no source"),
    ],
)
def test_what_would_stop_nothing_is_refused(fields: dict[str, Any], field: str, text: str) -> None:
    async def test(world: World, orders: Orders) -> None:
        with pytest.raises(Refusal) as caught:
            await orders.steer(Steer(**{"id": 1, "verb": "suspend", **fields}))
        assert (caught.value.code, caught.value.field) == ("bad_request", field)
        assert text in caught.value.text
        assert not world.steering.directives

    ordering(test)


def test_suspend_and_resume() -> None:
    async def test(world: World, orders: Orders) -> None:
        given = await orders.steer(Steer(id=1, verb="suspend", domain="D1.example.", seconds=600, reason="x"))
        assert given == {"number": 1, "until": pytest.approx(world.clock() + 600)}
        other = await orders.steer(Steer(id=1, verb="reroute", domain="d2.example", to="Relay.example"))
        assert other == {"number": 2, "until": None}
        assert world.steering.directives[2].to == "relay.example:25"
        await world.submit(["a@d1.example"])
        await asyncio.sleep(60)
        with pytest.raises(Refusal, match="number or a scope"):
            await orders.resume(Resume(id=2))
        assert await orders.resume(Resume(id=2, domain="d9.example")) == {"resumed": []}
        assert await orders.resume(Resume(id=2, domain="d1.example")) == {"resumed": [1]}
        assert await orders.resume(Resume(id=2, everything=True)) == {"resumed": [2]}
        await world.settled(30)

    ordering(test)


async def full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    async def test(world: World, orders: Orders) -> None:
        with pytest.raises(Refusal, match="it is not in force; free disk space"):
            await orders.steer(Steer(id=1, verb="suspend", domain="d1.example"))
        world.steering._file = DirectiveFile(None)
        await orders.steer(Steer(id=1, verb="suspend", domain="d1.example"))
        world.steering._file = DirectiveFile(tmp_path / "x", full)
        with pytest.raises(Refusal, match="it comes back with a restart"):
            await orders.resume(Resume(id=1, everything=True))

    ordering(test, Setting(directives=DirectiveFile(tmp_path / "x", full)))


async def why(orders: Orders, domain: str = "d1.example") -> dict[str, Any]:
    return dict(await orders.why(Why(id=1, domain=domain)))


def test_why_nothing_routes_there() -> None:
    async def test(world: World, orders: Orders) -> None:
        told = await why(orders, "nowhere.example")
        assert (told["site"], told["binds"]["what"], told["eta_seconds"]) == ("", "no_route", None)

    ordering(test)


def test_why_a_domain_that_is_suspended() -> None:
    async def test(world: World, orders: Orders) -> None:
        await orders.steer(Steer(id=1, verb="suspend", domain="d1.example", seconds=600, reason="maintenance"))
        await world.submit([f"r{n}@d1.example" for n in range(30)])
        await asyncio.sleep(1)
        told = await why(orders)
        assert told["waiting"] == {"transactional": 0, "bulk": 30}
        assert told["binds"]["what"] == "suspend"
        assert told["binds"]["from"] == "directive 1 by operator: maintenance"
        assert 590 < told["binds"]["seconds"] < 600
        assert told["directives"][0]["scope"] == {"domain": "d1.example"}
        assert told["eta_seconds"] == pytest.approx(told["binds"]["seconds"] + 30 / 2)
        await orders.steer(Steer(id=1, verb="suspend", domain="d1.example"))
        assert (await why(orders))["eta_seconds"] is None

    ordering(test, Setting(shaping=shaped(default={"max_message_rate": "2/s,max_burst=1"})))


def shaped(**tables: Any) -> Shaping:
    read = read_shaping(tables)
    assert isinstance(read, Shaping), read
    return read


def test_why_names_the_limit_that_binds_and_where_it_comes_from() -> None:
    tables = {
        "provider": {"docomo": {"match": [{"DomainSuffix": "d1.example"}], "max_message_rate": "1/s,max_burst=1"}}
    }

    async def test(world: World, orders: Orders) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(100)])
        await asyncio.sleep(20)
        told = await why(orders)
        assert (told["provider"], told["binds"]) == (
            "docomo", {"what": "max_message_rate", "from": "provider docomo", "seconds": None},
        )  # fmt: skip
        assert {"key": "max_message_rate", "value": "1/s", "from": "provider docomo"} in told["limits"]
        assert {"key": "connection_limit", "value": 10, "from": "engine"} in told["limits"]
        assert told["eta_seconds"] == pytest.approx(80, rel=0.15)
        (path,) = told["paths"]
        assert (path["source"], path["rate"]) == ("default", pytest.approx(1.0, rel=0.2))

    ordering(test, Setting(shaping=shaped(**tables)))


def test_why_a_site_that_refuses_or_has_a_window() -> None:
    async def test(world: World, orders: Orders) -> None:
        world.site("d1").refusal = REFUSED
        await world.submit([f"r{n}@d1.example" for n in range(100)])
        await asyncio.sleep(10)
        told = await why(orders)
        assert told["binds"]["what"] == "connection"
        assert "connection refused" in told["binds"]["from"]
        assert told["binds"]["seconds"] > 0
        world.site("d2").rtt = 5.0
        await world.submit([f"r{n}@d2.example" for n in range(300)])
        await asyncio.sleep(12)
        told = await why(orders, "d2.example")
        assert told["binds"]["what"] in ("window", "connection_limit")

    ordering(test)


def test_why_quiet_hours_and_a_brake() -> None:
    tables = {"site": {
        "d1": {"quiet_hours": "22:00-23:00 UTC"},
        "d2": {"max_message_rate": "10/s", "automation": [{"regex": "x", "duration": "1h",
               "action": {"SetConfig": {"name": "max_message_rate", "value": "1/min"}}}]},
    }}  # fmt: skip

    async def test(world: World, orders: Orders) -> None:
        told = await why(orders)
        assert (told["binds"]["what"], told["binds"]["seconds"]) == ("quiet", pytest.approx(1800, abs=5))
        await world.submit(["a@d2.example"])
        await world.settled(30)
        path = world.dispatch.paths["d2"]
        world.dispatch.braking.observe(path, None, Reply(421, "", "x"))
        await world.submit([f"b{n}@d2.example" for n in range(5)])
        await asyncio.sleep(10)
        told = await why(orders, "d2.example")
        assert told["binds"]["from"] == "automation shaping.site.d2.automation[0]"
        (limit,) = [row for row in told["limits"] if row["key"] == "max_message_rate"]
        assert limit["from"] == "automation shaping.site.d2.automation[0]"
        assert told["paths"][0]["brakes"][0]["key"] == "max_message_rate"
        await world.settled(3600)

    ordering(test, Setting(shaping=shaped(**tables)))


def test_what_no_rule_knows_is_in_the_status_without_addresses() -> None:
    async def test(world: World, orders: Orders) -> None:
        await world.submit(["a@d1.example"])
        await world.settled(30)
        world.dispatch.unclassified.note("RCPT", "", Reply(550, "", "nyaan <a@d1.example>"))
        found = world.status()["unclassified"]
        assert found == {
            "total": 1,
            "top": [{"reply": "550 nyaan ADDRESS", "phase": "RCPT", "provider": "", "count": 1}],
        }
        assert world.status()["providers"]["other"]["delivered"] == 1
        assert world.outcome(Outcome.DELIVERED) == 1

    ordering(test, Setting(replace(LIMITS)))
