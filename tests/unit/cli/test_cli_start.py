"""A command loads what it needs and no more: who looks at the status does not wait for numpy, SQLite, HTTP and the signer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.__main__ import COMMANDS, build_parser
from engine.cli import classify, lint, records
from engine.cli.overview import HELP
from engine.policy.listscore import LOWEST
from engine.smtp.event import Phase
from suppression.decision import Category
from suppression.exchange import CONSENT_COLUMNS, OPT_OUT_COLUMNS

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
        ["admin-token", "--help"], ["unsubscribe-key", "list", "--help"], ["lint", "--help"], ["classify", "--help"],
        ["form", "add", "--help"], ["evidence", "--help"], ["consents", "import", "--help"], ["optouts", "--help"],
        ["consents", "import", "l.csv"],
        *([name, "--socket", "/nowhere.sock"] for name in ("status", "top", "mailings", "reload", "drain", "guard")),
        ["suspend", "--domain", "x.example", "--socket", "/nowhere.sock"],
        ["why", "x.example", "--socket", "/nowhere.sock"],
        ["trace", "x.example", "--socket", "/nowhere.sock"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded(*arguments) == []


def test_check_reads_the_configuration_without_the_engine() -> None:
    code = (
        "import sys; from engine.__main__ import main; main(['check', '--config', '/nowhere.toml']);"
        "print([name for name in ('engine.daemon', 'engine.engine', 'uvloop', 'prometheus_client') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "[]\n"


def test_what_help_says_without_loading_it_is_so() -> None:
    assert records.LOWEST == LOWEST
    for columns in (CONSENT_COLUMNS[:11], CONSENT_COLUMNS[11:]):
        assert f"\n  {' '.join(columns)}\n" in records.CONSENTS
    listed = set(records.OPT_OUTS.splitlines()[1].split())
    assert listed | {"sender"} == set(OPT_OUT_COLUMNS), "each sender's list comes by itself"
    assert tuple(Category) == lint.CATEGORIES
    assert tuple(phase.name for phase in Phase if phase.name not in ("RSET", "QUIT")) == classify.PHASES


def test_a_command_that_works_loads_what_it_works_with() -> None:
    assert "engine.config" in loaded("check", "--config", "/nowhere.toml")


def test_the_overview_says_what_the_commands_say() -> None:
    (commands,) = build_parser()._subparsers._group_actions  # type: ignore[union-attr]
    told = {action.dest: action.help for action in commands._choices_actions}  # type: ignore[attr-defined]
    assert told == HELP
    assert HELP.keys() == {name for names in COMMANDS.values() for name in names} - {"consent"}, "but the old name"
