"""Guards of a mailing while it is sent: how many unknown users, complaints and opt-outs are too many (pure).

特定電子メール法 2条4号, 6条: nobody mails addresses that a program made up. The engine cannot know where they come
from, so it counts: a list with many unknown users is bought, guessed or old, and receivers block whoever sends to it.
Every threshold says where it comes from: documented by a receiver, custom of the trade, or our guess. Numbers in,
verdicts out; flow/guarding.py acts on them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from engine.policy.classify import Class
from engine.smtp.event import Phase

RECENT: Final = 20_000
"""Replies from which a tally counts by halves: the bad end of a long list must not hide behind its good beginning."""
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """[guard]; shares are of 1. MARKS says how sure each is."""

    enabled: bool = True
    unknown_sample: int = 200
    """Final replies of a provider for a mailing before its unknown users are judged."""
    unknown_warn: float = 0.02
    """Share of unknown users from which the mailing goes on at half its connections there."""
    unknown_pause: float = 0.045
    """Share from which the mailing is paused."""
    unknown_abort: float = 0.10
    """Share from which its list is locked for review."""
    canary: int = 500
    """Never-mailed addresses of an advertising mailing that a provider gets before the others; 0: no canary."""
    canary_good: float = 0.01
    """Share of unknown users in a list that is well."""
    canary_bad: float = 0.05
    """Share in one that is not: the test tells the two apart."""
    complaint_sample: int = 1000
    """Deliveries of a sender to a provider in a day before its complaints are judged."""
    complaint_least: int = 3
    """Complaints before they are judged: one person alone is not a rate."""
    complaint_warn: float = 0.001
    complaint_pause: float = 0.003
    optout_sample: int = 1000
    """Deliveries of a sender within two days before a wave of opt-outs is judged."""
    optout_share: float = 0.02
    """Share of those deliveries whose opt-out within optout_seconds pauses the sender's mailings; 0: never."""
    optout_seconds: float = 600.0

    def __post_init__(self) -> None:
        for lower, higher in (
            ("unknown_warn", "unknown_pause"), ("unknown_pause", "unknown_abort"), ("canary_good", "canary_bad"),
            ("complaint_warn", "complaint_pause"),
        ):  # fmt: skip
            if getattr(self, lower) >= getattr(self, higher):
                raise ValueError(f"{lower} must be below {higher}; correct one of them")


MARKS: Final = {
    "unknown_sample": "guess",
    "unknown_warn": "guess",
    "unknown_pause": "custom",
    "unknown_abort": "guess",
    "canary": "guess",
    "canary_good": "guess",
    "canary_bad": "guess",
    "complaint_sample": "guess",
    "complaint_least": "guess",
    "complaint_warn": "documented",
    "complaint_pause": "documented",
    "optout_sample": "guess",
    "optout_share": "guess",
    "optout_seconds": "guess",
}
"""unknown_pause: Japanese carriers are said to block from about 5 %; 4 to 5 % is the trade's own limit. Complaints:
Google's and Yahoo's guidelines for senders name 0.1 % as the target and 0.3 % as what is never to be reached."""


class Verdict(IntEnum):
    """In the order of severity."""

    CLEAR = 0
    WARN = 1
    PAUSE = 2
    ABORT = 3


@dataclass(slots=True)
class Tally:
    """Final replies for one mailing at one provider."""

    replies: float = 0
    unknown: float = 0
    verdict: Verdict = Verdict.CLEAR
    """What was acted on already."""

    @property
    def share(self) -> float:
        return self.unknown / self.replies if self.replies else 0.0

    def note(self, *, unknown: bool) -> None:
        self.replies += 1
        self.unknown += unknown
        if self.replies >= RECENT:
            self.replies /= 2
            self.unknown /= 2


def judge_unknown(tally: Tally, settings: GuardSettings) -> Verdict:
    if tally.replies < settings.unknown_sample:
        return Verdict.CLEAR
    share = tally.share
    if share >= settings.unknown_abort:
        return Verdict.ABORT
    if share >= settings.unknown_pause:
        return Verdict.PAUSE
    return Verdict.WARN if share >= settings.unknown_warn else Verdict.CLEAR


def is_unknown_user(bounce_class: Class | None, phase: Phase) -> bool:
    """An address without a user, as RCPT is answered. The same words behind the dot are a filter's, at carriers."""
    return bounce_class is Class.UNKNOWN_USER and phase is Phase.RCPT


# -- the canary --------------------------------------------------------------------------------------------


class Passing(IntEnum):
    OPEN = 0
    GOOD = 1
    BAD = 2


ERROR: Final = 0.05
"""How often the test may be wrong, either way."""
LEAST: Final = 100
"""Replies before it says good: the first hundred of a list are often its freshest."""


def judge_canary(replies: int, unknown: int, settings: GuardSettings) -> Passing:
    """Wald's sequential test of canary_good against canary_bad, so that a clear case ends before the whole sample; at
    its end the likelier of the two decides.
    """
    good, bad = settings.canary_good, settings.canary_bad
    likelihood = unknown * math.log(bad / good) + (replies - unknown) * math.log((1 - bad) / (1 - good))
    bound = math.log((1 - ERROR) / ERROR)
    if likelihood >= bound:
        return Passing.BAD
    least = min(LEAST, settings.canary)
    if likelihood <= -bound and replies >= least:
        return Passing.GOOD
    if replies >= settings.canary:
        return Passing.BAD if likelihood > 0 else Passing.GOOD
    return Passing.OPEN


# -- complaints and opt-outs -------------------------------------------------------------------------------


@dataclass(slots=True)
class Daily:
    """One sender at one provider: today's counts, and yesterday's deliveries, which today's complaints may be about."""

    day: int = 0
    delivered: int = 0
    complaints: int = 0
    before: int = 0
    """Delivered yesterday."""
    verdict: Verdict = Verdict.CLEAR

    def turn(self, day: int) -> None:
        if day != self.day:
            self.before = self.delivered if day == self.day + 1 else 0
            self.day, self.delivered, self.complaints, self.verdict = day, 0, 0, Verdict.CLEAR

    def renew(self) -> None:
        """Somebody has looked and resumed: what was delivered stays what later complaints are held against."""
        self.before = self.base
        self.delivered = self.complaints = 0
        self.verdict = Verdict.CLEAR

    @property
    def base(self) -> int:
        return max(self.delivered, self.before)

    @property
    def share(self) -> float:
        return self.complaints / self.base if self.base else 0.0


def judge_complaints(daily: Daily, settings: GuardSettings) -> Verdict:
    if daily.base < settings.complaint_sample or daily.complaints < settings.complaint_least:
        return Verdict.CLEAR
    if daily.share >= settings.complaint_pause:
        return Verdict.PAUSE
    return Verdict.WARN if daily.share >= settings.complaint_warn else Verdict.CLEAR


MOST_OPT_OUTS: Final = 100_000


@dataclass(slots=True)
class Wave:
    """The recent opt-outs of one sender."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_OPT_OUTS))

    def note(self, now: float, seconds: float) -> int:
        """How many there were within `seconds`, this one too."""
        self.times.append(now)
        while self.times[0] <= now - seconds:
            self.times.popleft()
        return len(self.times)


def is_mass_opt_out(recent: int, delivered: int, settings: GuardSettings) -> bool:
    share = settings.optout_share
    return 0 < share <= recent / max(delivered, 1) and delivered >= settings.optout_sample
