"""The preflight against a DNS that is in order, and with each thing taken away or spoiled."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from engine.mail.identity import SenderIdentity
from engine.net.dns import Answer, Kind, Mx, Status
from engine.net.fetch import Got
from engine.net.preflight import Subject, greet_https, preflight
from engine.net.proof import Outlet, make_probe, name_of, record_of
from engine.policy.readiness import Finding, Level, Report, removed
from engine.signer.backend import OpensslBackend
from engine.signer.keys import PrivateKey, algorithm_of, generate_key, public_text, signature_size
from engine.signer.settings import KeyInfo

NOW = 1_700_000_000.0
KEYS = [generate_key("ed25519"), generate_key("rsa"), generate_key("ed25519")]
BACKEND = OpensslBackend(KEYS)
OUT = Outlet(ip_address("192.0.2.7"), "out1.example.jp")
OUT6 = Outlet(ip_address("2001:db8::7"), "out1.example.jp")
IDENTITY = SenderIdentity(
    "shop", "news@news.example.jp", "news.example.jp", "rp.example.jp", "news.example.jp", "お店",
    "https://news.example.jp/u/{token}",
)  # fmt: skip
Zone = dict[tuple[str, Kind], Any]


def info(index: int, selector: str, key: PrivateKey | None = None) -> KeyInfo:
    key = key or KEYS[index]
    return KeyInfo(index, "news.example.jp", selector, algorithm_of(key), signature_size(key), public_text(key))


EDWARDS, RSA = info(0, "ed"), info(1, "rsa")
SUBJECT = Subject(IDENTITY, (EDWARDS, RSA), (OUT, OUT6))


def public(key: KeyInfo) -> bytes:
    return f"v=DKIM1; k={key.algorithm.partition('-')[0]}; p={key.public}".encode()


def zone(**changes: Any) -> Zone:
    del changes
    spf = [b"v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"]
    return {
        ("news.example.jp", Kind.MX): [Mx(10, "mx.example.jp")],
        ("mx.example.jp", Kind.A): ["192.0.2.9"],
        ("rp.example.jp", Kind.A): ["192.0.2.8"],
        ("news.example.jp", Kind.TXT): spf,
        ("rp.example.jp", Kind.TXT): spf,
        (name_of(EDWARDS), Kind.TXT): [public(EDWARDS)],
        (name_of(RSA), Kind.TXT): [public(RSA)],
        ("_dmarc.example.jp", Kind.TXT): [b"v=DMARC1; p=none; rua=mailto:d@example.jp"],
        (OUT.address.reverse_pointer, Kind.PTR): ["out1.example.jp"],
        (OUT6.address.reverse_pointer, Kind.PTR): ["out1.example.jp"],
        ("out1.example.jp", Kind.A): ["192.0.2.7"],
        ("out1.example.jp", Kind.AAAA): ["2001:db8::7"],
    }


class Dns:
    def __init__(self, records: Zone) -> None:
        self.records = records

    async def query(self, name: str, kind: Kind) -> Answer:
        await asyncio.sleep(0)
        found = self.records.get((name, kind))
        if isinstance(found, Status):
            return Answer(found, text=f"{kind.name} of {name}: {found}")
        if not found:
            return Answer(Status.NODATA if any(known == name for known, _ in self.records) else Status.NXDOMAIN)
        return Answer(Status.NOERROR, tuple(found), 60.0)

    ask = query


async def sign(key: KeyInfo, digest: bytes) -> bytes:
    return BACKEND.sign_one(key.index, digest)


def checked(
    records: Zone, subject: Subject = SUBJECT, greet: Callable[[str, int], Awaitable[float]] | None = None
) -> Report:
    return asyncio.run(preflight(subject, Dns(records), sign, NOW, greet))


def without(*names: tuple[str, Kind], **more: Any) -> Zone:
    return {name: value for name, value in zone().items() if name not in names} | more  # type: ignore[operator]


def with_(name: str, kind: Kind, *values: Any) -> Zone:
    return zone() | {(name, kind): list(values)}


def bad(report: Report) -> dict[str, Finding]:
    return {finding.code: finding for finding in report.findings if finding.level not in (Level.OK, Level.NOTE)}


def test_a_sender_in_order_is_fit() -> None:
    report = checked(zone())
    assert report.level is Level.OK, bad(report)
    assert {finding.code for finding in report.findings} == {
        "from.records", "envelope.records", "spf.envelope.pass", "spf.from.pass", "dkim.pass", "dmarc.found",
        "dmarc.dkim_aligned", "dmarc.spf_aligned", "ptr.confirmed",
    }  # fmt: skip
    assert sum(finding.code == "dkim.pass" for finding in report.findings) == 2
    assert (report.sender, report.at) == ("shop", NOW)


def test_the_probe_is_a_whole_mail_with_all_that_is_signed() -> None:
    probe = asyncio.run(make_probe(IDENTITY, EDWARDS, sign, NOW)).replace(b"\r\n\t", b"")
    (signature,) = [line for line in probe.split(b"\r\n") if line.startswith(b"DKIM-Signature")]
    signed = signature.split(b"h=")[1].split(b";")[0].lower().split(b":")
    assert signed.count(b"from") == 2, "oversigned"
    assert {b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"} <= set(signed)
    assert {b"list-unsubscribe", b"list-unsubscribe-post"} <= set(signed)


# -- domains -------------------------------------------------------------------------------------------------------


def test_a_from_domain_without_a_and_mx_is_refused() -> None:
    found = bad(checked(without(("news.example.jp", Kind.MX))))["from.no_records"]
    assert found.level is Level.REFUSE
    assert found.records == ("news.example.jp. IN MX 10 out1.example.jp.",)
    assert bad(checked(without(("rp.example.jp", Kind.A))))["envelope.no_records"].level is Level.REFUSE


def test_another_s_domain_is_refused() -> None:
    foreign = replace(IDENTITY, from_address="shop@gmail.com")
    report = checked(zone(), replace(SUBJECT, identity=foreign))
    assert bad(report)["from.foreign"].found == "gmail.com"


def test_what_is_not_known_of_ourselves_is_a_warning() -> None:
    bare = replace(IDENTITY, unsubscribe_url="")
    found = bad(checked(zone(), Subject(bare, SUBJECT.keys, ())))
    assert {code: one.level for code, one in found.items()} == {
        "source.unknown": Level.WARN, "unsubscribe.missing": Level.WARN,
    }  # fmt: skip
    assert "unsubscribe.missing" not in bad(checked(zone(), Subject(bare, SUBJECT.keys, (OUT,), advertises=False)))


# -- SPF -----------------------------------------------------------------------------------------------------------


def test_an_address_that_spf_does_not_name_is_refused_with_the_record_to_publish() -> None:
    report = checked(with_("rp.example.jp", Kind.TXT, b"v=spf1 ip4:192.0.2.7 -all"))
    found = bad(report)["spf.envelope.fail"]
    assert found.level is Level.REFUSE
    assert found.subject == "rp.example.jp, 2001:db8::7"
    assert found.records == ('rp.example.jp. IN TXT "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"',)
    assert "spf.envelope.pass" in {one.code for one in report.findings}


def test_no_record_at_all() -> None:
    found = bad(checked(without(("rp.example.jp", Kind.TXT))))["spf.envelope.none"]
    assert found.records == ('rp.example.jp. IN TXT "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 ~all"',)


def test_two_records_are_an_error_and_one_is_proposed() -> None:
    found = bad(checked(with_("rp.example.jp", Kind.TXT, b"v=spf1 -all", b"v=spf1 ~all")))["spf.envelope.permerror"]
    assert "leave one" in found.found
    assert len(found.records) == 1


def test_the_from_domain_s_own_is_a_warning() -> None:
    found = bad(checked(with_("news.example.jp", Kind.TXT, b"v=spf1 -all")))
    assert {code: one.level for code, one in found.items()} == {"spf.from.fail": Level.WARN}


def test_one_domain_for_both_is_asked_once() -> None:
    same = replace(IDENTITY, return_path_domain="news.example.jp")
    codes = {one.code for one in checked(zone(), replace(SUBJECT, identity=same)).findings}
    assert not {code for code in codes if code.startswith(("spf.from", "envelope."))}


# -- DKIM ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([], "dkim.missing"),
        ([b"v=DKIM1; p=", b"v=DKIM1; p="], "dkim.many"),
        ([b"v=DKIM1; k=ed25519; p="], "dkim.other_key"),
        ([public(info(2, "x"))], "dkim.other_key"),
        ([public(EDWARDS).replace(b"k=ed25519", b"k=rsa")], "dkim.refused"),
        ([b"v=DKIM2; k=ed25519; p=" + EDWARDS.public.encode()], "dkim.refused"),
    ],
)
def test_a_key_that_dns_does_not_vouch_for_is_refused(records, code) -> None:
    report = checked(with_(name_of(EDWARDS), Kind.TXT, *records), Subject(IDENTITY, (EDWARDS,), (OUT, OUT6)))
    found = bad(report)[code]
    assert found.level is Level.REFUSE
    assert found.records == (record_of(EDWARDS),)
    assert f"p={EDWARDS.public}" in found.records[0]


def test_one_good_key_is_enough_and_the_other_a_warning() -> None:
    report = checked(without((name_of(RSA), Kind.TXT)))
    assert bad(report)["dkim.missing"].level is Level.WARN
    assert report.level is Level.WARN


def test_a_key_in_test_mode_and_a_short_one() -> None:
    testing = public(EDWARDS) + b"; t=y"
    assert bad(checked(with_(name_of(EDWARDS), Kind.TXT, testing)))["dkim.testing"].level is Level.WARN
    from cryptography.hazmat.primitives.asymmetric import rsa

    short = rsa.generate_private_key(65537, 1024)
    key = info(0, "short", short)
    backend = OpensslBackend([short])

    async def sign_short(_key: KeyInfo, digest: bytes) -> bytes:
        return backend.sign_one(0, digest)

    records = zone() | {(name_of(key), Kind.TXT): [public(key)]}
    report = asyncio.run(preflight(Subject(IDENTITY, (key,), (OUT,)), Dns(records), sign_short, NOW))
    assert bad(report)["dkim.short"].found == "RSA, 1024 bits"
    assert bad(report)["dkim.short"].level is Level.WARN


def test_no_key_is_refused() -> None:
    assert bad(checked(zone(), replace(SUBJECT, keys=())))["dkim.no_key"].level is Level.REFUSE


# -- DMARC ---------------------------------------------------------------------------------------------------------


def test_no_dmarc_is_refused_with_the_record_to_publish() -> None:
    found = bad(checked(without(("_dmarc.example.jp", Kind.TXT))))["dmarc.missing"]
    assert found.level is Level.REFUSE
    assert found.records[0].startswith('_dmarc.news.example.jp. IN TXT "v=DMARC1; p=none; rua=mailto:')


def test_a_record_without_reports_is_noted() -> None:
    report = checked(with_("_dmarc.news.example.jp", Kind.TXT, b"v=DMARC1; p=none; psd=n"))
    assert "dmarc.no_reports" in {one.code for one in report.of(Level.NOTE)}
    assert bad(report).keys() == {"dmarc.spf_unaligned"}, "with psd=n the subdomain is an organization of its own"


def test_strict_alignment_is_heeded() -> None:
    strict = b"v=DMARC1; p=reject; adkim=s; aspf=s; rua=mailto:d@example.jp"
    found = bad(checked(with_("_dmarc.example.jp", Kind.TXT, strict)))
    assert {code: one.level for code, one in found.items()} == {"dmarc.spf_unaligned": Level.WARN}


def test_a_signature_of_another_organization_is_refused() -> None:
    other = replace(IDENTITY, domain="esp.example.net")
    found = bad(checked(zone(), replace(SUBJECT, identity=other)))["dmarc.dkim_unaligned"]
    assert found.level is Level.REFUSE


# -- addresses -----------------------------------------------------------------------------------------------------


def test_an_address_without_a_reverse_name_is_refused() -> None:
    found = bad(checked(without((OUT.address.reverse_pointer, Kind.PTR))))["ptr.missing"]
    assert found.level is Level.REFUSE
    assert found.records == ("7.2.0.192.in-addr.arpa. IN PTR out1.example.jp.", "out1.example.jp. IN A 192.0.2.7")


def test_a_reverse_name_that_does_not_lead_back_is_refused() -> None:
    found = bad(checked(with_("out1.example.jp", Kind.A, "192.0.2.99")))["ptr.unconfirmed"]
    assert found.level is Level.REFUSE
    assert found.records == ("out1.example.jp. IN A 192.0.2.7",)


def test_a_generic_name_is_a_warning_and_another_greeting_is_refused() -> None:
    records = with_(OUT.address.reverse_pointer, Kind.PTR, "192-0-2-7.example.net")
    found = bad(checked(records | {("192-0-2-7.example.net", Kind.A): ["192.0.2.7"]}))
    assert {code: one.level for code, one in found.items()} == {"ptr.generic": Level.WARN, "helo.differs": Level.REFUSE}


# -- DNS that does not answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        ("rp.example.jp", Kind.TXT),
        (name_of(EDWARDS), Kind.TXT),
        ("_dmarc.news.example.jp", Kind.TXT),
        ("_dmarc.rp.example.jp", Kind.TXT),
        (OUT.address.reverse_pointer, Kind.PTR),
        ("out1.example.jp", Kind.A),
        ("rp.example.jp", Kind.A),
    ],
)
def test_what_dns_does_not_answer_is_unknown_and_nothing_else(name) -> None:
    report = checked(zone() | {name: Status.SERVFAIL})
    assert report.level is Level.UNKNOWN
    assert bad(report).keys() == {"dns.failed"}


def test_what_is_wrong_stays_wrong_beside_what_is_unknown() -> None:
    records = zone() | {("rp.example.jp", Kind.TXT): Status.TIMEOUT}
    del records[OUT.address.reverse_pointer, Kind.PTR]
    assert checked(records).level is Level.REFUSE


# -- TLS of our own host -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "level"),
    [
        (NOW + 90 * 86400, "tls.in_order", Level.OK),
        (NOW + 3.5 * 86400, "tls.expires", Level.WARN),
        (ssl.SSLCertVerificationError("certificate verify failed"), "tls.refused", Level.WARN),
        (ConnectionRefusedError("refused"), "tls.unreachable", Level.WARN),
        (TimeoutError(), "tls.unreachable", Level.WARN),
    ],
)
def test_the_certificate_of_our_own_host(answer, code, level) -> None:
    async def greet(host: str, port: int) -> float:
        assert (host, port) == ("news.example.jp", 443)
        if isinstance(answer, Exception):
            raise answer
        return float(answer)

    subject = replace(SUBJECT, host=("news.example.jp", 443))
    (found,) = [one for one in checked(zone(), subject, greet).findings if one.code.startswith("tls.")]
    assert (found.code, found.level) == (code, level)


def test_a_host_that_speaks_no_tls_is_an_error_of_the_network() -> None:
    async def main() -> None:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            with pytest.raises(OSError):
                await greet_https("127.0.0.1", server.sockets[0].getsockname()[1])

    asyncio.run(main())


def test_the_opt_out_is_asked_for_only_when_that_is_wanted() -> None:
    asked: list[str] = []

    async def get(url: str, accept: str, longest: int) -> Got:
        asked.append(url)
        return Got(403, "text/html", "", b"")

    subject = replace(SUBJECT, identity=replace(IDENTITY, unsubscribe_mailto="stop@nowhere.example.jp"))
    records = with_("news.example.jp", Kind.A, "198.41.0.4")
    assert "optout.login" not in bad(checked(records, subject))
    report = asyncio.run(preflight(subject, Dns(records), sign, NOW, None, get))
    assert asked == ["https://news.example.jp/u/" + "0" * 64]
    assert {"optout.login", "optout.mail_dead"} <= set(bad(report))
    assert report.level is Level.REFUSE
    inside = with_("news.example.jp", Kind.A, "127.0.0.9")
    for allowed, code in (((), "optout.private"), ((ip_network("127.0.0.0/8"),), "optout.login")):
        report = asyncio.run(preflight(subject, Dns(inside), sign, NOW, None, get, allowed=allowed))
        assert code in bad(report)


# -- sources --------------------------------------------------------------------------------------------------------

SOURCED = replace(
    SUBJECT,
    outlets=(replace(OUT, source="a"), replace(OUT6, source="b")),
    pools=(("a", "b"),),
    blocklists=("bl.example",),
)


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (without((OUT.address.reverse_pointer, Kind.PTR)), "ptr.missing"),
        (with_(OUT.address.reverse_pointer, Kind.PTR, "elsewhere.example"), "ptr.unconfirmed"),
        (
            with_(OUT.address.reverse_pointer, Kind.PTR, "other.example.jp")
            | {("other.example.jp", Kind.A): ["192.0.2.7"]},
            "helo.differs",
        ),
        (with_("rp.example.jp", Kind.TXT, b"v=spf1 ip6:2001:db8::7 -all"), "spf.envelope.fail"),
        (with_("7.2.0.192.bl.example", Kind.A, "127.0.0.2"), "blocklist.listed"),
    ],
)
def test_a_source_that_is_not_in_order_is_taken_out_and_the_sender_stays_fit(records: Zone, code: str) -> None:
    report = checked(records, SOURCED)
    found = bad(report)[code]
    assert (found.level, found.source, report.level) == (Level.REMOVE, "a", Level.REMOVE)
    assert removed(report.findings, ()) == ["a"]


def test_with_no_source_left_the_sender_is_refused() -> None:
    report = checked(
        without((OUT.address.reverse_pointer, Kind.PTR), (OUT6.address.reverse_pointer, Kind.PTR)), SOURCED
    )
    assert report.level is Level.REFUSE
    alone = checked(without((OUT.address.reverse_pointer, Kind.PTR)), replace(SOURCED, pools=(("a",), ("a", "b"))))
    assert alone.level is Level.REFUSE


def test_a_source_whose_names_dns_does_not_tell_is_not_taken_out() -> None:
    report = checked(zone() | {(OUT.address.reverse_pointer, Kind.PTR): Status.SERVFAIL}, SOURCED)
    assert report.level is Level.UNKNOWN
    assert removed(report.findings, ()) == []
    assert removed(report.findings, ("a",)) == ["a"]
