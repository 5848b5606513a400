"""The last distinct texts of receivers, bounded."""

from __future__ import annotations

from engine.flow.remarks import LONGEST, Remarks


def test_texts_that_differ_in_numbers_are_one_with_the_last_words() -> None:
    remarks = Remarks()
    remarks.note("mx", "rate", "421 4.7.0 try later (queue id 4F2a9x)", 1.0)
    remarks.note("other", "rate", "421 4.7.0 try later (queue id 4F2a9x)", 2.0)
    remarks.note("mx", "rate", "421 4.7.0 try later (queue id 77bc1)", 3.0)
    latest = remarks.latest(10)
    assert [(one.site, one.count, one.since, one.at) for one in latest] == [("mx", 2, 1.0, 3.0), ("other", 1, 2.0, 2.0)]
    assert latest[0].text.endswith("77bc1)")
    assert [one.site for one in remarks.latest(1)] == ["mx"]


def test_a_flood_of_distinct_texts_stays_bounded_and_drops_the_silent() -> None:
    remarks = Remarks(most=5)
    letters = "abcdefghijklmnopqrst"
    for number, letter in enumerate(letters):
        remarks.note("mx", "policy", letter * 10_000, float(number))
        remarks.note("mx", "policy", "said again and again", float(number))
    latest = remarks.latest(100)
    assert len(latest) == 5
    assert (latest[0].text, latest[0].count) == ("said again and again", len(letters))
    assert max(len(one.text) for one in latest) == LONGEST
