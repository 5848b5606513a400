"""Whether a sender's identity is established: the preflight before its first mailing, kept, repeated, and heeded.

特定電子メール法 5条. Each finding has its own level: what must not go out is refused, the rest is logged (`law`, where
receivers see us; `enforce`, behind a relay too). A sender that nothing is known of waits (its mail is suspended, not
lost); one that is not fit is refused by suppression (IDENTITY_REFUSED) until it is; one that was fit yesterday waits
for a second look first, because DNS has bad minutes; a source that is not in order (reverse name, greeting, SPF,
blocklists) is taken out of the sender's pools as long as another is left, and comes back with a look that finds it
mended; what Japanese carriers alone would refuse waits for them alone.
With `warn` all findings are only logged. What DNS could not answer changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.flow.directives import replace_whole
from engine.flow.steering import Steering, TooManyDirectives
from engine.policy.directive import Scope, Verb
from engine.policy.readiness import Level, Report, removed

log = logging.getLogger(__name__)

PREFLIGHT = "preflight"
"""Whose suspensions these are."""
UNVERIFIED = "IDENTITY_REFUSED"
MODES = ("law", "enforce", "warn", "off")
CARRIERS = ("docomo", "au")
"""Providers that look at the From domain's SPF, too."""
CARRIERS_MIND = tuple(f"spf.from.{verdict}" for verdict in ("none", "neutral", "softfail", "fail", "permerror"))
AGAIN_SECONDS = {Level.UNKNOWN: 300.0, Level.REMOVE: 900.0, Level.REFUSE: 900.0}
"""Until the next look; with other results PreflightSettings.max_age."""
FIRST_LOOK = 30.0
"""Seconds after the start, where nobody waits for it: a start has better things to do."""
MOST_KEPT = 100_000
MOST_BLOCKLISTS = 8
ZONE = re.compile(r"(?=.{3,180}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+")


@dataclass(frozen=True, slots=True)
class PreflightSettings:
    """[preflight]"""

    mode: str = "law"
    """law, enforce, warn or off."""
    addresses: tuple[str, ...] = ()
    """Addresses that receivers see us come from, where they are not the sources' own (NAT); with a blank and the host
    name, where it is not engine.ehlo_name."""
    max_age: float = 86_400.0
    """Seconds for which a good result counts."""
    bulk: bool = True
    """5,000 mails a day and more to one large receiver: they refuse such mail without DMARC."""
    reply_probe: bool = False
    """The From domain's server is asked whether it takes mail for the From address (RCPT, then QUIT)."""
    blocklists: tuple[str, ...] = ()
    """DNS zones that list addresses of spam."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode {self.mode[:40]!a}: write one of {', '.join(MODES)}")
        for address in self.addresses:
            try:
                ipaddress.ip_address(address.partition(" ")[0])
            except ValueError:
                text = f"addresses: {address[:60]!a}: write an IP address, or an address and its host name"
                raise ValueError(text) from None
        for zone in self.blocklists:
            if len(self.blocklists) > MOST_BLOCKLISTS or not ZONE.fullmatch(zone):
                remedy = f"write at most {MOST_BLOCKLISTS} DNS zones such as zen.spamhaus.org"
                raise ValueError(f"blocklists: {zone[:60]!a}: {remedy}")


class Standing(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of one sender."""

    fingerprint: str
    """Of what was checked: another key or address, and it counts no more."""
    at: float
    level: Level
    passed: bool
    """It was fit once, as it is now."""
    strikes: Annotated[int, Meta(ge=0)] = 0
    """Looks in a row that found it unfit."""
    codes: list[str] = []
    out: list[str] = []
    """Sources that its mail does not leave from."""


class Fitness:
    def __init__(
        self,
        settings: PreflightSettings,
        fingerprints: Mapping[str, str],
        check: Callable[[str], Awaitable[Report]],
        *,
        steering: Steering,
        establish: Callable[[str, str], None],
        take_out: Callable[[str, Sequence[str]], bool] = lambda _sender, _sources: True,
        file: Path,
        clock: Callable[[], float],
    ) -> None:
        """`fingerprints`: of all senders. `establish`: sender, why its identity is not established or empty.
        `take_out`: sender, the sources that its mail may not leave from; false when it would be left without any.
        """
        self._settings = settings
        self._fingerprints = fingerprints
        self._check = check
        self._steering = steering
        self._establish = establish
        self._take_out = take_out
        self._file = file
        self._clock = clock
        self._changed = asyncio.Event()
        self.standings = self._read()

    @property
    def is_enforced(self) -> bool:
        return self._settings.mode in ("law", "enforce")

    def begin(self) -> None:
        """Before anything is sent: what is known counts, who is not known waits."""
        if not self.is_enforced:
            self._steering.withdraw(lambda one: one.by == PREFLIGHT)
            for sender in self._fingerprints:
                self._take_out(sender, ())
            return
        for sender in self._fingerprints:
            standing = self.standings.get(sender)
            if standing is None:
                self._take_out(sender, ())
                self._hold(sender, "its preflight has not been done yet")
            else:
                self._heed(sender, standing)

    def adopt(self, settings: PreflightSettings, fingerprints: Mapping[str, str]) -> None:
        """Other senders, or the same with another key or address: what was found of those counts no more."""
        self._settings = settings
        self._fingerprints = fingerprints
        self.standings = {
            name: standing
            for name, standing in self.standings.items()
            if fingerprints.get(name) == standing.fingerprint
        }
        self.begin()
        self._changed.set()

    async def run(self) -> None:
        if not self.is_enforced:
            await self._wait(FIRST_LOOK)
        while True:
            self._changed.clear()
            now = self._clock()
            for sender in [name for name in self._fingerprints if self._due(name) <= now]:
                if sender in self._fingerprints and self._settings.mode != "off":
                    await self.look(sender)
            waits = min(map(self._due, self._fingerprints), default=self._clock() + 3600.0) - self._clock()
            await self._wait(min(max(waits, 1.0), 3600.0) + random.random())  # noqa: S311 - spreads, no secret

    async def _wait(self, seconds: float) -> None:
        """Less when a reload has changed something."""
        with contextlib.suppress(TimeoutError):
            # Not wait_for: Python 3.11's forgets a cancellation that comes in the moment of the event.
            async with asyncio.timeout(3600.0 if self._settings.mode == "off" else seconds):
                await self._changed.wait()

    async def look(self, sender: str) -> Report:
        """Checks now and heeds it."""
        looked_at = self._fingerprints[sender]
        report = await self._check(sender)
        if self._fingerprints.get(sender) != looked_at:
            return report  # a reload meanwhile: of what is not there any more
        before = self.standings.get(sender)
        passed = before is not None and before.passed
        strikes = before.strikes if before else 0
        if report.level is Level.REFUSE:
            strikes += 1
        elif report.level is not Level.UNKNOWN:
            passed, strikes = True, 0
        codes = [f"{one.level} {one.code} {one.subject}" for one in report.findings if one.level is not Level.OK]
        out = removed(report.findings, before.out if before else ())
        standing = Standing(looked_at, report.at, report.level, passed, strikes, codes[:100], out)
        self.standings[sender] = standing
        self._say(report, before)
        if self.is_enforced:
            self._heed(sender, standing)
        try:
            await asyncio.to_thread(replace_whole, self._file, msgspec.json.encode(self.standings))
        except OSError as error:
            log.error("preflight results could not be written: %s; free disk space", error.strerror)  # noqa: TRY400 - said
        return report

    def _due(self, sender: str) -> float:
        standing = self.standings.get(sender)
        if standing is None:
            return 0.0
        return standing.at + AGAIN_SECONDS.get(standing.level, self._settings.max_age)

    def _heed(self, sender: str, standing: Standing) -> None:
        minds = standing.level is not Level.REFUSE and any(
            code.split(" ")[1] in CARRIERS_MIND for code in standing.codes if code.startswith(f"{Level.WARN} ")
        )
        for carrier in CARRIERS:
            scope = Scope(provider=carrier, sender=sender)
            if minds:
                self._hold(sender, "its From domain has no SPF for us, which this carrier wants", scope)
            elif standing.level is not Level.UNKNOWN:
                self._release(scope)
        if self._take_out(sender, standing.out):
            self._heed_all(sender, standing)
        else:
            self._hold(sender, "none of its sources was in order at its last look")

    def _heed_all(self, sender: str, standing: Standing) -> None:
        if standing.strikes and (not standing.passed or standing.strikes > 1):
            self._establish(sender, UNVERIFIED)
            self._release(Scope(sender=sender))
        elif standing.strikes:
            self._hold(sender, "it was fit and is not now: a second look decides")
        elif standing.passed:
            self._establish(sender, "")
            self._release(Scope(sender=sender))
        else:
            self._hold(sender, "DNS did not answer everything yet")

    def _hold(self, sender: str, why: str, scope: Scope | None = None) -> None:
        scope = scope or Scope(sender=sender)
        if any((one.scope, one.by) == (scope, PREFLIGHT) for one in self._steering.directives.values()):
            return
        try:
            self._steering.put(Verb.SUSPEND, scope, None, f"preflight: {why}", by=PREFLIGHT)
        except TooManyDirectives:
            # Rather refused than sent without a look.
            self._establish(sender, UNVERIFIED)

    def _release(self, scope: Scope) -> None:
        self._steering.withdraw(lambda one: (one.scope, one.by) == (scope, PREFLIGHT))

    def _say(self, report: Report, before: Standing | None) -> None:
        """What is new: the same trouble is not told each quarter of an hour."""
        known = set(before.codes) if before else set()
        for one in report.findings:
            if one.level in (Level.OK, Level.NOTE) or f"{one.level} {one.code} {one.subject}" in known:
                continue
            publish = f"; publish {' / '.join(one.records)}" if one.records else ""
            log.warning(
                "sender=%s preflight %s %s %s: %s%s",
                report.sender,
                one.level,
                one.code,
                one.subject,
                one.found,
                publish,
            )
        out, was_out = set(self.standings[report.sender].out), set(before.out) if before else set()
        for source in sorted(out ^ was_out):
            does = (
                "is not in order and carries none of its mail"
                if source in out
                else "is in order and carries its mail again"
            )
            log.warning("sender=%s preflight: source %s %s", report.sender, source, does)
        if before is not None and before.level is Level.REFUSE and report.level in (Level.OK, Level.WARN):
            log.info("sender=%s preflight: fit now", report.sender)

    def _read(self) -> dict[str, Standing]:
        try:
            raw = self._file.read_bytes() if self._file.exists() else b"{}"
            found = msgspec.json.decode(raw, type=dict[str, Standing], strict=True)
        except (OSError, msgspec.DecodeError) as error:
            text = ascii(str(error))[1:-1][:120]
            log.error("preflight results %s cannot be read, all senders are looked at again: %s", self._file, text)  # noqa: TRY400 - said
            return {}
        return {
            name: standing
            for name, standing in list(found.items())[:MOST_KEPT]
            if self._fingerprints.get(name) == standing.fingerprint
        }
