"""Which table is in force on a day, and what their codes say to people."""

from __future__ import annotations

from datetime import date
from importlib.resources import files

import pytest

from suppression.day import number_of
from suppression.decision import Category
from suppression.events import AddressState, Basis, Covers
from suppression.policy import Circumstances, decide
from suppression.reasons import entry, open_tables, packaged_tables, text
from suppression.rules import RulesError, read_table
from suppression.standing import Ground, Stand
from suppression.tables import in_force

SHIPPED = files("suppression").joinpath("rules", "consent.toml").read_text(encoding="utf-8")
LATER = SHIPPED.replace("2025-06-01", "2027-04-01").replace("days = 365", "days = 180")


def on(day, tables):
    return in_force(tables, number_of(date.fromisoformat(day)))


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_table_in_force_decides(order) -> None:
    tables = [*packaged_tables(), read_table(LATER, "consent-2027.toml")][::order]
    ages = {day: on(day, tables).ages[Basis.BIZREL].days for day in ("2027-03-31", "2027-04-01", "2030-01-01")}
    assert ages == {"2027-03-31": 365, "2027-04-01": 180, "2030-01-01": 180}
    before, after = on("2027-03-31", tables), on("2027-04-01", tables)
    assert (before.tables["optout"], after.tables["consent"].file) == (after.tables["optout"], "consent-2027.toml")
    since = number_of(date(2026, 9, 1))
    stand = Stand(grounds=frozenset({Ground(Basis.BIZREL, Covers.AD, since)}))
    said = [
        decide(rules, Category.AD, AddressState.OK, stand, Circumstances(since + 200)).reason
        for rules in (before, after)
    ]
    assert said == ["", "BIZREL_ENDED"]


def test_before_the_first_table_nothing_is_decided() -> None:
    assert on("2025-05-31", packaged_tables()) is None
    assert on("2025-06-01", packaged_tables()) is not None
    assert on("2026-01-01", packaged_tables()[:-1]) is None


def test_a_folder_of_the_operators_own(tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(SHIPPED.replace("days = 365", "days = 30"), "utf-8")
    (tmp_path / "notes.txt").write_text("not read", "utf-8")
    assert on("2026-01-01", open_tables(tmp_path)).ages[Basis.BIZREL].days == 30
    assert on("2026-01-01", open_tables()).ages[Basis.BIZREL].days == 365


def test_every_fault_of_a_folder_is_told(tmp_path) -> None:
    (tmp_path / "a.toml").write_text("=", "utf-8")
    (tmp_path / "b.toml").write_bytes(b"\xff")
    (tmp_path / "c.toml").mkdir()
    with pytest.raises(RulesError) as caught:
        open_tables(tmp_path)
    assert [error.partition(": ")[0] for error in caught.value.errors] == [
        str(tmp_path / name) for name in ("a.toml", "b.toml", "c.toml")
    ]
    with pytest.raises(RulesError, match="no such folder"):
        open_tables(tmp_path / "nowhere")
    (tmp_path / "own").mkdir()
    unsaid = SHIPPED.replace("BLOCK ADDR_NOT_WRITTEN", "BLOCK OWN_REASON")
    (tmp_path / "own" / "a.toml").write_text(unsaid, "utf-8")
    with pytest.raises(RulesError, match="OWN_REASON: has no text"):
        open_tables(tmp_path / "own")


def test_texts_in_japanese_and_english() -> None:
    assert text("NO_CONSENT") == ("受信者の同意がありません", "The recipient has not consented")
    assert entry("OPTOUT_ALL").article == "特定電子メール法3条3項、特定商取引法12条の3第2項"
    assert text("DISPLAY_NAME") == text("DISPLAY_REFUSED")
    assert text("IDENTITY_SPF") == text("IDENTITY_REFUSED") != text("DISPLAY_NAME")
    assert text("UNHEARD_OF") == ("UNHEARD_OF", "UNHEARD_OF")
    assert entry("NO_CONSENT", open_tables()).kind == "reason"
