"""Room kept for outcomes on a full disk: a file that is given up when nothing else fits.

The floor keeps our own submits from filling the disk, not other programs. When even settling finds no room, this
file goes and settling goes on (its log needs little, and starts over); it comes back when the disk has room again.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


class Reserve:
    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.whole = False
        """False: given up, or there was no room for it. An operator wants to know."""

    def fill(self) -> None:
        """Real blocks, not a hole. Without room it stays away; other errors are the caller's."""
        if self.whole or not self._size:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
            self.whole = True
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def give_up(self) -> bool:
        """True when that made room."""
        if not self.whole:
            return False
        self.whole = False
        os.truncate(self._path, 0)
        return True
