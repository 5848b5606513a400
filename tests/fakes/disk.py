"""A disk that fails when told: a VFS between SQLite and the file system.

`on_write` and `on_sync` are asked before each call, with the file's name and where the write would end, or the number
of the sync; they may raise, or kill the process.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw


def nothing(_: str, __: int) -> None:
    """A healthy disk."""


class Disk(apsw.VFS):
    def __init__(self, name: str) -> None:
        self.name = name
        self.on_write: Callable[[str, int], None] = nothing
        self.on_sync: Callable[[str, int], None] = nothing
        self.writes = 0
        self.syncs = 0
        super().__init__(name, "")

    def xOpen(self, name, flags):
        return DiskFile(self, name, flags)


class DiskFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name, flags) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def xWrite(self, data, offset):
        self._disk.writes += 1
        self._disk.on_write(self._name, offset + len(data))
        super().xWrite(data, offset)

    def xSync(self, flags):
        self._disk.syncs += 1
        self._disk.on_sync(self._name, self._disk.syncs)
        super().xSync(flags)


def no_sync(_: str, __: int) -> None:
    error = apsw.IOError("EIO from fsync")
    error.extendedresult = apsw.SQLITE_IOERR_FSYNC
    raise error


def no_space(_: str, __: int) -> None:
    raise apsw.FullError("database or disk is full")
