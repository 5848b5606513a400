"""engine/cli/user.py: what it prints is a line that the users file takes, for this password and no other."""

from __future__ import annotations

import argparse
import asyncio
import io

import pytest

from engine.cli.user import register
from engine.flow.users import read_users


def called(monkeypatch, password: str, *words: str) -> int:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    args = parser.parse_args(["submission-user", *words])
    return args.run(args)


def test_the_line_lets_in_whoever_knows_the_password(monkeypatch, capsys, tmp_path) -> None:
    assert called(monkeypatch, "correct horse", "shop", "--sender", "shop", "--sender", "club") == 0
    path = tmp_path / "users"
    path.write_text(capsys.readouterr().out)
    path.chmod(0o600)

    async def scenario() -> None:
        users = read_users(path)
        for _ in range(2):  # the second time from memory
            entry = await users.verify(b"shop", b"correct horse")
            assert entry is not None
            assert entry.senders == {"shop", "club"}
        assert await users.verify(b"shop", b"correct horse ") is None
        assert await users.verify(b"shopcorrect", b" horse") is None
        assert await users.verify(b"nobody", b"correct horse") is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("password", "words", "told"),
    [
        ("short", ("shop",), "12 characters"),
        ("correct horse", ("sh:op",), "without space"),
        ("correct horse", ("shop", "--sender", "a,b"), "without space"),
        ("correct horse", ("",), "without space"),
    ],
)
def test_what_cannot_stand_in_the_file_is_refused(monkeypatch, capsys, password, words, told) -> None:
    assert called(monkeypatch, password, *words) == 2
    assert told in capsys.readouterr().err
