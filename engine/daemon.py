"""The process around the engine: signals, faults, exit codes, and when it starts and stops.

Start: locks and disks first, then keys, then what was left in doubt, then the doors. Stop: doors first, then
transactions on the wire, then the last group to disk. A failed disk or signer ends the process at once with exit
code 1: what was acknowledged is in the spool, what was not is the client's to repeat.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import uvloop

from engine.admin import Admin, Views
from engine.buckets import LAG_BOUNDS, Buckets
from engine.config import Settings
from engine.engine import Engine
from engine.flow.backup import BackupRefused
from engine.flow.socketfile import SocketError
from engine.journal import JournalFailed
from engine.live import live
from engine.observe import observe, status
from engine.signer.client import SignerFailed
from engine.spool.layout import SpoolUnusable
from engine.spool.port import SpoolFailed
from engine.supervisor import Supervisor
from suppression import LedgerFailed, LedgerRefused, RulesError, SecretError

log = logging.getLogger(__name__)

STARTING_FAILS = (
    BackupRefused, SpoolUnusable, SignerFailed, SecretError, RulesError, LedgerRefused, LedgerFailed, SocketError,
    OSError,
)  # fmt: skip
"""What a start may fail with: each text names the thing and the remedy."""
FATAL = (SpoolFailed, JournalFailed, SignerFailed, LedgerFailed)
LAG_INTERVAL = 0.1
PASSED_SOCKET = "socket"
"""FileDescriptorName= of the local socket, when the service manager opens it."""
GARBAGE_THRESHOLDS = (50_000, 20, 50)
"""A message allocates some hundred containers and leaves no cycles; the default (700) would look for some at every
third message.
"""


class Daemon:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._fault: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lag = Buckets(LAG_BOUNDS)
        self._supervisor = Supervisor(os.environ, os.getpid())

    async def run(self) -> int:
        """Returns the exit code."""
        supervisor = self._supervisor
        engine = Engine(self._settings, on_fault=self.fail, status=status, passed=supervisor.listening(PASSED_SOCKET))
        admin = Admin(
            self._settings.admin,
            Views(self._observe(engine), engine.status, self._healthy, engine.not_ready, live(engine, self._healthy)),
        )
        self._watch_signals()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _too_early)
        asyncio.get_running_loop().set_exception_handler(self._loop_failed)
        try:
            await engine.start()
            if self._settings.admin.listen:
                await admin.start()
            engine.begin(self._spawn)
            self._watch_reloads(engine)
            self._spawn("lag", self._measure_lag())
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GARBAGE_THRESHOLDS)
            log.info("ready: %s", engine.summary())
            supervisor.tell("READY=1", f"STATUS={engine.summary()}")
            if supervisor.watchdog:
                self._spawn("watchdog", self._live())
            await self._stopping.wait()
            supervisor.tell("STOPPING=1", f"STATUS={self._healthy() or 'transactions on the wire finish'}")
            if self._fault is None:
                log.info("stopping: no new work; transactions on the wire finish")
                await self._stop(engine)
        finally:
            await self._end_tasks(engine)
            await admin.close()
            await engine.close()
        if self._fault is not None:
            log.critical(
                "stopped by a fault: %s", self._fault, exc_info=None if isinstance(self._fault, FATAL) else self._fault
            )
            return 1
        log.info("stopped; everything settled")
        return 0

    async def _stop(self, engine: Engine) -> None:
        try:
            await engine.stop()
        except FATAL as error:
            self.fail(error)

    async def _end_tasks(self, engine: Engine) -> None:
        """After a fault first of all no mail begins to leave: freeing the parts takes seconds, and of what left in them
        nothing would be written down.
        """
        if self._fault is not None:
            engine.halt()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._fault is not None:
            await self._last_words(engine)

    async def _last_words(self, engine: Engine) -> None:
        try:
            await engine.last_words()
        except JournalFailed as error:
            log.error("what happened last is not in the journal either: %s", error)  # noqa: TRY400 - the text says it all

    def fail(self, error: BaseException) -> None:
        """The first fault stops the process; later ones are its consequences."""
        if self._fault is None:
            self._fault = error
        self._stopping.set()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.fail(error)

    def _loop_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody caught, in a callback: the wire's are noise, any other is our bug and stops us,
        since a recipient may have got lost from memory; the spool still has it.
        """
        error = context.get("exception")
        log.error("%s", context.get("message"), exc_info=error)
        if error is not None and not isinstance(error, OSError):
            self.fail(error)

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._stopping.is_set():
            # The second signal: at once. The spool is crash-safe, so this loses nothing.
            signal.raise_signal(signal.SIGKILL)
        self._stopping.set()

    def _watch_reloads(self, engine: Engine) -> None:
        """SIGHUP. Whoever asks for a reload, the service manager is told (sd_notify(3))."""
        supervisor = self._supervisor

        def ended(errors: Sequence[str]) -> None:
            supervisor.tell("READY=1", f"STATUS={'reload refused: ' + errors[0] if errors else engine.summary()}")

        async def reload() -> None:
            await engine.reload.run()

        engine.reload.on_begin = lambda: supervisor.tell(
            "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reading the configuration again"
        )
        engine.reload.on_end = ended
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: self._spawn("reload", reload()))

    def _healthy(self) -> str:
        return "" if self._fault is None else f"stopped by a fault: {self._fault}"

    def _observe(self, engine: Engine) -> Any:
        return lambda: {**observe(engine), "event_loop_lag_seconds": self._lag}

    async def _live(self) -> None:
        """From the loop that does the work: when it hangs, nobody says that it lives."""
        while True:
            self._supervisor.tell("WATCHDOG=1")
            await asyncio.sleep(self._supervisor.watchdog)

    async def _measure_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAG_INTERVAL)
            self._lag.observe(max(0.0, time.monotonic() - before - LAG_INTERVAL))


def _too_early() -> None:
    log.warning("SIGHUP while starting: nothing to reload yet; send it again when it says that it is ready")


class JsonLines(logging.Formatter):
    """One object a record, for collectors: Unix seconds, level, logger, text, and the traceback of a fault."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"at": round(record.created, 3), "level": record.levelname, "logger": record.name}
        told["text"] = record.getMessage()
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def run(settings: Settings, *, log_as_json: bool = False) -> int:
    """Blocks until a signal or a fault; the exit code. The log goes to standard error, as JSON to standard output."""
    shown = logging.StreamHandler(sys.stdout if log_as_json else sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    shown.setFormatter(JsonLines() if log_as_json else plain)
    logging.basicConfig(level=settings.engine.log_level, handlers=[shown])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings))


async def _run(settings: Settings) -> int:
    return await Daemon(settings).run()
