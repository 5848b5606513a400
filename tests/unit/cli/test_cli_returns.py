"""`sokutatsu bounce-test`: what it says of a message, and its exit codes."""

from __future__ import annotations

import io
import json

from engine.__main__ import main
from tests.unit.returns.returned_samples import ARF, POSTFIX, VACATION


def test_it_explains(tmp_path, capsys) -> None:
    for name, text in (
        ("bounce", POSTFIX),
        ("arf", ARF),
        ("auth", ARF.replace("abuse\n", "auth-failure\n")),
        ("vacation", VACATION),
    ):
        (tmp_path / name).write_text(text)
    assert main(["bounce-test", *(str(tmp_path / name) for name in ("bounce", "arf", "auth", "vacation"))]) == 0
    said = capsys.readouterr().out
    for words in (
        "bounce: did not arrive",
        "unknown_user",
        "the address is suppressed, when",
        "a refusal, when it is proved",
    ):
        assert words in said
    assert "auto_reply" in said


def test_a_soft_bounce_and_a_refusal(tmp_path, capsys) -> None:
    (tmp_path / "soft").write_text(
        POSTFIX.replace("5.1.1", "5.2.2").replace("User unknown in virtual mailbox table", "over quota")
    )
    (tmp_path / "stop").write_text("From: neko@example.jp\nSubject: x\n\nx\n")
    assert main(["bounce-test", "--optout-address", str(tmp_path / "soft"), str(tmp_path / "stop")]) == 0
    said = capsys.readouterr().out
    assert "the journal has it" in said
    assert "opt_out: no more mail is wanted" in said


def test_json(tmp_path, capsys) -> None:
    (tmp_path / "x").write_text(POSTFIX)
    assert main(["bounce-test", "--json", str(tmp_path / "x")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["says"][0]["kind"], told["says"][0]["recipient"]) == ("bounce", "neko@example.jp")


def test_what_is_not_understood_or_not_there(tmp_path, capsys, monkeypatch) -> None:
    assert main(["bounce-test", str(tmp_path / "none")]) == 2
    assert "none: No such file" in capsys.readouterr().err

    class Standard:
        buffer = io.BytesIO(b"Subject: \x1b[31mx\n\nHello\n")

    monkeypatch.setattr("sys.stdin", Standard())
    assert main(["bounce-test", "-"]) == 1
    assert "\x1b" not in capsys.readouterr().out
