from __future__ import annotations

from datetime import date

from suppression.columns import Columns, SenderState
from suppression.day import number_of
from suppression.reasons import packaged_tables
from suppression.standing import NOTHING

TODAY = number_of(date(2027, 1, 15))
ASKED = ("acme", "news", "TX", "", "", "")


def columns(day: int = TODAY) -> Columns:
    return Columns(packaged_tables(), [NOTHING], {}, {}, day)


def test_a_day_that_has_been_is_no_new_day() -> None:
    made = columns()
    ready = made.column(ASKED)
    made.turn(TODAY)
    made.turn(TODAY - 1)
    assert (made.moves, made.day, made.column(ASKED)) == (0, TODAY, ready)
    made.turn(TODAY + 1)
    assert (made.moves, made.day) == (1, TODAY + 1)
    assert made.column(ASKED) is not ready


def test_lists_are_shared_by_whoever_stands_in_the_same_circumstances() -> None:
    made = columns()
    one, other = made.column(ASKED), made.column(("other", "shop", "TX", "", "JP", ""))
    assert made.decisions(one) is made.decisions(other)
    made.set_sender("acme", SenderState(identity="IDENTITY_X"))
    assert made.decisions(made.column(ASKED))[0].reason == "IDENTITY_X"
    assert made.column(("other", "shop", "TX", "", "JP", "")) is not other, "everything is asked anew"


def test_before_the_first_table_and_for_unknown_categories_nothing_is_kept() -> None:
    early = columns(number_of(date(2025, 5, 31)))
    assert early.decisions(early.column(ASKED))[0].reason == "RULES_NONE"
    made = columns()
    assert made.decisions(made.column(("acme", "", "SPAM", "", "", "")))[0].reason == "CAT_UNKNOWN"
    assert not made._made
    assert not early._made


def test_other_tables_are_asked_from_the_next_question_on() -> None:
    made = columns()
    ready = made.column(ASKED)
    made.use_tables(packaged_tables())
    assert (made.moves, made.column(ASKED)) == (0, ready), "the same tables change nothing"
    made.use_tables(())
    assert made.moves == 1
    assert made.decisions(made.column(ASKED))[0].reason == "RULES_NONE"
    made.use_tables(packaged_tables())
    assert made.decisions(made.column(ASKED))[0].reason != "RULES_NONE"
