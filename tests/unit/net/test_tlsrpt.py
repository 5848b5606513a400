"""TLS reports: what is counted within its bounds, carried over a restart, and told in the words of RFC 8460."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.net.tlsrpt import (
    DAY,
    MOST_DOMAINS,
    MOST_FAILURES,
    Failure,
    Followed,
    Reporter,
    Tally,
    addresses_of,
    report_of,
)

STS = Followed("sts", "example.jp", ("version: STSv1", "mode: enforce"), ("*.example.jp",))
NONE = Followed("no-policy-found", "example.jp")
EXPIRED: Failure = ("certificate-expired", "mx1.example.jp", "192.0.2.1", "certificate has expired")
DAY_NUMBER = 20_000


def tally() -> Tally:
    found = Tally(DAY_NUMBER)
    for failure in (None, None, EXPIRED, EXPIRED):
        found.note("example.jp", STS, failure)
    found.note("example.jp", NONE)
    return found


def test_a_report_in_the_words_of_the_rfc() -> None:
    reporter = Reporter("株式会社れい", "news@news.example.jp", "news.example.jp", "198.51.100.1")
    report = report_of("example.jp", tally().domains["example.jp"], DAY_NUMBER, reporter)
    begin = DAY_NUMBER * DAY
    assert report.file_name == f"news.example.jp!example.jp!{begin}!{begin + DAY - 1}.json.gz"
    assert json.loads(report.content) == {
        "organization-name": "株式会社れい",
        "date-range": {"start-datetime": "2024-10-04T00:00:00Z", "end-datetime": "2024-10-04T23:59:59Z"},
        "contact-info": "news@news.example.jp",
        "report-id": f"{begin}.example.jp@news.example.jp",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-domain": "example.jp",
                    "policy-string": ["version: STSv1", "mode: enforce"],
                    "mx-host": ["*.example.jp"],
                },
                "summary": {"total-successful-session-count": 2, "total-failure-session-count": 2},
                "failure-details": [
                    {
                        "sending-mta-ip": "198.51.100.1",
                        "result-type": "certificate-expired",
                        "receiving-mx-hostname": "mx1.example.jp",
                        "receiving-ip": "192.0.2.1",
                        "failure-reason-code": "certificate has expired",
                        "failed-session-count": 2,
                    }
                ],
            },
            {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "example.jp"},
                "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
            },
        ],
    }


def test_a_day_is_carried_over_a_restart() -> None:
    again = Tally.read(tally().write())
    assert (again.day, again.domains) == (DAY_NUMBER, tally().domains)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text(max_size=5), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_damaged_counts_are_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Tally.read(raw)


@pytest.mark.parametrize("domains", [{}, [["a"]], [["a", [[1, 2]]]], [["a", [["sts", "a", [], [], 1, 1, [[1]]]]]], 7])
def test_counts_of_another_shape(domains: object) -> None:
    raw = json.dumps({"day": 1, "domains": domains}).encode()
    if domains == {}:
        assert Tally.read(raw).domains == {}
    else:
        with pytest.raises(ValueError, match=r".*"):
            Tally.read(raw)


def test_what_is_kept_is_bounded() -> None:
    found = Tally(1)
    for n in range(MOST_DOMAINS + 5):
        found.note(f"d{n}.example", NONE)
    assert (len(found.domains), found.uncounted) == (MOST_DOMAINS, 5)
    for n in range(MOST_FAILURES + 50):
        found.note("d0.example", STS, ("x", f"mx{n}", "", ""))
    for n in range(MOST_FAILURES + 50):
        found.note("d1.example", Followed("sts", f"policy {n}"))
    sums = found.domains["d0.example"][STS]
    assert (sums.failures, len(sums.details)) == (MOST_FAILURES + 50, MOST_FAILURES)
    policies = found.domains["d1.example"]
    assert len(policies) == MOST_FAILURES
    assert sum(sums.successes for sums in policies.values()) == MOST_FAILURES + 51


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([b"v=TLSRPTv1; rua=mailto:tls@example.jp"], ("tls@example.jp",)),
        ([b"v=TLSRPTv1;rua=https://r.example/x,mailto:a@example.jp , mailto:b@example.jp;"], ("a@example.jp", "b@example.jp")),
        ([b"v=TLSRPTv1; rua=mailto:a@b.c,mailto:d@b.c,mailto:e@b.c"], ("a@b.c", "d@b.c")),
        ([b"v=TLSRPTv1; rua=mailto:a@b.c", b"v=TLSRPTv1; rua=mailto:d@b.c"], ()),
        ([b"v=TLSRPTv12; rua=mailto:a@b.c"], ()),
        ([b"v=TLSRPTv1; rua=mailto:a@b.c?subject=x"], ()),
        ([b"v=TLSRPTv1; rua=mailto:a@b.c\r\nBcc: x"], ()),
        ([b"v=TLSRPTv1"], ()),
        ([b"v=spf1 -all", "text"], ()),
    ],
)  # fmt: skip
def test_where_reports_are_wanted(records: list[object], expected: tuple[str, ...]) -> None:
    assert addresses_of(records) == expected
