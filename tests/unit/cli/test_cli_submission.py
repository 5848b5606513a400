"""`sokutatsu submission-user` as a process: what it prints is what the engine reads."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from engine.__main__ import main
from engine.flow.users import read_users

ROOT = Path(__file__).parents[3]


def run(*words: str, password: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "engine", "submission-user", *words]
    return subprocess.run(command, input=password, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_line_lets_that_login_in_and_no_other_password(tmp_path) -> None:
    ran = run("program", "--sender", "shop", "--sender", "news", password="correct horse\n")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "correct" not in ran.stdout
    users = tmp_path / "users"
    users.touch(0o600)
    users.write_text(ran.stdout)

    async def verify() -> None:
        known = read_users(users)
        entry = await known.verify(b"program", b"correct horse")
        assert entry is not None
        assert entry.senders == {"shop", "news"}
        assert await known.verify(b"program", b"wrong horse!") is None

    asyncio.run(verify())


def test_what_cannot_be_a_login_is_refused(monkeypatch, capsys) -> None:
    for login, password in (("a:b", "long enough"), ("", "long enough"), ("a", "short"), ("a", "x" * 1025)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(password))
        assert main(["submission-user", login]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("sokutatsu: ")
        assert password not in told.err


def test_at_a_terminal_the_password_is_asked_for_without_an_echo() -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-W", "error", "-m", "engine", "submission-user", "program"]
    with subprocess.Popen(
        command, stdin=child, stdout=subprocess.PIPE, stderr=child, cwd=ROOT, start_new_session=True
    ) as ran:
        os.close(child)
        asked = b""
        while b"Password for program: " not in asked:
            asked += os.read(parent, 100)
        os.write(parent, b"correct horse\n")
        assert ran.stdout is not None
        line = ran.stdout.read()
        assert ran.wait() == 0
    os.close(parent)
    assert line.startswith(b"program:scrypt$")
