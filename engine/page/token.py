"""The token that lets an operator act on the live page: random text in a file that its owner alone may read.

It is read anew for each action, so that a new one holds at once and a removed file ends all actions. A file that
others could read is refused, as is a link.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

TOKEN_BYTES = 32
SHORTEST = 32
"""Characters: one that somebody wrote by hand must not be guessed either."""
LONGEST = 256


class TokenError(Exception):
    """Names the file, what is wrong with it, and the remedy."""


def read_token(path: Path) -> str:
    """Empty when there is no such file. Raises TokenError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TokenError(f"token file {path}: {error.strerror}; it must be a plain file, not a link") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenError(f"token file {path}: not a plain file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise TokenError(f"token file {path}: mode {mode:04o} lets others read it; chmod 600 {path}")
        text = os.read(descriptor, LONGEST + 2).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    if not SHORTEST <= len(text) <= LONGEST or not text.isprintable() or " " in text or "\ufffd" in text:
        text = f"token file {path}: not {SHORTEST} to {LONGEST} ASCII characters; run sokutatsu admin-token --renew"
        raise TokenError(text)
    return text


def make_token(path: Path, *, renew: bool) -> str:
    """Synced with its folder. Raises FileExistsError without `renew`, OSError."""
    if path.exists() and not renew:
        raise FileExistsError(path)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return token
