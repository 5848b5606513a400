"""Copies of the ledger's files while they are written: SQLite's online backup over a second, reading connection.

Takes what is committed when it begins; later commits go to the log beside the file meanwhile and are not held up. A
system's own sqlite3 may be too old to open these files safely, so copy them with this.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import apsw


def ledger_files(folder: Path) -> list[Path]:
    """Every database of the folder; what else is there (snapshot, locks) can be made again."""
    return sorted(folder.glob("*.sqlite"))


def copy_database(source: Path, target: Path) -> None:
    """Into a file that does not exist yet. Raises OSError. Blocks; lets other threads run."""
    target.touch(mode=0o600)
    try:
        reading = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            _copy(reading, target)
        finally:
            reading.close()
    except apsw.Error as error:
        raise OSError(errno.EIO, f"{source.name}: {error}") from error


def _copy(reading: apsw.Connection, target: Path) -> None:
    copy = apsw.Connection(str(target))
    try:
        with copy.backup("main", reading, "main") as backup:
            backup.step(-1)
    finally:
        copy.close()


def damage(path: Path) -> str:
    """What is wrong with a database file, or empty. Reads all of it."""
    try:
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        return f"{error}"
    try:
        told = "; ".join(_problems(database))
    except apsw.Error as error:
        told = f"{error}"
    finally:
        database.close()
    return told


def _problems(database: apsw.Connection) -> Iterator[str]:
    for (line,) in database.execute("PRAGMA quick_check(5)"):
        if line != "ok":
            yield str(line)


def last_event(path: Path) -> int:
    """The number of the last event of a ledger file."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(database.execute("SELECT coalesce(max(id), 0) FROM event").get)
    finally:
        database.close()
