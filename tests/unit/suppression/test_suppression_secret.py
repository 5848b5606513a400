from __future__ import annotations

import os

import pytest

from suppression.secret import SECRET_BYTES, SecretError, create_secret, read_secret


def test_is_made_once_and_read_again(tmp_path) -> None:
    path = tmp_path / "deep" / "secret"
    secret = create_secret(path)
    assert len(secret) == SECRET_BYTES
    assert read_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_no_file_is_no_secret(tmp_path) -> None:
    assert read_secret(tmp_path / "secret") is None


def test_never_overwrites(tmp_path) -> None:
    path = tmp_path / "secret"
    secret = create_secret(path)
    with pytest.raises(SecretError, match="cannot be made"):
        create_secret(path)
    assert read_secret(path) == secret


def test_a_crash_while_making_leaves_the_way_free(tmp_path) -> None:
    (tmp_path / "secret.new").write_bytes(b"half")
    assert read_secret(tmp_path / "secret") is None
    create_secret(tmp_path / "secret")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_refuses_what_others_may_touch(tmp_path, mode) -> None:
    path = tmp_path / "secret"
    create_secret(path)
    path.chmod(mode)
    with pytest.raises(SecretError, match=f"mode {mode:04o}.*chmod 600"):
        read_secret(path)


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_refuses_another_length(tmp_path, content) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretError, match="not 32 bytes"):
        read_secret(path)


def test_refuses_a_link(tmp_path) -> None:
    create_secret(tmp_path / "real")
    (tmp_path / "secret").symlink_to(tmp_path / "real")
    with pytest.raises(SecretError, match="not a link"):
        read_secret(tmp_path / "secret")


def test_refuses_what_is_no_file(tmp_path) -> None:
    (tmp_path / "secret").mkdir(mode=0o700)
    with pytest.raises(SecretError, match="not a plain file"):
        read_secret(tmp_path / "secret")


def test_refuses_another_owner(tmp_path) -> None:
    path = tmp_path / "secret"
    create_secret(path)
    if os.geteuid() != 0:
        assert path.stat().st_uid == os.geteuid()
        return
    os.chown(path, 12345, -1)
    with pytest.raises(SecretError, match="owned by uid 12345"):
        read_secret(path)
