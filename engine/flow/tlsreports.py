"""Counts the TLS of connections and reports each day to the domains that ask for it (RFC 8460), as mail of our own.

The day's counts are written every few minutes, and when the engine stops; a crash loses what came since. At the end of
a day (UTC) they become a file that stays until every report is written and submitted. Each submit has a key that is the
same whenever it is repeated, so dying in between sends nothing twice. Reports are kept for a month beside.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import os
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from pathlib import Path as File
from typing import Final

from engine import wire
from engine.flow.opening import Tried
from engine.flow.reportposts import ReportPosts
from engine.mail.address import AddressError, parse_address
from engine.net.dns import Asker, Kind
from engine.net.sts import StsPolicies, Trouble
from engine.net.tlsrpt import DAY, Followed, Report, Reporter, Tally, addresses_of, places_of, report_of
from engine.net.trust import PolicyKind
from engine.spool.port import SpoolFull

log = logging.getLogger(__name__)

SAVE_SECONDS: Final = 300.0
KEEP_DAYS: Final = 30
SPREAD_SECONDS: Final = 4 * 3600
"""Reports of a day leave over so long a time (RFC 8460 4)."""
NOT_NOW: Final = frozenset({"draining", "no_credit"})
TODAY: Final = "today"
ENDED: Final = ".ended"

Submit = Callable[[wire.Submit], Awaitable[Mapping[str, object]]]


@dataclass(slots=True)
class ReportCounts:
    reports: int = 0
    failed: int = 0


class TlsReports:
    def __init__(
        self,
        folder: File,
        sender: str,
        reporter: Reporter,
        *,
        asker: Asker,
        sts: StsPolicies | None,
        submit: Submit,
        domain_of: Callable[[str], str],
        clock: Callable[[], float],
        posts: ReportPosts | None = None,
    ) -> None:
        """`sender`: whose mail the reports are. `domain_of`: the recipients' domain that a path was last used for.
        `posts`: for who wants them by HTTPS.
        """
        self._folder = folder
        self._sender = sender
        self._reporter = reporter
        self._asker = asker
        self.sts = sts
        self._submit = submit
        self._domain_of = domain_of
        self._clock = clock
        self.posts = posts
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._tally = self._begun()
        self.counts = ReportCounts()

    # -- counting ------------------------------------------------------------------------------------------

    def tried(self, tried: Tried) -> None:
        """A connection's TLS. Routes of the operator are nobody's policy; plain text that was chosen is no failure."""
        domain = self._domain_of(tried.path.name)
        if not tried.path.route.mx or not domain or (tried.outcome == "plain" and not tried.result):
            return
        failure = None
        if tried.result:
            failure = (tried.result, tried.target.host, tried.target.address, ascii(tried.text)[1:-1][:120])
        self._today().note(domain, self._followed(domain, tried), failure)

    def policy_failed(self, domain: str, trouble: Trouble) -> None:
        """There is a policy, and it could not be had."""
        failure = (trouble.result, "", "", trouble.text[:120])
        self._today().note(domain, Followed("sts", domain), failure)

    def _followed(self, domain: str, tried: Tried) -> Followed:
        if tried.kind is PolicyKind.DANE:
            records = tuple(f"{r.usage} {r.selector} {r.matching} {r.data.hex()[:128]}" for r in tried.tlsa)
            return Followed("tlsa", tried.target.host, records)
        if tried.kind is PolicyKind.LIMITS:
            return Followed("no-policy-found", domain)
        kept = self.sts.of(domain) if self.sts else None
        return Followed("sts", domain, kept.policy.text, kept.policy.mx) if kept else Followed("sts", domain)

    def _today(self) -> Tally:
        day = int(self._clock() // DAY)
        if self._tally.day != day:
            self._end_day()
            self._tally = Tally(day)
        return self._tally

    # -- the files -----------------------------------------------------------------------------------------

    def _begun(self) -> Tally:
        return _read(self._folder / TODAY) or Tally(int(self._clock() // DAY))

    def _end_day(self) -> None:
        if self._tally.domains:
            self._write(f"{self._tally.day}{ENDED}", self._tally.write())
        (self._folder / TODAY).unlink(missing_ok=True)

    def save(self) -> None:
        """Blocks: some milliseconds, where a day has many domains."""
        self._write(TODAY, self._today().write())

    def _write(self, name: str, content: bytes) -> None:
        """A disk that is full costs reports and nothing else."""
        new = self._folder / f".{name}.new"
        try:
            with new.open("wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
            new.replace(self._folder / name)
        except OSError as error:
            log.warning("TLS reports: %s is not written: %s", self._folder / name, error.strerror)

    # -- reporting -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            while True:
                if self.posts:
                    self.posts.wake()
                today = self._today()
                await asyncio.to_thread(self._write, TODAY, today.write())
                await self.report()
                await asyncio.sleep(SAVE_SECONDS)
        finally:
            if self.posts:
                await self.posts.close()
            self.save()

    async def report(self) -> None:
        """Days that have ended, all of them."""
        for file in sorted(self._folder.glob(f"*{ENDED}")):
            if not await self._report_day(file):
                return
            file.unlink()
            self._prune()

    async def _report_day(self, file: File) -> bool:
        """False: the engine takes no mail now, and all is to be repeated."""
        tally = _read(file)
        if tally is None:
            return True
        for domain, policies in tally.domains.items():
            try:
                await self._report(report_of(domain, policies, tally.day, self._reporter))
            except SpoolFull:
                return False
            except wire.Refusal as error:
                if error.code in NOT_NOW:
                    return False
                self.counts.failed += 1
                log.warning("TLS report for %.80a: %s", domain, error)
        return True

    async def _report(self, report: Report) -> None:
        answer = await self._asker.ask(f"_smtp._tls.{report.domain}", Kind.TXT)
        addresses = [address for address in addresses_of(answer.records) if _is_address(address)]
        places = places_of(answer.records) if self.posts else ()
        if not (addresses or places):
            return
        packed = gzip.compress(report.content, mtime=0)
        self._write(report.file_name, packed)
        if self.posts and places:
            await self.posts.want(report.file_name, places, wait=_wait(report))
        if addresses:
            await self._submit(self._mail(report, packed, addresses))
        self.counts.reports += 1

    def _mail(self, report: Report, packed: bytes, addresses: list[str]) -> wire.Submit:
        """To the octet the same each time: a key is good for one content."""
        return wire.submit(
            {
                "key": f"tlsrpt-{_digest(report.id)}",
                "sender": self._sender,
                "category": "TX",
                "mailing": "tlsrpt",
                "not_before": report.end + 1 + _wait(report),
                "message": wire.encode_message(wire.Message(raw=letter_of(report, packed, self._reporter, addresses))),
                "recipients": wire.encode_recipients([(address, {}) for address in addresses]),
            }
        )

    def _prune(self) -> None:
        oldest = (int(self._clock() // DAY) - KEEP_DAYS) * DAY
        for file in self._folder.glob("*!*!*!*.json.gz"):
            begin = file.name.split("!")[2]
            if begin.isdigit() and int(begin) < oldest:
                file.unlink()


def _read(file: File) -> Tally | None:
    try:
        return Tally.read(file.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        log.warning("%s: %s; what it counted is not reported", file, error)
        return None


def letter_of(report: Report, packed: bytes, reporter: Reporter, addresses: list[str]) -> bytes:
    """RFC 8460 5.3."""
    letter = MIMEMultipart("report", boundary=f"=_{_digest(report.id)}", report_type="tlsrpt", policy=SMTP)
    letter["From"] = reporter.contact
    letter["To"] = ", ".join(addresses)
    letter["Subject"] = f"Report Domain: {report.domain} Submitter: {reporter.domain} Report-ID: <{report.id}>"
    letter["TLS-Report-Domain"] = report.domain
    letter["TLS-Report-Submitter"] = reporter.domain
    letter.attach(MIMEText("This is an aggregate TLS report (RFC 8460).\n", "plain", "us-ascii", policy=SMTP))
    part = MIMEApplication(packed, "tlsrpt+gzip", policy=SMTP)
    part.add_header("Content-Disposition", "attachment", filename=report.file_name)
    letter.attach(part)
    return letter.as_bytes()


def _wait(report: Report) -> int:
    """Seconds behind the day's end: not all reports at midnight."""
    return zlib.crc32(report.domain.encode()) % SPREAD_SECONDS


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except AddressError:
        return False
    return True
