"""README.md and deploy/README.md: what a newcomer types is understood, what a newcomer copies can be read."""

from __future__ import annotations

import io
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from engine.__main__ import build_parser, main
from engine.cli.recipients import Columns, Line, read_recipients
from engine.config import Settings, read_configuration
from engine.mail.message import decode_message, use_of
from suppression.exchange import CONSENT_COLUMNS, read_lines
from suppression.exchange import Line as Consent

ROOT = Path(__file__).parent.parent
README, RUNBOOK = ROOT / "README.md", ROOT / "deploy" / "README.md"


def blocks(document: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", document.read_text("utf-8"), re.DOTALL)


def commands() -> list[str]:
    """Every `sokutatsu ...` of a block, without prompt, comment, redirection and the user that runs it."""
    text = "\n".join(blocks(README, "console") + blocks(RUNBOOK, "sh")).replace("\\\n", " ")
    found = re.findall(r"(?:^|&& |; |-- )(?:\$ )?\(?(?:umask 077; )?sokutatsu ([^\n&;>#)]+)", text, re.MULTILINE)
    return [command.strip() for command in found]


def test_the_commands_are_found() -> None:
    assert {command.split()[0] for command in commands()} >= {
        "dkim", "check", "run", "status", "consents", "suppress", "enqueue", "cancel", "submission-user",
        "unsubscribe-key", "bounce-test",
    }  # fmt: skip


@pytest.mark.parametrize("command", commands())
def test_the_command_line_understands_what_is_written(command: str) -> None:
    assert callable(build_parser().parse_args(shlex.split(command)).run)


def test_the_first_configuration_is_in_order(tmp_path: Path) -> None:
    file = tmp_path / "sokutatsu.toml"
    (tmp_path / "submission-users").touch(0o600)
    file.write_text(blocks(README, "toml")[0] + '\n[submission]\nusers = "submission-users"\n', "utf-8")
    assert isinstance(read_configuration(file), Settings)


def test_the_first_mailing_can_be_read_and_fits_together() -> None:
    consents, members = blocks(README, "csv")
    message = use_of(decode_message(tomllib.loads(blocks(README, "toml")[1]))).names
    consented = list(
        read_lines(io.StringIO(consents), json_lines=False, columns=CONSENT_COLUMNS, needed=("address", "at"))
    )
    recipients = list(read_recipients(Path("m.csv"), io.StringIO(members), sorted(message), Columns()))
    assert [type(one) for one in consented] == [Consent, Consent]
    assert [type(one) for one in recipients] == [Line, Line, Line]
    addresses = {one.address for one in recipients if isinstance(one, Line)}
    assert {one.address for one in consented if isinstance(one, Consent)} < addresses


def test_the_first_mailing_displays_what_it_has_to(tmp_path: Path) -> None:
    configuration, message = (tmp_path / name for name in ("sokutatsu.toml", "newsletter.toml"))
    configuration.write_text(blocks(README, "toml")[0], "utf-8")
    message.write_text(blocks(README, "toml")[1], "utf-8")
    assert main(["lint", str(message), "--sender", "shop", "--config", str(configuration), "--strict"]) == 0


@pytest.mark.parametrize("program", blocks(README, "python"))
def test_the_programs_are_python(program: str) -> None:
    compile(program, "README.md", "exec")


@pytest.mark.parametrize(
    "document", [README, RUNBOOK, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
