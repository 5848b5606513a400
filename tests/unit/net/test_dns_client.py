"""The client against a server that answers well, badly, late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import uvloop

from engine.net.answer import MAX_RECORDS
from engine.net.dns import FAILURE_TTL, MAX_TTL, MIN_TTL, Answer, DnsClient, DnsSettings, Kind, Mx, Status
from engine.net.nameserver import QUESTIONS_EACH, Nameserver
from tests.fakes.dns import DnsServer, serving

ZONE = {
    "a.example": {"MX": ["10 mx.a.example.", "20 mx2.a.example."], "A": ["192.0.2.1"]},
    "big.example": {"TXT": [f'"{"x" * 250}{n}"' for n in range(100)], "MX": [f"{n} mx{n}.big.example." for n in range(400)]},
    "huge.example": {"TXT": [f'"{"y" * 250}{n}"' for n in range(230)]},
    "loop1.example": {"CNAME": ["loop2.example."]},
    "loop2.example": {"CNAME": ["loop1.example."]},
    **{f"c{n}.example": {"CNAME": [f"c{n + 1}.example."]} for n in range(12)},
    "c12.example": {"A": ["192.0.2.12"]},
}  # fmt: skip
SOON = 0.05
"""Seconds for an answer that never comes."""
LONG = 60.0
"""For one that comes, however busy the machine is."""
Scene = Callable[["DnsServer", "DnsClient", "Clock"], Awaitable[None]]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def play(scene: Scene, loop: Callable[[], asyncio.AbstractEventLoop] | None = None, **words: object) -> None:
    async def main() -> None:
        clock = Clock()
        async with serving(DnsServer(dict(ZONE))) as server:
            given: dict[str, object] = {
                "servers": (("127.0.0.1", server.port),),
                "timeout": LONG,
                "deadline": 2 * LONG,
                **words,
            }
            client = DnsClient(DnsSettings(**given), clock=clock)  # type: ignore[arg-type]
            try:
                await scene(server, client, clock)
            finally:
                client.close()
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_answers(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scene(_: DnsServer, client: DnsClient, __: Clock) -> None:
        found = await client.query("A.example", Kind.MX)
        assert set(found.records) == {Mx(10, "mx.a.example"), Mx(20, "mx2.a.example")}
        assert (found.status, found.ttl, found.secure, found.name) == (Status.NOERROR, 300, False, "a.example")
        assert (await client.query("a.example", Kind.AAAA)).status is Status.NODATA
        none = await client.query("none.example", Kind.A)
        assert (none.status, none.records, none.ttl) == (Status.NXDOMAIN, (), 60)
        alias = await client.query("c5.example", Kind.A)
        assert (alias.records, alias.name) == (("192.0.2.12",), "c12.example")

    play(scene, loop)


def test_positive_and_negative_answers_are_kept_for_their_ttl() -> None:
    async def scene(server: DnsServer, client: DnsClient, clock: Clock) -> None:
        for name, seconds in (("a.example", 300), ("none.example", 60)):
            for after, asked in ((0, 1), (seconds - 1, 1), (2, 2)):
                clock.now += after
                await client.query(name, Kind.A)
                assert server.asked[name, "A"] == asked
        assert client.counts.cache_hits == 2

    play(scene)


@pytest.mark.parametrize(
    ("name", "ttl", "negative", "kept"),
    [
        ("a.example", 0, 0, MIN_TTL), ("a.example", 9_000_000, 0, MAX_TTL),
        ("none.example", 0, 0, MIN_TTL), ("none.example", 0, 99_999, 3600),
    ],
)  # fmt: skip
def test_ttls_are_kept_within_bounds(name: str, ttl: int, negative: int, kept: float) -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        server.ttl, server.negative_ttl = ttl, negative
        assert (await client.query(name, Kind.A)).ttl == kept

    play(scene)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("servfail", Status.SERVFAIL, "SERVFAIL"),
        ("bogus", Status.BOGUS, "DNSSEC does not hold"),
        ("refused", Status.REFUSED, "rcode 5"),
        ("formerr", Status.REFUSED, "rcode 1"),
        ("silent", Status.TIMEOUT, "no answer within 0.05 seconds"),
        ("wrong_id", Status.TIMEOUT, "no answer within"),
        ("wrong_question", Status.TIMEOUT, "no answer within"),
        ("garbage", Status.TIMEOUT, "no answer within"),
    ],
)
def test_failures_are_values_and_kept_for_a_while(fault: str, status: Status, text: str) -> None:
    async def scene(server: DnsServer, client: DnsClient, clock: Clock) -> None:
        server.faults["a.example"] = fault
        patient = client._settings
        if status is Status.TIMEOUT:
            client.adopt(replace(patient, timeout=SOON))
        found = await client.query("a.example", Kind.MX)
        client.adopt(patient)
        assert (found.status, found.records, found.ttl) == (status, (), FAILURE_TTL)
        assert text in found.text
        assert "MX of 'a.example'" in found.text
        assert client.counts.failures[status] == 1
        asked = client.counts.queries
        await client.query("a.example", Kind.MX)
        assert client.counts.queries == asked, "not again at once"
        if fault in {"wrong_id", "wrong_question", "garbage"}:
            async with asyncio.timeout(LONG):
                while not client.strays:  # late, perhaps, but it comes
                    await asyncio.sleep(0.001)
        server.faults.clear()
        clock.now += FAILURE_TTL + 1
        assert (await client.query("a.example", Kind.MX)).status is Status.NOERROR
        assert bool(client.strays) == (fault in {"wrong_id", "wrong_question", "garbage"})

    play(scene)


def test_a_response_that_is_cut_in_the_middle() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        server.raw = lambda wire: (
            wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + wire[12 : wire.index(b"\0", 12) + 5] + b"\xc0"
        )
        found = await client.query("a.example", Kind.MX)
        assert found.status is Status.MALFORMED
        assert "not a DNS message: ends in the middle" in found.text

    play(scene)


def test_what_does_not_fit_comes_over_tcp() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        assert len((await client.query("big.example", Kind.TXT)).records) == 100
        many = (await client.query("big.example", Kind.MX)).records
        assert len(many) == 400 <= MAX_RECORDS
        assert len((await client.query("huge.example", Kind.TXT)).records) == 230
        server.faults["a.example"] = "truncate"
        assert (await client.query("a.example", Kind.A)).records == ("192.0.2.1",)
        assert server.by_tcp == 4

    play(scene)


def test_tcp_that_fails_is_a_value() -> None:
    async def scene(server: DnsServer, _: DnsClient, __: Clock) -> None:
        nameserver = Nameserver("127.0.0.1", 9)
        assert "TCP: Connection refused" in str(await nameserver.ask_by_tcp(b"", b"", LONG))
        server.seconds = LONG
        slow = Nameserver("127.0.0.1", server.port)
        assert "no answer over TCP" in str(await slow.ask_by_tcp(b"", b"\0" * 20, 0.05))
        server.seconds = 0
        server.raw = lambda _wire: b"\0" * 20
        assert "another question" in str(await slow.ask_by_tcp(b"", b"\0" * 20, LONG))

    play(scene)


def test_chains_of_aliases_end() -> None:
    async def scene(_: DnsServer, client: DnsClient, __: Clock) -> None:
        for name in ("loop1.example", "c0.example"):
            found = await client.query(name, Kind.A)
            assert found.status is Status.LOOP
            assert "more than 8 CNAMEs" in found.text
        assert (await client.query("c4.example", Kind.A)).records == ("192.0.2.12",)

    play(scene)


def test_a_chain_whose_end_the_server_leaves_to_us() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        server.zone |= {"x.example": {"CNAME": ["y.example."]}, "y.example": {"A": ["192.0.2.9"]}}
        whole = server.zone.pop("y.example")
        first = server.answer

        def answer(wire: bytes) -> bytes | None:
            server.raw = None
            if b"\1y" in wire:
                server.zone["y.example"] = whole
            else:
                server.zone["y.example"] = {"TXT": ["x"]}
            found = first(wire, tcp=False)
            server.raw = answer
            return found

        server.raw = answer
        found = await client.query("x.example", Kind.A)
        assert (found.records, found.name) == (("192.0.2.9",), "y.example")

    play(scene)


def test_a_server_from_before_edns() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        server.faults["*"] = "no_edns"
        assert (await client.query("a.example", Kind.A)).status is Status.NOERROR
        assert client.counts.queries == 2

    play(scene)


@pytest.mark.parametrize(("trust", "authentic"), [(True, True), (True, False), (False, True)])
def test_ad_is_believed_only_when_trusted(trust: bool, authentic: bool) -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        server.authentic = authentic
        for name in ("a.example", "c5.example", "none.example"):
            assert (await client.query(name, Kind.A)).secure == (trust and authentic)

    play(scene, trust_ad=trust)


def test_another_server_is_asked_and_preferred_from_then_on() -> None:
    async def main() -> None:
        one, two = DnsServer(dict(ZONE), {"*": "servfail"}), DnsServer(dict(ZONE))
        async with serving(one), serving(two):
            servers = (("127.0.0.1", one.port), ("127.0.0.1", two.port))
            client = DnsClient(DnsSettings(servers, timeout=LONG, deadline=2 * LONG))
            assert (await client.query("a.example", Kind.MX)).status is Status.NOERROR
            await client.query("a.example", Kind.A)
            assert (sum(one.asked.values()), sum(two.asked.values())) == (1, 2)
            two.faults["*"] = "silent"
            client.adopt(DnsSettings(servers, timeout=SOON))
            assert not (await client.query("b.example", Kind.A)).status.is_answer
            client.close()

    asyncio.run(main())


def test_a_server_that_is_not_there_is_noticed_at_once() -> None:
    async def main() -> None:
        async with serving(DnsServer()) as gone:
            port = gone.port
        client = DnsClient(DnsSettings((("127.0.0.1", port),), timeout=LONG, deadline=2 * LONG))
        found = await client.query("a.example", Kind.A)
        assert (found.status, "Connection refused" in found.text) == (Status.TIMEOUT, True)
        client.close()

    asyncio.run(main())


def test_no_server_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Answer:
        client = DnsClient(DnsSettings(()))
        return await client.query("a.example", Kind.A)

    monkeypatch.setattr("dns.resolver.Resolver.read_resolv_conf", lambda *_: (_ for _ in ()).throw(OSError("none")))
    assert asyncio.run(main()).status is Status.TIMEOUT


def test_the_systems_servers_are_taken_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dns.resolver.Resolver.read_resolv_conf", lambda self, *_: setattr(self, "nameservers", ["127.0.0.9"])
    )
    client_servers = []

    async def main() -> None:
        client = DnsClient(DnsSettings(timeout=0.05, deadline=0.1))
        client_servers.extend(map(str, client._known_servers()))

    asyncio.run(main())
    assert client_servers == ["127.0.0.9:53"]


def test_the_deadline_ends_it() -> None:
    async def scene(server: DnsServer, client: DnsClient, clock: Clock) -> None:
        server.faults["*"] = "silent"
        ask = asyncio.ensure_future(client.query("a.example", Kind.A))
        while not client.counts.queries:
            await asyncio.sleep(0)
        clock.now += 100
        assert (await ask).status is Status.TIMEOUT
        assert client.counts.queries == 1

    play(scene, timeout=SOON, deadline=10.0)


def test_one_question_for_many_askers_and_a_cancelled_one_stops_nobody() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        askers = [asyncio.create_task(client.query("a.example", Kind.MX)) for _ in range(5)]
        await asyncio.sleep(0)
        askers[0].cancel()
        found = await asyncio.gather(*askers, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(isinstance(each, Answer) and each.status is Status.NOERROR for each in found[1:])
        assert server.asked["a.example", "MX"] == 1

    play(scene)


def test_questions_under_way_and_the_cache_are_bounded() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        server.seconds = 0.01
        await asyncio.gather(*(client.query(f"n{n}.example", Kind.A) for n in range(40)))
        assert server.most_at_once <= 7
        assert len(client._cache) == 10
        assert not client._running
        await client.query("n39.example", Kind.A)
        assert server.asked["n39.example", "A"] == 1, "the last ones are kept"

    play(scene, concurrent=7, cache_entries=10)


def test_what_was_forgotten_is_asked_again_and_what_is_only_asked_is_not_kept() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        await client.query("a.example", Kind.A)
        client.forget("A.example", Kind.A)
        await client.query("a.example", Kind.A)
        await client.ask("a.example", Kind.MX)
        await client.ask("a.example", Kind.MX)
        assert server.asked == {("a.example", "A"): 2, ("a.example", "MX"): 2}

    play(scene)


def test_sockets_give_way_to_others() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        await client.query("a.example", Kind.A)
        (nameserver,) = client._servers
        assert isinstance(nameserver, Nameserver)
        before = [sock for sock in nameserver._sockets if sock]
        server.faults["late.example"] = "silent"
        late = [asyncio.ensure_future(client.query("late.example", Kind.A))]
        async with asyncio.timeout(60):
            while ("late.example", "A") not in server.asked:
                await asyncio.sleep(0.001)
        for sock in nameserver._sockets:
            if sock:
                sock.asked = QUESTIONS_EACH
        for n in range(60):
            await client.query(f"n{n}.example", Kind.A)
        await asyncio.gather(*late)
        await asyncio.sleep(0)
        assert all(sock.sock.fileno() < 0 for sock in before)
        assert not nameserver._worn
        assert len({sock.sock.getsockname() for sock in nameserver._sockets if sock}) > 1

    play(scene, timeout=1.0)


def test_a_name_that_dns_cannot_have_is_not_asked_for() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        found = await client.query("a\x1b[31m..example", Kind.A)
        assert found.status is Status.MALFORMED
        assert found.text.isprintable()
        assert not server.asked

    play(scene)


def test_other_servers_are_asked_from_the_next_question_on_and_who_was_asked_still_answers() -> None:
    async def scene(server: DnsServer, client: DnsClient, _: Clock) -> None:
        async with serving(DnsServer({"a.example": {"A": ["192.0.2.9"]}})) as other:
            before = client._settings
            client.adopt(replace(before, concurrent=7))
            assert (await client.query("a.example", Kind.A)).records == ("192.0.2.1",)
            server.seconds = 0.05
            late = asyncio.create_task(client.query("a.example", Kind.MX))
            await asyncio.sleep(0.01)
            client.adopt(replace(before, servers=(("127.0.0.1", other.port),)))
            assert (await client.query("a.example", Kind.A)).records == ("192.0.2.9",), "and not from memory"
            assert len((await late).records) == 2, "asked before, answered by whom it was asked of"
            assert (await client.query("a.example", Kind.MX)).status is Status.NODATA, "but not remembered"
            strays = client.strays
            client.adopt(replace(before, trust_ad=True))
            client.adopt(replace(before, trust_ad=True, timeout=1.0))
            assert client.strays == strays

    play(scene)
