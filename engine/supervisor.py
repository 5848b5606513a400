"""The service manager's side: we are ready, alive, stopping; and the sockets that it opened for us before we ran.

sd_notify(3) and sd_listen_fds(3), which are a datagram and three environment variables; without a service manager
nothing here does anything. A watchdog's sign of life is sent from the event loop, so that a loop that hangs is found
and the service started again; the spool makes that safe.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import Mapping

log = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""


class Supervisor:
    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        """`environment` and `pid` are the process's own: variables that name another process are not for us."""
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        passed = environment.get("LISTEN_PID") == str(pid)
        self._descriptors = _number(environment, "LISTEN_FDS") if passed else 0
        self._names = environment.get("LISTEN_FDNAMES", "").split(":")
        self.watchdog = 0.0
        """Seconds between two signs of life, a third of what the service manager allows; 0.0: it does not wait."""
        if environment.get("WATCHDOG_PID", str(pid)) == str(pid):
            self.watchdog = _number(environment, "WATCHDOG_USEC") / 3e6

    def tell(self, *states: str) -> None:
        """READY=1, STOPPING=1, WATCHDOG=1, STATUS=text. A manager that does not listen is its own problem: one line."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as notify:
            try:
                notify.sendto("\n".join(states).encode(), self._address)
            except OSError as error:
                log.warning("the service manager was not told %s: %s", states[0], error.strerror)

    def listening(self, name: str) -> socket.socket | None:
        """The stream socket that the manager opened under this name (FileDescriptorName=), or None."""
        for number in range(self._descriptors):
            if number < len(self._names) and self._names[number] == name:
                descriptor = FIRST_DESCRIPTOR + number
                if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    raise OSError(f"descriptor {descriptor} ({name}) from the service manager is no socket")
                os.set_inheritable(descriptor, False)
                passed = socket.socket(fileno=descriptor)
                passed.setblocking(False)
                return passed
        return None


def _address(text: str) -> str:
    """@ stands for the NUL of an abstract name."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
