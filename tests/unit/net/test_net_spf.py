"""check_host against the test suite of RFC 7208 (tests/data/rfc7208, from the pyspf project), and its bounds.

The suite came as YAML; here it is JSON, with SPF records where TXT ones are meant.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from engine.net.dns import Answer, Kind, Mx, Status
from engine.net.spf import Spf, check_host

SUITE = json.loads((Path(__file__).parents[2] / "data" / "rfc7208" / "tests.json").read_text("utf-8"))
CASES = [pytest.param(part["zone"], *case, id=name) for part in SUITE for name, case in part["tests"].items()]
UNASKABLE = {
    "a-colon-domain",
    "a-colon-domain-ip4mapped",
    "mx-colon-domain",
    "mx-colon-domain-ip4mapped",
    "macro-mania-in-domain",
}
"""Their names have bytes that our DNS client does not ask for: they do not exist, which is never a pass more."""


class Zone:
    def __init__(self, zone: dict[str, Any]) -> None:
        self.zone = zone
        self.asked: Counter[str] = Counter()

    async def query(self, name: str, kind: Kind) -> Answer:
        self.asked[kind.name] += 1
        entry = self.zone.get(name.lower())
        for _ in range(9):
            if entry and "CNAME" in entry:
                entry = self.zone.get(entry["CNAME"][0].lower())
        if entry is None:
            return Answer(Status.NXDOMAIN)
        found = entry.get(kind.name)
        if not found:
            return Answer(Status.TIMEOUT if entry.get("TIMEOUT") else Status.NODATA)
        if kind is Kind.MX:
            return Answer(Status.NOERROR, tuple(Mx(preference, host.lower()) for preference, host in found))
        if kind is Kind.TXT:
            return Answer(Status.NOERROR, tuple(text.encode("latin-1") for text in found))
        if kind in (Kind.A, Kind.AAAA):
            return Answer(Status.NOERROR, tuple(str(ip_address(text)) for text in found))
        return Answer(Status.NOERROR, tuple(text.lower().rstrip(".") for text in found))

    ask = query


def checked(zone: dict[str, Any] | Zone, host: str, mail_from: str, helo: str = "mail.example.com") -> Spf:
    asker = zone if isinstance(zone, Zone) else Zone(zone)
    domain = mail_from.rpartition("@")[2] or helo
    sender = mail_from or f"postmaster@{helo}"
    return asyncio.run(check_host(asker, ip_address(host), domain, sender, helo)).verdict


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203
    assert {str(case.id) for case in CASES} >= UNASKABLE


@pytest.mark.parametrize(
    ("zone", "host", "mail_from", "helo", "wanted"), [case for case in CASES if case.id not in UNASKABLE]
)
def test_the_suite_of_the_document(zone, host, mail_from, helo, wanted) -> None:
    assert checked(zone, host, mail_from, helo) in wanted


@pytest.mark.parametrize(
    ("zone", "host", "mail_from", "helo", "wanted"), [case for case in CASES if case.id in UNASKABLE]
)
def test_names_that_cannot_be_asked_are_no_pass(zone, host, mail_from, helo, wanted) -> None:
    assert wanted == ["pass"]
    assert checked(zone, host, mail_from, helo) in (Spf.NEUTRAL, Spf.FAIL)


def test_a_record_that_includes_itself_ends() -> None:
    zone = Zone({"a.example": {"TXT": ["v=spf1 include:a.example -all"]}})
    assert checked(zone, "192.0.2.1", "x@a.example") is Spf.PERMERROR
    assert zone.asked["TXT"] == 11


def test_a_storm_of_names_is_bounded() -> None:
    includes = " ".join(f"include:i{number}.example" for number in range(100))
    zone = Zone(
        {"a.example": {"TXT": [f"v=spf1 {includes} -all"]}}
        | {f"i{number}.example": {"TXT": ["v=spf1 ?all"]} for number in range(100)}
    )
    assert checked(zone, "192.0.2.1", "x@a.example") is Spf.PERMERROR
    assert sum(zone.asked.values()) <= 12


def test_trouble_is_neither_pass_nor_fail() -> None:
    assert checked({"a.example": {"TIMEOUT": True}}, "192.0.2.1", "x@a.example") is Spf.TEMPERROR
