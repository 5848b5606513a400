"""docs/law.md: what it names exists, and every article that the decision tables rest on stands in it."""

from __future__ import annotations

import re
from pathlib import Path

from suppression.reasons import packaged_tables

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "law.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`((?:suppression|engine|tests)/[\w/.*-]+)(?:::(\w+))?`", TEXT)
ROWS = [line.split("|")[1:-1] for line in TEXT.splitlines() if re.match(r"\| \d+条", line)]


def articles_of_the_page() -> dict[str, list[str]]:
    """Law -> its articles, by the headings."""
    found: dict[str, list[str]] = {}
    law = ""
    for line in TEXT.splitlines():
        if line.startswith("## "):
            law = line[3:].partition(" / ")[0]
        elif match := re.match(r"\| (\d+条\S*) ", line):
            found.setdefault(law, []).append(match[1])
    return found


def cited(article: str) -> set[tuple[str, str]]:
    """Law and article number of each citation, such as 特定電子メール法3条1項2号、施行規則2条."""
    found = set()
    law = ""
    for part in re.split(r"[、・]", re.sub(r"[(\uff08].*?[)\uff09]", "", article)):
        named = re.match(
            r"(特定電子メール法施行規則|特定商取引法施行規則|特定電子メール法|特定商取引法|施行規則)", part
        )
        if named:
            law = named[1] if named[1] != "施行規則" else law.removesuffix("施行規則") + "施行規則"
        if number := re.search(r"(\d+条(?:の\d+)?)", part):
            found.add((law, number[1]))
    return found


def test_every_file_and_test_that_it_names_exists() -> None:
    assert len(NAMED) > 40
    for path, test in NAMED:
        if "*" in path:
            assert list(ROOT.glob(path)), path
            continue
        assert (ROOT / path).is_file(), path
        if test:
            assert re.search(rf"^def {test}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), f"{path}::{test}"


def test_every_row_has_code_and_a_test() -> None:
    assert len(ROWS) > 25
    for article, _, code, test in ROWS:
        assert "`" in code, article
        assert "`tests/" in test, article
        assert "::test_" in test, article


def test_every_article_that_the_tables_rest_on_has_a_row() -> None:
    page = {law: {re.match(r"\d+条(?:の\d+)?", one)[0] for one in rows} for law, rows in articles_of_the_page().items()}
    tables = packaged_tables()
    articles = {row.article for table in tables for row in table.rows}
    articles |= {cell.article for table in tables for row in table.rows for cell in row.cells.values()}
    articles |= {text.article for table in tables for text in table.texts}
    articles |= {age.article for table in tables for age in table.ages.values()}
    articles |= {cover.article for table in tables for cover in table.covers.values()}
    wanted = {citation for article in articles for citation in cited(article)}
    assert len(wanted) > 15
    missing = {(law, number) for law, number in wanted if law and number not in page.get(law, set())}
    assert missing == set()


def test_the_check_would_notice() -> None:
    assert cited("特定電子メール法3条1項2号、施行規則2条・99条(「x条」)") == {
        ("特定電子メール法", "3条"),
        ("特定電子メール法施行規則", "2条"),
        ("特定電子メール法施行規則", "99条"),
    }
    assert cited("RFC 7505") == set()
