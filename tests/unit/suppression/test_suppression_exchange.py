from __future__ import annotations

import csv
import io

import pytest

from suppression.exchange import (
    CONSENT_COLUMNS,
    LINE_LIMIT,
    OPT_OUT_COLUMNS,
    Fault,
    FileRefused,
    Line,
    consent_fields,
    hash_of,
    read_lines,
    seconds,
    write_csv,
    write_json,
)


def read(text: str, *, json_lines=False, columns=CONSENT_COLUMNS, needed=("address", "at")) -> list[Line | Fault]:
    return list(read_lines(io.StringIO(text), json_lines=json_lines, columns=columns, needed=needed))


def test_csv_lines_with_what_they_share() -> None:
    first, second = read(
        "\ufeffaddress,AT,source,topics\na@x.jp, 5 ,web,n m\n\nb@x.jp,6,,\n".lstrip("\ufeff"),
    )
    assert first == Line(2, "a@x.jp", "5", (("source", "web"), ("topics", "n m")))
    assert second == Line(4, "b@x.jp", "6", ())


def test_json_lines() -> None:
    lines = read('{"address": "a@x.jp", "at": 5, "topics": ["n", "m"], "ip": null, "event": 9}\n\n', json_lines=True)
    assert lines == [Line(1, "a@x.jp", "5", (("topics", "n m"),))]


def test_a_bad_line_is_told_and_the_others_go() -> None:
    text = 'address,at\na@x.jp,1\nb@x.jp\nc"d@x.jp,"x"y\nd@x.jp,4\nｅ\udc83@x.jp,5\n'
    lines = read(text)
    assert [(line.number, isinstance(line, Fault)) for line in lines] == [
        (2, False),
        (3, True),
        (4, True),
        (5, False),
        (6, True),
    ]


def test_bad_json_is_told_line_by_line() -> None:
    text = '[]\n{"address": 1}\n{"address": "a@x.jp", "at": "1", "colour": "red"}\n{\n{"address": "b@x.jp", "at": 1}\n'
    reasons = [line.reason.split(":")[0] if isinstance(line, Fault) else "" for line in read(text, json_lines=True)]
    assert reasons[0].startswith("not a map")
    assert reasons[1:] == ["at", reasons[2], "not JSON", ""]
    assert "colour" in reasons[2]


def test_a_line_without_end_is_left_out() -> None:
    long = "x" * (LINE_LIMIT * 2 + 5)
    lines = read(f"address,at\na@x.jp,1\n{long},2\nb@x.jp,3\n")
    assert sorted((line.number, isinstance(line, Fault)) for line in lines) == [(2, False), (3, True), (4, False)]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("", "no column address"),
        ("address\n", "no column at"),
        ("address,at,at\n", "twice"),
        ("address,at,colour\n", "unknown"),
        ('"address\n', "cannot be read"),
    ],
)
def test_a_file_that_is_no_such_list(head, reason) -> None:
    with pytest.raises(FileRefused, match=reason):
        read(head)


def test_fields_of_a_line() -> None:
    rest = (("topics", "a b"), ("third_parties", "甲 社| 乙"), ("form", "AB" * 32), ("doi_sent_at", "7"), ("ip", "::1"))
    assert consent_fields(rest) == {
        "topics": ["a", "b"],
        "third_parties": ["甲 社", "乙"],
        "form": b"\xab" * 32,
        "doi_sent_at": 7,
        "ip": "::1",
    }
    with pytest.raises(ValueError, match="form: "):
        consent_fields((("form", "xy"),))
    with pytest.raises(ValueError, match="doi_sent_at: "):
        consent_fields((("doi_sent_at", "soon"),))


def test_times() -> None:
    assert seconds("1795000000") == 1_795_000_000
    assert seconds("2026-04-01T10:15:00+09:00") == seconds("2026-04-01T01:15:00Z") == 1_775_006_100
    for wrong in ("", "tomorrow", "2026-13-01", "-5", "１２", "9999-99"):
        with pytest.raises(ValueError, match="Unix seconds"):
            seconds(wrong)


def test_hashes_stand_in_the_place_of_addresses() -> None:
    assert hash_of("sha256:" + "aB" * 32) == (b"\xab" * 32, False)
    assert hash_of("hmac-sha256:" + "aB" * 32) == (b"\xab" * 32, True)
    assert hash_of("a@x.jp") is None
    for wrong in ("sha256:" + "ab" * 31, "sha256:", "hmac-sha256:" + "g" * 64, "sha256:" + "ab" * 32 + " "):
        with pytest.raises(ValueError, match="is no hash: 64 hexadecimal digits follow"):
            hash_of(wrong)


ROWS = [
    {"address": 'a"b@x.jp', "at": "1970-01-01T00:00:05Z", "topic": "n", "evidence": "x,\ny", "sender": "shop"},
    {"address": "c@x.jp", "at": "1970-01-01T00:00:06Z", "topic": "", "channel": None},
]


@pytest.mark.parametrize("json_lines", [True, False])
def test_what_is_written_is_read_again(json_lines) -> None:
    into = io.StringIO(newline="")
    count = write_json(into, iter(ROWS)) if json_lines else write_csv(into, OPT_OUT_COLUMNS, iter(ROWS))
    assert count == 2
    into.seek(0)
    first, second = read_lines(into, json_lines=json_lines, columns=OPT_OUT_COLUMNS, needed=("address",))
    assert isinstance(first, Line)
    assert isinstance(second, Line)
    assert (first.address, first.at, dict(first.rest)) == (
        'a"b@x.jp',
        "1970-01-01T00:00:05Z",
        {"topic": "n", "evidence": "x,\ny", "sender": "shop"},
    )
    assert (second.address, second.rest) == ("c@x.jp", ())


def test_a_field_larger_than_csv_takes_is_one_lines_fault() -> None:
    lines = read(f"address,at,evidence\na@x.jp,1,{'e' * (csv.field_size_limit() + 1)}\nb@x.jp,2,\n")
    assert [isinstance(line, Fault) for line in lines] == [True, False]
