"""TLS reports (RFC 8460): sessions counted by day and recipient domain, and what is told to who asked for it.

A session counts for the domain whose mail it was opened for, under each policy that was followed. What is kept is
bounded: domains a day, kinds of failure a domain; beyond that only the sums go on. `write` and `read` carry a day over
a restart. Pure but for its place on this floor: no clock, no DNS, no disk; days are of UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

DAY: Final = 86_400
MOST_DOMAINS: Final = 10_000
MOST_FAILURES: Final = 100
"""Kinds of failure of one domain under one policy."""
MOST_ADDRESSES: Final = 2
"""That one domain's reports go to."""
_MAILTO: Final = re.compile(r"mailto:([^\s,!?%]{3,254})", re.IGNORECASE)

_HTTPS: Final = re.compile(
    r"https://([a-z0-9-]{1,63}\.){1,20}[a-z][a-z0-9-]{0,62}(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+;=:@/?%-]{0,400})?",
    re.IGNORECASE,
)
"""No login, no fragment, and no address in place of a name: names are looked up, and what they lead to is checked."""

Failure = tuple[str, str, str, str]
"""Result (RFC 8460 4.3), MX host, its address, text."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A policy as a report names it (RFC 8460 4.2)."""

    type: str
    """tlsa, sts or no-policy-found."""
    domain: str
    text: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()


@dataclass(slots=True)
class Sums:
    successes: int = 0
    failures: int = 0
    details: dict[Failure, int] = field(default_factory=dict)


class Tally:
    """One day's sessions."""

    def __init__(self, day: int) -> None:
        self.day = day
        """Days since 1970."""
        self.domains: dict[str, dict[Followed, Sums]] = {}
        self.uncounted = 0
        """Sessions of domains beyond the bound."""

    def note(self, domain: str, followed: Followed, failure: Failure | None = None) -> None:
        policies = self.domains.get(domain)
        if policies is None:
            if len(self.domains) >= MOST_DOMAINS:
                self.uncounted += 1
                return
            policies = self.domains[domain] = {}
        sums = policies.get(followed)
        if sums is None:
            # A policy whose text changes all day long: what is too much is counted under its first.
            followed = followed if len(policies) < MOST_FAILURES else next(iter(policies))
            sums = policies.setdefault(followed, Sums())
        if failure is None:
            sums.successes += 1
            return
        sums.failures += 1
        if failure in sums.details or len(sums.details) < MOST_FAILURES:
            sums.details[failure] = sums.details.get(failure, 0) + 1

    def write(self) -> bytes:
        return json.dumps(
            {
                "day": self.day,
                "domains": [
                    [name, [_sums_written(followed, sums) for followed, sums in policies.items()]]
                    for name, policies in self.domains.items()
                ],
            }
        ).encode()

    @staticmethod
    def read(raw: bytes) -> Tally:
        """Raises ValueError for what `write` did not write."""
        try:
            table = json.loads(raw)
            tally = Tally(int(table["day"]))
            for name, policies in table["domains"]:
                tally.domains[str(name)] = dict(_sums_read(entry) for entry in policies)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no tally of TLS sessions: {error}") from None
        return tally


def _sums_written(followed: Followed, sums: Sums) -> list[object]:
    details = [[*failure, count] for failure, count in sums.details.items()]
    return [followed.type, followed.domain, followed.text, followed.mx, sums.successes, sums.failures, details]


def _sums_read(entry: Sequence[Any]) -> tuple[Followed, Sums]:
    kind, domain, text, mx, successes, failures, details = entry
    found = {(str(a), str(b), str(c), str(d)): int(count) for a, b, c, d, count in details}
    return Followed(str(kind), str(domain), tuple(text), tuple(mx)), Sums(int(successes), int(failures), found)


def addresses_of(records: Sequence[object]) -> tuple[str, ...]:
    """Where a domain wants its reports by mail, of its TXT records at _smtp._tls (RFC 8460 3)."""
    found = [match[1] for uri in _wanted(records) if (match := _MAILTO.fullmatch(uri))]
    return tuple(dict.fromkeys(found))[:MOST_ADDRESSES]


def places_of(records: Sequence[object]) -> tuple[str, ...]:
    """Where it wants them by HTTPS, of the same records."""
    return tuple(dict.fromkeys(uri for uri in _wanted(records) if _HTTPS.fullmatch(uri)))[:MOST_ADDRESSES]


def _wanted(records: Sequence[object]) -> list[str]:
    texts = [r.decode("ascii", "replace") for r in records if isinstance(r, bytes) and r.startswith(b"v=TLSRPTv1")]
    if len(texts) != 1:
        return []
    first, *fields = (part.strip() for part in texts[0].split(";"))
    wanted = [value for name, _, value in (part.partition("=") for part in fields) if name.strip() == "rua"]
    if first != "v=TLSRPTv1" or len(wanted) != 1:
        return []
    return [uri.strip() for uri in wanted[0].split(",")]


@dataclass(frozen=True, slots=True)
class Reporter:
    organization: str
    contact: str
    domain: str
    """Of the contact: first part of the file's name."""
    source: str = ""
    """The address that we send from, when there is one."""


@dataclass(frozen=True, slots=True)
class Report:
    domain: str
    id: str
    """The same whenever the same day of the same domain is reported."""
    end: int
    """The day's last second."""
    file_name: str
    """RFC 8460 5.1, with .json.gz."""
    content: bytes
    """JSON, RFC 8460 4.4."""


def report_of(domain: str, policies: Mapping[Followed, Sums], day: int, reporter: Reporter) -> Report:
    begin, end = day * DAY, (day + 1) * DAY - 1
    id_ = f"{begin}.{domain}@{reporter.domain}"
    content = {
        "organization-name": reporter.organization,
        "date-range": {"start-datetime": _time(begin), "end-datetime": _time(end)},
        "contact-info": reporter.contact,
        "report-id": id_,
        "policies": [_policy(followed, sums, reporter) for followed, sums in policies.items()],
    }
    name = f"{reporter.domain}!{domain}!{begin}!{end}.json.gz"
    return Report(domain, id_, end, name, json.dumps(content, indent=1).encode())


def _policy(followed: Followed, sums: Sums, reporter: Reporter) -> dict[str, object]:
    policy: dict[str, object] = {"policy-type": followed.type, "policy-domain": followed.domain}
    if followed.text:
        policy["policy-string"] = list(followed.text)
    if followed.mx:
        policy["mx-host"] = list(followed.mx)
    told: dict[str, object] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": sums.successes,
            "total-failure-session-count": sums.failures,
        },
    }
    if sums.details:
        told["failure-details"] = [_failure(failure, count, reporter) for failure, count in sums.details.items()]
    return told


def _failure(failure: Failure, count: int, reporter: Reporter) -> dict[str, object]:
    words = dict(
        zip(("result-type", "receiving-mx-hostname", "receiving-ip", "failure-reason-code"), failure, strict=True)
    )
    own = {"sending-mta-ip": reporter.source} if reporter.source else {}
    return {**own, **{name: value for name, value in words.items() if value}, "failed-session-count": count}


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
