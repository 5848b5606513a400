"""From a domain's DNS to a connection under its policy, over real DNS, TLS and SMTP: what is used, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.flow.opening import Opening, OpeningSettings, Tried
from engine.flow.path import ONLY_SOURCE
from engine.net.connection import Connection
from engine.net.dns import DnsClient, DnsSettings
from engine.net.mx import MxResolver, MxSettings
from engine.net.negotiate import Refused, TlsContexts
from engine.net.resolver import ClientCertificate, Route, StaticRoutes, Target, TlsMode
from engine.net.sts import StsPolicies, Trouble
from engine.net.trust import PolicyKind, Trust, Trusting
from engine.policy.shaping import Limits
from tests.fakes.dns import DnsServer, serving

LIMITS = Limits(connect_timeout=5.0, banner_timeout=5.0, ehlo_timeout=5.0, starttls_timeout=5.0)
OURS, THEIRS = trustme.CA(), trustme.CA()
GOOD = OURS.issue_cert("mx1.example.jp", "mx2.example.jp")
ALIEN = THEIRS.issue_cert("mx1.example.jp")
MISNAMED = OURS.issue_cert("other.example.jp")
PLACES = ("127.0.1.1", "127.0.1.2")
POLICY = "version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n"
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def tlsa(certificate: trustme.LeafCert, usage: int = 3) -> str:
    pems = [certificate.cert_chain_pems[0].bytes(), (THEIRS if certificate is ALIEN else OURS).cert_pem.bytes()]
    key = x509.load_pem_x509_certificate(pems[3 - usage]).public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{usage} 1 1 {hashlib.sha256(octets).hexdigest()}"


def server_tls(certificate: trustme.LeafCert, *, with_root: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    if with_root:
        context.load_verify_locations(cadata=OURS.cert_pem.bytes().decode())  # OpenSSL sends it along
    return context


class Host:
    """A mail server that notes what it was told in plain text and under TLS."""

    def __init__(self, context: ssl.SSLContext | None, *, breaks: bool = False) -> None:
        self.context, self.breaks = context, breaks
        self.breaks_next = False
        self.plain: list[bytes] = []
        self.encrypted: list[bytes] = []
        self.talks: set[asyncio.Task[None]] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        self.talks.add(current)
        said = self.plain
        with contextlib.suppress(OSError, EOFError):
            writer.write(b"220 mx ESMTP\r\n")
            while line := await reader.readline():
                said.append(line[:4])
                if not line.startswith(b"STARTTLS"):
                    offer = b"250-mx\r\n250-STARTTLS\r\n" if self.context and said is self.plain else b""
                    writer.write(offer + b"250 PIPELINING\r\n")
                    continue
                writer.write(b"220 go\r\n")
                await writer.drain()
                if self.breaks or self.breaks_next:
                    self.breaks_next = False
                    break
                await writer.start_tls(self.context)  # type: ignore[arg-type]
                said = self.encrypted
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class World:
    """example.jp with its hosts mx1 and mx2; the first is preferred."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dns = DnsServer(authentic=True)
        self.policy: bytes | Trouble | None = None
        self.hosts: list[Host] = []
        self.port = 0
        self.now = 1_700_000_000.0
        self.tried: list[Tried] = []

    def zone(self, **records: dict[str, list[str]]) -> None:
        self.dns.zone = {
            "example.jp": {"MX": [f"{n}0 mx{n}.example.jp." for n in (1, 2)[: len(self.hosts)]]},
            **{f"mx{n}.example.jp": {"A": [PLACES[n - 1]]} for n in (1, 2)},
            **{name.replace("__", "."): found for name, found in records.items()},
        }
        if self.policy is not None:
            self.dns.zone["_mta-sts.example.jp"] = {"TXT": ['"v=STSv1; id=1"']}

    def tlsa(self, text: str, number: int = 1) -> None:
        self.dns.zone[f"_{self.port}._tcp.mx{number}.example.jp"] = {"TLSA": [text]}

    def enforce(self, mode: str = "enforce", mx: str = "*.example.jp") -> None:
        self.policy = POLICY.format(mode=mode, mx=mx).encode()
        self.zone()

    async def fetch(self, _domain: str) -> bytes | Trouble:
        assert self.policy is not None
        return self.policy

    def parts(self) -> tuple[DnsClient, Trusting, Opening]:
        """As after a start."""
        client = DnsClient(DnsSettings((("127.0.0.1", self.dns.port),), trust_ad=True, timeout=1.0, deadline=1.0))
        inner = MxResolver(
            StaticRoutes({}, client), client, MxSettings(port=self.port, allowed=(ip_network("127.0.0.0/8"),)),
            is_local=lambda _: False,
        )  # fmt: skip
        sts = StsPolicies(client, self.fetch, self.folder / "sts", clock=lambda: self.now)
        resolver = Trusting(inner, sts)
        file = self.folder / "ca.pem"
        OURS.cert_pem.write_to_path(file)
        opening = Opening(
            OpeningSettings("out.example", None), resolver=resolver, contexts=TlsContexts.load(str(file)),
            clock=lambda: self.now, trust=Trust(client, dane=True),
        )  # fmt: skip
        opening.on_tried = self.tried.append
        return client, resolver, opening

    async def open(self, limits: Limits = LIMITS) -> Connection | Refused:
        client, resolver, opening = self.parts()
        try:
            await resolver.look_up("example.jp")
            route = resolver.route("example.jp")
            assert isinstance(route, Route), route
            path: Any = SimpleNamespace(route=route, limits=limits, source=ONLY_SOURCE)
            result = await opening(path)
            if isinstance(result, Connection):
                result.attach(SimpleNamespace(closed=lambda *_: None))  # type: ignore[arg-type]
                result.abort()
            return result
        finally:
            client.close()

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(str(tried.kind), tried.outcome, tried.result) for tried in self.tried]


@contextlib.asynccontextmanager
async def serving_hosts(world: World) -> AsyncIterator[None]:
    servers: list[asyncio.Server] = []
    for host, place in zip(world.hosts, PLACES, strict=False):
        servers.append(await asyncio.start_server(host.talk, place, world.port))
        world.port = servers[0].sockets[0].getsockname()[1]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        for host in world.hosts:
            await asyncio.gather(*host.talks)


def played(
    tmp_path: Path,
    test: Callable[[World], Awaitable[None]],
    *hosts: Host,
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    async def main() -> None:
        world = World(tmp_path)
        world.hosts = list(hosts)
        async with serving(world.dns), serving_hosts(world):
            world.zone()
            await test(world)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def good() -> Host:
    return Host(server_tls(GOOD))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("usage", [2, 3])
def test_dane_accepts_the_certificate_that_dns_names(
    tmp_path: Path, usage: int, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Of an authority that nobody else knows."""
    host = Host(server_tls(GOOD, with_root=True))

    async def test(world: World) -> None:
        world.tlsa(tlsa(GOOD, usage))
        assert isinstance(await world.open(), Connection)
        assert world.told == [("dane", "verified", "")]

    played(tmp_path, test, host, loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("limits", ["Opportunistic", "Disabled"])
def test_dane_refuses_another_certificate_and_says_nothing_to_the_server(
    tmp_path: Path, limits: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    host = Host(server_tls(ALIEN))

    async def test(world: World) -> None:
        world.tlsa(tlsa(GOOD))
        refused = await world.open(replace(LIMITS, enable_tls=limits))
        assert isinstance(refused, Refused)
        assert refused.tls_failed
        assert "no TLSA record fits" in refused.error
        assert world.told == [("dane", "failed", "validation-failure")]
        assert (host.plain, host.encrypted) == ([b"EHLO", b"STAR"], []), "neither EHLO nor a second try in plain text"

    played(tmp_path, test, host, loop=loop)


@pytest.mark.parametrize("fault", ["servfail", "bogus", "silent"])
def test_a_host_whose_tlsa_records_cannot_be_told_is_passed_over(tmp_path: Path, fault: str) -> None:
    hosts = good(), good()

    async def test(world: World) -> None:
        world.dns.faults = {f"_{world.port}._tcp.mx1.example.jp TLSA": fault}
        world.tlsa(tlsa(GOOD), 2)
        opened = await world.open()
        assert isinstance(opened, Connection)
        assert opened.peer[0] == "mx2.example.jp"
        assert hosts[0].plain == [], "not even connected to"
        world.dns.faults[f"_{world.port}._tcp.mx2.example.jp TLSA"] = fault
        refused = await world.open()
        assert isinstance(refused, Refused)
        assert "DANE" in refused.error
        assert refused.tls_result == ("dnssec-invalid" if fault == "bogus" else "tlsa-invalid")

    played(tmp_path, test, *hosts)


def test_without_dnssec_tlsa_records_are_not_there(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.tlsa(tlsa(ALIEN))
        world.dns.authentic = False
        assert isinstance(await world.open(), Connection)
        assert world.told == [("limits", "encrypted", "")]

    played(tmp_path, test, good())


@pytest.mark.parametrize("with_policy", [True, False])
def test_a_stripped_starttls_stops_mail_where_a_policy_speaks_and_nowhere_else(
    tmp_path: Path, *, with_policy: bool
) -> None:
    host = Host(None)

    async def test(world: World) -> None:
        if with_policy:
            world.enforce()
        result = await world.open()
        assert isinstance(result, Refused if with_policy else Connection)
        assert host.plain == [b"EHLO"]
        outcome = ("mta_sts", "failed") if with_policy else ("limits", "plain")
        assert world.told == [(*outcome, "starttls-not-supported")]

    played(tmp_path, test, host)


@pytest.mark.parametrize(
    ("certificate", "result"),
    [(GOOD, ""), (ALIEN, "certificate-not-trusted"), (MISNAMED, "certificate-host-mismatch")],
    ids=["good", "another authority", "another name"],
)
@pytest.mark.parametrize("mode", ["enforce", "testing"])
def test_mta_sts_and_the_certificate(tmp_path: Path, mode: str, certificate: trustme.LeafCert, result: str) -> None:
    async def test(world: World) -> None:
        world.enforce(mode)
        opened = await world.open()
        name = "mta_sts" if mode == "enforce" else "mta_sts_testing"
        assert isinstance(opened, Connection) is (mode == "testing" or not result)
        expected = [(name, "failed", result)] if result else [(name, "verified", "")]
        if mode == "testing" and result:
            expected.append(("limits", "encrypted", ""))
        assert world.told == expected

    played(tmp_path, test, Host(server_tls(certificate)))


def test_broken_tls_is_no_reason_for_plain_text_under_a_policy(tmp_path: Path) -> None:
    host = Host(server_tls(GOOD), breaks=True)

    async def test(world: World) -> None:
        world.enforce()
        assert isinstance(await world.open(), Refused)
        assert host.plain == [b"EHLO", b"STAR"], "one connection"

    played(tmp_path, test, host)


@pytest.mark.parametrize("mode", ["enforce", "testing"])
def test_a_host_outside_the_policy(tmp_path: Path, mode: str) -> None:
    hosts = good(), good()

    async def test(world: World) -> None:
        world.enforce(mode, "mx2.example.jp")
        opened = await world.open()
        assert isinstance(opened, Connection)
        assert opened.peer[0] == ("mx2.example.jp" if mode == "enforce" else "mx1.example.jp")
        assert bool(hosts[0].plain) is (mode == "testing")
        world.hosts.pop()
        world.zone()
        assert isinstance(await world.open(), Refused if mode == "enforce" else Connection)

    played(tmp_path, test, *hosts)


def test_a_policy_holds_when_its_record_and_its_server_are_gone_after_a_restart(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.enforce()
        assert isinstance(await world.open(), Connection)
        world.policy = None
        world.zone()
        world.hosts[0].context = None
        refused = await world.open()
        assert isinstance(refused, Refused)
        assert refused.tls_result == "starttls-not-supported"
        world.now += 86_400
        assert isinstance(await world.open(), Connection), "max_age is over"

    played(tmp_path, test, good())


@pytest.mark.parametrize("signed", [True, False])
def test_dane_goes_before_mta_sts_where_dnssec_names_the_host(tmp_path: Path, *, signed: bool) -> None:
    """A certificate of an authority that only DANE knows."""

    async def test(world: World) -> None:
        world.enforce()
        world.tlsa(tlsa(ALIEN))
        world.dns.insecure = set() if signed else {"example.jp"}
        assert isinstance(await world.open(), Connection if signed else Refused)
        assert world.told == (
            [("dane", "verified", "")] if signed else [("mta_sts", "failed", "certificate-not-trusted")]
        )

    played(tmp_path, test, Host(server_tls(ALIEN)))


def test_both_are_asked_where_dnssec_does_not_name_the_host(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.dns.insecure = {"example.jp"}
        world.enforce()
        world.tlsa(tlsa(ALIEN))
        refused = await world.open()
        assert isinstance(refused, Refused)
        assert "no TLSA record fits" in refused.error
        world.tlsa(tlsa(GOOD))
        assert isinstance(await world.open(), Connection)

    played(tmp_path, test, good())


def test_a_policy_in_testing_that_failed_is_not_tried_at_each_connection(tmp_path: Path) -> None:
    host = Host(server_tls(ALIEN))

    async def test(world: World) -> None:
        world.enforce("testing")
        client, resolver, opening = world.parts()
        await resolver.look_up("example.jp")
        path: Any = SimpleNamespace(route=resolver.route("example.jp"), limits=LIMITS, source=ONLY_SOURCE)
        for count in (2, 3, 4):
            opened = await opening(path)
            assert isinstance(opened, Connection)
            opened.attach(SimpleNamespace(closed=lambda *_: None))  # type: ignore[arg-type]
            opened.abort()
            assert len(host.talks) == count
        client.close()
        assert opening.outcomes[f"{PolicyKind.TESTING} failed"] == 1

    played(tmp_path, test, host)


@pytest.mark.parametrize("known", [True, False])
def test_a_smart_host_sees_our_certificate(tmp_path: Path, *, known: bool) -> None:
    context = server_tls(GOOD)
    context.verify_mode = ssl.CERT_REQUIRED
    OURS.configure_trust(context)
    (OURS if known else THEIRS).issue_cert("out.example").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "own.pem"
    )

    async def test(world: World) -> None:
        client = ClientCertificate(str(tmp_path / "own.pem"))
        _, _, opening = world.parts()
        opening._contexts.add_client(client)
        route = Route("relay", "mx1.example.jp", world.port, TlsMode.REQUIRED, client=client)
        target = Target(route.host, route.port, PLACES[0], route.tls, client=client)
        opening._resolver = SimpleNamespace(targets=lambda _: asyncio.sleep(0, [target]))  # type: ignore[assignment]
        path: Any = SimpleNamespace(route=route, limits=LIMITS, source=ONLY_SOURCE)
        result = await opening(path)
        assert isinstance(result, Connection if known else Refused)
        if isinstance(result, Connection):
            result.attach(SimpleNamespace(closed=lambda *_: None))  # type: ignore[arg-type]
            result.abort()

    played(tmp_path, test, Host(context))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("policy", ["dane", "mta_sts"])
def test_a_session_is_taken_up_again_where_its_certificate_is_not_looked_at(
    tmp_path: Path, policy: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def test(world: World) -> None:
        if policy == "dane":
            world.tlsa(tlsa(GOOD))
        else:
            world.enforce()
        client, resolver, opening = world.parts()
        await resolver.look_up("example.jp")
        path: Any = SimpleNamespace(route=resolver.route("example.jp"), limits=LIMITS, source=ONLY_SOURCE)
        reused, kept = [], list[Connection]()
        for _ in range(3):
            opened = await opening(path)
            assert isinstance(opened, Connection)
            reused.append(opened._transport.get_extra_info("ssl_object").session_reused)
            opened.attach(SimpleNamespace(closed=lambda *_: None))  # type: ignore[arg-type]
            kept.append(opened)
        for opened in kept:
            opened.abort()
        assert reused == [False, *[policy == "mta_sts"] * 2]
        client.close()

    played(tmp_path, test, good(), loop=loop)


def test_a_session_that_breaks_is_no_reason_for_plain_text(tmp_path: Path) -> None:
    host = good()

    async def test(world: World) -> None:
        client, resolver, opening = world.parts()
        await resolver.look_up("example.jp")
        path: Any = SimpleNamespace(route=resolver.route("example.jp"), limits=LIMITS, source=ONLY_SOURCE)

        async def opened() -> str:
            result = await opening(path)
            assert isinstance(result, Connection)
            result.attach(SimpleNamespace(closed=lambda *_: None))  # type: ignore[arg-type]
            result.abort()
            return result.tls

        assert await opened()
        host.breaks_next = True
        assert await opened()
        assert opening.tls_fallbacks == 0
        assert [tried.outcome for tried in world.tried] == ["encrypted", "encrypted"]
        client.close()

    played(tmp_path, test, host)


def test_another_authority_is_trusted_from_the_next_connection_on(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.enforce()
        client, resolver, opening = world.parts()
        stranger = tmp_path / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(stranger)
        right = opening._contexts
        await resolver.look_up("example.jp")
        path: Any = SimpleNamespace(route=resolver.route("example.jp"), limits=LIMITS, source=ONLY_SOURCE)
        opening.use(resolver, TlsContexts.load(str(stranger)), Trust(client, dane=True))
        assert isinstance(await opening(path), Refused)
        opening._untrusted["127.0.0.1"] = world.now + 60.0
        opening.use(resolver, right, Trust(client, dane=False))
        assert not opening._untrusted, "tried again"
        found = await opening(path)
        assert isinstance(found, Connection)
        found.attach(SimpleNamespace(closed=lambda *_: None))  # type: ignore[arg-type]
        found.abort()
        client.close()

    played(tmp_path, test, good())
