"""A service manager played by a datagram socket, and descriptors passed to a real child as systemd passes them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from engine.supervisor import Supervisor


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def test_tells_the_manager(manager, tmp_path) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify")}, os.getpid())
    supervisor.tell("READY=1", "STATUS=ready: 3 senders")
    assert manager.recv(1000) == b"READY=1\nSTATUS=ready: 3 senders"


def test_tells_an_abstract_socket() -> None:
    name = f"sokutatsu-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}, 1).tell("STOPPING=1")
        assert listening.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
def test_without_a_manager_nothing_happens(address) -> None:
    Supervisor({"NOTIFY_SOCKET": address}, 1).tell("READY=1")


def test_a_manager_that_is_gone_is_a_line_in_the_log(tmp_path, caplog) -> None:
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 1).tell("READY=1")
    assert "was not told READY=1" in caplog.text


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_a_sign_of_life_comes_thrice_in_the_time_allowed(environment, seconds) -> None:
    assert Supervisor(environment, 7).watchdog == seconds


CHILD = """
import os, sys
from engine.supervisor import Supervisor
found = Supervisor({**os.environ, "LISTEN_PID": str(os.getpid())}, os.getpid()).listening("socket")
connection, _ = found.accept() if found else (None, None)
sys.stdout.write(connection.recv(10).decode() if connection else "none")
"""


def child(environment, descriptor) -> str:
    """Runs CHILD with this descriptor as its number 3."""
    wrapper = f"import os, sys; os.dup2({descriptor}, 3); os.execv(sys.executable, [sys.executable, '-c', {CHILD!r}])"
    done = subprocess.run(
        [sys.executable, "-c", wrapper],
        env={**os.environ, **environment},
        pass_fds=(descriptor,),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_takes_over_the_socket_of_that_name(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        client.connect(str(tmp_path / "s"))
        client.send(b"hello")
        assert child({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "socket"}, listening.fileno()) == "hello"
        assert child({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "other"}, listening.fileno()) == "none"


def test_what_is_no_socket_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file:
        code = CHILD.replace("found = ", "try:\n    ").replace(
            "\nconnection, _ = found.accept() if found else (None, None)",
            "\nexcept OSError as error:\n    print(error); sys.exit()\nconnection = None",
        )
        wrapper = f"import os, sys; os.dup2({file.fileno()}, 3); exec({code!r})"
        done = subprocess.run(
            [sys.executable, "-c", wrapper],
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "socket"},
            pass_fds=(file.fileno(),),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert "is no socket" in done.stdout, done.stderr


def test_descriptors_of_another_process_are_not_ours() -> None:
    assert Supervisor({"LISTEN_FDS": "1", "LISTEN_PID": "8", "LISTEN_FDNAMES": "socket"}, 7).listening("socket") is None
