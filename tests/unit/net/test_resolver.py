from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import dns.asyncresolver
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
import uvloop

from engine.net.resolver import (
    MAX_ADDRESSES,
    ResolveFailure,
    Route,
    RouteError,
    StaticRoutes,
    Target,
    TlsMode,
    is_address,
    parse_route,
    read_hosts,
)


class Dns(dns.asyncresolver.Resolver):
    """Answers from a table of (name, type) -> (ttl, addresses) | exception."""

    def __init__(self, table: dict[tuple[str, str], tuple[int, list[str]] | Exception]) -> None:
        super().__init__(configure=False)
        self.table = table
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, qname: str, rdtype: str, *args: object, **kwargs: object) -> dns.resolver.Answer:  # type: ignore[override]
        self.asked.append((qname, rdtype))
        await asyncio.sleep(0)
        found = self.table.get((qname, rdtype), dns.resolver.NoAnswer(response=dns.message.Message()))
        if isinstance(found, Exception):
            raise found
        ttl, addresses = found
        query = dns.message.make_query(qname, rdtype)
        response = dns.message.make_response(query)
        response.answer.append(dns.rrset.from_text(qname, ttl, "IN", rdtype, *addresses))
        response = dns.message.from_wire(response.to_wire())
        return dns.resolver.Answer(dns.name.from_text(qname), dns.rdatatype.from_text(rdtype), 1, response)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def routes(resolver: Dns | None = None, clock: Clock | None = None, **table: str) -> StaticRoutes:
    parsed = {domain: parse_route(domain, place) for domain, place in (table or {"*": "mx.example:25"}).items()}
    return StaticRoutes(parsed, resolver=resolver or Dns({}), hosts=Path("/nonexistent"), clock=clock or Clock())


@pytest.mark.parametrize(
    ("place", "site", "host", "port"),
    [
        ("mx.example:2525", "mx.example:2525", "mx.example", 2525),
        ("MX.Example.", "mx.example:25", "mx.example", 25),
        ("127.0.0.1:2500", "127.0.0.1:2500", "127.0.0.1", 2500),
        ("127.0.0.1", "127.0.0.1:25", "127.0.0.1", 25),
        ("[::1]:2500", "[::1]:2500", "::1", 2500),
        ("[2001:DB8::1]", "[2001:db8::1]:25", "2001:db8::1", 25),
        ("localhost:025", "localhost:25", "localhost", 25),
    ],
)
def test_parse_route(place: str, site: str, host: str, port: int) -> None:
    assert parse_route("x.example", place, TlsMode.REQUIRED) == Route(site, host, port, TlsMode.REQUIRED)


@pytest.mark.parametrize(
    "place",
    [
        "",
        ":25",
        "mx:0",
        "mx:65536",
        "mx:999999",
        "mx:x",
        "mx:２５",
        "mx:",
        "::1:25",
        "a b:25",
        "mx..example:25",
        "[mx:25",
        "-\n:25",
        "日本:25",
        "a" * 64 + ":25",
    ],
)
def test_routes_that_make_no_sense(place: str) -> None:
    with pytest.raises(RouteError, match="expected host:port"):
        parse_route("x.example", place)


def test_route_by_domain() -> None:
    table = StaticRoutes(
        {"A.example": parse_route("", "one:1"), "*": parse_route("", "two:2")}, hosts=Path("/nonexistent")
    )
    for domain, host in (("a.example", "one"), ("A.EXAMPLE", "one"), ("sub.a.example", "two")):
        route = table.route(domain)
        assert route is not None
        assert route.host == host
    assert StaticRoutes({}, hosts=Path("/nonexistent")).route("a.example") is None


def test_addresses_of_both_kinds_ipv4_first() -> None:
    resolver = Dns(
        {("mx.example.", "A"): (60, ["192.0.2.1", "192.0.2.2"]), ("mx.example.", "AAAA"): (60, ["2001:db8::1"])}
    )
    found = asyncio.run(routes(resolver).targets(parse_route("", "mx.example:25")))
    assert isinstance(found, list)
    assert {target.address for target in found[:2]} == {"192.0.2.1", "192.0.2.2"}
    assert found[2:] == [Target("mx.example", 25, "2001:db8::1", TlsMode.OPPORTUNISTIC)]


@pytest.mark.parametrize("place", ["127.0.0.1:25", "[::1]:25", "localhost:25"])
def test_what_needs_no_query(place: str) -> None:
    resolver = Dns({})
    found = asyncio.run(routes(resolver).targets(parse_route("", place)))
    assert isinstance(found, list)
    assert is_address(found[0].address)
    assert resolver.asked == []


def test_one_kind_fails() -> None:
    resolver = Dns({("mx.example.", "A"): (60, ["192.0.2.1"]), ("mx.example.", "AAAA"): dns.resolver.NoNameservers()})
    found = asyncio.run(routes(resolver).targets(parse_route("", "mx.example")))
    assert isinstance(found, list)
    assert [target.address for target in found] == ["192.0.2.1"]


@pytest.mark.parametrize(
    "error",
    [
        dns.resolver.NXDOMAIN(),
        dns.resolver.LifetimeTimeout(timeout=1, errors=[]),
        OSError("no route"),
        dns.resolver.NoAnswer(response=dns.message.Message()),
    ],
)
def test_failures_are_values_and_never_final(error: Exception) -> None:
    resolver = Dns({("mx.example.", "A"): error, ("mx.example.", "AAAA"): error})
    found = asyncio.run(routes(resolver).targets(parse_route("", "mx.example")))
    assert isinstance(found, ResolveFailure)
    assert not found.final
    assert "host name 'mx.example'" in found.text


def test_the_ttl_is_kept_within_bounds() -> None:
    async def main() -> None:
        clock = Clock()
        resolver = Dns({("mx.example.", "A"): (100, ["192.0.2.1"])})
        table = routes(resolver, clock)
        route = parse_route("", "mx.example")
        for after, queries in ((0, 2), (99, 2), (2, 4)):
            clock.now += after
            await table.targets(route)
            assert len(resolver.asked) == queries
        resolver.table = {("mx.example.", "A"): (10_000_000, ["192.0.2.1"])}
        clock.now += 101
        await table.targets(route)
        clock.now += 3601
        await table.targets(route)
        assert len(resolver.asked) == 8

    asyncio.run(main())


def test_a_failure_is_remembered_for_a_while() -> None:
    async def main() -> None:
        clock, resolver = Clock(), Dns({})
        table = routes(resolver, clock)
        for after, queries in ((0, 2), (29, 2), (2, 4)):
            clock.now += after
            assert isinstance(await table.targets(parse_route("", "mx.example")), ResolveFailure)
            assert len(resolver.asked) == queries

    asyncio.run(main())


def test_one_query_for_many_askers_and_a_cancelled_one_stops_nobody() -> None:
    async def main() -> None:
        resolver = Dns({("mx.example.", "A"): (100, ["192.0.2.1"])})
        table, route = routes(resolver), parse_route("", "mx.example")
        askers = [asyncio.create_task(table.targets(route)) for _ in range(5)]
        await asyncio.sleep(0)
        askers[0].cancel()
        found = await asyncio.gather(*askers, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(isinstance(each, list) for each in found[1:])
        assert len(resolver.asked) == 2

    asyncio.run(main())


def test_answers_are_bounded() -> None:
    resolver = Dns({("mx.example.", "A"): (60, [f"192.0.2.{n}" for n in range(200)])})
    found = asyncio.run(routes(resolver).targets(parse_route("", "mx.example")))
    assert isinstance(found, list)
    assert len(found) == MAX_ADDRESSES


def test_hosts_file(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.7\tRelay relay.lan # office\n2001:db8::7 relay\nnonsense relay\n\n")
    assert read_hosts(hosts) == {
        "localhost": ("127.0.0.1",),
        "relay": ("192.0.2.7", "2001:db8::7"),
        "relay.lan": ("192.0.2.7",),
    }
    assert read_hosts(tmp_path / "none") == {"localhost": ("127.0.0.1", "::1")}


def test_tls_words() -> None:
    assert [mode.is_required for mode in TlsMode] == [False, False, True, True, False]


class Nameserver(asyncio.DatagramProtocol):
    """A real one, on loopback: dnspython's own wire path is part of the test."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        (question,) = query.question
        if question.name != dns.name.from_text("mx.example."):
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(question.name, 300, "IN", "A", "192.0.2.1"))
        self.transport.sendto(response.to_wire(), addr)  # type: ignore[attr-defined]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_real_query(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Nameserver, local_addr=("127.0.0.1", 0)
        )
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = transport.get_extra_info("sockname")[1]
        table = StaticRoutes({}, resolver=resolver, hosts=Path("/nonexistent"))
        found = await table.targets(parse_route("", "mx.example:2525"))
        assert found == [Target("mx.example", 2525, "192.0.2.1", TlsMode.OPPORTUNISTIC)]
        failed = await table.targets(parse_route("", "none.example"))
        assert isinstance(failed, ResolveFailure)
        assert "does not exist" in failed.text
        transport.close()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.net.resolver.MAX_NAMES", 3)

    async def main() -> int:
        table = routes(Dns({}))
        for n in range(10):
            await table.targets(parse_route("", f"mx{n}.example"))
        return len(table._known)

    assert asyncio.run(main()) <= 3
