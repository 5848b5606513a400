"""A machine with a real systemd: manager.sh in namespaces of its own, and what is asked of it by systemctl.

The units are deploy/'s own, with a drop-in for what a test must change (where output goes, a shorter watchdog). When
the machine's first process is killed, the kernel ends all the others of it.
"""

from __future__ import annotations

import contextlib
import shutil
import site
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.configuration import REPOSITORY
from bench.processes import children, started, tail
from tests.integration.running import configuration, make_key

HERE = Path(__file__).parent
USER = 991
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child")
TARGETS = ("machine", "sysinit", "basic", "sockets", "shutdown", "multi-user", "network-online")
COMMAND = """#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/sokutatsu/source:/opt/site PYTHONDONTWRITEBYTECODE=1
exec /opt/python/bin/python{major}.{minor} -m engine "$@"
"""
DROP_IN = """[Service]
WatchdogSec={watchdog}
StandardOutput=append:/var/log/sokutatsu.log
StandardError=append:/var/log/sokutatsu.log
"""
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Machine:
    folder: Path
    init: int
    """Its first process, as the outside numbers it."""

    def run(self, *command: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        inside = ("nsenter", "--target", str(self.init), "--all", *command)
        return subprocess.run(inside, capture_output=True, text=True, timeout=seconds, check=False)

    def systemctl(self, *words: str) -> tuple[int, str]:
        ran = self.run("systemctl", "--no-pager", *words)
        return ran.returncode, (ran.stdout + ran.stderr).strip()

    def sokutatsu(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("/opt/sokutatsu/.venv/bin/sokutatsu", *words)

    def shown(self, name: str, unit: str = "sokutatsu.service") -> str:
        return self.systemctl("show", unit, "--property", name, "--value")[1]

    def until(self, name: str, value: str, seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        while (found := self.shown(name)) != value:
            assert time.monotonic() < end, f"{name} is {found!r}, not {value!r}\n{self.said()}"
            time.sleep(0.1)

    def said(self) -> str:
        log = self.run("tail", "-n", "20", "/var/log/sokutatsu.log").stdout
        return f"{tail(self.folder / 'console', 20)}\n{log}"

    def write(self, text: str) -> None:
        """In place of the configuration."""
        ran = subprocess.run(
            ("nsenter", "--target", str(self.init), "--mount", "tee", "/etc/sokutatsu/sokutatsu.toml"),
            input=text, stdout=subprocess.DEVNULL, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        assert ran.returncode == 0


def impossible() -> str:
    """Why no such machine can be made here, as in a container without rights of its own; empty: it can."""
    try:
        group = _group()
        group.rmdir()
        command = ("unshare", *NAMESPACES, "sh", "-c", "mount -t proc proc /proc && mount -t tmpfs tmpfs /opt")
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, StopIteration) as error:
        return f"no systemd can be booted here: {error or 'no cgroup2'}"
    return f"no systemd can be booted here: {ran.stderr.strip()}" if ran.returncode else ""


def settings() -> str:
    told = configuration({"*": "127.0.0.1:9"}, 9180).replace('state = "state"', 'state = "/var/lib/sokutatsu"')
    return told + '[socket]\npath = "/run/sokutatsu/sokutatsu.sock"\n'


@contextlib.contextmanager
def machine(folder: Path, *, watchdog: str) -> Iterator[Machine]:
    """`watchdog` in place of the unit's WatchdogSec. Needs root, and a cgroup2 that may be written to."""
    folder.chmod(0o755)
    _lay_out(folder, watchdog)
    group = _group()
    packages = next(place for place in site.getsitepackages() if Path(place, "apsw").is_dir())
    places = [str(folder), sys.base_prefix, packages, str(REPOSITORY)]
    enter = f'echo $$ > "{group}/cgroup.procs" && exec unshare {" ".join(NAMESPACES)} sh "$@"'
    command = ["sh", "-c", enter, "sh", str(HERE / "manager.sh"), *places]
    try:
        with started("systemd", command, folder / "systemd.log") as child:
            yield Machine(folder, _booted(child.pid, folder))
            child.kill()
    finally:
        _remove(group)


def _lay_out(folder: Path, watchdog: str) -> None:
    units, etc = folder / "units", folder / "etc"
    (units / "sokutatsu.service.d").mkdir(parents=True)
    (units / "sokutatsu.service.d" / "test.conf").write_text(DROP_IN.format(watchdog=watchdog))
    for unit in ("sokutatsu.service", "sokutatsu.socket"):
        shutil.copy(REPOSITORY / "deploy" / unit, units)
    for name in TARGETS:
        after = "Requires=basic.target\nAfter=basic.target\n" if name == "machine" else ""
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n{after}")
    (etc / "sokutatsu").mkdir(parents=True)
    for file, line in (
        ("passwd", f"sokutatsu:x:{USER}:{USER}::/:/usr/sbin/nologin"),
        ("group", f"sokutatsu:x:{USER}:"),
    ):
        (etc / file).write_text(Path("/etc", file).read_text() + line + "\n")
    make_key(etc / "sokutatsu", "rsa")
    (etc / "sokutatsu" / "sokutatsu.toml").write_text(settings())
    for path in (etc / "sokutatsu").iterdir():
        shutil.chown(path, USER, USER)
    (folder / "layer").mkdir()
    (folder / "console").touch()
    command = folder / "sokutatsu"
    command.write_text(COMMAND.format(major=sys.version_info.major, minor=sys.version_info.minor))
    command.chmod(0o755)


def _group() -> Path:
    """A cgroup for the machine, so that its systemd does not take over ours."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    root = next(Path(place) for _, place, kind, *_ in mounts if kind == "cgroup2")
    group = root / f"sokutatsu-machine-{time.monotonic_ns()}"
    group.mkdir()
    return group


def _remove(group: Path) -> None:
    """With those that systemd made in it, once their processes are gone."""
    end = time.monotonic() + 10
    while True:
        try:
            for below in sorted(group.rglob("*/"), reverse=True):
                below.rmdir()
            group.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _booted(outer: int, folder: Path) -> int:
    end = time.monotonic() + PATIENCE
    while True:
        for pid in children(outer):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                found = Machine(folder, pid)
                if found.systemctl("is-system-running")[1] == "running":
                    return pid
        assert time.monotonic() < end, tail(folder / "systemd.log", 20) + tail(folder / "console", 20)
        time.sleep(0.2)
