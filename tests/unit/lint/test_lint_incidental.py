"""Incidental advertising (TX_AD, OTHER_AD, FREE_AD), rule by rule: what blocks it, what is only told, what it is free of.

施行規則 6条・9条但書 leave it the sender's name; what makes that name of use, and what every mail must be, stays.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from lint_samples import ADDRESS, FOOT, NAME, ORDER_SHOP, SHOP, findings, rules

CATEGORIES = ("TX_AD", "OTHER_AD", "FREE_AD")
LINES = "新緑の季節となりました。皆様いかがお過ごしでしょうか。\n" * 30
PICTURE = f'<p>お知らせ</p><img src="https://yamabuki.co.jp/n.png" alt="{NAME}">'
BLOCKING: dict[str, tuple[str, dict[str, object]]] = {
    "no name": ("D01", {"text": LINES}),
    "a brand": ("D01", {"text": LINES + "送信者 やまぶき堂\n"}),
    "the name in one part of two": ("D01", {"text": LINES + NAME, "html": "<p>やまぶき堂</p>"}),
    "the name in a picture": ("D05", {"html": PICTURE}),
    "the name hidden": ("D06", {"html": f'<p>お知らせ</p><p style="display:none">{NAME}</p>'}),
    "screens of nothing before it": ("D06", {"text": LINES + "\n" * 200 + NAME}),
    "a merge field left": ("D11", {"text": "[[NAME]] 様\n" + NAME}),
    "a reply that is none": ("D13", {"subject": "Re: 先日の件", "text": NAME}),
    "advertising in the variant without": ("D14", {"text": NAME, "without_ad": {"text": "期間限定セール 今だけ半額"}}),
}
FREE: dict[str, dict[str, object]] = {
    "D02 D03 D04 D12: no opt-out, no address, no contact": {"text": LINES + NAME},
    "D07: the name in the middle": {"text": LINES + NAME + "\n" + LINES},
    "D14: words of advertising": {"subject": "今だけ半額", "text": f"期間限定セール\n{NAME}"},
}


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(("rule", "message"), BLOCKING.values(), ids=BLOCKING)
def test_what_blocks_row_by_row(rule: str, message: dict[str, object], category: str) -> None:
    assert rules(message, category) == [rule]


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("message", FREE.values(), ids=FREE)
def test_what_it_is_free_of(message: dict[str, object], category: str) -> None:
    assert rules(message, category) == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_of_the_sender(category: str) -> None:
    brand = replace(SHOP, legal_name="やまぶき堂")
    assert rules({"text": "やまぶき堂"}, category, brand) == ["D08"]
    assert rules({"text": NAME}, category, replace(SHOP, from_display="shop@yamabuki.co.jp")) == ["D13"]
    assert rules({"text": NAME}, category, replace(SHOP, from_display="✅ やまぶき堂")) == ["d13"]
    assert rules({"text": NAME}, category, ORDER_SHOP) == [], "D09, D10: mail order's display is AD_MO's"


@pytest.mark.parametrize("category", CATEGORIES)
def test_abroad_the_exemption_does_not_hold(category: str) -> None:
    for region in ("US", "CA"):
        assert rules({"text": NAME}, category, regions=("JP", region)) == ["D15"]
        assert rules({"text": f"{NAME}\n{ADDRESS}"}, category, regions=("JP", region)) == []
    assert rules({"text": NAME}, category, regions=("JP", "EU")) == []
    assert [finding.rule for finding in findings({"text": NAME}, "TX", regions=("US",))] == []
    assert rules({"text": FOOT}, regions=("US",)) == [], "and the whole display has it"
