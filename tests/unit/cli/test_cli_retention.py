"""What `retention` and `forget` tell a person: every reason in both languages, every day that it counts from."""

from __future__ import annotations

from typing import Any

import pytest

from engine.__main__ import main
from engine.cli.retention import ORDERS, REASONS, forget_lines, purge_lines, show_lines
from engine.flow.retention import ORDER_NAMES
from suppression.retention import Rule

RECORD: dict[str, Any] = {
    "is_this_spelling": True,
    "since": "2025-01-01",
    "is_purged": False,
    "keep_until": "2027-04-16",
    "reasons": [["ORDER_SOON", "2026-04-10", "2027-04-09", "2026-05-01"], ["MONTH", "2026-04-10", "2026-05-09", None]],
}
TOLD: dict[str, Any] = {
    "sender": "shop",
    "last_sent": "2026-04-10",
    "last_mail_order": None,
    "presumed": None,
    "orders": [["ORDER7", "2026-05-01", False], ["ORDER7", "2026-06-01", True]],
    "margin_days": 7,
    "records": [RECORD],
}


def shown(**changes: object) -> str:
    return "\n".join(show_lines({**TOLD, **changes}))


def test_every_rule_and_order_has_its_words() -> None:
    assert REASONS.keys() == set(Rule)
    assert ORDERS.keys() == set(ORDER_NAMES.values())


def test_the_arithmetic_is_told() -> None:
    text = shown()
    assert "2026-04-10 → 2027-04-09 (命令 / order 2026-05-01)" in text
    assert "起算して一年を経過する日" in text
    assert "counting the day of that send" in text
    assert "2026-04-10 → 2026-05-09\n" in text
    assert "保存期限 / keep until: 2027-04-16 (余裕 7 日を含む" in text
    assert "2026-06-01 特定電子メール法7条 措置命令 解除 / released" in text
    assert "last mail-order advertisement: 記録なし / none on record" in text


def test_what_has_no_end_or_is_gone_says_so() -> None:
    open_record = {**RECORD, "keep_until": None, "reasons": [["IN_FORCE", None, None, None]]}
    assert "keep until: 期限なし / no end can be named yet" in shown(records=[open_record])
    assert "消去済み / purged already" in shown(records=[{**RECORD, "is_purged": True, "is_this_spelling": False}])
    assert "another spelling" in shown(records=[{**RECORD, "is_this_spelling": False}])
    assert "no consent is recorded" in shown(records=[])
    assert "presumed to have been sent until: 2026-01-01" in shown(presumed="2026-01-01")


def test_a_purge_says_what_stays_and_why() -> None:
    told = {"dry_run": True, "examined": 1200, "purged": 1000, "kept": {"MONTH": 200}, "texts": 0}
    assert list(purge_lines(told))[:2] == [
        "拒否・撤回のある同意を確認 / consents refused or withdrawn, examined: 1,200",
        "  消去対象 / would be purged: 1,000",
    ]
    assert any("kept: 200" in line and "4条2項2号本文" in line for line in purge_lines(told))
    done = list(purge_lines({**told, "dry_run": False, "texts": 3}))
    assert "  消去 / purged: 1,000" in done
    assert done[-1].endswith("deleted: 3")


def test_forgetting_says_until_when_the_law_keeps_what() -> None:
    text = "\n".join(
        forget_lines({"events": 3, "erased": 1, "kept": [["shop", "2027-04-16", "MONTH"], ["b", None, "IN_FORCE"]]})
    )
    assert "shop: 同意の記録は 2027-04-16 まで保存します。" in text
    assert "b: 同意の記録は当面保存します。" in text
    assert "受信拒否は鍵付きハッシュにより引き続き有効です" in text
    assert "journal" in text
    (nothing,) = forget_lines({"events": 0, "erased": 0, "kept": []})
    assert "nothing is recorded" in nothing


def test_forgetting_needs_a_yes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "a@x.jp", "--socket", "/nowhere"]) == 2
    assert "--confirm" in capsys.readouterr().err


def test_without_an_engine_there_is_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["forget", "a@x.jp", "--confirm"],
        ["retention", "purge"],
        ["retention", "show", "a", "--sender", "s"],
    ):
        assert main([*words, "--socket", "/nowhere/s.sock", "--patience", "0.2"]) == 3
        assert "start the engine" in capsys.readouterr().err
