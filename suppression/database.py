"""The ledger's files: one process at a time, SQLite as safe as it gets, and the steps from each schema to the next.

A schema file is never changed once it was released: what is new comes in a file of its own, and an old ledger is
brought up to date when it is opened. A ledger of a later release is refused, not guessed at.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from importlib.resources import files
from pathlib import Path
from typing import Final

import apsw

OLDEST_SQLITE: Final = (3, 51, 3)
"""Older ones can lose commits in WAL mode when it is reset."""
SCHEMAS: Final = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql", "schema_5.sql", "schema_6.sql")
"""Step by step; how many of them are done stands in user_version."""

_APPLICATION: Final = 0x534B_5453


class LedgerRefused(Exception):  # noqa: N818 - a start that cannot be, not a bug
    """The ledger cannot be opened: names the file, the reason, the remedy."""


def lock(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerRefused(f"ledger {folder}: {error.strerror}; make it a folder of the engine's user") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LedgerRefused(f"ledger {folder}: another process has it open; stop that one first") from error
    return descriptor


def open_database(path: Path) -> apsw.Connection:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        raise LedgerRefused(f"SQLite {apsw.sqlite_lib_version()} may lose commits; install apsw >= 3.51.3")
    database = apsw.Connection(str(path))
    path.chmod(0o600)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "cache_size = -65536",
        "temp_store = MEMORY",
        "journal_size_limit = 67108864",
    ):
        database.execute(f"PRAGMA {pragma}")
    try:
        _upgrade(database)
    except _OtherVersionError as error:
        database.close()
        raise LedgerRefused(f"ledger {path}: {error}; run the version that wrote it, or restore the backup") from None
    return database


class _OtherVersionError(Exception):
    pass


def _upgrade(database: apsw.Connection) -> None:
    """From nothing, or from the schema of any earlier release, to ours, in one transaction: a crash leaves what was."""
    application, version = database.pragma("application_id"), database.pragma("user_version")
    if application != _APPLICATION and database.execute("SELECT count(*) FROM sqlite_schema").get:
        raise _OtherVersionError("not a ledger")
    if version > len(SCHEMAS):
        raise _OtherVersionError(f"of schema {version}, this release knows up to {len(SCHEMAS)}")
    if version == len(SCHEMAS):
        return
    with database:
        for name in SCHEMAS[version:]:
            database.execute(files("suppression").joinpath(name).read_text(encoding="utf-8"))
        if not version:
            database.execute("INSERT INTO meta VALUES ('ledger', ?)", (uuid.uuid4().hex,))
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {len(SCHEMAS)}")
