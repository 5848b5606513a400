"""Connections become a day's counts, and a day becomes mail: once, whatever dies in between."""

from __future__ import annotations

import asyncio
import email
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import wire
from engine.flow.opening import Tried
from engine.flow.tlsreports import KEEP_DAYS, TlsReports
from engine.mail.raw import read_raw
from engine.net.dns import Answer, Kind, Status, Tlsa
from engine.net.resolver import Target, TlsMode
from engine.net.sts import Kept, Mode, Policy, Trouble
from engine.net.tlsrpt import DAY, Reporter
from engine.net.trust import PolicyKind
from engine.spool.port import SpoolFull

FIRST = 20_000 * DAY
TARGET = Target("mx.example.jp", 25, "192.0.2.1", TlsMode.OPPORTUNISTIC)
WANTED = Answer(Status.NOERROR, (b"v=TLSRPTv1; rua=mailto:tls@example.jp,mailto:not an address",))


class Stage:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tlsrpt"
        self.now = FIRST + 100.0
        self.answers = {"example.jp": WANTED}
        self.submitted: list[wire.Submit] = []
        self.refuses: Exception | None = None
        self.reports = self.start()

    def start(self) -> TlsReports:
        self.reports = TlsReports(
            self.folder, "shop", Reporter("れい", "news@news.example.jp", "news.example.jp"), asker=self, sts=self,  # type: ignore[arg-type]
            submit=self.submit, domain_of=lambda path: path.removeprefix("path to "), clock=lambda: self.now,
        )  # fmt: skip
        return self.reports

    def of(self, domain: str) -> Kept | None:
        return Kept(domain, "1", 0.0, Policy(Mode.ENFORCE, ("mx.example.jp",), 9, ("mode: enforce",)))

    async def ask(self, name: str, kind: Kind) -> Answer:
        assert kind is Kind.TXT
        return self.answers.get(name.removeprefix("_smtp._tls."), Answer(Status.NXDOMAIN))

    async def submit(self, request: wire.Submit) -> Mapping[str, object]:
        if self.refuses:
            raise self.refuses
        self.submitted.append(request)
        return {}

    def tried(
        self, kind: PolicyKind, outcome: str, result: str = "", *, domain: str = "example.jp", mx: bool = True
    ) -> None:
        path: Any = SimpleNamespace(name=f"path to {domain}", route=SimpleNamespace(mx=(("mx",),) if mx else ()))
        tlsa = (Tlsa(3, 1, 1, b"\1\2"),) if kind is PolicyKind.DANE else ()
        self.reports.tried(Tried(path, TARGET, kind, outcome, result, "why\n", tlsa))

    def run(self) -> None:
        asyncio.run(self.reports.report())

    def policies(self) -> list[Any]:
        (file,) = self.folder.glob("*!example.jp!*.json.gz")
        found: list[Any] = json.loads(gzip.decompress(file.read_bytes()))["policies"]
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def next_day(stage: Stage, days: int = 1) -> None:
    stage.now += days * DAY
    stage.reports.save()


def test_each_policy_by_its_name_and_what_is_nobodys_not_at_all(stage: Stage) -> None:
    stage.tried(PolicyKind.DANE, "verified")
    stage.tried(PolicyKind.STS, "failed", "certificate-expired")
    stage.tried(PolicyKind.LIMITS, "encrypted")
    stage.tried(PolicyKind.LIMITS, "plain", "starttls-not-supported")
    stage.tried(PolicyKind.LIMITS, "plain")
    stage.tried(PolicyKind.LIMITS, "encrypted", mx=False)
    stage.tried(PolicyKind.LIMITS, "encrypted", domain="")
    stage.reports.policy_failed("example.jp", Trouble("sts-policy-fetch-error", "HTTP status 500"))
    next_day(stage)
    stage.run()
    told = {}
    for entry in stage.policies():
        words = entry["policy"]
        told[words["policy-type"], words.get("policy-string", [""])[0]] = list(entry["summary"].values())
    assert told == {
        ("tlsa", "3 1 1 0102"): [1, 0],
        ("sts", "mode: enforce"): [0, 1],
        ("no-policy-found", ""): [1, 1],
        ("sts", ""): [0, 1],
    }


def test_a_day_becomes_one_mail_that_the_engine_takes(stage: Stage) -> None:
    stage.tried(PolicyKind.LIMITS, "encrypted")
    stage.tried(PolicyKind.LIMITS, "encrypted", domain="nobody.example")
    stage.run()
    assert stage.submitted == [], "the day has not ended"
    next_day(stage)
    stage.run()
    (submit,) = stage.submitted
    assert (submit.sender, submit.category, submit.mailing) == ("shop", "TX", "tlsrpt")
    assert FIRST + DAY <= (submit.not_before or 0) < FIRST + DAY + 4 * 3600
    message = wire.decode_message(submit.message)
    assert isinstance(message, wire.Message)
    assert message.raw is not None
    read_raw(message.raw)
    letter = email.message_from_bytes(message.raw)
    assert letter.get_content_type() == "multipart/report"
    assert letter.get_param("report-type") == "tlsrpt"
    assert (letter["TLS-Report-Domain"], letter["TLS-Report-Submitter"]) == ("example.jp", "news.example.jp")
    assert letter["To"] == "tls@example.jp"
    part: Any = letter.get_payload(1)  # type: ignore[no-untyped-call]
    assert part.get_content_type() == "application/tlsrpt+gzip"
    assert json.loads(gzip.decompress(part.get_payload(decode=True)))["policies"] == stage.policies()
    assert len(wire.split_recipients(submit.recipients)) == 1
    stage.run()
    assert len(stage.submitted) == 1


@pytest.mark.parametrize("refusal", [SpoolFull(), wire.Refusal("draining", "", "", "x")])
def test_a_day_that_cannot_be_submitted_now_is_submitted_later_to_the_octet_the_same(
    stage: Stage, refusal: Exception
) -> None:
    stage.tried(PolicyKind.LIMITS, "encrypted")
    next_day(stage)
    stage.refuses = refusal
    stage.run()
    stage.refuses = None
    ended = next(stage.folder.glob("*.ended"))
    kept = ended.read_bytes()
    stage.now += 1000
    stage.start()
    stage.run()
    ended.write_bytes(kept)  # died before it was taken away
    stage.start()
    stage.run()
    assert len(stage.submitted) == 2
    assert stage.submitted[0] == stage.submitted[1]


def test_a_report_that_is_refused_for_good_costs_the_others_nothing(stage: Stage) -> None:
    stage.tried(PolicyKind.LIMITS, "encrypted")
    next_day(stage)
    stage.refuses = wire.Refusal("forbidden", "", "", "x")
    stage.run()
    assert stage.reports.counts.failed == 1
    assert not list(stage.folder.glob("*.ended"))


def test_counts_survive_a_restart_and_damaged_ones_are_passed_over(stage: Stage) -> None:
    stage.tried(PolicyKind.LIMITS, "encrypted")
    stage.reports.save()
    stage.start()
    stage.tried(PolicyKind.LIMITS, "encrypted")
    next_day(stage)
    stage.run()
    assert stage.policies()[0]["summary"]["total-successful-session-count"] == 2
    (stage.folder / "today").write_text("{")
    (stage.folder / "7.ended").write_text("[]")
    stage.start()
    stage.run()
    assert len(stage.submitted) == 1
    assert not list(stage.folder.glob("*.ended"))


def test_old_reports_are_taken_away(stage: Stage) -> None:
    for _ in range(2):
        stage.tried(PolicyKind.LIMITS, "encrypted")
        next_day(stage, KEEP_DAYS - 10)
        stage.run()
    assert len(list(stage.folder.glob("*.json.gz"))) == 1
    assert len(stage.submitted) == 2


def test_a_folder_that_cannot_be_written_costs_reports_only(stage: Stage) -> None:
    stage.folder.rmdir()
    stage.tried(PolicyKind.LIMITS, "encrypted")
    next_day(stage)
    stage.run()
    assert stage.submitted == []


def test_the_counts_are_written_when_the_loop_ends(stage: Stage) -> None:
    async def main() -> None:
        running = asyncio.create_task(stage.reports.run())
        while not (stage.folder / "today").exists():
            await asyncio.sleep(0)
        stage.tried(PolicyKind.LIMITS, "encrypted")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert b"no-policy-found" in (stage.folder / "today").read_bytes()
