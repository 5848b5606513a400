"""deploy/'s units in a real systemd: ready, reloaded, found dead by the watchdog, stopped, started by a connection."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from bench.configuration import REPOSITORY
from tests.interop.peers.manager import impossible, machine, settings

SOCKET = ("--socket", "/run/sokutatsu/sokutatsu.sock")
LOOSEST = 2.0
WHY_NOT = impossible()
BOOTED = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@BOOTED
def test_the_unit_in_a_real_systemd(tmp_path: Path) -> None:
    with machine(tmp_path, watchdog="4s") as host:
        # Type=notify: the start is over when the engine has said that it takes mail.
        assert host.systemctl("start", "sokutatsu.service") == (0, ""), host.said()
        assert host.shown("ActiveState") == "active"
        assert host.shown("StatusText").startswith("socket /run/sokutatsu/sokutatsu.sock")
        assert host.sokutatsu("status", *SOCKET).returncode == 0

        # A reload waits for its end, and fails when the configuration is refused.
        assert host.systemctl("reload", "sokutatsu.service") == (0, "")
        host.write(settings() + "[nonsense]\n")
        assert host.systemctl("reload", "sokutatsu.service")[0] != 0
        assert host.shown("StatusText").startswith("reload refused: ")
        assert host.shown("ActiveState") == "active"
        host.write(settings())

        # A loop that hangs is found and started again.
        before = host.shown("MainPID")
        assert host.run("kill", "-STOP", before).returncode == 0
        host.until("Result", "watchdog")
        host.until("NRestarts", "1")
        host.until("ActiveState", "active")
        assert host.shown("MainPID") not in {before, "0"}

        began = time.monotonic()
        assert host.systemctl("stop", "sokutatsu.service")[0] == 0
        assert time.monotonic() - began < 30
        assert (host.shown("Result"), host.shown("ActiveState")) == ("success", "inactive")


@BOOTED
def test_a_connection_to_the_managers_socket_starts_the_engine(tmp_path: Path) -> None:
    with machine(tmp_path, watchdog="30s") as host:
        assert host.systemctl("start", "sokutatsu.socket") == (0, "")
        assert host.shown("ActiveState") == "inactive"
        asked = host.sokutatsu("status", "--json", *SOCKET)
        assert asked.returncode == 0, asked.stderr + host.said()
        assert host.shown("ActiveState") == "active"
        host.systemctl("stop", "sokutatsu.service", "sokutatsu.socket")

        # A wrong configuration is not tried again: a person has to look.
        host.write(settings() + "[nonsense]\n")
        assert host.systemctl("start", "sokutatsu.service")[0] != 0
        time.sleep(6)  # RestartSec=5s
        assert (host.shown("ActiveState"), host.shown("NRestarts")) == ("failed", "0")


def test_the_unit_is_shut_in() -> None:
    unit = str(REPOSITORY / "deploy" / "sokutatsu.service")
    command = ("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    (level,) = re.findall(r"Overall exposure level for sokutatsu.service: ([\d.]+)", said)
    assert float(level) <= LOOSEST


@pytest.mark.parametrize("file", ["sokutatsu.service", "sokutatsu.socket"])
def test_systemd_reads_every_line(file: str) -> None:
    """systemd-analyze verify names lines that systemd would pass over; that the program is not installed here is not
    ours to mend.
    """
    units = [str(REPOSITORY / "deploy" / file)]
    ran = subprocess.run(("systemd-analyze", "verify", *units), capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in ran.stderr.splitlines() if file in line and "not executable" not in line]
    assert complaints == []
