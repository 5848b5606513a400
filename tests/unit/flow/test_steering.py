"""Steering in the whole flow: what an order stops, at once and later, what it costs, and how mail goes on after it."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.flow.directives import DirectiveFile, DirectivesUnreadable
from engine.flow.outlets import Outlets
from engine.flow.steering import HOLD_SECONDS, TooManyDirectives
from engine.mail.envelope import Priority
from engine.policy.automation import Where
from engine.policy.directive import MOST_DIRECTIVES, Scope, Verb
from engine.policy.quiet import parse_quiet
from engine.policy.shaping import Shaping, read_shaping
from engine.policy.source import Source, make_pool
from engine.policy.throttle import Rate
from engine.policy.warmup import read_warmup
from engine.smtp.reply import Reply
from engine.spool.port import Outcome
from tests.fakes.flow import EPOCH, LIMITS, Setting, World
from tests.fakes.virtual import virtually


def flowing(test: Callable[[World], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        world = World(setting)
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


def shaped(**tables: Any) -> Shaping:
    default = {"max_message_rate": "unlimited", "max_connection_rate": "unlimited", "retry_interval": "1m"}
    read = read_shaping({"default": default, **tables})
    assert isinstance(read, Shaping), read
    return read


async def inline(replace_file: Callable[[Path, bytes], None], path: Path, raw: bytes) -> None:
    """Virtual time knows no threads."""
    replace_file(path, raw)


def kept(file: Path) -> DirectiveFile:
    return DirectiveFile(file, inline)


def two_sources(**more: Any) -> Outlets:
    sources = {name: Source(name, f"192.0.2.{n}", f"{name}.example") for n, name in enumerate(("a", "b"), 1)}
    return Outlets({**sources, **more}, {"default": make_pool("default", dict.fromkeys({**sources, **more}, 1))})


async def suspend(world: World, scope: Scope, seconds: float | None = None) -> int:
    return (await world.steering.give(Verb.SUSPEND, scope, seconds, "test")).number


async def resume(world: World, number: int) -> list[int]:
    return [one.number for one in await world.steering.resume(lambda one: one.number == number)]


SCOPES = [
    Scope(domain="d1.example"),
    Scope(site="d1"),
    Scope(sender="shop"),
    Scope(mailing="m"),
    Scope(domain="d1.example", sender="shop", mailing="m"),
    Scope(site="d1", source="default"),
]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_suspended_mail_waits_and_goes_on_when_resumed(scope: Scope) -> None:
    async def test(world: World) -> None:
        number = await suspend(world, scope)
        await world.submit([f"r{n}@d1.example" for n in range(50)])
        await asyncio.sleep(900.0)
        assert world.outcome(Outcome.DELIVERED) == 0
        assert (len(world.roster), world.status()["balance"]) == (0, 0)
        assert await resume(world, number) == [number]
        await world.settled(120)
        assert world.outcome(Outcome.DELIVERED) == 50

    flowing(test)


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_suspension_takes_back_what_was_ready_or_being_signed(scope: Scope) -> None:
    async def test(world: World) -> None:
        world.signer.hold = []
        await world.submit([f"r{n}@d1.example" for n in range(100)])
        await asyncio.sleep(1.0)
        assert world.dispatch.paths["d1"].in_flight
        await suspend(world, scope)
        world.signer.release()
        await asyncio.sleep(60.0)
        assert world.outcome(Outcome.DELIVERED) == 0
        assert not world.roster
        assert world.site("d1").received == []
        await world.steering.resume(lambda _: True)
        await world.settled(HOLD_SECONDS)
        assert world.outcome(Outcome.DELIVERED) == 100

    flowing(test)


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_suspension_ends_by_itself(scope: Scope) -> None:
    async def test(world: World) -> None:
        await suspend(world, scope, 600.0)
        await world.submit([f"r{n}@d1.example" for n in range(10)])
        await asyncio.sleep(590.0)
        assert world.outcome(Outcome.DELIVERED) == 0
        await world.settled(30)
        assert world.outcome(Outcome.DELIVERED) == 10
        assert not world.steering.directives

    flowing(test)


def test_others_go_on() -> None:
    async def test(world: World) -> None:
        await suspend(world, Scope(domain="d1.example"))
        await suspend(world, Scope(mailing="stopped"))
        await world.submit(["a@d1.example"])
        await world.submit(["b@d2.example"], mailing="stopped")
        await world.submit(["c@d2.example"], mailing="other")
        await asyncio.sleep(60.0)
        assert world.site("d1").received == []
        assert world.site("d2").received == ["c@d2.example"]

    flowing(test)


def test_a_parked_lane_is_never_pulled() -> None:
    async def test(world: World) -> None:
        await suspend(world, Scope(domain="d1.example"))
        pulled = Counter()
        pull = world.core.pull

        async def watched(lane: Any, *rest: Any) -> Any:
            pulled[lane.domain] += 1
            return await pull(lane, *rest)

        world.core.pull = watched  # type: ignore[method-assign]
        await world.submit([f"r{n}@d1.example" for n in range(200)])
        await asyncio.sleep(3600.0)
        assert not pulled
        assert (world.status()["held"], world.status()["waiting"]) == (200, 0)

    flowing(test)


BOUNCES = [Scope(domain="d1.example"), Scope(site="d1"), Scope(sender="shop"), Scope(mailing="m")]


@pytest.mark.parametrize("scope", BOUNCES, ids=str)
def test_a_bounce_ends_what_waits_wherever_it_is(scope: Scope) -> None:
    async def test(world: World) -> None:
        first = await world.submit([f"defer-9-{n}@d1.example" for n in range(20)])  # deferred: due later
        await asyncio.sleep(5.0)
        await world.submit([f"late{n}@d1.example" for n in range(20)], not_before=3600)
        world.signer.hold = []
        await world.submit([f"ready{n}@d1.example" for n in range(20)])
        await asyncio.sleep(1.0)
        await world.steering.give(Verb.BOUNCE, scope, None, "wrong prices")
        world.signer.release()
        await world.settled(30)
        assert world.outcome(Outcome.BOUNCED) == 60
        assert world.records(first)[-1] == "AdminBounce"
        assert {record.reason for record in world.journal if record.type == "AdminBounce"} == {"wrong prices"}
        await asyncio.sleep(1.0)
        assert not world.steering.directives, "without a duration it is over when it has walked through"
        await world.submit(["next@d1.example"])
        await world.settled(30)
        assert world.outcome(Outcome.DELIVERED) == 1

    flowing(test)


def test_a_bounce_with_a_duration_ends_what_comes_in_that_time() -> None:
    async def test(world: World) -> None:
        await world.steering.give(Verb.BOUNCE, Scope(domain="d1.example"), 600.0, "")
        await asyncio.sleep(5.0)
        await world.submit(["a@d1.example", "b@d2.example"])
        await world.settled(30)
        assert (world.outcome(Outcome.BOUNCED), world.outcome(Outcome.DELIVERED)) == (1, 1)
        await asyncio.sleep(600.0)
        await world.submit(["c@d1.example"])
        await world.settled(30)
        assert world.outcome(Outcome.DELIVERED) == 2

    flowing(test)


@pytest.mark.parametrize("scope", [Scope(domain="d1.example"), Scope(sender="shop"), Scope(mailing="m")], ids=str)
def test_a_reroute_sends_another_way_also_what_is_ready(scope: Scope) -> None:
    async def test(world: World) -> None:
        world.signer.hold = []
        await world.submit([f"r{n}@d1.example" for n in range(30)])
        await asyncio.sleep(1.0)
        await world.steering.give(Verb.REROUTE, scope, None, "", to="relay.example:26")
        world.signer.release()
        await world.settled(60)
        assert (len(world.site("d1").received), len(world.site("relay.example:26").received)) == (0, 30)

    flowing(test)


def test_orders_survive_a_restart_and_the_mail_they_hold_does_too(tmp_path: Path) -> None:
    file = tmp_path / "directives.json"

    async def main() -> None:
        world = World(Setting(directives=kept(file)))
        world.start()
        await suspend(world, Scope(sender="shop"))
        number = await suspend(world, Scope(domain="d1.example"))
        await world.submit(["a@d1.example", "b@d2.example"])
        await asyncio.sleep(5.0)
        await world.stop()
        again = World(Setting(directives=kept(file)), core=world.core)
        for state in await again.spool.lanes():
            again.timeline.add(state.lane, state.waiting, state.next_due)
            again.counts.recovered += state.waiting
        again.start()
        await asyncio.sleep(60.0)
        assert again.outcome(Outcome.DELIVERED) == 0
        assert [one.scope for one in again.steering.directives.values()] == [
            Scope(sender="shop"), Scope(domain="d1.example"),
        ]  # fmt: skip
        assert (await suspend(again, Scope(site="x"))) > number, "numbers are not given twice"
        await again.steering.resume(lambda _: True)
        await again.settled(120)
        assert again.outcome(Outcome.DELIVERED) == 2
        await again.end()

    virtually(main())


@pytest.mark.parametrize("text", ["", "{", '{"number": 1}', '{"number": 1, "directives": [{"number": "x"}]}', "[]"])
def test_a_damaged_file_stops_the_start_and_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "directives.json"
    file.write_text(text)
    with pytest.raises(DirectivesUnreadable, match=r"directives\.json.*put back a copy"):
        virtually(_read(file))


async def _read(file: Path) -> None:
    DirectiveFile(file).read()


def test_an_order_that_cannot_be_written_is_not_in_force(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(OSError):
            await suspend(world, Scope(domain="d1.example"))
        assert not world.steering.directives
        await world.submit(["a@d1.example"])
        await world.settled(30)

    flowing(test, Setting(directives=kept(tmp_path / "missing" / "directives.json")))


class FullDisk:
    """Full when told to be."""

    def __init__(self) -> None:
        self.is_full = False

    async def __call__(self, replace_file: Callable[[Path, bytes], None], path: Path, raw: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(path, raw)


def test_an_order_that_cannot_be_written_leaves_the_one_it_replaces_in_force(tmp_path: Path) -> None:
    disk = FullDisk()

    async def test(world: World) -> None:
        number = await suspend(world, Scope(domain="d1.example"), 3600.0)
        disk.is_full = True
        with pytest.raises(OSError):
            await suspend(world, Scope(domain="d1.example"), 7200.0)
        assert list(world.steering.directives) == [number]
        await world.submit(["a@d1.example"])
        await asyncio.sleep(60)
        assert world.site("d1").received == []
        disk.is_full = False
        await world.settled(3700)

    flowing(test, Setting(directives=DirectiveFile(tmp_path / "directives.json", disk)))


def test_a_full_disk_stops_nobodys_mail_and_what_was_ordered_is_written_later(tmp_path: Path) -> None:
    file, disk = tmp_path / "directives.json", FullDisk()

    async def test(world: World) -> None:
        disk.is_full = True
        directive = world.steering.put(Verb.SUSPEND, Scope(domain="d1.example"), 3600.0, "rule", by="automation")
        world.steering.put(Verb.BOUNCE, Scope(domain="d3.example"), None, "", by="automation")
        await world.submit(["a@d2.example", "b@d3.example"])
        await world.settled(60)
        assert (world.faults, file.exists()) == ([], False)
        disk.is_full = False
        await asyncio.sleep(30)
        assert [one.number for one in DirectiveFile(file).read().directives] == [directive.number]

    flowing(test, Setting(directives=DirectiveFile(file, disk)))


def test_an_order_that_comes_while_a_message_is_loaded_holds_for_it() -> None:
    """Its recipients are in promote's hands, and the letters of others come back from the signer meanwhile."""

    async def test(world: World) -> None:
        received = world.site("d1").received
        world.signer.hold = []
        await world.submit(["a@d1.example"], mailing="spring")
        await world.until(lambda: bool(world.signer.hold), 10)
        asked, go, content = asyncio.Event(), asyncio.Event(), world.spool.content

        async def slowly(number: int) -> bytes:
            asked.set()
            await go.wait()
            return await content(number)

        world.spool.content = slowly
        await world.submit(["b@d1.example"], mailing="autumn", message={"subject": "Autumn", "text": "Leaves\n"})
        await asked.wait()
        number = await suspend(world, Scope(sender="shop", mailing="autumn"))
        world.signer.release()
        await world.until(lambda: received == ["a@d1.example"], 10)
        go.set()
        await asyncio.sleep(60)
        assert received == ["a@d1.example"]
        await resume(world, number)
        await world.settled(30)
        assert len(received) == 2

    flowing(test)


def test_the_same_order_again_replaces_the_first_and_there_is_a_bound() -> None:
    async def test(world: World) -> None:
        first = await suspend(world, Scope(domain="d1.example"), 60.0)
        second = await suspend(world, Scope(domain="d1.example"), 600.0)
        assert list(world.steering.directives) == [second] != [first]
        for number in range(MOST_DIRECTIVES - 1):
            world.steering.put(Verb.SUSPEND, Scope(domain=f"x{number}"), 60.0, "", by="operator")
        with pytest.raises(TooManyDirectives):
            await suspend(world, Scope(domain="one.more"))
        await suspend(world, Scope(domain="d1.example"), 60.0)

    flowing(test)


# -- sources ---------------------------------------------------------------------------------------------------


def test_a_pool_shares_a_domain_by_weight_and_a_recipient_keeps_its_source() -> None:
    async def test(world: World) -> None:
        await world.submit([f"defer-2-{n}@d1.example" for n in range(40)])
        await world.settled(3600)
        by_recipient: dict[str, set[str]] = {}
        for record in world.journal:
            by_recipient.setdefault(record.recipient, set()).add(record.egress_source)
        assert all(len(sources) == 1 for sources in by_recipient.values())
        assert Counter(next(iter(sources)) for sources in by_recipient.values()) == {"a": 20, "b": 20}
        assert set(world.dispatch.paths) == {"a->d1", "b->d1"}

    flowing(test, Setting(outlets=two_sources()))


def test_the_mail_of_a_suspended_source_waits_and_does_not_hop() -> None:
    async def test(world: World) -> None:
        await suspend(world, Scope(site="d1", source="a"), 1200.0)
        await world.submit([f"r{n}@d1.example" for n in range(40)])
        await asyncio.sleep(600.0)
        assert world.outcome(Outcome.DELIVERED) == 20
        assert {record.egress_source for record in world.journal} == {"b"}
        await world.settled(900)
        assert Counter(record.egress_source for record in world.journal) == {"a": 20, "b": 20}

    flowing(test, Setting(outlets=two_sources()))


def test_a_pool_whose_sources_are_all_suspended_parks_the_lane() -> None:
    async def test(world: World) -> None:
        await suspend(world, Scope(source="a"))
        number = await suspend(world, Scope(source="b"))
        await world.submit([f"r{n}@d1.example" for n in range(10)])
        await asyncio.sleep(60.0)
        assert world.status()["held"] == 10
        await resume(world, number)
        await world.steering.resume(lambda _: True)
        await world.settled(60)

    flowing(test, Setting(outlets=two_sources()))


def test_a_source_without_room_passes_its_turn_on() -> None:
    async def test(world: World) -> None:
        # Nothing leaves from a: its one connection never opens, and its ready fills up.
        await world.submit([f"r{n}@d1.example" for n in range(400)])
        await asyncio.sleep(0.05)
        path = world.dispatch.paths["a->d1"]
        path.pool.pause(world.clock(), 3600.0)
        await asyncio.sleep(600.0)
        assert world.outcome(Outcome.DELIVERED) > 300
        await world.settled(7200)

    flowing(test, Setting(replace(LIMITS, max_ready=20), outlets=two_sources()))


def warming(schedule: list[int], **more: Any) -> Source:
    day = datetime.fromtimestamp(EPOCH, UTC).date()
    read = read_warmup({"start": day, "schedule": schedule, "zone": "UTC", **more})
    return Source("cold", "192.0.2.9", "cold.example", read)


def test_a_cold_source_sends_its_days_budget_and_the_rest_overflows_to_warm_ones() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(60)])
        await world.settled(60)
        counts = Counter(record.egress_source for record in world.journal)
        assert counts["cold"] == 5
        assert counts["a"] + counts["b"] == 55
        assert world.status()["warmup"] == [{"source": "cold", "day": 1, "left": 0, "used": 5, "providers": {}}]

    flowing(test, Setting(outlets=two_sources(cold=warming([5, 1000]))))


def test_a_cold_source_alone_waits_for_the_next_day(tmp_path: Path) -> None:
    file = tmp_path / "directives.json"
    cold = warming([5, 100])

    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(20)])
        await asyncio.sleep(600.0)
        assert world.outcome(Outcome.DELIVERED) == 5
        again = DirectiveFile(file).read()
        assert again.budgets["cold"]["used"] == {"": 5}
        await world.settled(3 * 3600)
        assert world.outcome(Outcome.DELIVERED) == 20

    outlets = Outlets({"cold": cold}, {"default": make_pool("default", {"cold": 1})})
    flowing(test, Setting(outlets=outlets, directives=kept(file)))


def test_pools_by_sender_and_priority() -> None:
    sources = {name: Source(name, f"192.0.2.{n}") for n, name in enumerate(("bulk", "tx"), 1)}
    pools = {name: make_pool(name, {name: 1}) for name in sources}

    async def test(world: World) -> None:
        await world.submit(["a@d1.example"])
        await world.submit(["b@d1.example"], priority=Priority.TRANSACTIONAL)
        await world.settled(60)
        assert {record.recipient: record.egress_source for record in world.journal} == {
            "a@d1.example": "bulk", "b@d1.example": "tx",
        }  # fmt: skip

    flowing(test, Setting(outlets=Outlets(sources, pools, {"shop": ("tx", "bulk")})))


def test_what_a_provider_allows_is_shared_by_its_sites() -> None:
    tables = {"provider": {"big": {
        "match": [{"DomainSuffix": "example"}], "provider_connection_limit": 1, "provider_max_message_rate": "60/min,max_burst=1",
        "idle_timeout": "1s",
    }}}  # fmt: skip

    async def test(world: World) -> None:
        for name in ("d1", "d2", "d3"):
            await world.submit([f"r{n}@{name}.example" for n in range(5)])
        most = 0
        began = world.clock()
        while world.open:
            most = max(
                most, sum(len(path.pool.connections) + path.pool.opening for path in world.dispatch.paths.values())
            )
            await asyncio.sleep(0.25)
            assert world.clock() - began < 120
        assert most == 1
        assert world.clock() - began > 13.0, "15 messages at one a second"
        assert world.status()["providers"]["big"]["delivered"] == 15

    flowing(test, Setting(shaping=shaped(**tables)))


# -- time of day -----------------------------------------------------------------------------------------------


def test_quiet_hours_hold_bulk_and_let_transactional_mail_go() -> None:
    # It is 22:30 UTC.
    tables = {"domain": {"d1.example": {"quiet_hours": "22:00-23:00 UTC"}}}

    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(10)])
        await world.submit(["tx@d1.example"], priority=Priority.TRANSACTIONAL)
        await asyncio.sleep(1200.0)
        assert world.outcome(Outcome.DELIVERED) == 1
        await world.settled(1000)
        assert parse_quiet("22:00-23:00 UTC").until(world.clock()) == 0.0

    flowing(test, Setting(shaping=shaped(**tables)))


def test_when_quiet_hours_begin_ready_bulk_goes_back() -> None:
    tables = {"domain": {"d1.example": {"quiet_hours": "22:35-23:00 UTC", "max_message_rate": "1/min,max_burst=1"}}}

    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(20)])
        await asyncio.sleep(310.0)
        assert 0 < world.outcome(Outcome.DELIVERED) <= 6
        assert not world.roster
        await world.settled(7200)

    flowing(test, Setting(shaping=shaped(**tables)))


def test_nothing_of_bulk_starts_in_the_first_minute_of_an_hour() -> None:
    tables = {"default": {"max_message_rate": "unlimited", "spread_minute": 10}}

    async def test(world: World) -> None:
        at_full_hour = 3600 - world.clock() % 3600
        await world.submit([f"r@d{n}.example" for n in range(30)], not_before=at_full_hour)
        await world.settled(7200)
        into = sorted(record.timestamp % 3600 for record in world.journal)
        assert into[0] >= 60
        assert into[-1] <= 602
        assert len({round(one / 60) for one in into}) > 4, "spread"

    flowing(test, Setting(shaping=shaped(**tables)))


# -- automation ------------------------------------------------------------------------------------------------


def automated(*rules: dict[str, Any], **more: Any) -> Shaping:
    return shaped(site={"d1": {"automation": list(rules), **more}})


def test_a_rule_suspends_and_the_site_comes_back_with_one_connection_and_one_more_each_success() -> None:
    rule = {
        "regex": r"nyaan", "action": "Suspend", "duration": "10m", "back": {"connection_limit": 1, "step": 1},
    }  # fmt: skip

    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(30)])
        await asyncio.sleep(5.0)
        assert world.outcome(Outcome.DELIVERED) == 30
        path = world.dispatch.paths["d1"]
        world.dispatch.braking.observe(path, None, Reply(421, "4.7.28", "nyaan"))
        world.dispatch.braking.observe(path, None, Reply(421, "4.7.28", "nyaan"))
        assert [one.scope for one in world.steering.directives.values()] == [Scope(site="d1", source="default")]
        await world.submit([f"s{n}@d1.example" for n in range(300)])
        await asyncio.sleep(590.0)
        assert world.outcome(Outcome.DELIVERED) == 30
        assert path.pool.cap == 1
        await world.settled(60)
        assert (path.pool.cap, path.brake.changes) == (10, {})
        assert world.status()["automation"] == {"shaping.site.d1.automation[0]": 2}

    flowing(test, Setting(shaping=automated(rule)))


def test_a_rule_slows_a_path_down_and_lets_it_rise_by_what_is_delivered() -> None:
    rule = {
        "regex": "(?i)slow down", "action": {"SetConfig": {"name": "max_message_rate", "value": "1/s"}},
        "duration": "1m", "back": {"max_message_rate": "1/s", "step": "1/s"},
    }  # fmt: skip

    async def test(world: World) -> None:
        await world.submit(["a@d1.example"])
        await world.settled(10)
        path = world.dispatch.paths["d1"]
        world.dispatch.braking.observe(path, None, Reply(450, "", "Slow down"))
        assert path.throttle.rate == Rate(3600, 3600, 1)
        await world.submit([f"r{n}@d1.example" for n in range(1000)])
        await asyncio.sleep(55.0)
        assert 50 <= world.outcome(Outcome.DELIVERED) <= 60
        await asyncio.sleep(130.0)
        assert 2 <= path.brake.value("max_message_rate") <= 4
        await world.settled(3600)
        await world.submit(["last@d1.example"])
        await world.settled(60)

    flowing(test, Setting(shaping=automated(rule, max_message_rate="5/s")))


def test_what_has_no_way_back_ends_with_its_duration() -> None:
    rule = {
        "regex": "one", "duration": "1m",
        "action": [{"SetConfig": {"name": "connection_limit", "value": 1}},
                   {"ScaleConfig": {"name": "max_deliveries_per_connection", "factor": 0.1}}],
    }  # fmt: skip

    async def test(world: World) -> None:
        await world.submit(["a@d1.example"])
        await world.settled(10)
        path = world.dispatch.paths["d1"]
        world.dispatch.braking.observe(path, None, Reply(421, "", "one"))
        assert (path.pool.cap, path.deliveries) == (1, 10)
        await asyncio.sleep(62.0)
        assert (path.pool.cap, path.deliveries) == (10, 100)

    flowing(test, Setting(shaping=automated(rule)))


@pytest.mark.parametrize(
    ("action", "scope"),
    [("SuspendSite", Scope(site="d1")), ("SuspendTenant", Scope(site="d1", sender="shop"))],
)
def test_the_other_suspensions(action: str, scope: Scope) -> None:
    async def test(world: World) -> None:
        await world.submit([f"defer-1-{n}@d1.example" for n in range(3)])
        await asyncio.sleep(5.0)
        assert [one.scope for one in world.steering.directives.values()] == [scope]
        await world.submit(["b@d2.example"])
        await asyncio.sleep(5.0)
        assert world.outcome(Outcome.DELIVERED) == 1
        await world.settled(3600)

    flowing(test, Setting(shaping=automated({"regex": "^4", "action": action, "duration": "20m"})))


def test_our_own_replies_never_feed_a_rule() -> None:
    async def test(world: World) -> None:
        automation = world.dispatch.braking.automation
        where = Where("default->d1", "d1", "d1.example", "")
        assert not automation.observe(Reply(451, "4.4.4", "local: no route"), where, 0.0)
        assert automation.observe(Reply(451, "4.4.4", "no route"), where, 0.0)

    flowing(test, Setting(shaping=automated({"regex": "route", "action": "Suspend", "duration": "20m"})))
