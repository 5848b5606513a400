"""The secret under which addresses are keyed: 32 random bytes in a file that its owner alone may read.

It is made once, on the first start of an empty ledger, and never again: with another secret no recorded refusal would
match any address. So a missing file beside a ledger with events is an error, and so are a link, another owner and
any permission for group or others.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

SECRET_BYTES = 32


class SecretError(Exception):
    """Names the file, what is wrong with it, and the remedy."""


def read_secret(path: Path) -> bytes | None:
    """The secret, or None when there is no such file. Raises SecretError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretError(f"secret file {path}: {error.strerror}; it must be a plain file, not a link") from error
    try:
        _check(path, os.fstat(descriptor))
        secret = os.read(descriptor, SECRET_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(secret) != SECRET_BYTES:
        raise SecretError(f"secret file {path}: not {SECRET_BYTES} bytes long; restore it from the backup")
    return secret


def create_secret(path: Path) -> bytes:
    """Writes a new one, synced with its folder. Raises SecretError, also when the file is there already."""
    secret = secrets.token_bytes(SECRET_BYTES)
    temporary = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike rename, never over another one
        temporary.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise SecretError(
            f"secret file {path}: cannot be made: {error.strerror}; create its folder writable"
        ) from error
    return secret


def sync_folder(folder: Path) -> None:
    """A new name is durable once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"secret file {path}: not a plain file")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise SecretError(f"secret file {path}: mode {mode:04o} lets others read it; chmod 600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        remedy = "run this as the engine's user, or chown the file to it"
        raise SecretError(f"secret file {path}: owned by uid {status.st_uid}, not by us; {remedy}")
