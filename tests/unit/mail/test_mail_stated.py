"""What is stated of a recipient: kept beside the merge fields, where no template can reach it."""

from __future__ import annotations

import pytest

from engine.mail.slots import TemplateError, cut
from engine.mail.stated import STATED, asked, region_fault, region_of, stated, with_stated

KNOWN = frozenset({"JP", "EU"})


def test_it_comes_back_and_nothing_stated_leaves_no_trace() -> None:
    fields = {"name": "山田"}
    kept = with_stated(fields, "EU")
    assert (stated(kept), asked(kept)) == ("EU", ("", "EU", ""))
    assert kept["name"] == "山田"
    assert fields == {"name": "山田"}
    assert with_stated(fields, "") == fields
    assert (stated(fields), asked(fields)) == ("", ("", "", ""))


def test_an_override_stands_beside_the_region_or_alone() -> None:
    both, alone = with_stated({}, "EU", "UNKNOWN_USER"), with_stated({}, "", "UNKNOWN_USER")
    assert (region_of(both), asked(both)) == ("EU", ("", "EU", "UNKNOWN_USER"))
    assert (region_of(alone), asked(alone)) == ("", ("", "", "UNKNOWN_USER"))


def test_no_template_can_merge_it() -> None:
    with pytest.raises(TemplateError):
        cut("{{" + STATED + "}}")


@pytest.mark.parametrize(
    ("region", "fault"),
    [
        ("EU", None),
        ("XX", "region 'XX' is not known; the decision tables have EU, JP: use one of these, or add a table"),
        ("eu", "region 'eu' is no region: two capital letters, such as EU; the decision tables have EU, JP"),
        ("\x1b[2J", "region '\\x1b[2J' is no region"),
        ("E" * 60, "region 'EEEEEEEEEEEEEEEEEEEE' is no region"),
    ],
)
def test_a_region_is_one_of_the_tables(region, fault) -> None:
    found = region_fault(region, KNOWN)
    assert found is None if fault is None else str(found).startswith(fault)


def test_without_tables_no_region_is_known() -> None:
    assert "have none" in str(region_fault("EU", frozenset()))
