"""One engine and its sinks, as processes: how the bench starts them, asks them, stops them and starts them again.

What the sinks say is the truth (receipts, counts); what the engine says of itself (/status, /metrics) is shown
beside it and never used to decide whether a message was lost.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.configuration import Place, engine_command, engine_configuration, make_key
from bench.mailing import DOMAIN, STALLED_DOMAIN
from bench.names import place_of
from bench.processes import Child, ProcessFailed, free_port, started, tail
from bench.receipts import Receipt, parse_receipt, read_receipts
from bench.scenario import Scenario

INSPECT_EVERY = 16
SAMPLE = 50
START_SECONDS = 120.0
SPARE_SECONDS = 900.0
"""The sink outlives a scenario's limit by so much: recording ten million consents comes before it."""
_BUCKET = re.compile(r"^sokutatsu_first_attempt_seconds_bucket\{(.*)\} (\S+)$", re.MULTILINE)


class Control:
    """The sink's control socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rw")

    def ask(self, word: str) -> dict[str, Any]:
        self._file.write(word + "\n")
        self._file.flush()
        return dict(json.loads(self._file.readline()))

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@dataclass(slots=True)
class RunningSink:
    child: Child
    control: Control
    ports: list[int]
    receipts: Path
    samples: Path
    _read_to: int = 0

    def counts(self) -> dict[str, Any]:
        self.child.check()
        return self.control.ask("counts")

    def flushed(self) -> dict[str, Any]:
        """Receipts and sample are complete in their files afterwards."""
        return self.control.ask("flush")

    def read(self) -> Iterator[Receipt]:
        return read_receipts(self.receipts)

    def news(self) -> list[Receipt]:
        """The receipts since the last call."""
        self.flushed()
        with self.receipts.open("rb") as file:
            file.seek(self._read_to)
            lines = file.readlines()
        self._read_to += sum(map(len, lines))
        return [parse_receipt(line) for line in lines]


@contextlib.contextmanager
def running_sink(
    folder: Path, name: str, words: Sequence[str], seconds: float, listeners: int = 1, places: Sequence[str] = ()
) -> Iterator[RunningSink]:
    """One process; each listener is a site of its own to the engine. `places`: addresses to listen on, all on one
    port, as hosts that MX records name have it.
    """
    receipts, control, samples = folder / f"{name}.receipts", folder / f"{name}.control", folder / f"{name}.samples"
    command = [sys.executable, "-m", "bench.sink", "--control", str(control)]
    port = free_port()
    for place in [f"{host}:{port}" for host in places] or ["127.0.0.1:0"] * listeners:
        command += ["--listen", place]
    command += ["--receipts", str(receipts), "--sample", str(SAMPLE), "--samples", str(samples)]
    command += ["--inspect-every", str(INSPECT_EVERY), "--seconds", str(seconds + SPARE_SECONDS), *words]
    with started(name, command, folder / f"{name}.log", pipe=True) as child:
        ports = [int(address.rpartition(":")[2]) for address in child.first_line()["listening"]]
        sink = RunningSink(child, Control(control), ports, receipts, samples)
        try:
            yield sink
        finally:
            sink.control.close()


@contextlib.contextmanager
def running_names(folder: Path, scenario: Scenario) -> Iterator[int]:
    """The port of the bench's DNS server."""
    command = [sys.executable, "-m", "bench.names", "--domains", str(scenario.domains), "--sites", str(scenario.sites)]
    command += ["--seconds", str(scenario.seconds + SPARE_SECONDS)]
    with started("names", command, folder / "names.log", pipe=True) as child:
        yield int(child.first_line()["port"])


@dataclass(slots=True)
class Rig:
    """The engine of a scenario. `start` may be called again after it ended, on the same state."""

    scenario: Scenario
    place: Place
    sink: RunningSink
    stalled: RunningSink | None = None
    names: int = 0
    """Port of the DNS server."""
    keys: dict[str, str] = field(default_factory=dict)
    admin: int = 0
    core: Child | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def configure(self) -> None:
        scenario = self.scenario
        self.admin = free_port()
        self.keys = make_key(self.place.key)
        routes = [
            (f"d{number}.{DOMAIN}", f"127.0.0.1:{self.sink.ports[number % scenario.sites]}")
            for number in range(0 if scenario.mx else scenario.domains)
        ]
        if scenario.sites == 1 and not scenario.mx:  # one line for a hundred thousand domains
            routes = [("*", f"127.0.0.1:{self.sink.ports[0]}")]
        if self.stalled is not None:
            routes.append((STALLED_DOMAIN, f"127.0.0.1:{self.stalled.ports[0]}"))
        elif scenario.dead:
            routes.append((STALLED_DOMAIN, f"127.0.0.1:{free_port()}"))
        text = engine_configuration(
            self.place,
            routes=routes,
            admin=f"127.0.0.1:{self.admin}",
            tls=scenario.tls,
            connections=scenario.connections,
            deliveries_per_connection=scenario.deliveries_per_connection,
            retry_seconds=scenario.retry_seconds,
            signer=scenario.signer,
            mx=(self.names, self.sink.ports[0]) if scenario.mx else None,
        )
        self.place.configuration.write_text(text, "utf-8")

    def start(self) -> float:
        """Seconds from the start of the process until /readyz says yes. Raises ProcessFailed."""
        before = time.monotonic()
        core = self.launch()
        while not self._ready():
            core.check()
            if time.monotonic() - before > START_SECONDS:
                raise ProcessFailed(f"the engine is not ready after {START_SECONDS:.0f} s:\n{tail(core.log)}")
            time.sleep(0.01)
        return time.monotonic() - before

    def launch(self) -> Child:
        """Does not wait for readiness."""
        log = self.place.folder / "engine.log"
        self.core = self._stack.enter_context(started("engine", engine_command(self.place), log))
        return self.core

    def _ready(self) -> bool:
        try:
            return self.get("readyz").strip() == "ok"
        except OSError:
            return False

    def get(self, page: str) -> str:
        """A page of the admin listener, also when its status is 503. Raises OSError."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{page}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.get("status")))

    def stop(self) -> int:
        assert self.core is not None
        return self.core.stop(60)

    def close(self) -> None:
        self._stack.close()


@contextlib.contextmanager
def rig(scenario: Scenario, folder: Path) -> Iterator[Rig]:
    """The sink runs, the engine is configured and not started. Everything is gone afterwards, files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [word for share in scenario.shares for word in ("--share", share)]
    words += ["--self-signed"] * scenario.tls + ["--no-pipelining"] * (not scenario.pipelining)
    words += ["--latency", str(scenario.latency_ms)]
    with contextlib.ExitStack() as stack:
        places = [place_of(site) for site in range(scenario.sites)] if scenario.mx else ()
        sink = stack.enter_context(running_sink(folder, "sink", words, scenario.seconds, scenario.sites, places))
        stalled = None
        if scenario.stalled and not scenario.dead:
            stalled = stack.enter_context(running_sink(folder, "stalled", [], scenario.seconds))
        names = stack.enter_context(running_names(folder, scenario)) if scenario.mx else 0
        made = Rig(scenario, Place(folder), sink, stalled, names)
        stack.callback(made.close)
        made.configure()
        yield made


def first_attempt_quantile(metrics: str, priority: str, quantile: float) -> float | None:
    """Upper bound in seconds of the bucket in the engine's own histogram; None when it holds nothing."""
    buckets: list[tuple[float, float]] = []
    for labels, count in _BUCKET.findall(metrics):
        named = dict(part.split("=", 1) for part in labels.replace('"', "").split(","))
        if named.get("priority") == priority:
            buckets.append((float(named["le"].replace("+Inf", "inf")), float(count)))
    total = max((count for _, count in buckets), default=0.0)
    if not total:
        return None
    return min(bound for bound, count in buckets if count >= quantile * total)
