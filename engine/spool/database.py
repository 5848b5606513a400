"""The spool's file: folder, lock, SQLite's settings, node. Its tables stand in layout.py.

One folder holds one spool.db and belongs to one engine: the folder is locked with flock(2) and SQLite keeps the
file exclusively, so no other program's older SQLite can touch the write-ahead log. Refuses SQLite before 3.51.3
(a WAL reset could lose commits), a folder that others may write to, a file of a newer layout.
"""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import apsw

from engine.spool.layout import SpoolUnusable, lay_out

OLDEST_SQLITE = (3, 51, 3)
COUNTER_BITS = 48
SECOND_BITS = 16
BEGINNING = 1_735_689_600  # 2025-01-01 UTC
CACHE_KIB = 32 * 1024


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    folder: Path
    node: int = 0
    """This machine's number, 0 to 32767: the upper bits of every recipient's id."""
    disk_floor: float = 0.10
    """Share of the file system that must stay free, else submits are refused."""
    reserve_bytes: int = 16 * 1024 * 1024
    """Kept aside so that outcomes can be written on a disk that others filled."""
    key_seconds: int = 72 * 3600
    content_grace_seconds: int = 3600
    totals_seconds: int = 90 * 86400


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes measured to be good; tests make them small."""

    bulk_rows: int = 5000
    """Rows of bulk submits in one commit (about 10 ms): what an urgent one waits for at most, and one submit more."""
    checkpoint_pages: int = 2000
    """Pages in the write-ahead log at which it is copied into the file."""
    clear_at: int = 32_768
    """Settled ids at which taking their rows away begins: 4 MB of memory at most."""
    clear_portion: int = 4096
    """Rows that one commit takes away, about 6 ms."""
    quiet_seconds: float = 1.0
    """Without work for so long, the rows of the settled go at once."""


def check_version(version: str) -> None:
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(str(part) for part in OLDEST_SQLITE)
        raise SpoolUnusable(
            f"SQLite {version} may lose commits when its write-ahead log starts over; take apsw with {oldest} or newer"
        )


def lock_folder(folder: Path) -> int:
    """The locked descriptor; the lock goes with it or with the process."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        text = f"spool folder {str(folder)!r}: {error.strerror}; make it a folder that the engine's user may write to"
        raise SpoolUnusable(text) from None
    if stat.S_IMODE(folder.stat().st_mode) & 0o022:
        raise SpoolUnusable(f"spool folder {str(folder)!r} is writable for others; run chmod 0700 on it")
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise SpoolUnusable(
            f"spool folder {str(folder)!r} is in use by process {owner!r}; stop that engine or choose another folder"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _create_file(path: Path) -> None:
    """The file exists before SQLite opens it, so that it and the log beside it (same mode) are ours alone."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the name itself must survive a power cut
    finally:
        os.close(folder)


def open_database(settings: SpoolSettings, *, now: float, vfs: str = "") -> apsw.Connection:
    """The connection, set up. The folder's lock must be held."""
    check_version(apsw.sqlite_lib_version())
    path = settings.folder.resolve() / "spool.db"
    try:
        _create_file(path)
        connection = apsw.Connection(str(path), vfs=vfs or None)
        _set_up(connection)
        lay_out(connection, path)
        _check_node(connection, settings.node, now)
    except (apsw.Error, OSError) as error:
        raise SpoolUnusable(f"spool {str(path)!r} cannot be opened: {error}; check disk, owner and mode") from error
    return connection


def _set_up(connection: apsw.Connection) -> None:
    """Exclusive: no shared memory, no other reader that would keep the log from starting over."""
    connection.pragma("locking_mode", "exclusive")
    mode = connection.pragma("journal_mode", "wal")
    if mode != "wal":
        raise SpoolUnusable(f"SQLite offers journal_mode {mode!r} instead of wal here; use a local file system")
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("temp_store", "memory")
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    connection.pragma("trusted_schema", 0)


def _check_node(connection: apsw.Connection, node: int, now: float) -> None:
    """Ids must grow as long as the folder lives: a lane's order relies on it. And they must not come back in a new or
    restored folder, since they stand in Message-IDs: the counter begins no lower than 65,536 for each second since
    2025 (48 bits of them last for 136 years).
    """
    used = connection.execute("SELECT value FROM meta WHERE name = 'next'").get >> COUNTER_BITS
    if used > node:
        raise SpoolUnusable(f"spool was written as node {used}, it cannot become node {node}; give it its number back")
    first = (node << COUNTER_BITS) + (max(0, int(now) - BEGINNING) << SECOND_BITS) + 1
    connection.execute("UPDATE meta SET value = ? WHERE name = 'next' AND value < ?", (first, first))
