"""The command line as a whole: every command is there, and breaking off is no traceback."""

from __future__ import annotations

import pytest

from engine.__main__ import build_parser, main


class Interrupted:
    """A standard input whose reader presses Ctrl-C."""

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        raise KeyboardInterrupt


def test_every_command_is_listed_with_a_word_about_it(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for command in (
        "run",
        "check",
        "enqueue",
        "cancel",
        "suppress",
        "consent",
        "status",
        "dkim",
        "submission-user",
        "bounce-test",
    ):
        assert f"\n    {command}" in text


def test_breaking_off_ends_as_in_a_shell(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", Interrupted())
    assert main(["submission-user", "shop"]) == 130
    assert capsys.readouterr().err == "sokutatsu: broken off\n"
