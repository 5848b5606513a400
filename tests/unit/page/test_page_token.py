"""The token's file: made for its owner alone, refused otherwise."""

from __future__ import annotations

import os

import pytest

from engine.page.token import SHORTEST, TokenError, make_token, read_token


def test_a_token_is_made_read_and_renewed(tmp_path) -> None:
    path = tmp_path / "admin.token"
    assert read_token(path) == ""
    first = make_token(path, renew=False)
    assert len(first) >= SHORTEST
    assert (read_token(path), path.stat().st_mode & 0o777) == (first, 0o600)
    with pytest.raises(FileExistsError):
        make_token(path, renew=False)
    second = make_token(path, renew=True)
    assert second != first
    assert read_token(path) == second
    assert [entry.name for entry in tmp_path.iterdir()] == ["admin.token"]


@pytest.mark.parametrize("content", ["", "short", "x" * 257, "x" * 40 + " y", "あ" * 40, "x" * 40 + "\ny" * 3])
def test_what_is_no_token_is_refused(tmp_path, content) -> None:
    path = tmp_path / "admin.token"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(TokenError, match="run sokutatsu admin-token --renew"):
        read_token(path)


def test_a_file_that_others_read_or_a_link_or_a_pipe_is_refused(tmp_path) -> None:
    path = tmp_path / "admin.token"
    make_token(path, renew=False)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(TokenError, match="not a link"):
        read_token(tmp_path / "link")
    path.chmod(0o640)
    with pytest.raises(TokenError, match="mode 0640 lets others read it; chmod 600"):
        read_token(path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(TokenError, match="not a plain file"):
        read_token(tmp_path / "pipe")
