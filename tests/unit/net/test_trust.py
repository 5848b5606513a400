"""What a connection must be: every meeting of DANE, MTA-STS and limits, and what a route tells of its domain's policy."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine.net.dns import Answer, Kind, Status, Tlsa
from engine.net.resolver import NO_ROUTE, ResolveFailure, Route, Standing, Target, TlsMode
from engine.net.sts import Kept, Mode, Policy
from engine.net.trust import Demand, PolicyKind, Trust, Trusting, Unfit

GOOD = Tlsa(3, 1, 1, b"x" * 32)
USELESS = Tlsa(1, 0, 1, b"x" * 32)
HOST = "mx.example.jp"
ENFORCE = Standing(True, ("mx.example.jp",), False)
SIGNED = replace(ENFORCE, signed=True)
ELSEWHERE = replace(ENFORCE, mx=("*.elsewhere.jp",))
TESTING = replace(ENFORCE, enforce=False)
ANY, REQUIRED, INSECURE, NONE = (
    TlsMode.OPPORTUNISTIC,
    TlsMode.REQUIRED,
    TlsMode.REQUIRED_INSECURE,
    TlsMode.DISABLED,
)
SECURE = Answer(Status.NOERROR, (GOOD,), secure=True)
UNSIGNED = Answer(Status.NOERROR, (GOOD,), secure=False)
ABSENT = Answer(Status.NXDOMAIN, secure=True)
UNUSABLE = Answer(Status.NOERROR, (USELESS,), secure=True)
BOGUS, SERVFAIL = Answer(Status.BOGUS, text="bogus"), Answer(Status.SERVFAIL, text="servfail")
TIMEOUT = Answer(Status.TIMEOUT, text="late")


PLAIN_HOST = Answer(Status.NOERROR, ("192.0.2.1",), secure=True)


class Dns:
    def __init__(self, tlsa: Answer, host: Answer = PLAIN_HOST) -> None:
        self.answers = {Kind.TLSA: tlsa, Kind.A: host}
        self.asked: list[str] = []

    async def query(self, name: str, kind: Kind) -> Answer:
        if kind is Kind.TLSA:
            self.asked.append(name)
        return self.answers[kind]

    ask = query


def decide(
    tlsa: Answer, standing: Standing | None, limits: TlsMode, *, secure: bool = True, dane: bool = True
) -> Demand | Unfit:
    target = Target(HOST, 25, "192.0.2.1", ANY, None, secure)
    return asyncio.run(Trust(Dns(tlsa), dane=dane).demand(target, standing, limits))


DANE, STS, TRY, LIMITS = PolicyKind.DANE, PolicyKind.STS, PolicyKind.TESTING, PolicyKind.LIMITS


@pytest.mark.parametrize(
    ("tlsa", "standing", "limits", "kind", "mode", "records"),
    [
        (SECURE, None, ANY, DANE, INSECURE, 1),
        (SECURE, None, NONE, DANE, INSECURE, 1),
        (SECURE, TESTING, ANY, DANE, INSECURE, 1),
        (SECURE, SIGNED, ANY, DANE, INSECURE, 1),
        (SECURE, replace(ELSEWHERE, signed=True), ANY, DANE, INSECURE, 1),
        (SECURE, ENFORCE, ANY, STS, REQUIRED, 1),
        (UNSIGNED, None, ANY, LIMITS, ANY, 0),
        (UNSIGNED, SIGNED, ANY, STS, REQUIRED, 0),
        (ABSENT, None, ANY, LIMITS, ANY, 0),
        (ABSENT, None, NONE, LIMITS, NONE, 0),
        (ABSENT, None, REQUIRED, LIMITS, REQUIRED, 0),
        (ABSENT, ENFORCE, ANY, STS, REQUIRED, 0),
        (ABSENT, ENFORCE, NONE, STS, REQUIRED, 0),
        (ABSENT, ENFORCE, INSECURE, STS, REQUIRED, 0),
        (ABSENT, TESTING, ANY, TRY, ANY, 0),
        (ABSENT, TESTING, INSECURE, TRY, INSECURE, 0),
        (ABSENT, TESTING, REQUIRED, LIMITS, REQUIRED, 0),
        (ABSENT, TESTING, NONE, LIMITS, NONE, 0),
        (UNUSABLE, None, ANY, DANE, INSECURE, 0),
        (UNUSABLE, None, NONE, DANE, INSECURE, 0),
        (UNUSABLE, None, REQUIRED, DANE, REQUIRED, 0),
        (UNUSABLE, SIGNED, ANY, STS, REQUIRED, 0),
        (UNUSABLE, TESTING, ANY, TRY, INSECURE, 0),
    ],
)
def test_the_table(
    tlsa: Answer, standing: Standing | None, limits: TlsMode, kind: PolicyKind, mode: TlsMode, records: int
) -> None:
    found = decide(tlsa, standing, limits)
    assert isinstance(found, Demand), found
    assert (found.kind, found.mode, len(found.tlsa)) == (kind, mode, records)


@pytest.mark.parametrize("limits", [ANY, NONE, REQUIRED])
@pytest.mark.parametrize("standing", [None, ENFORCE, SIGNED, TESTING])
@pytest.mark.parametrize(
    ("answer", "result"), [(BOGUS, "dnssec-invalid"), (SERVFAIL, "tlsa-invalid"), (TIMEOUT, "tlsa-invalid")]
)
def test_records_that_cannot_be_told_rule_the_host_out(
    answer: Answer, result: str, standing: Standing | None, limits: TlsMode
) -> None:
    found = decide(answer, standing, limits)
    assert isinstance(found, Unfit)
    assert (found.kind, found.result) == (DANE, result)
    assert answer.text in found.text


@pytest.mark.parametrize("tlsa", [ABSENT, UNSIGNED, UNUSABLE, SECURE])
def test_a_host_outside_the_policy_is_ruled_out(tlsa: Answer) -> None:
    found = decide(tlsa, ELSEWHERE, ANY)
    assert isinstance(found, Unfit)
    assert (found.kind, found.result) == (STS, "validation-failure")
    assert "*.elsewhere.jp" in found.text
    assert HOST in found.text


@pytest.mark.parametrize(("secure", "dane"), [(False, True), (True, False)])
def test_records_are_not_asked_for_where_they_could_not_count(*, secure: bool, dane: bool) -> None:
    """Servers that fail at questions for TLSA would else cost their mail (RFC 7672 2.2)."""
    assert decide(SERVFAIL, None, ANY, secure=secure, dane=dane) == Demand(LIMITS, ANY)


def test_an_alias_is_asked_at_its_end_first() -> None:
    host = Answer(Status.NOERROR, ("192.0.2.1",), secure=True, name="real.example.net")
    target = Target(HOST, 2525, "192.0.2.1", ANY, None, True)
    dns = Dns(ABSENT, host)
    asyncio.run(Trust(dns, dane=True).demand(target, None, ANY))
    assert dns.asked == ["_2525._tcp.real.example.net", "_2525._tcp.mx.example.jp"]
    dns = Dns(SECURE, host)
    found = asyncio.run(Trust(dns, dane=True).demand(target, None, ANY))
    assert isinstance(found, Demand)
    assert (dns.asked, found.names) == (["_2525._tcp.real.example.net"], ("real.example.net", HOST))


ROUTE = Route("site", "", 25, ANY, None, ((HOST,),))
RELAY = Route("relay:25", "relay", 25, ANY)


class Inner:
    def __init__(self, found: Route | ResolveFailure | None, *, signed: bool = False) -> None:
        self.found, self.signed = found, signed
        self.done: list[object] = []

    def route(self, _domain: str) -> Route | ResolveFailure | None:
        return self.found

    def is_signed(self, _domain: str) -> bool:
        return self.signed

    async def look_up(self, _domain: str) -> None:
        self.done.append("mx")

    async def targets(self, route: Route) -> list[Target] | ResolveFailure:
        self.done.append(route)
        return NO_ROUTE


class Policies:
    def __init__(self, inner: Inner, mode: Mode | None, mx: tuple[str, ...] = (HOST,)) -> None:
        self.inner, self.mode, self.mx = inner, mode, mx

    def of(self, domain: str) -> Kept | None:
        return Kept(domain, "1", 0.0, Policy(self.mode, self.mx, 9)) if self.mode else None

    async def look_up(self, _domain: str) -> None:
        self.inner.done.append("sts")


def trusting(inner: Inner, mode: Mode | None) -> Trusting:
    return Trusting(inner, Policies(inner, mode))  # type: ignore[arg-type]


@pytest.mark.parametrize("found", [None, NO_ROUTE, RELAY])
def test_what_mx_records_did_not_say_has_no_standing(found: Route | ResolveFailure | None) -> None:
    assert trusting(Inner(found), Mode.ENFORCE).route("example.jp") is found


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("mode", "expected"), [(None, None), (Mode.NONE, None), (Mode.ENFORCE, True), (Mode.TESTING, False)]
)
def test_a_route_carries_its_domains_policy(mode: Mode | None, expected: bool | None, *, signed: bool) -> None:
    resolver = trusting(Inner(ROUTE, signed=signed), mode)
    found = resolver.route("example.jp")
    assert isinstance(found, Route)
    assert found.standing == (None if expected is None else Standing(expected, (HOST,), signed))
    assert replace(found, standing=None) == ROUTE
    assert resolver.route("example.jp") is found, "the same object: paths compare by it"


def test_the_policy_is_looked_up_before_the_route_can_be_used_and_targets_know_nothing_of_it() -> None:
    inner = Inner(None)
    resolver = trusting(inner, Mode.ENFORCE)
    asyncio.run(resolver.look_up("example.jp"))
    assert inner.done == ["sts", "mx"]
    inner.found = ROUTE
    found = resolver.route("example.jp")
    assert isinstance(found, Route)
    asyncio.run(resolver.targets(found))
    asyncio.run(resolver.targets(ROUTE))
    assert inner.done[2:] == [ROUTE, ROUTE]


def test_labels_differ_whenever_two_must_not_share_a_connection() -> None:
    long = tuple(f"mx{n}.example.jp" for n in range(50))
    standings = [ENFORCE, SIGNED, ELSEWHERE, replace(ENFORCE, mx=long), replace(ENFORCE, mx=long[:-1])]
    labels = [standing.label for standing in standings]
    assert len(set(labels)) == len(labels)
    assert all(0 < len(label) < 160 for label in labels)
    assert TESTING.label == ""
