from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.net.dns import Answer, Kind, Status
from engine.net.resolver import (
    MAX_ADDRESSES,
    NO_ROUTE,
    Credentials,
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

NOWHERE = Path("/nonexistent")


class Dns:
    """Answers from a table of (name, type) -> addresses, or a status."""

    def __init__(self, table: dict[tuple[str, Kind], list[str] | Status]) -> None:
        self.table = table
        self.asked: list[tuple[str, Kind]] = []

    async def query(self, name: str, kind: Kind) -> Answer:
        self.asked.append((name, kind))
        await asyncio.sleep(0)
        found = self.table.get((name, kind), Status.NODATA)
        if isinstance(found, Status):
            return Answer(found, text="" if found.is_answer else f"{kind.name} of {name}: {found}")
        return Answer(Status.NOERROR, tuple(found), 60.0)

    ask = query


def routes(dns: Dns | None = None, **table: str) -> StaticRoutes:
    parsed = {domain: parse_route(domain, place) for domain, place in (table or {"*": "mx.example:25"}).items()}
    return StaticRoutes(parsed, dns or Dns({}), hosts=NOWHERE)


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
    given = {"A.example": parse_route("", "one:1"), "*": parse_route("", "two:2")}
    table = StaticRoutes(given, Dns({}), hosts=NOWHERE)
    for domain, host in (("a.example", "one"), ("A.EXAMPLE", "one"), ("sub.a.example", "two")):
        route = table.route(domain)
        assert isinstance(route, Route)
        assert route.host == host
    assert StaticRoutes({}, Dns({}), hosts=NOWHERE).route("a.example") is NO_ROUTE
    assert not NO_ROUTE.final, "the operator may add one"


def test_addresses_of_both_kinds_ipv4_first() -> None:
    dns = Dns({("mx.example", Kind.A): ["192.0.2.1", "192.0.2.2"], ("mx.example", Kind.AAAA): ["2001:db8::1"]})
    found = asyncio.run(routes(dns).targets(parse_route("", "mx.example:25")))
    assert isinstance(found, list)
    assert {target.address for target in found[:2]} == {"192.0.2.1", "192.0.2.2"}
    assert found[2:] == [Target("mx.example", 25, "2001:db8::1", TlsMode.OPPORTUNISTIC)]


def test_a_login_goes_with_the_target_and_into_no_text() -> None:
    route = parse_route("", "127.0.0.1:587", TlsMode.REQUIRED, Credentials("shop", "secret"))
    found = asyncio.run(routes().targets(route))
    assert isinstance(found, list)
    assert found[0].credentials == Credentials("shop", "secret")
    assert "secret" not in f"{route!r} {found!r} {route.credentials!r}"


@pytest.mark.parametrize("place", ["127.0.0.1:25", "[::1]:25", "localhost:25"])
def test_what_needs_no_query(place: str) -> None:
    dns = Dns({})
    found = asyncio.run(routes(dns).targets(parse_route("", place)))
    assert isinstance(found, list)
    assert is_address(found[0].address)
    assert dns.asked == []


def test_one_kind_fails() -> None:
    dns = Dns({("mx.example", Kind.A): ["192.0.2.1"], ("mx.example", Kind.AAAA): Status.SERVFAIL})
    found = asyncio.run(routes(dns).targets(parse_route("", "mx.example")))
    assert isinstance(found, list)
    assert [target.address for target in found] == ["192.0.2.1"]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.NOERROR])
def test_failures_are_values_and_never_final(status: Status) -> None:
    dns = Dns({("mx.example", Kind.A): status, ("mx.example", Kind.AAAA): status})
    found = asyncio.run(routes(dns).targets(parse_route("", "mx.example")))
    assert isinstance(found, ResolveFailure)
    assert not found.final
    assert "host name 'mx.example'" in found.text
    assert status.is_answer or str(status) in found.text


def test_answers_are_bounded() -> None:
    dns = Dns({("mx.example", Kind.A): [f"192.0.2.{n}" for n in range(200)]})
    found = asyncio.run(routes(dns).targets(parse_route("", "mx.example")))
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
