"""Child processes of the bench, and what Linux says about them: CPU time, memory, children.

Each child is a process group of its own and is ended with its children however the bench ends, by the context
manager. Times come from /proc/PID/stat in clock ticks (10 ms), so they mean something over seconds only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.configuration import REPOSITORY

QUIET = 0.15
"""So many cores may be busy with other programs before a result carries a warning."""
TICK = 1 / os.sysconf("SC_CLK_TCK")


class ProcessFailed(Exception):  # noqa: N818 - the process's state
    """A child ended or did not answer; the text ends with the last lines of its log."""


@dataclass(slots=True)
class Child:
    name: str
    popen: subprocess.Popen[str]
    log: Path
    ended: bool = False
    """The whole group is gone; its number may be somebody else's by now."""

    @property
    def pid(self) -> int:
        return self.popen.pid

    def check(self) -> None:
        """Raises ProcessFailed when it is not running any more."""
        if self.popen.poll() is not None:
            raise ProcessFailed(f"{self.name} ended with code {self.popen.returncode}:\n{tail(self.log)}")

    def first_line(self) -> dict[str, Any]:
        """The JSON object that it prints when it is ready. Raises ProcessFailed."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            self.popen.wait(10)
            self.check()
        return dict(json.loads(line))

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, patience, then SIGKILL to what is left of the group; its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(seconds)
        self._end_group()
        return self.popen.wait(10)

    def kill(self, patience: float = 3.0) -> int:
        """SIGKILL to the process alone, as the out-of-memory killer does it; how many of its children did not go by
        themselves within `patience` seconds.
        """
        offspring = children(self.pid)
        self.popen.kill()
        self.popen.wait(10)
        left = self._alive(offspring, patience)
        self._end_group()
        self._alive(offspring, patience)
        return len(left)

    def _alive(self, offspring: Sequence[int], patience: float) -> list[int]:
        """Those that are still there when all are gone or patience is at its end."""
        end = time.monotonic() + patience
        while (left := [pid for pid in offspring if _in_group(pid, self.pid)]) and time.monotonic() < end:
            time.sleep(0.005)
        return left

    def _end_group(self) -> None:
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.ended = True


@contextlib.contextmanager
def started(name: str, command: Sequence[str], log: Path, *, pipe: bool = False) -> Iterator[Child]:
    """`pipe`: standard output is ours to read (first_line); otherwise it goes to the log as well."""
    with log.open("ab") as file:
        popen = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe else file,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    child = Child(name, popen, log)
    try:
        yield child
    finally:
        child.stop()
        if popen.stdout is not None:
            popen.stdout.close()


def tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


@dataclass(slots=True)
class Usage:
    """CPU seconds and resident bytes by process."""

    at: float
    busy: float
    """CPU seconds of the whole machine."""
    cpu: dict[str, float] = field(default_factory=dict)
    resident: dict[str, int] = field(default_factory=dict)
    written: int = 0
    """Bytes that the core gave to the disk."""

    def since(self, before: Usage) -> dict[str, float]:
        return {name: seconds - before.cpu.get(name, 0.0) for name, seconds in self.cpu.items()}

    def warning_since(self, before: Usage) -> dict[str, str]:
        """A warning for the result when other programs were at work, else nothing."""
        return noise(self.others_since(before))

    def others_since(self, before: Usage) -> float:
        """Cores that were busy with something that is none of ours, on average."""
        ours = sum(self.since(before).values())
        return max(0.0, (self.busy - before.busy - ours) / max(self.at - before.at, TICK))


def usage(core: Child | None, sink: Child) -> Usage:
    """Of the engine's core, its children together (the signer), the sink, and ourselves (the injector)."""
    found = Usage(time.time(), busy_seconds())
    found.cpu["injector"] = time.process_time()
    found.cpu["sink"] = cpu_seconds(sink.pid)
    if core is not None:
        offspring = children(core.pid)
        found.cpu["core"] = cpu_seconds(core.pid)
        found.cpu["signer"] = sum(cpu_seconds(pid) for pid in offspring)
        found.resident["core"] = resident(core.pid)
        found.written = written_bytes(core.pid)
        found.resident["signer"] = sum(resident(pid) for pid in offspring)
    return found


def noise(others: float) -> dict[str, str]:
    """`others`: cores that were busy with something else."""
    if others <= QUIET:
        return {}
    text = f"not a quiet machine: other programs kept {others:.2f} cores busy; do not quote these figures"
    return {"warning": text}


def busy_seconds() -> float:
    """user, nice, system, irq, softirq, steal of /proc/stat; not idle, not iowait."""
    found = [int(part) for part in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return (sum(found) - found[3] - found[4]) * TICK


def status_fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(pid: int) -> float:
    """0.0 when it is gone."""
    found = status_fields(pid)
    return (int(found[11]) + int(found[12])) * TICK if found else 0.0


def resident(pid: int) -> int:
    """Bytes; 0 when it is gone."""
    found = status_fields(pid)
    return int(found[21]) * os.sysconf("SC_PAGE_SIZE") if found else 0


def written_bytes(pid: int) -> int:
    """To storage, as Linux counts it (/proc/PID/io); 0 when it is gone or not ours to look at."""
    try:
        text = Path(f"/proc/{pid}/io").read_text("ascii")
    except OSError:
        return 0
    return int(text.partition("\nwrite_bytes: ")[2].partition("\n")[0] or 0)


def children(pid: int) -> list[int]:
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [number for number in numbers if (stat := status_fields(number)) and int(stat[1]) == pid]


def _in_group(pid: int, group: int) -> bool:
    """Alive, and still the process that we mean."""
    found = status_fields(pid)
    return bool(found) and found[0] != "Z" and int(found[2]) == group


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machine() -> dict[str, Any]:
    """The conditions that no scenario sets."""
    text = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": models[0] if models else "unknown",
        "avx512_ifma": "avx512ifma" in text,
        "python": sys.version.split()[0],
        "load_before": round(os.getloadavg()[0], 2),
    }
