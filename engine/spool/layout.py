"""The spool's tables, and the steps from each layout of earlier versions to ours.

`user_version` holds the number of the layout. A layout is never changed once it was released: what is new becomes the
next number, with a step of its own in STEPS, and a file is brought up by all the steps that it lacks, in one
transaction: a crash or a full disk leaves the file of before. A newer layout is refused and left alone, since nothing
here knows what it means. tests/data/spool has files that earlier versions wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

log = logging.getLogger(__name__)

APPLICATION_ID: Final = 0x534F4B55  # "SOKU", as `file spool.db` shows it


class SpoolUnusable(Exception):  # noqa: N818 - a start that cannot be, not a bug
    """The folder cannot be opened as a spool; the text names the thing and the remedy."""


# No auto_vacuum: pages of settled rows go to SQLite's free list and the next rows take them, without moving pages
# on the hot path; the file stays as large as the longest queue was (the floor counts its free pages as free).
# AUTOINCREMENT where a number must not come back: live objects and compiled templates are kept by it, and
# `cleared` is the last intent that a deferral answered.
TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lane (
  id INTEGER PRIMARY KEY, domain TEXT NOT NULL, priority INTEGER NOT NULL, UNIQUE (domain, priority)) STRICT;
CREATE TABLE message (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 BLOB NOT NULL UNIQUE, touched REAL NOT NULL,
  content BLOB NOT NULL) STRICT;
CREATE TABLE mailing (
  id INTEGER PRIMARY KEY, sender TEXT NOT NULL, name TEXT NOT NULL,
  accepted INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0, bounced INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0, suppressed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
  first_accepted_at REAL NOT NULL, last_change_at REAL NOT NULL, cancelled_at REAL, UNIQUE (sender, name)) STRICT;
CREATE TABLE batch (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE, digest BLOB NOT NULL, mailing INTEGER NOT NULL,
  category TEXT NOT NULL, topic TEXT NOT NULL, message INTEGER NOT NULL, priority INTEGER NOT NULL,
  accepted_at REAL NOT NULL, not_before INTEGER NOT NULL, expires INTEGER NOT NULL, closed TEXT,
  first INTEGER NOT NULL, count INTEGER NOT NULL, remaining INTEGER NOT NULL, refused BLOB NOT NULL) STRICT;
CREATE INDEX batch_mailing ON batch (mailing);
CREATE INDEX batch_message ON batch (message) WHERE remaining > 0;
CREATE INDEX batch_expires ON batch (expires) WHERE remaining > 0 AND closed IS NULL;
CREATE INDEX batch_settled ON batch (accepted_at) WHERE remaining = 0;
CREATE TABLE recipient (
  id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, lane INTEGER NOT NULL, due INTEGER NOT NULL,
  attempts INTEGER NOT NULL, doubt INTEGER NOT NULL, cleared INTEGER NOT NULL,
  address TEXT NOT NULL, fields BLOB NOT NULL) STRICT;
CREATE INDEX recipient_due ON recipient (lane, due);
CREATE INDEX recipient_doubt ON recipient (id) WHERE doubt = 1;
CREATE TABLE settled (id INTEGER PRIMARY KEY AUTOINCREMENT, recipients BLOB NOT NULL) STRICT;
CREATE TABLE intent (id INTEGER PRIMARY KEY AUTOINCREMENT, recipients BLOB NOT NULL) STRICT;
"""


def _to_2(connection: apsw.Connection) -> None:
    """Three forms were written under number 1 while it was made: without `settled`, without `cleared`, and ours. A
    recipient gets cleared = 0: no deferral has answered an intent, so that whoever is in one is doubted.
    """
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(recipient)")}
    if "cleared" not in columns:
        connection.execute("ALTER TABLE recipient RENAME TO recipient_1")
        connection.execute(_statement("CREATE TABLE recipient "))
        connection.execute(
            "INSERT INTO recipient (id, batch, lane, due, attempts, doubt, cleared, address, fields)"
            " SELECT id, batch, lane, due, attempts, doubt, 0, address, fields FROM recipient_1 ORDER BY id"
        )
        connection.execute("DROP TABLE recipient_1")  # and its indices
    for begin in ("CREATE TABLE settled ", "CREATE INDEX recipient_due ", "CREATE INDEX recipient_doubt "):
        name = begin.split()[2]
        if not connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (name,)).get:
            connection.execute(_statement(begin))


def _statement(begin: str) -> str:
    return begin + TABLES.partition(begin)[2].partition(";")[0]


STEPS: Final[tuple[Callable[[apsw.Connection], None], ...]] = (_to_2,)
"""From layout 1 to 2, and so on."""
LAYOUT: Final = len(STEPS) + 1


def lay_out(connection: apsw.Connection, path: Path) -> None:
    """A new file gets our tables, an older one what it lacks. Raises SpoolUnusable; the file is as it was then."""
    layout, application = connection.pragma("user_version"), connection.pragma("application_id")
    if layout == LAYOUT and application == APPLICATION_ID:
        return
    if application not in (0, APPLICATION_ID) or (layout and application == 0):
        raise SpoolUnusable(f"{str(path)!r} is no spool but another program's file; choose another folder")
    if layout > LAYOUT:
        text = (
            f"has layout {layout}, this version knows up to {LAYOUT}; start the version that wrote it, or a newer one"
        )
        raise SpoolUnusable(f"spool {str(path)!r} {text}")
    with connection:
        if layout:
            log.warning("spool %s is brought from layout %d to %d: all rows are read once", path, layout, LAYOUT)
            for step in STEPS[layout - 1 :]:
                step(connection)
        else:
            connection.execute(TABLES)
            connection.execute("INSERT INTO meta VALUES ('next', 1)")
            connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", LAYOUT)
