"""The command line as a whole: every command is there, and breaking off is no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.__main__ import COMMANDS, build_parser, main


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
        "consents",
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


def test_each_command_is_found_in_the_file_that_the_list_names() -> None:
    whole = _choices(None)
    assert whole == [name for names in COMMANDS.values() for name in names]
    for name in whole:
        assert name in _choices(name)


def test_only_the_file_of_the_typed_command_is_loaded() -> None:
    code = (
        "import sys; from engine.__main__ import build_parser; build_parser('status'); print('aiohttp' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert told.stdout == "False\n"


def test_the_configuration_is_found_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOKUTATSU_CONFIG", str(tmp_path / "none.toml"))
    assert main(["check"]) == 2
    assert f"{tmp_path}/none.toml: No such file" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_traceback() -> None:
    code = "import sys; from engine.__main__ import main; sys.exit(main(['completion', 'bash']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout
        assert command.stderr
        command.stdout.close()
        assert (command.wait(timeout=20), command.stderr.read()) == (141, b"")


def _choices(typed: str | None) -> list[str]:
    return [name for action in build_parser(typed)._actions if action.choices for name in action.choices]
