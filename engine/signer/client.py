"""The core's side of signing: batches of digests out, signatures back, private keys never here.

Batches go to the worker that owes least, urgent and bulk alike; urgent ones overtake inside the worker. A worker
that dies is replaced and what it owed is given to another, which is safe because signing twice changes nothing. When
no worker can be started any more, or worker after worker dies over the same batch, `failed` is set: the process should
then end, because letters that wait for their signature would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence

from engine.signer.frames import BATCH_LIMIT, DIGEST_SIZE, request_head
from engine.signer.process import Counts, Owed, SigningProcess, start_process
from engine.signer.processor import faster
from engine.signer.settings import BACKEND_VARIABLE, BACKENDS, KeyInfo, SignerSettings, key_infos

log = logging.getLogger(__name__)

DEATHS_OF_A_BATCH = 5
START_ATTEMPTS = 6
"""Attempts to replace a worker before it is given up."""
REAP_SECONDS = 2.0
CLOSE_SECONDS = 5.0
CRASHES = frozenset({signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE})


class SignerFailed(Exception):  # noqa: N818 - the signer's state, not one call's error
    """Nothing can be signed; the text is one line with the remedy."""


class KeysChanged(SignerFailed):
    """Trying again does not help."""


class SignerClient:
    """Start it once on the loop that uses it. Not thread-safe."""

    def __init__(self, settings: SignerSettings, counts: Counts | None = None) -> None:
        """`counts`: of the client that this one follows."""
        self.settings = settings
        self.counts = counts or Counts()
        self.keys: dict[str, tuple[KeyInfo, ...]] = {}
        """By domain, in the order of the settings."""
        self.backend = ""
        self.failed: asyncio.Future[None]
        """Gets a SignerFailed when signing has no future here."""
        self._infos: tuple[KeyInfo, ...] = ()
        self._sizes: tuple[int, ...] = ()
        self._workers: list[SigningProcess] = []
        self._started: list[SigningProcess] = []
        """Every process that has not been waited for, ready or not."""
        self._unplaced: list[Owed] = []
        """Owed while no worker is alive."""
        self._next = 0
        self._revivals: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._closing = False
        self._distrust = False
        self._environment: Mapping[str, str] = {}
        """What makes OpenSSL faster on this processor."""

    @property
    def backlog(self) -> int:
        """Signatures asked for and not given yet."""
        return sum(worker.load for worker in self._workers) + sum(batch.count for batch in self._unplaced)

    @property
    def workers(self) -> int:
        return len(self._workers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the workers that are ready, for /status and for measuring."""
        return tuple(worker.process.pid for worker in self._workers)

    async def start(self) -> None:
        """Returns when all workers have read their keys. Raises SignerFailed; then nothing is left behind."""
        self.failed = asyncio.get_running_loop().create_future()
        self._environment = await asyncio.to_thread(faster)
        wanted = self.settings.workers or len(os.sched_getaffinity(0))
        results = await asyncio.gather(*(self._start_one() for _ in range(wanted)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                await self.close()
                raise result
        self._watch = asyncio.create_task(self._watch_stalls(), name="signer watch")

    async def _start_one(self) -> None:
        wanted = self._wanted_backend()
        told: dict[str, object] = {
            "keys": [str(key.file) for key in self.settings.keys],
            "backend": wanted,
            "nice": self.settings.nice,
        }
        try:
            worker = await start_process(told, self.counts, self._ended, self._environment)
        except OSError as error:
            raise SignerFailed(f"no signing worker can be started: {error.strerror}; raise the limit on it") from None
        self._started = [known for known in self._started if known.process.returncode is None]
        self._started.append(worker)
        greeting = await self._greeted(worker)
        if greeting is None and self._distrust and wanted == "auto":
            await self._start_one()
            return
        if greeting is None:
            raise SignerFailed("a signing worker did not start; its error output and the line before this say why")
        self._accept_greeting(greeting)
        self._workers.append(worker)
        self._place_unplaced()

    async def _greeted(self, worker: SigningProcess) -> dict[str, object] | None:
        """What the worker says of itself; None, and it is gone, if it said nothing or cannot sign."""
        try:
            async with asyncio.timeout(self.settings.start_seconds):  # wait_for of 3.11 may swallow a cancellation
                greeting = await worker.greeting
            self._check(greeting)
        except (TimeoutError, ConnectionError) as error:
            self._judge(await worker.reaped(0.0 if isinstance(error, TimeoutError) else REAP_SECONDS))
            return None
        except BaseException:  # cancelled, or a SignerFailed on its way: no process may stay behind
            worker.killed()
            raise
        if worker.ended:
            self._judge(await worker.reaped(REAP_SECONDS))
            return None
        return greeting

    def _judge(self, status: int) -> None:
        """A worker that crashed in machine code is not given the multi-buffer library again."""
        log.error("signer worker ended status=%s restarts=%d", _status_text(status), self.counts.restarts)
        if -status in CRASHES and not self._distrust and self._wanted_backend() == "auto":
            log.error("signer backend=cryptography from now on reason='a worker crashed'")
            self._distrust = True

    def _wanted_backend(self) -> str:
        if self._distrust:
            return "cryptography"
        wanted = os.environ.get(BACKEND_VARIABLE) or self.settings.backend
        if wanted not in BACKENDS:
            raise SignerFailed(f"signer backend {ascii(wanted)[:80]} is unknown; take one of {', '.join(BACKENDS)}")
        return wanted

    def _check(self, greeting: dict[str, object]) -> None:
        if "error" in greeting:
            raise SignerFailed(str(greeting["error"]))
        if self.backend and key_infos(self.settings.keys, greeting["keys"]) != self._infos:
            # Mail would leave signed by two keys under one selector; which one DNS shows is not known here.
            raise KeysChanged("a DKIM key file has changed since it was read; `sokutatsu reload` takes it into use")

    def _accept_greeting(self, greeting: dict[str, object]) -> None:
        backend = str(greeting["backend"])
        if backend == self.backend:
            return
        source = f" by {BACKEND_VARIABLE}" if os.environ.get(BACKEND_VARIABLE) else ""
        log.info("signer backend=%s reason=%r%s keys=%d", backend, greeting["reason"], source, len(self.settings.keys))
        if not self.backend:
            self._infos = key_infos(self.settings.keys, greeting["keys"])
            self._sizes = tuple(info.size for info in self._infos)
            for info in self._infos:
                self.keys[info.domain] = (*self.keys.get(info.domain, ()), info)
        self.backend = backend

    def sign(self, digests: Sequence[tuple[int, bytes]], *, urgent: bool = False) -> asyncio.Future[list[bytes]]:
        """(key index, 32 bytes) each; the future gives the signatures in the same order, or SignerFailed.

        Best in batches of 8 to 32. Cancelling the future forgets the answer, not the work.
        """
        indexes, parts = zip(*digests, strict=True)
        count = len(indexes)
        body = b"".join(parts)
        sizes = self._sizes
        known = min(indexes) >= 0 and max(indexes) < len(sizes)
        if not known or len(body) != count * DIGEST_SIZE or count > BATCH_LIMIT:
            raise ValueError(f"{count} digests with {len(body)} bytes, for keys {set(indexes)} of {len(sizes)}")
        id_ = self._next
        self._next = (id_ + 1) & 0xFFFFFFFF
        frame = request_head(count).pack(id_, count, urgent, *indexes) + body
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        batch = Owed(id_, frame, [sizes[index] for index in indexes], future, urgent=urgent)
        self.counts.batch_sizes.observe(count)
        self._place(batch)
        return future

    def _place(self, batch: Owed) -> None:
        workers = self._workers
        if not workers:
            self._hold(batch)
            return
        least = workers[0]
        for worker in workers:
            if worker.load < least.load:
                least = worker
        least.give(batch)

    def _hold(self, batch: Owed) -> None:
        if self.failed.done() or self._closing:
            batch.future.set_exception(SignerFailed("the signer is closed or has no worker left"))
        else:
            self._unplaced.append(batch)

    def _place_unplaced(self) -> None:
        held, self._unplaced = self._unplaced, []
        for batch in held:
            self._place(batch)

    def _ended(self, worker: SigningProcess) -> None:
        """A worker's socket is gone: what it owed goes elsewhere at once, then it is replaced."""
        if worker not in self._workers:
            return  # it never came up; _start_one tells
        self._workers.remove(worker)
        owed = list(worker.owed.values())
        worker.owed.clear()
        if self._closing:
            for batch in owed:
                batch.future.cancel()
            return
        self.counts.restarts += 1
        for batch in owed:
            self._resubmit(batch)
        revival = asyncio.get_running_loop().create_task(self._revive(worker), name="signer revival")
        self._revivals.add(revival)
        revival.add_done_callback(self._revivals.discard)

    def _resubmit(self, batch: Owed) -> None:
        batch.deaths += 1
        if batch.future.done():
            return
        if batch.deaths >= DEATHS_OF_A_BATCH:
            failure = SignerFailed(
                f"{batch.deaths} signing workers died over the same batch; look for the reason in the kernel's log"
            )
            batch.future.set_exception(failure)
            self._give_up(failure)
            return
        self.counts.resubmitted += 1
        self._place(batch)

    async def _revive(self, dead: SigningProcess) -> None:
        self._judge(await dead.reaped(REAP_SECONDS))
        wait = self.settings.restart_wait
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                await self._start_one()
            except SignerFailed as error:
                log.error("signer worker not replaced attempt=%d error=%s", attempt, error)  # noqa: TRY400 - its text is for operators and says all
                failure = error
                if isinstance(error, KeysChanged):
                    break
            else:
                return
            await asyncio.sleep(wait)
            wait *= 2
        is_last_hope = len(self._revivals) == 1
        if is_last_hope and not self._workers:
            self._give_up(failure)

    def _give_up(self, failure: SignerFailed) -> None:
        if not self.failed.done():
            self.failed.set_exception(failure)
        for batch in self._unplaced:
            if not batch.future.done():
                batch.future.set_exception(failure)
        self._unplaced.clear()

    async def _watch_stalls(self) -> None:
        """Kills a worker that owes something and has answered nothing for a whole interval."""
        seen: dict[SigningProcess, int] = {}
        while True:
            await asyncio.sleep(self.settings.stall_seconds)
            for worker in self._workers:
                if worker.load and seen.get(worker) == worker.reads:
                    log.error("signer worker gave nothing seconds=%g owed=%d", self.settings.stall_seconds, worker.load)
                    worker.process.kill()
            seen = {worker: worker.reads for worker in self._workers if worker.load}

    async def close(self) -> None:
        """Ends the workers. Await your signatures before: what is owed now is cancelled."""
        self._closing = True
        ending = [work for work in (self._watch, *self._revivals) if work is not None]
        for work in ending:
            work.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for worker in self._started:
            worker.close()
        for batch in self._unplaced:
            batch.future.cancel()
        self._unplaced.clear()
        await asyncio.gather(*(worker.reaped(CLOSE_SECONDS) for worker in self._started))


def _status_text(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit {status}"
