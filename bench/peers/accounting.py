"""CPU time of a whole group of processes, the short-lived ones included, and the memory of those that live.

A control group (version 2) counts every process that ever was in it, also those that nobody waited for. Where none
can be made, the processes of the cell are walked through /proc, with the time of the children that each waited for:
Exim, whose deliveries are not waited for, then looks cheaper than it is, and the result says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import TICK, children, status_fields

_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_GONE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of our own."""

    folder: Path

    def cpu_seconds(self) -> float:
        return usage_in((self.folder / "cpu.stat").read_text("ascii"))

    def processes(self) -> list[int]:
        return [int(line) for line in (self.folder / "cgroup.procs").read_text("ascii").split()]


def usage_in(text: str) -> float:
    """Seconds, of the text of cpu.stat. Raises ValueError."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value) / 1e6
    raise ValueError(f"cpu.stat has no usage_usec: {text[:80]!a}")


@contextlib.contextmanager
def group(name: str) -> Iterator[Group | None]:
    """None where this machine lets us make none. Its processes are killed at the end."""
    parent = next((mount for mount in _MOUNTS if (mount / "cgroup.controllers").exists()), None)
    folder = _made(parent / f"{name}-{os.getpid()}") if parent is not None else None
    if folder is None:
        yield None
        return
    try:
        yield Group(folder)
    finally:
        _remove(folder)


def _made(folder: Path) -> Path | None:
    try:
        folder.mkdir()
    except OSError:
        return None
    return folder


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # kernels before 5.14 have no cgroup.kill; the cell's end kills them too
        (folder / "cgroup.kill").write_text("1")
    end = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.02)


def family(pid: int) -> list[int]:
    """The process and all that live below it."""
    found = [pid]
    for one in found:
        found += children(one)
    return found


def walked_seconds(pid: int) -> float:
    """CPU time of the family, with that of the children they waited for."""
    spent = 0.0
    for one in family(pid):
        fields = status_fields(one)
        spent += sum(map(int, fields[11:15])) * TICK if fields else 0.0
    return spent


def proportional_bytes(pids: list[int]) -> int:
    """Memory with what several share divided among them (PSS), so that a hundred forks do not count a hundred times."""
    return sum(_proportional(pid) for pid in pids)


def _proportional(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:  # it ended meanwhile
        return 0
    found = [line for line in text.splitlines() if line.startswith("Pss:")]
    return int(found[0].split()[1]) * 1024 if found else 0
