"""The engine under a service manager, played here: told when it is ready and stops, alive meanwhile, its socket passed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.processes import free_port
from engine.client import Client
from tests.integration.running import PATIENCE, configuration, make_key

WRAPPER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
    "os.execv(sys.executable, [sys.executable, '-m', 'engine', 'run', '--config', sys.argv[2]])"
)


def told(manager: socket.socket, word: str) -> list[str]:
    """What it was told up to this word."""
    heard: list[str] = []
    while not any(line.startswith(word) for line in heard):
        heard += manager.recv(4096).decode().splitlines()
    return heard


def test_ready_alive_stopping_and_a_socket_that_was_there_before(tmp_path: Path) -> None:
    make_key(tmp_path)
    (tmp_path / "sokutatsu.toml").write_text(configuration({"*": "127.0.0.1:1"}, free_port()), encoding="utf-8")
    path = tmp_path / "run.sock"
    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(path))
        listening.listen()
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "300000",
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "socket",
        }
        engine = subprocess.Popen(
            [sys.executable, "-c", WRAPPER, str(listening.fileno()), str(tmp_path / "sokutatsu.toml")],
            env=environment,
            pass_fds=(listening.fileno(),),
        )
        stack.callback(engine.kill)
        with Client(str(path), patience=PATIENCE) as client:  # asked before it is ready: the manager's socket waits
            assert client.ping()["draining"] is False
        assert "READY=1" in told(manager, "READY=1")
        assert told(manager, "WATCHDOG=1")
        assert told(manager, "WATCHDOG=1")
        engine.send_signal(signal.SIGHUP)
        heard = told(manager, "RELOADING=1")
        assert "RELOADING=1" in heard
        heard += told(manager, "READY=1")
        (stamp,) = (line for line in heard if line.startswith("MONOTONIC_USEC="))
        assert 0 <= time.monotonic() - int(stamp.partition("=")[2]) / 1e6 < PATIENCE
        assert heard[-1].startswith("STATUS=socket "), "the new state, and no refusal"
        engine.terminate()
        assert "STOPPING=1" in told(manager, "STOPPING=1")
        assert engine.wait(PATIENCE) == 0
        assert path.is_socket(), "a socket of the manager's stays for the next start"
