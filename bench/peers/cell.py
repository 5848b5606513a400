"""A cell: one mail server in namespaces of its own, over an unpacked set of packages, with its CPU time counted.

Needs root, `unshare` (util-linux) and overlayfs. Whatever happens in a cell, the system outside stays as it was; when
the cell ends, the kernel kills what is left in it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.peers.accounting import Group, family, group, proportional_bytes, walked_seconds
from bench.processes import Child, ProcessFailed, started, tail

_SCRIPT = Path(__file__).with_name("cell.sh")
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--")
START_SECONDS = 30.0


@dataclass(slots=True)
class Cell:
    child: Child
    group: Group | None

    def cpu_seconds(self) -> float:
        return self.group.cpu_seconds() if self.group else walked_seconds(self.child.pid)

    def memory_bytes(self) -> int:
        return proportional_bytes(self.group.processes() if self.group else family(self.child.pid))

    @property
    def counted_by(self) -> str:
        return "control group" if self.group else "/proc, without processes that nobody waited for"

    def await_greeting(self, port: int) -> None:
        """Raises ProcessFailed when nobody says 220 in time."""
        end = time.monotonic() + START_SECONDS
        while not _greets(port):
            self.child.check()
            if time.monotonic() > end:
                said = tail(self.child.log)
                raise ProcessFailed(f"{self.child.name}: no greeting on port {port} in {START_SECONDS:.0f} s:\n{said}")
            time.sleep(0.1)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            greeting = probe.recv(200)
            probe.sendall(b"QUIT\r\n")
            return greeting.startswith(b"220")
    except OSError:
        return False


@contextlib.contextmanager
def cell(name: str, packages: Path, run: Path, modules: Path | None = None) -> Iterator[Cell]:
    """Runs `run`/start.sh, which must stay in the foreground, until the caller is done."""
    if os.geteuid():
        raise ProcessFailed("a cell needs root (mount and process namespaces); run the bench as root")
    with group(f"bench-{name}") as counted:
        words = [str(packages), str(run), str(counted.folder) if counted else "", str(modules or "")]
        command = [*_UNSHARE, "sh", str(_SCRIPT), *words]
        with started(name, command, run / "cell.log") as child:
            try:
                yield Cell(child, counted)
            finally:
                child.kill()  # unshare holds SIGTERM back; the kernel then kills everything inside
