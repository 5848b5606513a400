"""A command loads what it needs and no more: who looks at the status does not wait for numpy, SQLite, HTTP and the signer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.__main__ import COMMANDS, build_parser
from engine.cli.overview import HELP

HEAVY = (
    "apsw",
    "numpy",
    "aiohttp",
    "aiosmtpd",
    "aiosmtplib",
    "cryptography",
    "dns",
    "uvloop",
    "engine.config",
    "suppression",
)
SCRIPT = """
import contextlib, io, sys
from engine.__main__ import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    with contextlib.suppress(SystemExit):
        main(sys.argv[1:])
print(*sorted(name for name in {names!r} if name in sys.modules))
"""


def loaded(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT.format(names=HEAVY), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], [], ["relaod"], ["check", "--help"], ["run", "--help"], ["backup", "--help"], ["preflight", "--help"],
        ["admin-token", "--help"], ["unsubscribe-key", "list", "--help"],
        *([name, "--socket", "/nowhere.sock"] for name in ("status", "top", "mailings", "reload", "drain", "guard")),
        ["suspend", "--domain", "x.example", "--socket", "/nowhere.sock"],
        ["why", "x.example", "--socket", "/nowhere.sock"],
        ["trace", "x.example", "--socket", "/nowhere.sock"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded(*arguments) == []


def test_a_command_that_works_loads_what_it_works_with() -> None:
    assert "engine.config" in loaded("check", "--config", "/nowhere.toml")


def test_the_overview_says_what_the_commands_say() -> None:
    (commands,) = build_parser()._subparsers._group_actions  # type: ignore[union-attr]
    told = {action.dest: action.help for action in commands._choices_actions}  # type: ignore[attr-defined]
    assert told == HELP
    assert HELP.keys() == {name for names in COMMANDS.values() for name in names} - {"consent"}, "but the old name"
