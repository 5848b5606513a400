"""The commands of engine/cli/enqueue.py as a person calls them, against a real door in another thread."""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from engine.cli.enqueue import register
from tests.fakes.accepting import Served, open_door, served

TEMPLATE = '{"subject": "Hello {{name}}", "text": "Dear {{name}}"}'


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Served]:
    played, stop, ready = served(), threading.Event(), threading.Event()

    async def serve() -> None:
        async with open_door(tmp_path, played):
            ready.set()
            await asyncio.to_thread(stop.wait)

    # as the engine: asyncio's own server of 3.11 loses a socket that was accepted just before it closes
    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    ready.wait()
    yield played
    stop.set()
    thread.join()


@pytest.fixture
def sokutatsu(tmp_path: Path) -> Callable[..., int]:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers(required=True))

    def run(*words: str) -> int:
        args = parser.parse_args([words[0], "--socket", str(tmp_path / "s.sock"), *words[1:]])
        return args.run(args)

    return run


def enqueue(sokutatsu, folder: Path, name: str, content: str | bytes, *more: str, message: str = TEMPLATE) -> int:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "m.json").write_text(message)
    files = ["--message", str(folder / "m.json"), "--recipients", str(folder / name)]
    return sokutatsu("enqueue", "--sender", "shop", "--category", "AD", "--mailing", "m1", *files, *more)


def test_a_csv_goes_in_and_the_refused_lines_are_named(behind, sokutatsu, tmp_path, capsys) -> None:
    rows = "email,name,extra\na@x.example,山田,1\nnobody,佐藤,2\n\nshort\nb@x.example,鈴木,3\n"
    assert enqueue(sokutatsu, tmp_path, "r.csv", rows, "--refused", str(tmp_path / "no.csv")) == 1
    out, err = capsys.readouterr()
    assert out.startswith("2 accepted, 2 refused")
    assert "r.csv:3: bad_address: address 'nobody'" in err
    assert "r.csv:5: bad_line: 1 columns where the first line has 3" in err
    assert (tmp_path / "no.csv").read_text().splitlines()[0].startswith("5,bad_line,")
    (submission,) = behind.spool.submissions.values()
    assert [(r.address, r.fields) for r in submission.recipients] == [
        ("a@x.example", {"name": "山田"}),
        ("b@x.example", {"name": "鈴木"}),
    ]


def test_the_command_run_again_mails_nobody_twice(behind, sokutatsu, tmp_path, capsys) -> None:
    for _ in range(2):
        assert enqueue(sokutatsu, tmp_path, "r.csv", "address,name\na@x.example,A\n") == 0
    assert behind.spool.accepted() == 1
    assert "1 accepted (1 of them already earlier), 0 refused" in capsys.readouterr().out


def test_jsonl_flat_and_nested_and_its_bad_lines(behind, sokutatsu, tmp_path, capsys) -> None:
    lines = [
        '{"address": "a@x.example", "name": "A"}',
        '{"address": "b@x.example", "fields": {"name": 7}}',
        "{",
        "[]",
        '{"address": "c@x.example"}',
    ]
    assert enqueue(sokutatsu, tmp_path, "r.jsonl", "\n".join(lines)) == 1
    err = capsys.readouterr().err
    assert "r.jsonl:3: bad_line: not JSON" in err
    assert "r.jsonl:4: bad_line: not a map with the text 'address'" in err
    assert "r.jsonl:5: bad_field: merge field 'name' is missing" in err
    assert behind.spool.accepted() == 2


def test_shift_jis_is_read_when_it_is_named_and_explained_when_not(behind, sokutatsu, tmp_path, capsys) -> None:
    rows = "メールアドレス,name\na@x.example,山田\n".encode("cp932")
    assert enqueue(sokutatsu, tmp_path, "r.csv", rows) == 2
    assert "say --encoding, for example cp932" in capsys.readouterr().err
    assert enqueue(sokutatsu, tmp_path, "r.csv", rows, "--encoding", "cp932") == 0
    assert behind.spool.accepted() == 1


def test_a_column_says_in_which_region_a_recipient_lives(behind, sokutatsu, tmp_path, capsys) -> None:
    rows = "address,name,地域\na@x.example,A,EU\nb@x.example,B,\nc@x.example,C,Mars\n"
    assert enqueue(sokutatsu, tmp_path, "r.csv", rows, "--region-column", "地域") == 1
    assert "r.csv:4: bad_region: region 'Mars' is no region" in capsys.readouterr().err
    lines = '{"address": "a@x.example", "name": "A", "to": "EU"}\n{"address": "b@x.example", "name": "B", "to": 7}\n'
    assert enqueue(sokutatsu, tmp_path, "r.jsonl", lines, "--region-column", "to") == 1
    assert "'to' is no text: write the region as EU" in capsys.readouterr().err
    csv, jsonl = behind.spool.submissions.values()
    assert [one.fields.get("@stated") for one in csv.recipients] == ["EU", None]
    assert [one.fields.get("@stated") for one in jsonl.recipients] == ["EU"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("", (), "is empty"),
        ("address,name\n", ("--region-column", "to"), "has no column 'to', which --region-column names"),
        ("a,b\n", (), "no column address or email"),
        ("address\na@x.example\n", (), "has no column 'name', which the message merges"),
        ('address,name\na@x.example,"A\n', (), "unexpected end of data: check the quotes"),
        ("address,name\n", ("--encoding", "klingon"), "klingon is no encoding"),
    ],
)
def test_a_file_that_cannot_be_right_ends_with_2_and_one_line(behind, sokutatsu, tmp_path, capsys, wrong) -> None:
    rows, more, told = wrong
    assert enqueue(sokutatsu, tmp_path, "r.csv", rows, *more) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("sokutatsu: ")
    assert told in err


def test_messages_in_toml_and_eml(behind, sokutatsu, tmp_path, capsys) -> None:
    (tmp_path / "m.toml").write_text('subject = "Hi {{name}}"\ntext = """Dear {{name}}"""\n')
    (tmp_path / "m.eml").write_bytes(b"From: a@example.jp\r\n\r\nbody\r\n")
    (tmp_path / "m.txt").write_text("x")
    (tmp_path / "r.csv").write_text("address,name\na@x.example,A\n")
    codes = []
    for name in ("m.toml", "m.eml", "m.txt", "none.json"):
        files = ["--message", str(tmp_path / name), "--recipients", str(tmp_path / "r.csv")]
        codes.append(sokutatsu("enqueue", "--sender", "shop", "--category", "AD", "--mailing", "m1", *files))
    assert codes == [0, 0, 2, 2]
    assert behind.spool.accepted() == 2
    assert "a message is a .json, .toml or .eml file" in capsys.readouterr().err


def test_what_the_engine_refuses_ends_with_2_and_its_words_and_no_answer_with_3(
    behind, sokutatsu, tmp_path, capsys
) -> None:
    assert (
        enqueue(sokutatsu, tmp_path, "r.csv", "address,name\na@x.example,A\n", "--expires", "2001-01-01T00:00:00+09:00")
        == 2
    )
    assert "the engine refused: expired: expires 978274800 is" in capsys.readouterr().err
    assert sokutatsu("cancel", "--sender", "shpo", "--mailing", "m1", "--anyway") == 2
    assert "sender 'shpo' is not configured" in capsys.readouterr().err
    assert sokutatsu("suppress", "a@x.example", "--socket", str(tmp_path / "none")) == 3
    assert "start the engine" in capsys.readouterr().err


def test_cancel_and_suppress(behind, sokutatsu, tmp_path, capsys) -> None:
    assert enqueue(sokutatsu, tmp_path, "r.csv", "address,name\na@x.example,A\n") == 0
    assert sokutatsu("cancel", "--sender", "shop", "--mailing", "m1", "--address", "a@x.example") == 0
    assert sokutatsu("cancel", "--sender", "shop", "--mailing", "m1") == 0
    assert sokutatsu("suppress", "a@x.example", "--sender", "shop") == 0
    assert behind.ledger.opt_outs[0][:4] == ("a@x.example", "shop", None, "manual")
