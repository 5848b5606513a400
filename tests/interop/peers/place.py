"""Where a foreign server lives during a test: a folder, ports, a process that is ended by its id, a mailbox to read.

Servers give up root and must still reach their files, so the folders are under a directory that everybody may enter
(pytest's own may not be). A server counts as started when its port answers; when it does not, its log is the error.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Child, started, tail

PATIENCE = 30.0
HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
DEBS = REPOSITORY / ".interop"
_FIRST_OF_OURS = re.compile(rb"^DKIM-Signature:", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Copy:
    """One delivered message."""

    recipient: str
    """Of the envelope, as the server wrote it down."""
    message: bytes
    """From our first header field on; what the server put before it is gone. CRLF."""

    @property
    def body(self) -> bytes:
        return self.message.partition(b"\r\n\r\n")[2]


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    port: int
    folder: Path
    child: Child
    maildir: Path
    delivered_to: bytes = b"Delivered-To"
    """The field into which it writes the recipient."""

    @property
    def log(self) -> str:
        return self.child.log.read_text("utf-8", "replace")

    def stored(self) -> list[bytes]:
        """As the server stored them, most with LF."""
        return [path.read_bytes() for path in sorted(self.maildir.glob("**/new/*"))]

    def copies(self) -> list[Copy]:
        return [_copy(stored, self.delivered_to) for stored in self.stored()]

    def await_copies(self, count: int) -> list[Copy]:
        self.await_stored(count)
        return self.copies()

    def await_stored(self, count: int, seconds: float = PATIENCE) -> None:
        """Until so many are there, at least: a server files what it has accepted a little later."""
        end = time.monotonic() + seconds
        while len(self.stored()) < count:
            self.child.check()
            assert time.monotonic() < end, f"{self.name}: {len(self.stored())} of {count}\n{logs(self.folder)}"
            time.sleep(0.05)


def _copy(stored: bytes, delivered_to: bytes) -> Copy:
    message = re.sub(rb"\r?\n", b"\r\n", stored)
    found = re.search(rb"^" + delivered_to + rb":[ \t]*<?([^\r\n>]*)", message, re.MULTILINE | re.IGNORECASE)
    ours = _FIRST_OF_OURS.search(message)
    assert found is not None, stored[:2000]
    return Copy(found[1].decode().strip(), message[ours.start() if ours else 0 :])


def shared(folder: Path, *names: str) -> None:
    """Makes the folder and those in it; anybody may write into these."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name in names:
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o777)


@contextlib.contextmanager
def server(name: str, command: Sequence[str], folder: Path, address: tuple[str, int]) -> Iterator[Child]:
    with started(name, command, folder / f"{name}.log") as child:
        await_port(child, address)
        yield child


@contextlib.contextmanager
def mail_server(name: str, command: Sequence[str], folder: Path, address: tuple[str, int]) -> Iterator[Child]:
    """Waits for its greeting: Postfix listens before it can speak."""
    with server(name, command, folder, address) as child:
        with socket.create_connection(address, PATIENCE) as connection:
            try:
                greeting = connection.recv(1000)
            except TimeoutError:
                greeting = b""
        assert greeting.startswith(b"220"), f"{name} greets with {greeting!r}\n{logs(folder)}"
        yield child


def logs(folder: Path) -> str:
    """The ends of all that lie in the folder."""
    return "\n".join(f"--- {log}\n{tail(log, 30)}" for log in sorted(folder.rglob("*log")) if log.is_file())


def await_port(child: Child, address: tuple[str, int], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while True:
        child.check()
        with contextlib.suppress(OSError), socket.create_connection(address, 1):
            return
        assert time.monotonic() < end, f"{child.name} does not listen on {address}\n{tail(child.log, 40)}"
        time.sleep(0.05)


def apart(folder: Path, packages: Sequence[str], command: Sequence[str]) -> list[str]:
    """The command line that runs a server of packages that are not installed (apart.sh)."""
    (folder / "layer").mkdir()
    debs = " ".join(str(DEBS / f"{package}.deb") for package in packages)
    return ["unshare", "--mount", "sh", str(HERE / "apart.sh"), str(folder), debs, *command]


def resolving(resolver: str, folder: Path, command: Sequence[str]) -> list[str]:
    """The command line of a program that reads /etc/resolv.conf: another one is bound over it, for it alone."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {resolver}\noptions edns0 trust-ad\n")
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(file), *command]
