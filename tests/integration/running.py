"""A real engine as a process, with real receivers, in a folder of its own: for the integration tests.

`engine()` writes a configuration, starts `python -m engine run` and waits for /readyz; a test ends, kills and starts
it again. Receivers are bench's sink (a process) or a `Hostile` server (a thread) that writes what a test says. Every
wait has a bound and fails with the engine's last words. Nothing is left running.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.processes import Child, free_port, started, tail
from bench.rig import RunningSink, running_sink
from engine.client import Client, Terms
from engine.journal import Record, read_records, segments
from engine.signer.keys import generate_key, key_pem

PATIENCE = 60.0
ENDS = ("delivered", "bounced", "expired", "suppressed", "cancelled")
PLACES = ("waiting", "ready", "in_flight", "held")
MESSAGE = {"subject": "Hello", "text": "Dear reader, this is a test.\n%footer%\n"}
SHAPING = {
    "connection_limit": 4,
    "initial_connection_limit": 4,
    "failed_cohort_limit": 0,
    "max_message_rate": '"unlimited"',
    "max_connection_rate": '"unlimited"',
    "mail_from_timeout": 20,
    "rcpt_to_timeout": 20,
    "data_timeout": 20,
    "data_dot_timeout": 20,
    "banner_timeout": 20,
    "ehlo_timeout": 20,
    "retry_steps": '["1s", "1s", "2s"]',
    "enable_tls": '"Disabled"',
}


def configuration(
    routes: dict[str, str], admin: int, *, shaping: dict[str, object] | None = None, more: str = "", stop: float = 10
) -> str:
    """`more` stands at the end: further tables."""
    limits = "\n".join(f"{key} = {value}" for key, value in {**SHAPING, **(shaping or {})}.items())
    # Nobody's DNS knows the test's domains; the tests of the preflight say so themselves.
    gate = "" if "[preflight]" in more else '[preflight]\nmode = "off"\n'
    routed = "\n".join(f'"{domain}" = {{ to = "{to}", tls = "Disabled" }}' for domain, to in routes.items())
    return f"""[engine]
state = "state"
ehlo_name = "out.shop.example"
stop_seconds = {float(stop)}
[signer]
workers = 1
[admin]
listen = "127.0.0.1:{admin}"
[senders.shop]
legal_name = "株式会社ショップ"
address = "news@shop.example"
unsubscribe_url = "https://shop.example/u/{{token}}"
[senders.shop.profile]
postal_address = "〒100-0001 東京都千代田区千代田1-1-1"
phone = "03-0000-0000"
contact_mail = "info@shop.example"
[senders.shop.profile.mail_order]
tokusho_url = "https://shop.example/tokusho"
[[senders.shop.dkim]]
selector = "s1"
key = "dkim.pem"
{gate}[routes]
{routed}
[shaping.default]
{limits}
{more}
"""


def impatient(port: int, seconds: float = 1.0) -> str:
    """The table of a site whose stalls are to be noticed soon."""
    names = ("banner", "ehlo", "mail_from", "rcpt_to", "data", "data_dot", "rset")
    return "\n".join([f'[shaping.site."127.0.0.1:{port}"]', *(f"{name}_timeout = {seconds}" for name in names)])


def make_key(folder: Path, kind: str = "ed25519") -> Path:
    key = folder / "dkim.pem"
    key.touch(0o600)
    key.write_bytes(key_pem(generate_key(kind)))
    return key


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "engine", "run", "--config", str(folder / "sokutatsu.toml")]


@dataclass
class Running:
    """One engine's folder. `start` may be called again after it ended."""

    folder: Path
    admin: int
    child: Child | None = None
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"

    @property
    def socket(self) -> str:
        return str(self.folder / "state" / "socket" / "sokutatsu.sock")

    def launch(self) -> Child:
        self.child = self.stack.enter_context(started("engine", command(self.folder), self.log))
        return self.child

    def start(self) -> None:
        child = self.launch()

        def ready() -> bool:
            child.check()
            return self.page("readyz") == "ok\n"

        self.until(ready, "ready")

    def stop(self, seconds: float = 30.0) -> int:
        assert self.child is not None
        return self.child.stop(seconds)

    def kill(self) -> int:
        """kill -9; how many signers outlived it."""
        assert self.child is not None
        return self.child.kill()

    def client(self) -> Client:
        return Client(self.socket, patience=PATIENCE)

    def page(self, name: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{name}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError:
            return ""

    def status(self) -> dict[str, Any]:
        """The conservation law is checked at each look."""
        found = dict(json.loads(self.page("status")))
        assert found["balance"] == 0, found
        assert found["accepted"] == sum(found[name] for name in (*ENDS, *PLACES)), found
        return found

    def until(self, reached: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, f"not {what} in {seconds:g} s\n{self.page('status')}\n{tail(self.log, 30)}"
            time.sleep(0.03)

    def settled(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """Waits until nobody is open any more; the last status."""
        found: dict[str, Any] = {}

        def nobody_is_open() -> bool:
            # All places from one look: between two of them a recipient goes from one place to another.
            found.update(self.status())
            return not any(found[place] for place in PLACES)

        self.until(nobody_is_open, "settled", seconds)
        return found

    def journal(self) -> list[Record]:
        """What is on disk of it; the records of recipients."""
        found = [record for segment in segments(self.folder / "state" / "journal") for record in read_records(segment)]
        return [record for record in found if record.recipient]

    def ends(self) -> Counter[str]:
        return Counter(record.type for record in self.journal() if record.type not in {"TransientFailure", "Reception"})


@contextlib.contextmanager
def engine(folder: Path, routes: dict[str, str], *, start: bool = True, **words: Any) -> Iterator[Running]:
    folder.mkdir(exist_ok=True, parents=True)
    admin = free_port()
    (folder / "sokutatsu.toml").write_text(configuration(routes, admin, **words), "utf-8")
    make_key(folder)
    running = Running(folder, admin)
    with running.stack:
        if start:
            running.start()
        yield running


@contextlib.contextmanager
def sink(folder: Path, *words: str, listeners: int = 1) -> Iterator[RunningSink]:
    with running_sink(folder, "sink", words, 300.0, listeners) as running:
        yield running


def received(running: RunningSink) -> Counter[str]:
    """By recipient, also what was never answered."""
    running.flushed()
    return Counter(receipt.recipient for receipt in running.read())


def terms(mailing: str = "m", **words: Any) -> Terms:
    return Terms(sender="shop", category="TX", mailing=mailing, message=MESSAGE, **words)


Speech = Callable[["Hostile", socket.socket], None]


class Hostile:
    """A server that greets, answers EHLO, and then does with each connection what `speech` does."""

    def __init__(self, speech: Speech, greeting: bytes = b"220 mx ESMTP\r\n", *, pipelining: bool = True) -> None:
        self.speech = speech
        self.greeting = greeting
        self.ehlo = (
            b"250-mx\r\n250-PIPELINING\r\n250 SIZE 9999999\r\n" if pipelining else b"250-mx\r\n250 SIZE 9999999\r\n"
        )
        self.connections = 0
        self.ending = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._serve(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _serve(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                connection.settimeout(20)
                self.connections += 1
                self._open.append(connection)
                self._serve(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.sendall(self.greeting)
            if read_until(connection, b"\r\n").upper().startswith(b"EHLO"):
                connection.sendall(self.ehlo)
                self.speech(self, connection)


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """Raises ConnectionError when the client has gone."""
    data = b""
    while mark not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the client has gone")
        data += more
    return data


def drip(server: Hostile, connection: socket.socket, data: Sequence[int], seconds: float) -> None:
    """A byte each `seconds`, for ever or to the end of data."""
    for byte in data:
        connection.sendall(bytes([byte]))
        if server.ending.wait(seconds):
            return
