"""The reader of the decision tables: what the package ships is whole, and every wrong table is refused with all errors."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from suppression.decision import Category, Decision, Verdict
from suppression.events import Basis, Covers
from suppression.reasons import packaged_tables
from suppression.rules import STEPS, RulesError, check_tables, read_table
from suppression.standing import Refusal
from suppression.tables import NAMES, Mark

FOLDER = files("suppression").joinpath("rules")


def shipped(name):
    return FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8")


def changed(name, pattern, replacement, count=1):
    text, found = re.subn(pattern, lambda _: replacement, shipped(name), count=count, flags=re.MULTILINE)
    assert found, pattern
    return text


def errors_of(text, file="x.toml"):
    with pytest.raises(RulesError) as caught:
        read_table(text, file)
    assert str(caught.value).splitlines() == list(caught.value.errors)
    assert all(error.startswith(f"{file}: ") for error in caught.value.errors)
    return caught.value.errors


def test_the_shipped_tables_are_whole() -> None:
    tables = {table.name: table for table in packaged_tables()}
    assert set(tables) == set(NAMES)
    check_tables(list(tables.values()))
    assert [row.key for row in tables["precedence"].rows] == list(STEPS)
    assert {row.key for row in tables["consent"].rows} == {*Basis.__members__, "NONE"}
    assert {row.key for row in tables["optout"].rows} == {one.name for one in Refusal} - {"NONE"}
    for name in ("consent", "optout"):
        for row in tables[name].rows:
            assert row.cells.keys() == set(Category)
    assert tables["consent"].covers[Category.AD_MO].needs is Covers.MAIL_ORDER


def test_every_text_is_used_and_in_two_languages() -> None:
    everything = "".join(shipped(name) for name in NAMES if name != "texts")
    own = {"CONSENT_ENDED", "REGION_UNKNOWN", "RULES_NONE", "SUPPRESSION_UNAVAILABLE"}
    for table in packaged_tables():
        for text in table.texts:
            assert text.code in own or re.search(rf"\b{text.code}\b", everything), text.code
            assert not text.ja.isascii()
            assert text.en.isascii()


def test_a_cell_inherits_article_and_mark_and_may_have_its_own() -> None:
    consent = next(table for table in packaged_tables() if table.name == "consent")
    row = next(row for row in consent.rows if row.key == "BIZREL")
    assert row.cells[Category.AD].article == row.article
    assert row.cells[Category.AD].mark is Mark.DOCUMENTED
    cell = row.cells[Category.OTHER_AD]
    assert (cell.decision, cell.mail_order) == (
        Decision(Verdict.SEND, "", "R6_3"),
        Decision(Verdict.STRIP, "MO_INCIDENTAL", ""),
    )
    assert (cell.article, cell.mark) == ("特定商取引法施行規則29条1号", Mark.CUSTOM)


def test_equal_decisions_are_one_object() -> None:
    consent = next(table for table in packaged_tables() if table.name == "consent")
    assert len({id(row.cells[Category.TX].decision) for row in consent.rows}) == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("= 1", "not TOML"),
        ('table = "laws"\neffective_from = 2025-06-01', "table: 'laws' is no table; use one of precedence"),
        ("effective_from = 2025-06-01", "table: None is no table"),
        (
            changed("consent", "^effective_from = .*", 'effective_from = "2025-06-01"'),
            "effective_from: '2025-06-01' is no",
        ),
        (changed("consent", "^effective_from = .*", "effective_from = 2025-06-01T00:00:00Z"), "effective_from: "),
        (changed("consent", "^effective_from", "law = 1\neffective_from"), "law: 1 is an unknown key"),
        (changed("optout", "^effective_from", "cover = 1\neffective_from"), "cover: 1 is an unknown key"),
        (changed("consent", '^key = "CARD"', 'key = "BIZREL"'), "row: 'CARD' stands there 0 times"),
        (changed("consent", '^key = "CARD"', 'key = "BIZREL"'), "row: 'BIZREL' stands there 2 times"),
        (changed("consent", '^key = "CARD"', 'key = "FRIEND"'), "key: 'FRIEND' is not known; use one of OPTIN_REC"),
        (changed("consent", "^TX = .*", ""), "row 1 (OPTIN_REC).TX.decision: None is no decision"),
        (changed("consent", "^TX = .*", "TX = 5"), "row 1 (OPTIN_REC).TX.decision: 5 is no decision"),
        (changed("consent", "^TX = .*", 'TX = "-"'), "row 1 (OPTIN_REC).TX.decision: '-' is no decision"),
        (changed("consent", "^TX = .*", 'TX = "ALLOW X"'), "'ALLOW X' is no decision; write a verdict (SEND, STRIP, "),
        (changed("consent", "^TX = .*", 'TX = "SEND"'), "'SEND' is no decision"),
        (changed("consent", "^TX = .*", 'TX = "SEND x-y"'), "'SEND x-y' is no decision"),
        (
            changed("consent", "^TX = .*", 'TX = { decision = "SEND R6_1", because = 1 }'),
            "TX.because: 1 is an unknown key",
        ),
        (changed("consent", "^TX = .*", 'TX = { decision = "SEND R6_1", mail_order = 1 }'), "TX.mail_order: 1 is no"),
        (changed("optout", "later = [^,]*", 'later = "-"'), "CONFIRM.later: '-' is no decision"),
        (changed("precedence", 'override = "SEND TX_UNKNOWN"', 'override = "-"'), "TX.override: '-' is no decision"),
        (
            changed("precedence", 'override = "SEND TX_UNKNOWN"', 'override = "HOLD X"'),
            "TX.override: 'HOLD X' does not send",
        ),
        (
            changed(
                "precedence", '^AD_MO = "BLOCK INSTR14_HOLD"', 'AD_MO = { decision = "-", override = "SEND R6_1" }'
            ),
            "row 5 (INSTR14).AD_MO: 'INSTR14' cannot be overridden; only FICT_SUSPECT and UNKNOWN_USER can",
        ),
        (changed("consent", "^TX = .*", 'TX = { decision = "SEND R6_1", article = "" }'), "article: '' is no text"),
        (
            changed("consent", "^TX = .*", 'TX = { decision = "SEND R6_1", mark = "sure" }'),
            "TX.mark: 'sure' is not known",
        ),
        (changed("consent", "^mark = .*", "mark = [1]"), "row 1.mark: [1] is not known; use one of documented"),
        (changed("consent", "^ja = .*", 'ja = "a\\u001b"'), "row 1.ja: 'a\\x1b' is no text"),
        (changed("consent", "^ja = .*", f'ja = "{"a" * 1001}"'), "row 1.ja: 'aaa"),
        (changed("consent", "^ja = .*", ""), "row 1.ja: None is no text"),
        (changed("consent", "^en = .*", "en = 'x'\nTXX = 'y'"), "row 1.TXX: 'y' is an unknown key"),
        ('table = "consent"\neffective_from = 2025-06-01\nrow = 5', "row: 5 is no list"),
        ('table = "consent"\neffective_from = 2025-06-01\nrow = [5]', "row: [5] is no list"),
        ('table = "consent"\neffective_from = 2025-06-01\nrow = [' + "{}," * 1001 + "]", "is no list of at most 1000"),
        (changed("consent", '^category = "AD"', 'category = "ADS"'), "cover 1.category: 'ADS' is not known"),
        (changed("consent", '^category = "AD"', "category = []"), "cover 1.category: [] is not known"),
        (changed("consent", '^category = "AD_MO"', 'category = "AD"'), "cover: ['AD'] stands there twice"),
        (changed("consent", '^otherwise = "BLOCK NO_CONSENT"', "otherwise = 1"), "cover 1.otherwise: 1 is no decision"),
        (changed("consent", "^days = 365", "days = 0"), "age 1.days: 0 is no number of days"),
        (changed("consent", "^days = 365", "days = true"), "age 1.days: True is no number of days"),
        (changed("consent", "^days = 365", ""), "age 1.days: None is no number of days"),
        (changed("consent", '^reason = "BIZREL_ENDED"', 'reason = "ended"'), "age 1.reason: 'ended' is no reason code"),
        (changed("consent", '^reason = "BIZREL_ENDED"', "reason = 3"), "age 1.reason: 3 is no reason code"),
        (changed("consent", '^basis = "BIZREL"', 'basis = "OPTIN_REC"'), "age 1.basis: 'OPTIN_REC' is not known"),
        (changed("precedence", '^asks = "optout"', 'asks = "consent"'), "row 11.asks: 'consent' must be 'optout'"),
        (changed("precedence", '^asks = "optout"', 'asks = "optout"\nAD = "-"'), "row 11.AD: '-' is an unknown key"),
        (
            changed("precedence", '^every = "BLOCK CAT_UNKNOWN"', 'every = "-"'),
            "row 1.every.decision: '-' is no decision",
        ),
        (
            changed("precedence", '^every = "BLOCK CAT_UNKNOWN"', 'every = "BLOCK X"\nAD = "-"'),
            "row 1.AD: '-' is an unknown",
        ),
        (changed("regions", "^refuses = {}", ""), "region 1.refuses: None is missing"),
        (
            changed("regions", '^R2_CONFIRM = "BLOCK REGION_AU"', 'R2_CONFIRM = "SEND R6_1"'),
            "R2_CONFIRM: 'SEND' allows",
        ),
        (
            changed("regions", '^R2_CONFIRM = "BLOCK REGION_AU"', "R2_CONFIRM = 0"),
            "refuses.R2_CONFIRM: 0 is no decision",
        ),
        (changed("regions", '^key = "US"', 'key = "JP"'), "region: ['JP'] stands there twice"),
        (changed("texts", '^code = "C1_MO"', 'code = "C1_OPTIN"'), "text: ['C1_OPTIN'] stands there twice"),
        (changed("texts", '^kind = "basis"', 'kind = "base"'), "text 1.kind: 'base' is neither reason nor basis"),
    ],
)
def test_a_wrong_table_is_refused(text, error) -> None:
    assert any(error in found for found in errors_of(text)), errors_of(text)


def test_all_errors_come_at_once() -> None:
    text = changed("consent", "^TX = .*", 'TXX = "x"', count=0).replace("days = 365", "days = -1")
    errors = errors_of(text, "mine.toml")
    assert len(errors) == 21
    assert any("days" in error for error in errors)


def test_the_precedence_keeps_its_order() -> None:
    first, *rows = shipped("precedence").split("[[row]]")
    swapped = "[[row]]".join([first, rows[1], rows[0], *rows[2:]])
    (error,) = errors_of(swapped)
    assert error.startswith("x.toml: row: ['IDENTITY', 'CATEGORY', ")
    assert error.endswith(f"is another order; keep {', '.join(STEPS)}")


def test_tables_together() -> None:
    tables = list(packaged_tables())
    with pytest.raises(RulesError, match="optout: no such table"):
        check_tables([table for table in tables if table.name != "optout"])
    with pytest.raises(RulesError, match="texts: no such table"):
        check_tables([table for table in tables if table.name != "texts"])
    without = [table for table in tables if table.name != "texts"]
    for code, error in (
        ("RULES_NONE", "the program gives this reason"),
        ("EX2_CARD", "consent.toml: EX2_CARD: has no"),
    ):
        texts = read_table(changed("texts", f'^code = "{code}"', 'code = "OTHER"'), "texts.toml")
        with pytest.raises(RulesError, match=error):
            check_tables([*without, texts])
