"""--json on every command: the parser is walked, each command is run against a real engine, and its output is JSON.

A new command without a line in ARGUMENTS fails here, and so does one that prints anything else beside its JSON.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import build_parser, main
from engine.cli.completion import commands_of
from tests.integration.running import Running, command, engine, sink, terms
from tests.integration.test_mx_routing import dns

SENDER = ["--sender", "shop"]
ORDER = [*SENDER, "--kind", "INSTR14"]
EVIDENCE = ["--evidence", "called us"]
ARGUMENTS: dict[str, list[str]] = {
    "check": ["@config"],
    "completion": ["man", "--out", "@folder"],
    "dkim keygen": ["shop.example", "--selector", "s9", "--algorithm", "ed25519", "--out", "@folder/s9.pem"],
    "dkim check": ["shop.example", "--selector", "s1", "--key", "@folder/dkim.pem", "--nameserver", "@dns"],
    "dkim verify": ["@folder/m.eml"],
    "law table": ["--category", "AD"],
    "lint": [*SENDER, "--category", "AD", "@folder/m.json", "@config"],
    "classify": ["550 5.1.1 User unknown"],
    "bounce-test": ["@folder/m.eml"],
    "admin-token": ["@config"],
    "submission-user": ["app"],
    "unsubscribe-key list": ["@config"],
    "unsubscribe-key rotate": ["@config"],
    "preflight": ["shop", "@config"],
    "enqueue": [*SENDER, "--category", "TX", "--mailing", "one", "--message", "@folder/m.json",
                "--recipients", "@folder/r.csv", "@socket"],
    "status": ["@socket"],
    "top": ["--interval", "0.1", "@socket"],
    "mailings": ["--seconds", "0.1", "@socket"],
    "why": ["d.example", "@socket"],
    "why-not": [*SENDER, "--category", "AD", "a@d.example", "@socket"],
    "trace": ["d.example", "--timeout", "0", "@socket"],
    "guard": ["@socket"],
    "suspend": ["--mailing", "one", "@socket"],
    "bounce": ["--mailing", "one", "@socket"],
    "reroute": ["--mailing", "one", "--to", "127.0.0.1:9", "@socket"],
    "resume": ["--all", "@socket"],
    "cancel": [*SENDER, "--mailing", "one", "@socket"],
    "sender revoke": ["shop", "@socket"],
    "sender restore": ["shop", "@socket"],
    "suppress": ["n@d.example", "@socket"],
    "restore-address": ["n@d.example", *EVIDENCE, "@socket"],
    "consents import": [*SENDER, "@folder/c.csv", "--norec", "@socket", "@config"],
    "consents export": ["@config"],
    "optouts import": ["--global", "@folder/r.csv", "@socket"],
    "optouts export": ["@config"],
    "form add": [*SENDER, "--kind", "paper", "--displayed-sender", "店", "--statement", "広告を送ります",
                 "@folder/m.eml", "@socket"],
    "form list": ["@config"],
    "form show": ["@form", "--content", "@config"],
    "form retire": ["@form", *SENDER, "@socket"],
    "evidence": ["n@d.example", "--out", "@folder/evidence", "@config"],
    "retention show": ["n@d.example", *SENDER, "@socket"],
    "retention purge": ["--dry-run", "@socket"],
    "forget": ["n@d.example", "--confirm", "@socket"],
    "order add": [*ORDER, "--day", "2026-11-01", *EVIDENCE, "@socket"],
    "order list": ["@socket"],
    "order release": [*ORDER, "--officer", "佐藤", *EVIDENCE, "@socket"],
    "hold add": ["--matter", "case 1", *SENDER, *EVIDENCE, "@socket"],
    "hold list": ["@socket"],
    "hold release": ["--matter", "case 1", *SENDER, *EVIDENCE, "@socket"],
    "reload": ["@socket"],
    "backup": ["--name", "b", "@socket"],
    "drain": ["@socket"],
    "restore": ["@folder/state/backups/b", "@config"],
}  # fmt: skip
"""In the order in which they are run; "restore" and "run" when the engine has stopped."""
FAILS = {"dkim check": 1, "dkim verify": 1, "preflight": 1, "trace": 1, "bounce-test": 1, "why-not": 1}
"""Which have bad news, and say so by their exit code; more bad news than that would be news."""
LINES = {"trace", "consents export", "optouts export", "run", "bounce-test"}
"""JSON Lines: there may be very many, or they come as they happen."""


def leaves() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for action in build_parser()._subparsers._group_actions:  # type: ignore[union-attr]
        for one in commands_of(action):  # type: ignore[arg-type]
            if not one.subcommands:
                found[" ".join(one.words)] = set(one.options)
    return found


def parsed(name: str, out: str) -> Any:
    if name in LINES:
        return [json.loads(line) for line in out.splitlines()]
    return json.loads(out)


def test_every_command_knows_json_and_is_run_here() -> None:
    known = leaves()
    assert {name for name, options in known.items() if "--json" not in options} == set()
    assert known.keys() == ARGUMENTS.keys() | {"run"}


class Shell:
    def __init__(self, running: Running, port: int, capsys: pytest.CaptureFixture[str]) -> None:
        self.running, self.capsys, self.port = running, capsys, port
        self.form = ""

    def words(self, given: list[str]) -> list[str]:
        folder = self.running.folder
        whole = {
            "@config": ["--config", str(folder / "sokutatsu.toml")],
            "@socket": ["--socket", self.running.socket],
            "@dns": [f"127.0.0.1:{self.port}"],
            "@form": [self.form],
        }
        return [word for one in given for word in whole.get(one, [one.replace("@folder", str(folder))])]

    def run(self, name: str) -> Any:
        code = main([*name.split(), *self.words(ARGUMENTS[name]), "--json"])
        out, err = self.capsys.readouterr()
        assert code == FAILS.get(name, 0), (name, code, out, err)
        try:
            return parsed(name, out)
        except ValueError as error:
            raise AssertionError(f"{name}: {error}: {out!r}") from None


def files(folder: Path) -> None:
    (folder / "m.json").write_text('{"subject": "x", "text": "y %footer%"}')
    (folder / "m.eml").write_text("Subject: x\r\n\r\ny\r\n")
    (folder / "r.csv").write_text("address\na@d.example\nb@d.example\n")
    (folder / "c.csv").write_text("address,at,source,evidence\nn@d.example,2026-04-01,web,申込フォーム 12\n")


def test_what_every_command_prints_is_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path)
    read_from = tmp_path / "password"
    read_from.write_text("correct horse battery\n")
    with read_from.open() as typed, sink(tmp_path) as receiver, dns(tmp_path, {}, {}) as port, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, more=f'[resolver]\nservers = ["127.0.0.1:{port}"]\n'
    ) as running:  # fmt: skip
        monkeypatch.setattr("sys.stdin", typed)
        with running.client() as client:
            client.submit(["first@d.example"], terms("zero"))
        running.settled()
        shell = Shell(running, port, capsys)
        told: dict[str, Any] = {}
        for name in ARGUMENTS:
            if name == "restore":
                assert running.stop() == 0
            told[name] = shell.run(name)
            if name == "form add":
                shell.form = told[name]["form"]
        assert told["check"]["errors"] == []
        assert told["enqueue"]["accepted"] == 2
        assert told["suspend"]["number"] == 1
        assert told["resume"] == {"resumed": [1, 3]}, "a bounce is over at once"
        assert told["consents import"]["recorded"] == 1
        assert [row["address"] for row in told["consents export"]][:1] == ["n@d.example"]
        assert told["form show"][0]["content_base64"]
        assert told["status"]["engine"]["balance"] == 0
        assert told["top"]["engine"]["node"] == told["status"]["engine"]["node"]
        assert told["backup"]["folder"] == str(tmp_path / "state" / "backups" / "b")
        assert told["restore"]["parts"] == ["spool", "suppression"]
        assert told["reload"]["errors"] == []


def test_wrong_configurations_are_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[engine]\nnode = -1\n")
    assert main(["check", "--config", str(file), "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["errors"] == err.splitlines()


def test_the_log_of_run_is_json_lines(tmp_path: Path) -> None:
    with engine(tmp_path, {"*": "127.0.0.1:9"}, start=False) as running, subprocess.Popen(
        [*command(tmp_path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:  # fmt: skip
        try:
            running.until(lambda: running.page("readyz") == "ok\n", "ready")
            child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
        assert (child.returncode, err) == (0, "")
        lines = parsed("run", out)
        assert lines
        assert all({"at", "level", "logger", "text"} <= line.keys() for line in lines)


def test_a_traceback_is_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    from engine.daemon import JsonLines

    try:
        raise ValueError("速達")  # noqa: TRY301 - to have a traceback
    except ValueError:
        record = logging.LogRecord("engine.x", logging.ERROR, "x.py", 1, "broke: %s", ("x",), sys.exc_info())
    told = json.loads(JsonLines().format(record))
    assert (told["level"], told["text"]) == ("ERROR", "broke: x")
    assert "ValueError: 速達" in told["traceback"]
