"""The oracle: receipts against acceptances, and the verdicts."""

import json

import pytest

from bench.inject import Injection
from bench.mailing import People, urgent_address
from bench.receipts import Receipt
from bench.result import arrivals, quantile, show, verdicts
from bench.scenario import Goal

PEOPLE = People(5, 2)


def receipt(number: int, identity: str | None = None, at: float = 1.0) -> Receipt:
    return Receipt(at, PEOPLE.address(number), identity or f"<{number}@x>", "", answered=True)


def injection(accepted: bytes = b"\x01" * 5) -> Injection:
    return Injection(PEOPLE, bytearray(accepted))


def test_all_arrived() -> None:
    found = arrivals(injection(), map(receipt, range(5)), due=bytearray(b"\x01" * 5), allowed=bytearray(b"\x01" * 5))
    assert (found.messages, found.unique, found.lost, found.duplicates, found.forbidden) == (5, 5, 0, 0, 0)


def test_lost_duplicated_and_forbidden_are_told_apart() -> None:
    receipts = [receipt(0), receipt(0), receipt(1), receipt(4)]
    found = arrivals(
        injection(), receipts, due=bytearray(b"\x01\x01\x01\x00\x00"), allowed=bytearray(b"\x01\x01\x01\x01\x00")
    )
    assert found.lost == 1
    assert found.duplicates == 1
    assert found.forbidden == 1


def test_a_second_message_to_the_same_person_is_no_loss_of_another() -> None:
    receipts = [receipt(0, "<a@x>"), receipt(0, "<b@x>")]
    found = arrivals(injection(), receipts, due=bytearray(b"\x01" * 5), allowed=bytearray(b"\x01" * 5))
    assert (found.lost, found.duplicates) == (4, 0)


def test_transactional_mail_is_due_and_timed() -> None:
    given = injection(bytes(5))
    given.urgent = {0: 10.0, 1: 11.0, 2: 12.0}
    receipts = [
        Receipt(10.5, urgent_address(0), "<a@x>", "", answered=True),
        Receipt(12.25, urgent_address(2), "<c@x>", "", answered=True),
        Receipt(99.0, urgent_address(2), "<c@x>", "", answered=True),
    ]
    found = arrivals(given, receipts, due=bytearray(5), allowed=bytearray(5))
    assert found.lost == 1
    assert found.urgent_seconds == [0.25, 0.5]
    assert found.duplicates == 1


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_quantile(share: float, value: float) -> None:
    assert quantile([float(number) for number in range(1, 101)], share) == value
    assert quantile([], share) is None


def test_verdicts() -> None:
    goal = Goal(core_us=45, resident_mb=300, rate_to_baseline=0.7, start_seconds=10)
    said = verdicts(goal, {"core_us": 45.0, "core_resident_mb": 301, "rate_to_baseline": 0.69})
    assert said == {
        "core_us": "met: 45 <= 45",
        "resident_mb": "missed: 301 <= 300",
        "start_seconds": "missed: nothing <= 10",
        "rate_to_baseline": "missed: 0.69 >= 0.7",
    }
    assert verdicts(Goal(), {}) == {}
    assert verdicts(Goal(rate_to_baseline=0.5), {"rate_to_baseline": 0.5})["rate_to_baseline"].startswith("met")


def test_one_json_line_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"rate": 1234.5, "lost": 0, "signed": True, "more": {"a": 1}, "list": ["x"]}
    show("title", figures)
    out, err = capsys.readouterr()
    assert json.loads(out) == figures
    assert "1,234.50" in err


def test_refusals_of_the_engine_are_not_accepted() -> None:
    class Refused:
        index, code, text = 2, "bad_address", "no"

    class Submitted:
        offset, count, refused = 1, 3, (Refused(),)

    given = injection(bytes(5))
    given.note(Submitted())
    assert list(given.accepted) == [0, 1, 0, 1, 0]
    assert given.count == 2
    assert given.refused == ["person2@d0.bench.example: bad_address: no"]
