from __future__ import annotations

from datetime import date

import pytest

from suppression.events import (
    AddressState,
    Basis,
    Complaint,
    Consent,
    Covers,
    HardBounce,
    OptOut,
    Restored,
    Scope,
    Withdrawal,
)
from suppression.recording import entries_of, microseconds
from suppression.standing import Kind, pack_ground

WHO, KEYS, NOW = "a@x.jp", b"k" * 16, 9_000_000


@pytest.mark.parametrize(
    ("event", "rows"),
    [
        (OptOut(WHO, 1.5, "web", Scope.GLOBAL), [(Kind.OPT_OUT, "", "", 0)]),
        (OptOut(WHO, 1.5, "web", Scope.SENDER, "s"), [(Kind.OPT_OUT, "s", "", 0)]),
        (OptOut(WHO, 1.5, "web", Scope.TOPIC, "s", "t"), [(Kind.OPT_OUT, "s", "t", 0)]),
        (OptOut(WHO, 1.5, "web", Scope.PERIOD, "s", "t", until=date(1970, 2, 1)), [(Kind.OPT_OUT, "s", "t", 31)]),
        (Consent(WHO, 1.5, "web", "s", until=date(1970, 2, 1)), [(Kind.CONSENT, "s", "", 1 + 256 + (31 << 16))]),
        (Withdrawal(WHO, 1.5, "web", "s", "t"), [(Kind.WITHDRAWAL, "s", "t", 0)]),
        (Complaint(WHO, 1.5, "web", "s"), [(Kind.COMPLAINT, "s", "", 0)]),
        (HardBounce(WHO, 1.5, "web", AddressState.NULL_MX), [(Kind.ADDRESS, "", "", 2)]),
        (Restored(WHO, 1.5, "web"), [(Kind.ADDRESS, "", "", 0)]),
        (Consent(WHO, 1.5, "web", "s"), [(Kind.CONSENT, "s", "", pack_ground(Basis.OPTIN_REC, Covers.AD))]),
        (
            Consent(WHO, 1.5, "web", "s", Basis.CARD, Covers.MAIL_ORDER, ("t", "u")),
            [(Kind.CONSENT, "s", topic, 5 + 512) for topic in ("t", "u")],
        ),
    ],
)
def test_one_row_for_each_fact(event, rows) -> None:
    made = list(entries_of(event, KEYS, NOW))
    assert [(row.kind, row.sender, row.topic, row.detail) for row in made] == rows
    assert {(row.identity, row.at, row.source, row.address) for row in made} == {(KEYS, 1_500_000, "web", WHO)}


def test_nothing_is_later_than_its_record() -> None:
    assert next(entries_of(Restored(WHO, 20.0, "web"), KEYS, NOW)).at == NOW


def test_evidence_is_kept_whatever_a_server_said() -> None:
    made = next(entries_of(Restored(WHO, 1.0, "web", "550 \0 \ud800\r\n株"), KEYS, NOW))
    assert made.evidence == "550 \\0 \\ud800\r\n株"


def test_times_are_whole_microseconds() -> None:
    assert microseconds(1_800_000_000.123456) == 1_800_000_000_123_456
