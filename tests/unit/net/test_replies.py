"""Whether a sender's domain takes mail, asked of DNS and of a mail server, and blocklists, asked of our own DNS server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session

from engine.net.address import parse_networks
from engine.net.dns import DnsClient, DnsSettings, Kind, Mx
from engine.net.mx import MxResolver, MxSettings
from engine.net.preflight import preflight
from engine.net.replies import Replies, listed, reply_findings
from engine.net.resolver import StaticRoutes
from engine.policy.readiness import Finding, Level
from tests.fakes.dns import DnsServer, serving
from tests.unit.net.test_net_preflight import NOW, SUBJECT, Dns, Zone, bad, checked, sign, with_, without, zone

SPAM = "zen.blocklist.example"
ZONE = {
    f"7.2.0.192.{SPAM}": {"A": ["127.0.0.2", "127.0.0.4"], "TXT": ['"https://blocklist.example/query\\027/192.0.2.7"']},
    f"8.2.0.192.{SPAM}": {"A": ["127.255.255.254"]},
    f"9.2.0.192.{SPAM}": {"A": ["192.0.2.1"]},
    f"7.{'0.' * 23}8.b.d.0.1.0.0.2.{SPAM}": {"A": ["127.0.0.3"]},
}


def resolved(test: Callable[[DnsClient, DnsServer], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with serving(DnsServer(dict(ZONE))) as server:
            client = DnsClient(DnsSettings((("127.0.0.1", server.port),), timeout=0.2, deadline=1.0))
            try:
                return await test(client, server)
            finally:
                client.close()

    return asyncio.run(main())


# -- blocklists ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "code", "level", "found"),
    [
        ("192.0.2.7", "blocklist.listed", Level.REFUSE, "127.0.0.2"),
        ("2001:db8::7", "blocklist.listed", Level.REFUSE, "127.0.0.3"),
        ("192.0.2.8", "blocklist.refused", Level.WARN, "127.255.255.254"),
        ("192.0.2.9", "blocklist.clean", Level.OK, ""),
        ("192.0.2.10", "blocklist.clean", Level.OK, ""),
    ],
)
def test_what_a_blocklist_says(address: str, code: str, level: Level, found: str) -> None:
    (finding,) = resolved(lambda client, _: listed(client, ip_address(address), SPAM))
    assert (finding.code, finding.level, finding.subject) == (code, level, f"{address}, {SPAM}")
    assert found in finding.found
    assert finding.found.isascii()
    assert finding.found.isprintable()


def test_why_it_is_listed_is_told() -> None:
    (finding,) = resolved(lambda client, _: listed(client, ip_address("192.0.2.7"), SPAM))
    assert "blocklist.example/query" in finding.found


def test_a_blocklist_that_does_not_answer_is_unknown_and_no_pass() -> None:
    async def test(client: DnsClient, server: DnsServer) -> list[Finding]:
        server.faults["*"] = "servfail"
        return await listed(client, ip_address("192.0.2.7"), SPAM)

    (finding,) = resolved(test)
    assert (finding.code, finding.level) == ("dns.failed", Level.UNKNOWN)


def test_every_address_is_looked_for_in_every_list() -> None:
    records = zone() | {(f"7.2.0.192.{name}", Kind.A): ["127.0.0.2"] for name in ("one.example", "two.example")}
    assert checked(records).level is Level.OK, "no list is asked that nobody named"
    report = checked(records, replace(SUBJECT, blocklists=("one.example", "two.example")))
    subjects = [one.subject for one in report.findings if one.code == "blocklist.listed"]
    assert subjects == ["192.0.2.7, one.example", "192.0.2.7, two.example"]
    assert sum(one.code == "blocklist.clean" for one in report.findings) == 2


# -- domains that take no mail -----------------------------------------------------------------------------------

NULL = Mx(0, "")


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (with_("news.example.jp", Kind.MX, NULL), "from.null_mx"),
        (with_("rp.example.jp", Kind.MX, NULL), "envelope.null_mx"),
        (without(("mx.example.jp", Kind.A)), "from.mx_nowhere"),
        (with_("rp.example.jp", Kind.MX, Mx(1, "gone.example"), Mx(2, "too.example")), "envelope.mx_nowhere"),
    ],
)
def test_a_domain_that_takes_no_mail(records: Zone, code: str) -> None:
    report = checked(records)
    assert bad(report)[code].level is Level.REFUSE
    quiet = checked(records, replace(SUBJECT, advertises=False))
    # A reply can be a refusal of advertising; a bounce must come back of every mail.
    assert bad(quiet)[code].level is (Level.WARN if code.startswith("from") else Level.REFUSE)


def test_one_host_of_several_with_an_address_is_enough() -> None:
    assert checked(with_("rp.example.jp", Kind.MX, Mx(1, "gone.example"), Mx(2, "mx.example.jp"))).level is Level.OK


def test_no_dmarc_is_a_warning_where_little_is_sent() -> None:
    records = without(("_dmarc.example.jp", Kind.TXT))
    assert bad(checked(records))["dmarc.missing"].level is Level.REFUSE
    assert bad(checked(records, replace(SUBJECT, is_bulk=False)))["dmarc.missing"].level is Level.WARN


# -- asking for the mailbox ---------------------------------------------------------------------------------------


class Mailboxes:
    """Takes mail for news@, knows nobody else, puts slow@ off; remembers what it was told."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.data = 0

    async def handle_MAIL(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:
        self.mails.append(address)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:
        if address.startswith("slow@"):
            return "451 4.7.1 greylisted"
        if not address.startswith("news@"):
            return "550 5.1.1 no such user \x1b[31m"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, *_: object) -> str:
        self.data += 1
        return "250 OK"


async def probed(address: str, *, listening: bool = True, host: str = "127.0.0.1") -> tuple[tuple[int, str], Mailboxes]:
    mailboxes = Mailboxes()
    loop = asyncio.get_running_loop()
    controller = UnthreadedController(mailboxes, hostname="127.0.0.1", port=0, loop=loop)
    controller.server = server = await loop.create_server(controller.factory, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if not listening:
        server.close()
    dns = Dns({("news.example.jp", Kind.MX): [Mx(10, "mx.example.jp")], ("mx.example.jp", Kind.A): [host]})
    settings = MxSettings(port=port, allowed=parse_networks(["127.0.0.0/8"]))
    resolver = MxResolver(StaticRoutes({}, dns), dns, settings)
    try:
        return await Replies(resolver, "out1.example.jp").probe(address), mailboxes
    finally:
        server.close()


@pytest.mark.parametrize(
    ("mailbox", "code", "finding", "level"),
    [
        ("news", 250, "from.answers", Level.OK),
        ("nobody", 550, "from.unanswered", Level.REFUSE),
        ("slow", 451, "from.not_asked", Level.WARN),
    ],
)
def test_the_domains_server_is_asked_and_no_mail_is_sent(mailbox: str, code: int, finding: str, level: Level) -> None:
    async def test() -> None:
        found, mailboxes = await probed(f"{mailbox}@news.example.jp")
        assert found[0] == code
        assert (mailboxes.mails, mailboxes.data) == (["<>"], 0), "from nobody, and without a mail"

        async def probe(_: str) -> tuple[int, str]:
            return found

        (one,) = await reply_findings(probe, "a@b.example", Level.REFUSE)
        assert (one.code, one.level) == (finding, level)
        assert one.found.isprintable()

    asyncio.run(test())


def test_who_cannot_be_asked_says_nothing_of_the_mailbox() -> None:
    async def test() -> None:
        assert (await probed("news@news.example.jp", listening=False))[0][0] == 0
        assert (await probed("news@elsewhere.example"))[0][0] == 0
        code, text = (await probed("news@news.example.jp", host="10.0.0.1"))[0]
        assert code == 0
        assert "never connect" in text, "what a domain's DNS says leads no probe into our network"

    asyncio.run(test())


def test_the_probe_is_used_only_where_it_is_wanted() -> None:
    asked: list[str] = []

    async def probe(address: str) -> tuple[int, str]:
        asked.append(address)
        return 550, "5.1.1 unknown"

    async def test(wanted: bool) -> Level:
        subject = replace(SUBJECT, probes_replies=wanted)
        return (await preflight(subject, Dns(zone()), sign, NOW, probe=probe)).level

    assert asyncio.run(test(False)) is Level.OK
    assert asked == []
    assert asyncio.run(test(True)) is Level.REFUSE
    assert asked == ["news@news.example.jp"]
