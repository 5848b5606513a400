"""The scorer counts what it says, and the published mapping is the one it measures by."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.returns import MEANS, load_reader, main, measure, read_rows
from bench.unseen import Unseen, text_of
from engine.policy.classify import Class
from tests.unit.returns.returned_samples import ARF, POSTFIX, QMAIL, VACATION

DOCUMENT = Path(__file__).parents[3] / "docs" / "returns.md"


def labelled(folder: Path) -> Path:
    rows = [
        ("postfix", POSTFIX, [("userunknown", True)]),
        ("qmail", QMAIL, [("mailboxfull", False)]),
        ("arf", ARF, [("feedback", False)]),
        ("vacation", VACATION, [("vacation", False)]),
        ("hello", "Subject: x\n\nHello\n", [("expired", False), ("rejected", False)]),
    ]
    for name, text, _ in rows:
        (folder / name).write_text(text)
    lines = [
        json.dumps(
            {"file": name, "expected": [{"reason": reason, "hard": hard, "dsn": ""} for reason, hard in expected]}
        )
        for name, _, expected in rows
    ]
    (folder / "labels").write_text("\n".join(lines) + "\n")
    return folder / "labels"


def test_it_counts(tmp_path) -> None:
    score = measure(read_rows(labelled(tmp_path), ""), tmp_path, load_reader())
    assert (score.messages, score.rows, score.recognised, score.hard, score.reason) == (5, 6, 4, 3, 3)
    assert (score.vacations, score.false_bounces, score.crashes) == (1, 0, 0)
    assert (score.named, score.recipient) == (3, 3)
    assert score.confusion == {
        ("mailboxfull", "unknown_user"): 1,
        ("expired", "Unknown"): 1,
        ("rejected", "NoneType"): 1,
    }


def test_half_of_it(tmp_path, capsys) -> None:
    labels = labelled(tmp_path)
    assert main(["--labels", str(labels), "--messages", str(tmp_path), "--half", "odd", "--misses"]) == 0
    said = capsys.readouterr().out
    assert "messages    2, rows 2" in said
    assert "qmail: mailboxfull (soft, ) -> unknown_user hard" in said


def test_the_published_mapping() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \| (`[a-z_`, ]+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert {reason: tuple(re.findall(r"[a-z_]+", classes)) for reason, classes in rows} == MEANS
    assert {name for classes in MEANS.values() for name in classes} <= set(Class)


def test_a_family_is_measured_without_its_own_words(tmp_path: Path) -> None:
    """ "mailfolder is full" stands in one family alone, "User unknown" in two: only the latter may be known to it."""
    one = "From: MAILER-DAEMON@a.example\nSubject: failure\n\n<neko@a.example>: their mailfolder is full\n"
    two = "From: MAILER-DAEMON@b.example\nSubject: failure\n\n<neko@b.example>: 550 User unknown\n"
    for name, text in (("full-01.eml", one), ("full-02.eml", two), ("other-1.eml", two)):
        (tmp_path / name).write_text(text)
    rows = [{"file": name, "expected": []} for name in ("full-01.eml", "full-02.eml", "other-1.eml")]
    unseen = Unseen(rows, tmp_path)
    assert {name: len(those) for name, those in unseen.rows.items()} == {"full": 2, "other": 1}
    assert unseen.reader("full").diagnose(["their mailfolder is full"], "", "").bounce_class is Class.OTHER
    assert unseen.reader("other").diagnose(["their mailfolder is full"], "", "").bounce_class is Class.MAILBOX_FULL
    for name in ("full", "other"):
        assert unseen.reader(name).diagnose(["550 User unknown"], "", "RCPT TO").bounce_class is Class.UNKNOWN_USER
    assert text_of(b"Subject: x\nContent-Type: text/plain; charset=iso-2022-jp\n\n" + "宛先".encode("iso-2022-jp"))


def test_a_message_is_measured_without_its_own_words_and_published_ones_stay(tmp_path: Path) -> None:
    said = {"a-1.eml": "their mailfolder is full", "a-2.eml": "421 RP:TRL wait", "a-3.eml": "nothing"}
    for name, text in said.items():
        (tmp_path / name).write_text(f"From: MAILER-DAEMON@a.example\nSubject: failure\n\n{text}\n")
    rows = [{"file": name, "expected": []} for name in said]
    lenient, strict = (Unseen(rows, tmp_path, str, strict=strict) for strict in (False, True))
    assert set(lenient.rows) == set(said)
    for unseen in (lenient, strict):
        assert unseen.reader("a-1.eml").diagnose([said["a-1.eml"]], "", "").bounce_class is Class.OTHER
        assert unseen.reader("a-2.eml").diagnose([said["a-1.eml"]], "", "").bounce_class is Class.MAILBOX_FULL
    assert lenient.reader("a-2.eml").diagnose(["421 RP:TRL wait"], "", "").bounce_class is Class.RATE
    assert strict.reader("a-2.eml").diagnose(["421 RP:TRL wait"], "", "").bounce_class is not Class.RATE


def test_unseen_from_the_command_line(tmp_path, capsys) -> None:
    labels = labelled(tmp_path)
    for more in (["--unseen"], ["--unseen", "message", "--strict"]):
        assert main(["--labels", str(labels), "--messages", str(tmp_path), *more]) == 0
        assert "messages    5, rows 6" in capsys.readouterr().out
