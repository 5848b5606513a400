"""Completion and manual pages: what is committed is what the commands say now, and it works in a real shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.__main__ import build_parser, main
from engine.cli.completion import Command, commands_of

DEPLOY = Path(__file__).parents[3] / "deploy"
AGAIN = "write it again: sokutatsu completion bash|zsh > deploy/completion/..., man --out deploy/man"


def commands() -> list[Command]:
    return [found for action in build_parser()._subparsers._group_actions for found in commands_of(action)]  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(("shell", "name"), [("bash", "sokutatsu.bash"), ("zsh", "_sokutatsu")])
def test_the_committed_completion_is_current(shell: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert (DEPLOY / "completion" / name).read_text("utf-8") == capsys.readouterr().out, AGAIN


def test_the_committed_pages_are_current(tmp_path: Path) -> None:
    assert main(["completion", "man", "--out", str(tmp_path)]) == 0
    written = {page.name: page.read_text("utf-8") for page in tmp_path.iterdir()}
    assert {page.name: page.read_text("utf-8") for page in (DEPLOY / "man").iterdir()} == written, AGAIN
    assert len(written) == len(commands()) + 1


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "man", "--out", str(tmp_path / "none")]) == 2
    assert "No such file or directory; name a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["dra"], ["drain"]),
        (["drain", "--w"], ["--wait"]),
        (["why", "example.jp", "--js"], ["--json"]),
        (["consents", "im"], ["import"]),
        (["consents", "import", "--sen"], ["--sender"]),
    ],
)
def test_bash_completes(typed: list[str], offered: list[str]) -> None:
    words = " ".join(["sokutatsu", *typed])
    script = (
        f". {DEPLOY}/completion/sokutatsu.bash; COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _sokutatsu;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    assert bash, "bash is needed for its completion"
    ran = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert (ran.stdout.split(), ran.stderr) == (offered, "")


@pytest.mark.parametrize("command", ["reload", "drain", "top", "mailings", "completion"])
def test_help_is_a_page_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(word in text for word in ("examples:", "exit codes:", "  0  ", "  2  ")), text


def test_an_unknown_command_is_a_clear_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["relaod"])
    assert ended.value.code == 2
    assert "invalid choice: 'relaod'" in capsys.readouterr().err
