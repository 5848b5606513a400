"""A copy of the spool while it works: SQLite's online backup, some pages at a time between the commits.

Runs in the writer thread, on its own connection, since the file is locked for every other; what a commit changes
behind the copy is carried over by SQLite. The copy is as of its last step, whole and consistent.
"""

from __future__ import annotations

import errno
from pathlib import Path

import apsw

from engine.spool.writer import Writer

PAGES = 1000
"""A step: 4 MB, about 5 ms, which is what a commit may have to wait for."""


async def copy_spool(writer: Writer, source: apsw.Connection, path: Path) -> None:
    """Into a file that does not exist yet. Raises OSError; SpoolFailed when the spool itself is lost."""
    target = _target(path)
    try:
        backup = await writer.read(lambda: target.backup("main", source, "main"))
        try:
            while not backup.done:
                if error := await writer.read(lambda: _step(backup)):
                    raise OSError(errno.EIO, error)
        finally:
            await writer.read(lambda: backup.close(force=True))
    finally:
        target.close()


def _target(path: Path) -> apsw.Connection:
    path.touch(mode=0o600)
    return apsw.Connection(str(path))


def _step(backup: apsw.Backup) -> str:
    """What went wrong, or empty: an error of the copy's disk must not count as a lost spool."""
    try:
        backup.step(PAGES)
    except apsw.Error as error:
        return f"{error}"
    return ""
