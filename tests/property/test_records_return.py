"""What is written of a record or a list is read again as it was, whatever the texts are."""

from __future__ import annotations

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from suppression.consents import Record, decode_record, encode_record
from suppression.evidence_page import _e
from suppression.exchange import CONSENT_COLUMNS, Line, read_lines, write_csv, write_json

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
RECORDS = st.builds(
    Record,
    method=TEXT,
    user_agent=TEXT,
    evidence=TEXT | TEXT.map(lambda text: '{"record":1,' + text),
    third_parties=st.lists(TEXT, max_size=3).map(tuple),
    doi_sent_at=st.floats(0, 2e9),
)
COLUMNS = [name for name in CONSENT_COLUMNS if name not in ("address", "at")]
ROWS = st.lists(st.dictionaries(st.sampled_from(COLUMNS), TEXT.filter(bool), max_size=4), max_size=4)


@settings(max_examples=100)
@given(RECORDS)
def test_a_record_returns(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@settings(max_examples=100)
@given(ROWS, st.booleans())
def test_a_list_returns(rows: list[dict[str, str]], json_lines: bool) -> None:
    into = io.StringIO(newline="")
    whole = [{"address": "a@x.jp", "at": "5", **row} for row in rows]
    if json_lines:
        write_json(into, iter(whole))
    else:
        write_csv(into, CONSENT_COLUMNS, iter(whole))
    into.seek(0)
    read = list(read_lines(into, json_lines=json_lines, columns=CONSENT_COLUMNS, needed=("address",)))
    assert all(isinstance(line, Line) for line in read)
    assert [dict(line.rest) for line in read if isinstance(line, Line)] == rows


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_nothing_of_a_record_becomes_markup(text: str) -> None:
    shown = _e(text)
    assert not set(shown) & set("<>\"'")
    assert all(letter.isprintable() or letter in "\n\t\u3000" for letter in shown)
