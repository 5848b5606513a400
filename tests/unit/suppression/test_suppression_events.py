from __future__ import annotations

from datetime import date

import pytest

from suppression.events import (
    MAX_TOPICS,
    AddressState,
    Complaint,
    Consent,
    Covers,
    EventError,
    HardBounce,
    OptOut,
    Restored,
    Scope,
    Withdrawal,
    check,
)

NOW = 1000.0
WHO = "user@example.jp"


@pytest.mark.parametrize(
    "event",
    [
        OptOut(WHO, 0.0, "web", Scope.GLOBAL),
        OptOut(WHO, NOW, "web", Scope.SENDER, "acme"),
        OptOut(WHO, NOW + 300, "web", Scope.TOPIC, "acme", "ニュース"),
        Consent(WHO, 1.0, "web", "acme", topics=("news", "shop"), evidence="form\n1"),
        Withdrawal(WHO, 1.0, "web", "acme"),
        Withdrawal(WHO, 1.0, "web", "acme", "news"),
        Complaint(WHO, 1.0, "arf"),
        Complaint(WHO, 1.0, "arf", "acme"),
        HardBounce(WHO, 1.0, "smtp", AddressState.FICT_SUSPECT),
        Restored(WHO, 1.0, "manual"),
        OptOut(WHO, 1.0, "web", Scope.PERIOD, "acme", until=date(1970, 1, 2)),
        OptOut(WHO, 1.0, "web", Scope.PERIOD, "acme", "news", until=date(1980, 1, 2)),
        Consent(WHO, 1.0, "web", "acme", until=date(9999, 12, 31)),
        HardBounce(WHO, 1.0, "smtp", AddressState.BAD_SYNTAX),
        HardBounce(WHO, 1.0, "smtp", evidence="550 \0 \ud800 \x1b[2J"),
    ],
)
def test_accepts(event) -> None:
    check(event, NOW)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (Restored(WHO, NOW + 301, "web"), "at: 1301.0"),
        (Restored(WHO, -1.0, "web"), "at: -1.0"),
        (Restored(WHO, float("nan"), "web"), "at: nan"),
        (Restored(WHO, 1.0, ""), "source: empty"),
        (Restored(WHO, 1.0, "w" * 201), "source: 'www"),
        (Restored(WHO, 1.0, "\x1b[2J"), r"source: '\\x1b"),
        (Restored(WHO, 1.0, "web", "e" * 65_537), "evidence"),
        (OptOut(WHO, 1.0, "web", Scope.GLOBAL, "acme"), "sender: 'acme' with scope GLOBAL"),
        (OptOut(WHO, 1.0, "web", Scope.GLOBAL, "", "news"), "sender: 'news' with scope GLOBAL"),
        (OptOut(WHO, 1.0, "web", Scope.SENDER), "sender: empty"),
        (OptOut(WHO, 1.0, "web", Scope.SENDER, "acme", "news"), "topic: 'news' with scope SENDER"),
        (OptOut(WHO, 1.0, "web", Scope.TOPIC, "acme"), "topic: empty"),
        (OptOut(WHO, 1.0, "web", Scope.PERIOD, "acme"), "until: missing"),
        (OptOut(WHO, 1.0, "web", Scope.PERIOD, until=date(1970, 1, 2)), "sender: empty"),
        (OptOut(WHO, 1.0, "web", Scope.PERIOD, "acme", "\n", until=date(1970, 1, 2)), "topic: "),
        (OptOut(WHO, 1.0, "web", Scope.PERIOD, "acme", until=date(1970, 1, 1)), "until: 1970-01-01 is no day within"),
        (OptOut(WHO, 1.0, "web", Scope.PERIOD, "acme", until=date(1980, 1, 3)), "until: 1980-01-03 is no day within"),
        (OptOut(WHO, 1.0, "web", Scope.SENDER, "acme", until=date(1970, 1, 2)), "until: 1970-01-02 with scope SENDER"),
        (Consent(WHO, 1.0, "web", "acme", until=date(1970, 1, 1)), "until: 1970-01-01 is before"),
        (Consent(WHO, 1.0, "web", ""), "sender: empty"),
        (Consent(WHO, 1.0, "web", "\ud800"), "sender: "),
        (Consent(WHO, 1.0, "web", "株" * 67), "sender: "),
        (Consent(WHO, 1.0, "web", "acme", topics=("",)), "topic: empty"),
        (Consent(WHO, 1.0, "web", "acme", topics=("t",) * (MAX_TOPICS + 1)), "topics: 101"),
        (Consent(WHO, 1.0, "web", "acme", covers=Covers(0)), "covers"),
        (Withdrawal(WHO, 1.0, "web", ""), "sender: empty"),
        (Withdrawal(WHO, 1.0, "web", "acme", "t" * 201), "topic: "),
        (Complaint(WHO, 1.0, "arf", "\n"), "sender: "),
        (HardBounce(WHO, 1.0, "smtp", AddressState.OK), "state: OK"),
    ],
)
def test_refuses_with_the_field_named(event, field) -> None:
    with pytest.raises(EventError, match=f"^{field}"):
        check(event, NOW)
