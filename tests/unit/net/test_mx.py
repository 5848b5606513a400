"""Routing by MX against tables of answers: order, limits, loops, what is final and what is not, what is remembered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from engine.net.address import parse_networks
from engine.net.dns import Answer, Kind, Mx, Status
from engine.net.mx import (
    ADDRESSES_TRIED,
    FAILURE_SECONDS,
    MAX_MX,
    STALE_SECONDS,
    Family,
    MxResolver,
    MxSettings,
    is_local_address,
)
from engine.net.resolver import NO_ROUTE, ResolveFailure, Route, StaticRoutes, Target, TlsMode, parse_route

TEST_NET = parse_networks(["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"])
A, AAAA, MX = Kind.A, Kind.AAAA, Kind.MX


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Dns:
    """Answers from a table of (name, type) -> records, or a status."""

    def __init__(self, table: dict[tuple[str, Kind], list[Any] | Status]) -> None:
        self.table = table
        self.asked: Counter[tuple[str, Kind]] = Counter()
        self.ttl = 300.0
        self.secure = False

    async def query(self, name: str, kind: Kind) -> Answer:
        self.asked[name, kind] += 1
        await asyncio.sleep(0)
        found = self.table.get((name, kind))
        if found is None:
            exists = any(known == name for known, _ in self.table)
            return Answer(Status.NODATA if exists else Status.NXDOMAIN, ttl=60.0, secure=self.secure)
        if isinstance(found, Status):
            return Answer(found, ttl=30.0, text=f"{kind.name} of {name}: {found}")
        return Answer(Status.NOERROR, tuple(found), self.ttl, self.secure, name)

    ask = query


def hosts(*names: str, preference: int = 10) -> list[Mx]:
    return [Mx(preference, name) for name in names]


def resolver(table: dict[tuple[str, Kind], list[Any] | Status], routes: str = "", **words: Any) -> MxResolver:
    settings = {"allowed": TEST_NET, **words}
    dns = Dns(table)
    static = StaticRoutes({"own.example": parse_route("", routes)} if routes else {}, dns, hosts=Path("/nonexistent"))
    made = MxResolver(
        static, dns, MxSettings(**settings), clock=Clock(), shuffle=lambda _hosts: None, is_local=lambda _address: False
    )
    made.dns, made.clock = dns, made._clock  # type: ignore[attr-defined]
    return made


async def found(made: MxResolver, domain: str = "a.example") -> Route | ResolveFailure:
    await made.look_up(domain)
    route = made.route(domain)
    assert route is not None
    return route


async def places(made: MxResolver, domain: str = "a.example") -> list[str]:
    route = await found(made, domain)
    assert isinstance(route, Route), route
    targets = await made.targets(route)
    assert isinstance(targets, list), targets
    return [target.address for target in targets]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


ORDINARY: dict[tuple[str, Kind], list[Any] | Status] = {
    ("a.example", MX): [Mx(20, "mx2.a.example"), Mx(10, "mx1.a.example")],
    ("mx1.a.example", A): ["192.0.2.1"],
    ("mx2.a.example", A): ["192.0.2.2"],
}


def test_the_lowest_preference_first() -> None:
    async def main() -> None:
        made = resolver(ORDINARY)
        assert made.route("a.example") is None
        route = await found(made)
        assert route == Route(
            "(mx1|mx2).a.example", "", 25, TlsMode.OPPORTUNISTIC, None, (("mx1.a.example",), ("mx2.a.example",))
        )
        assert isinstance(route, Route)
        assert route.mx_hosts == ("mx1.a.example", "mx2.a.example")
        assert await made.targets(route) == [
            Target("mx1.a.example", 25, "192.0.2.1", TlsMode.OPPORTUNISTIC),
            Target("mx2.a.example", 25, "192.0.2.2", TlsMode.OPPORTUNISTIC),
        ]

    run(main())


def test_equal_preferences_are_shuffled_for_each_connection_and_hosts_take_turns() -> None:
    async def main() -> None:
        table: dict[tuple[str, Kind], list[Any] | Status] = {
            ("a.example", MX): hosts("m1.example", "m2.example"),
            ("m1.example", A): ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
            ("m2.example", A): ["192.0.2.11", "192.0.2.12"],
        }
        made = resolver(table)
        assert await places(made) == ["192.0.2.1", "192.0.2.11", "192.0.2.2", "192.0.2.12", "192.0.2.3"]
        made._shuffle = lambda given: given.reverse()
        assert (await places(made))[:2] == ["192.0.2.11", "192.0.2.1"]

    run(main())


def test_the_last_try_is_left_to_the_backup() -> None:
    table: dict[tuple[str, Kind], list[Any] | Status] = {
        ("a.example", MX): [Mx(1, "m1.example"), Mx(2, "m2.example"), Mx(3, "m3.example")],
        ("m1.example", A): [f"192.0.2.{n}" for n in range(1, 9)],
        ("m2.example", A): ["198.51.100.1", "198.51.100.2"],
        ("m3.example", A): ["198.51.100.3"],
    }
    assert run(places(resolver(table))) == ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "198.51.100.1"]


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (Family.IPV4_FIRST, ["192.0.2.1", "2001:db8::1", "192.0.2.2"]),
        (Family.IPV6_FIRST, ["2001:db8::1", "192.0.2.1", "192.0.2.2"]),
        (Family.IPV4, ["192.0.2.1", "192.0.2.2"]),
        (Family.IPV6, ["2001:db8::1"]),
    ],
)
def test_both_families_in_turn(family: Family, expected: list[str]) -> None:
    table: dict[tuple[str, Kind], list[Any] | Status] = {
        ("a.example", MX): hosts("mx.a.example"),
        ("mx.a.example", A): ["192.0.2.1", "192.0.2.2"],
        ("mx.a.example", AAAA): ["2001:db8::1"],
    }
    assert run(places(resolver(table, family=family))) == expected


def test_without_mx_the_domain_is_its_own_host() -> None:
    async def main() -> None:
        made = resolver({("a.example", A): ["192.0.2.1"]})
        assert await places(made) == ["192.0.2.1"]
        assert getattr(made.route("a.example"), "site", "") == "a.example"

    run(main())


@pytest.mark.parametrize(
    ("table", "code", "status"),
    [
        ({}, 550, "5.1.2"),
        ({("a.example", Kind.TXT): [b""]}, 550, "5.1.2"),
        ({("a.example", MX): [Mx(0, "")]}, 556, "5.1.10"),
        ({("a.example", MX): [Mx(7, "")]}, 556, "5.1.10"),
        ({("a.example", MX): hosts("out.example")}, 554, "5.4.6"),
        ({("a.example", MX): [Mx(5, "out.example"), Mx(10, "mx.a.example")]}, 554, "5.4.6"),
        ({("a.example", MX): hosts("mx.a.example"), ("mx.a.example", A): ["192.0.2.99"]}, 554, "5.4.6"),
    ],
)
def test_final(table: dict[tuple[str, Kind], list[Any] | Status], code: int, status: str) -> None:
    own = {"own_names": frozenset({"out.example"}), "own_addresses": frozenset({"192.0.2.99"})}
    failure = run(found(resolver(table, **own)))
    assert isinstance(failure, ResolveFailure)
    assert (failure.final, failure.code, failure.status) == (True, code, status)
    assert "'a.example'" in failure.text or "'mx.a.example'" in failure.text


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({("a.example", MX): Status.SERVFAIL}, "MX of a.example: servfail"),
        ({("a.example", MX): Status.TIMEOUT}, "timeout"),
        ({("a.example", MX): Status.BOGUS}, "bogus"),
        ({("a.example", MX): Status.LOOP}, "loop"),
        ({("a.example", MX): hosts("mx.a.example")}, "'mx.a.example' has no address"),
        ({("a.example", MX): hosts("mx.a.example"), ("mx.a.example", A): Status.SERVFAIL}, "A of mx.a.example: servf"),
        ({("a.example", MX): hosts("192.0.2.1", "\\065.example", "")}, "no host name"),
        ({("a.example", MX): hosts("mx.a.example"), ("mx.a.example", A): ["10.0.0.1"]}, "10.0.0.1, where we never"),
        ({("a.example", MX): hosts("mx.a.example"), ("mx.a.example", AAAA): ["::ffff:1.1.1.1"]}, "mapped into IPv6"),
        ({("a.example", A): ["127.0.0.1"]}, "never connect to (loopback)"),
        ({("a.example", A): Status.TIMEOUT, ("a.example", AAAA): Status.TIMEOUT}, "timeout"),
    ],
)
def test_not_final(table: dict[tuple[str, Kind], list[Any] | Status], text: str) -> None:
    failure = run(found(resolver(table)))
    assert isinstance(failure, ResolveFailure)
    assert not failure.final
    assert (failure.code, text in failure.text) == (451, True), failure.text
    assert len(failure.text) <= 300
    assert failure.text.isprintable()


def test_a_family_that_we_cannot_use_is_no_reason_to_bounce() -> None:
    failure = run(found(resolver({("a.example", AAAA): ["2001:db8::1"]}, family=Family.IPV4)))
    assert isinstance(failure, ResolveFailure)
    assert not failure.final


def test_the_list_is_cut_at_our_own_preference() -> None:
    table: dict[tuple[str, Kind], list[Any] | Status] = {
        ("a.example", MX): [Mx(10, "m1.example"), Mx(20, "out.example"), Mx(20, "m2.example"), Mx(30, "m3.example")],
        ("m1.example", A): ["192.0.2.1"],
        ("m2.example", A): ["192.0.2.2"],
        ("m3.example", A): ["192.0.2.3"],
    }
    assert run(places(resolver(table, own_names=frozenset({"out.example"})))) == ["192.0.2.1"]
    table["a.example", MX] = [Mx(10, "m1.example"), Mx(20, "m2.example"), Mx(30, "m3.example")]
    assert run(places(resolver(table, own_addresses=frozenset({"192.0.2.2"})))) == ["192.0.2.1"]


def test_an_interface_of_this_machine_is_our_own_but_a_test_network_is_not() -> None:
    async def main() -> None:
        table: dict[tuple[str, Kind], list[Any] | Status] = {("a.example", A): ["8.8.8.8"]}
        made = resolver(table)
        made._is_local = lambda address: address == "8.8.8.8"
        failure = await found(made)
        assert isinstance(failure, ResolveFailure)
        assert failure.status == "5.4.6"
        table["b.example", A] = ["192.0.2.1"]
        made._is_local = lambda _address: True
        assert await places(made, "b.example") == ["192.0.2.1"]

    run(main())
    assert is_local_address("127.0.0.1")
    assert not is_local_address("192.0.2.1")
    assert not is_local_address("2001:db8::1")


def test_some_addresses_are_dropped_and_counted() -> None:
    async def main() -> None:
        table: dict[tuple[str, Kind], list[Any] | Status] = {
            ("a.example", MX): hosts("m1.example", "m2.example", "192.0.2.7", ""),
            ("m1.example", A): ["10.0.0.1", "192.0.2.1", "169.254.169.254"],
        }
        made = resolver(table)
        assert await places(made) == ["192.0.2.1"]
        assert made.counts.refused_addresses == 2

    run(main())


def test_four_hundred_mx_cost_twenty() -> None:
    async def main() -> None:
        table: dict[tuple[str, Kind], list[Any] | Status] = {
            ("a.example", MX): [Mx(n // 50, f"m{n}.example") for n in reversed(range(400))],
            **{(f"m{n}.example", A): ["192.0.2.1"] for n in range(400)},
        }
        made = resolver(table)
        assert len(await places(made)) == ADDRESSES_TRIED
        route = made.route("a.example")
        assert isinstance(route, Route)
        assert len(route.mx_hosts) == MAX_MX
        assert set(route.mx_hosts) <= {f"m{n}.example" for n in range(50)}
        assert sum(made.dns.asked.values()) == 1 + 2 * MAX_MX  # type: ignore[attr-defined]

    run(main())


def test_domains_of_one_receiver_share_a_route_and_its_addresses() -> None:
    async def main() -> None:
        table = dict(ORDINARY)
        for n in range(50):
            table[f"d{n}.example", MX] = table["a.example", MX]
        made = resolver(table)
        routes = {id(await found(made, f"d{n}.example")) for n in range(50)}
        assert len(routes) == 1
        assert made.dns.asked["mx1.a.example", A] == 1  # type: ignore[attr-defined]

    run(main())


def test_the_operators_routes_go_first() -> None:
    async def main() -> None:
        made = resolver({("own.example", MX): [Mx(0, "")]}, routes="192.0.2.5:2525")
        route = made.route("own.example")
        assert isinstance(route, Route)
        assert await made.targets(route) == [Target("192.0.2.5", 2525, "192.0.2.5", TlsMode.OPPORTUNISTIC)]
        assert made.route("other.example") is None

    run(main())
    static = StaticRoutes({}, Dns({}), hosts=Path("/nonexistent"))
    assert static.route("a.example") is NO_ROUTE
    run(static.look_up("a.example"))


def at(made: MxResolver, seconds: float) -> None:
    made.clock.now += seconds  # type: ignore[attr-defined]


def test_what_is_remembered_and_for_how_long() -> None:
    async def main() -> None:
        made = resolver(dict(ORDINARY))
        await found(made)
        at(made, 299)
        assert isinstance(made.route("a.example"), Route)
        at(made, 2)
        assert made.route("a.example") is None
        made.dns.table["a.example", MX] = [Mx(0, "")]  # type: ignore[attr-defined]
        assert getattr(await found(made), "final", None) is True
        at(made, 301)
        assert made.route("a.example") is None

    run(main())


def test_addresses_are_asked_for_again_when_their_ttl_is_over() -> None:
    async def main() -> None:
        made = resolver(dict(ORDINARY))
        route = await found(made)
        assert isinstance(route, Route)
        made.dns.table["mx1.a.example", A] = ["192.0.2.77"]  # type: ignore[attr-defined]
        at(made, 59)
        assert (await made.targets(route))[0].address == "192.0.2.1"  # type: ignore[index]
        at(made, 300)
        assert (await made.targets(route))[0].address == "192.0.2.77"  # type: ignore[index]
        made.dns.table["mx1.a.example", A] = made.dns.table["mx2.a.example", A] = Status.TIMEOUT  # type: ignore[attr-defined]
        at(made, 300)
        assert (await made.targets(route))[0].address == "192.0.2.77", "an hour of grace"  # type: ignore[index]
        at(made, STALE_SECONDS)
        assert isinstance(await made.targets(route), ResolveFailure)

    run(main())


def test_failures_in_a_row_are_counted_and_a_known_route_serves_on() -> None:
    async def main() -> None:
        made = resolver({("a.example", MX): Status.SERVFAIL})
        for number in (1, 2, 3):
            assert getattr(await found(made), "in_a_row", 0) == number
            at(made, FAILURE_SECONDS + 1)
            assert made.route("a.example") is None
        made.dns.table = dict(ORDINARY)  # type: ignore[attr-defined]
        assert isinstance(await found(made), Route)
        made.dns.table = {("a.example", MX): Status.TIMEOUT}  # type: ignore[attr-defined]
        at(made, 301)
        asked = 0
        while isinstance(await found(made), Route):
            asked += 1
            at(made, FAILURE_SECONDS + 1)
        assert asked == made.counts.stale
        assert STALE_SECONDS / FAILURE_SECONDS - 5 < asked < STALE_SECONDS / FAILURE_SECONDS
        assert getattr(made.route("a.example"), "in_a_row", 0) == 1

    run(main())


def test_the_memory_is_bounded() -> None:
    async def main() -> None:
        table: dict[tuple[str, Kind], list[Any] | Status] = {
            (f"d{n}.example", A): [f"192.0.2.{n}"] for n in range(1, 50)
        }
        made = resolver(table, domains=10, receivers=5)
        for n in range(1, 50):
            await places(made, f"d{n}.example")
        assert (len(made._domains), len(made._reach)) == (10, 5)
        assert len(made._routes) <= 5
        assert isinstance(made.route("d49.example"), Route)
        assert made.route("d1.example") is None

    run(main())


@pytest.mark.parametrize("secure", [True, False])
def test_dnssec_is_passed_on(secure: bool) -> None:
    async def main() -> None:
        made = resolver(ORDINARY)
        made.dns.secure = secure  # type: ignore[attr-defined]
        route = await found(made)
        assert isinstance(route, Route)
        targets = await made.targets(route)
        assert isinstance(targets, list)
        assert {target.secure for target in targets} == {secure}

    run(main())


def test_two_lookups_at_once_do_no_harm() -> None:
    async def main() -> None:
        made = resolver(ORDINARY)
        await asyncio.gather(*(made.look_up("a.example") for _ in range(3)))
        assert isinstance(made.route("a.example"), Route)

    work: Callable[[], Coroutine[Any, Any, None]] = main
    run(work())


def test_other_settings_forget_what_was_found_by_the_old_ones() -> None:
    async def test() -> None:
        made = resolver({("a.example", MX): hosts("mx.a.example"), ("mx.a.example", A): ["192.0.2.1"]})
        table = made._table
        assert (await found(made)).port == 25
        made.use(table)
        made.use(table, MxSettings(allowed=TEST_NET))
        assert isinstance(made.route("a.example"), Route), "nothing is new"
        made.use(table, MxSettings(port=2525, allowed=TEST_NET))
        assert made.route("a.example") is None
        assert (await found(made)).port == 2525
        made.use(table, forget=True)
        assert made.route("a.example") is None, "DNSSEC is not believed any more"

    run(test())


def test_failures_can_be_forgotten_and_routes_stay() -> None:
    async def test() -> None:
        table = {
            ("a.example", MX): hosts("mx.a.example"),
            ("mx.a.example", A): ["192.0.2.1"],
            ("b.example", MX): Status.TIMEOUT,
        }
        made = resolver(table)
        await found(made)
        await found(made, "b.example")
        assert isinstance(made.route("b.example"), ResolveFailure)
        made.forget_failures()
        assert made.route("b.example") is None
        assert isinstance(made.route("a.example"), Route)

    run(test())


def test_a_lookup_that_new_settings_overtake_is_made_again() -> None:
    async def test() -> None:
        made = resolver({("a.example", MX): hosts("mx.a.example"), ("mx.a.example", A): ["192.0.2.1"]})
        under_way = asyncio.create_task(made.look_up("a.example"))
        for _ in range(2):
            await asyncio.sleep(0)
        made.use(made._table, MxSettings(allowed=parse_networks(["10.0.0.0/8"])))
        await under_way
        route = made.route("a.example")
        assert isinstance(route, ResolveFailure)
        assert "never connect" in route.text

    run(test())
