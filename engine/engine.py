"""The engine as one object: its parts, how they are wired, in which order they start and stop.

The daemon above owns process matters (signals, exit codes). Nothing here decides anything about mail. Start: locks
and disks first, then keys, then what a crash left in doubt, then the doors. Stop: doors first, then what is on the
wire, then the last group to disk.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine import wire
from engine.config import Settings, open_submission
from engine.flow.accept import Accept
from engine.flow.conclude import Identity
from engine.flow.counts import Counts
from engine.flow.dispatch import Dispatch
from engine.flow.door import Door
from engine.flow.holds import Holds
from engine.flow.lastsent import LastSent
from engine.flow.ledger import SuppressionLedger
from engine.flow.letters import Letters
from engine.flow.orders import Orders, make_orders
from engine.flow.promote import Promote
from engine.flow.records import Records
from engine.flow.recovery import recover
from engine.flow.report import reception_of
from engine.flow.requests import Answer, Requests
from engine.flow.restore import check_finished
from engine.flow.retention import Retention
from engine.flow.returning import WayBack
from engine.flow.senders import ConfiguredSender, reading
from engine.flow.settle import Settle
from engine.flow.steering import Steering, open_steering
from engine.flow.submission import Submission
from engine.flow.sweep import Sweep
from engine.flow.tlsreports import TlsReports
from engine.flow.tokens import TokenRing
from engine.guards import Guards, open_guards
from engine.journal import Journal
from engine.mail.address import parse_address
from engine.mail.envelope import Recipient
from engine.net.resolver import Resolver
from engine.network import Network, make_network
from engine.optout import opt_out_listener
from engine.parts import (
    make_backups,
    make_law,
    make_records,
    make_retention,
    make_senders,
    make_settle,
    make_tls_reports,
)
from engine.policy.rules import compile_rules
from engine.queue.timeline import Timeline
from engine.reload import make_control
from engine.secret import secret_at
from engine.signer.client import SignerClient
from engine.spool.port import Cursor, Lane, Receipt, SpoolFailed
from engine.spool.port import Submission as Submitted
from engine.spool.sqlite import SqliteSpool
from engine.wayback import way_back
from engine.web.listener import OptOutListener
from suppression import Suppression
from suppression.day import day_of
from suppression.sent import SentStore

log = logging.getLogger(__name__)

Spawn = Callable[[str, Coroutine[Any, Any, None]], None]


def steady_clock() -> Callable[[], float]:
    """Unix seconds that never jump: the wall's at the start, the monotonic clock's from then on. A wall clock set
    back would make retries wait, one set ahead would make them all due.
    """
    offset = time.time() - time.monotonic()
    monotonic = time.monotonic
    return lambda: offset + monotonic()


def _make_folder(state: Path) -> None:
    try:
        state.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        text = f"engine.state {str(state)!r}: {error.strerror}; make it a folder that the engine's user may write to"
        raise type(error)(text) from None


class Engine:
    """Implements accept's Engine port. `start` fills in the parts; before it nothing else may be called."""

    spool: SqliteSpool
    suppression: Suppression
    sent: SentStore
    retention: Retention
    journal: Journal
    signer: SignerClient
    settle: Settle
    steering: Steering
    guards: Guards
    dispatch: Dispatch
    promote: Promote
    sweep: Sweep
    accept: Accept
    records: Records
    door: Door
    requests: Requests
    submission: Submission | None = None
    web: OptOutListener | None = None
    way_back: WayBack | None = None
    network: Network
    tls_reports: TlsReports | None = None

    def __init__(
        self,
        settings: Settings,
        *,
        on_fault: Callable[[BaseException], None],
        status: Callable[[Engine], Mapping[str, object]],
        passed: socket.socket | None = None,
    ) -> None:
        """`status` makes the snapshot that clients and operators see (observe.py). `passed`: the local socket, when
        the service manager listens on it already.
        """
        self.settings = settings
        self._passed = passed
        self._status = status
        self.node = f"n{settings.engine.node}"
        self.clock = steady_clock()
        self.started_at = self.clock()
        self.counts = Counts()
        self.roster: dict[int, Recipient] = {}
        """Every recipient in memory, from the pull to the commit of its outcome."""
        self.timeline: Timeline[Lane, Cursor] = Timeline(Cursor())
        self.draining = False
        self._on_fault = on_fault
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []

    # -- start and stop ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens everything and sends nothing yet. Raises what a part raises, with the thing and the remedy in its text;
        `close` then frees what was opened.
        """
        settings = self.settings
        _make_folder(settings.engine.state)
        check_finished(settings.engine.state)
        self.spool = await SqliteSpool.open(settings.spool)
        self._closers.append(self.spool.close)
        self.spool.failed.add_done_callback(self.failed)
        self.suppression = await asyncio.to_thread(Suppression.open, settings.suppression, self.clock)
        self._closers.append(partial(asyncio.to_thread, self.suppression.close))
        # A store begun after the ledger does not know who was sent to before it.
        presumed = day_of(self.clock()) if self.suppression.epoch else 0
        self.sent = SentStore(settings.suppression.folder, presumed)
        self._closers.append(partial(asyncio.to_thread, self.sent.close))
        self.sent.failed.add_done_callback(self.failed)
        self.signer = SignerClient(settings.signer)
        await self.signer.start()
        self._closers.append(self._close_signer)
        self.signer.failed.add_done_callback(self.failed)
        ledger = SuppressionLedger(self.suppression, self.clock)
        self.counts.recovered_in_doubt = await recover(self.spool, settings.journal.folder, ledger.hard_bounced)
        self.journal = Journal(settings.journal)
        self._closers.append(self.journal.close)
        for state in await self.spool.lanes():
            self.timeline.add(state.lane, state.waiting, state.next_due)
            self.counts.recovered += state.waiting
        self._wire()
        await self.door.start(self._passed)
        self._closers.append(self._close_door)
        if self.submission:
            await self._start_submission(self.submission)
        if self.web:
            # Closed after everything else but the disks: a refusal is taken until the last moment.
            await self.web.start()
            self._closers.append(self.web.close)
        self.way_back = way_back(
            self.settings, self.suppression, self.settle, self.clock, self.node, self.dispatch.effect.acknowledged
        )
        if self.way_back:
            self.way_back.returns.on_event = self.guards.guarding.told
            await self.way_back.start()
            self._closers.append(self.way_back.close_at_once)

    async def _start_submission(self, submission: Submission) -> None:
        try:
            await submission.start()
        except OSError as error:
            where = f"{submission.settings.host}:{submission.settings.port}"
            text = f"cannot listen on submission.listen {where!a}: {error.strerror}; choose another port"
            raise OSError(error.errno, text) from None

    def begin(self, spawn: Spawn) -> None:
        """Sends. Not before every door is open: a start that fails later would leave recipients in doubt."""
        spawn("settle", self.settle.run())
        spawn("promote", self.promote.run())
        spawn("sweep", self.sweep.run())
        spawn("retention", self.retention.run())
        if self.tls_reports:
            spawn("tlsrpt", self.tls_reports.run())
        spawn("steering", self.steering.run())
        spawn("guard", self.guards.guarding.run())
        spawn("preflight", self.guards.fitness.run())

    def _wire(self) -> None:
        settings, state = self.settings, self.settings.engine.state
        ring, senders = self.ring, self.senders = make_senders(settings)
        ledger = SuppressionLedger(self.suppression, self.clock)
        held = (self.timeline, self.counts, self.roster)
        self.settle = make_settle(settings, self.spool, self.journal, held, ledger)
        resolver = self._wire_network()
        self.letters = letters = Letters(
            spool=self.spool,
            signer=self.signer,
            senders=senders,
            sent=LastSent(self.sent, wall=time.time),
            verp_secret=secret_at(state / "verp.secret"),
            clock=self.clock,
        )
        self.steering = open_steering(state, settings.sources, settings.pools, settings.senders, clock=self.clock)
        self.dispatch = Dispatch(
            identity=Identity(self.node, settings.engine.ehlo_name),
            resolver=resolver,
            shaping=settings.shaping,
            letters=letters,
            settle=self.settle,
            suppression=self.suppression,
            rules=compile_rules(files("engine.policy").joinpath("rules.toml").read_text(encoding="utf-8")),
            counts=self.counts,
            opener=self.network.opening,
            clock=self.clock,
            lookups=settings.resolver.lookups,
            steering=self.steering,
        )
        self.dispatch.on_fault = self._on_fault
        ledger.on_opt_out = self.dispatch.effect.acknowledged
        flow: dict[str, Any] = {
            "spool": self.spool,
            "timeline": self.timeline,
            "dispatch": self.dispatch,
            "settle": self.settle,
            "roster": self.roster,
            "clock": self.clock,
        }
        self.promote = Promote(suppression=self.suppression, letters=letters, counts=self.counts, **flow)
        self.sweep = Sweep(**flow)
        self.steering.on_over = self.promote.unpark
        self.settle.on_deferred = self.promote.wake
        self.settle.on_drained = self.promote.wake
        self._wire_doors(senders, ledger, ring)
        sending = (self.dispatch, self.promote, self.signer, self.network.dns)
        self.guards = open_guards(settings, sending, ledger, self.suppression, (self.sent, self.spool), self.clock)

    def _wire_doors(self, senders: Mapping[str, ConfiguredSender], ledger: SuppressionLedger, ring: TokenRing) -> None:
        settings = self.settings
        reads = reading(senders, lambda: self.suppression.regions)
        self.accept = Accept(self.spool, self, senders, reads, settings=settings.accept, clock=self.clock)
        leads = self.dispatch.ways.leads
        self.tls_reports = make_tls_reports(settings, self.network, self.accept, leads, self.clock)
        self.retention = make_retention(settings, self.suppression, self.sent, self.spool, self.clock)
        self._closers.append(self.retention.close)
        self.records = make_records(settings, self.suppression, self.accept, ring, reads, self.clock)
        self.records.on_opt_out = self.dispatch.effect.acknowledged
        self.accept.carry = self.records.carry
        self.orders = self._orders()
        self.reload, control = make_control(self)
        self._closers.append(self.reload.close)
        others: dict[type[wire.Request], Answer] = {
            wire.Backup: make_backups(settings, self.spool, self.node, self.clock).answer,
            **self.retention.answers(),
            **self.records.answers(),
            **make_law(settings, self.suppression, self.accept, self.clock).answers(),
            **Holds(self.suppression, self.accept.check_sender, self.clock).answers(),
            **self.orders.answerers(),
            **control,
        }
        told = (ledger, self.records, self.suppression)
        self.web = opt_out_listener(settings, ring, told, self.clock, self._on_fault)
        requests = Requests(self.accept, self.spool, ledger, self, reads, clock=self.clock, others=others)
        self.requests = requests
        self.door = Door(settings.door, requests.answer)
        if settings.submission:
            listening, users = open_submission(settings.submission, settings.engine.ehlo_name)
            self.submission = Submission(listening, users, requests.answer, parse_address)

    def _wire_network(self) -> Resolver:
        network = self.network = make_network(self.settings, self.clock)
        self._closers.append(network.close)
        return network.resolver

    def _orders(self) -> Orders:
        flow = (self.spool, self.timeline, self.settle, self.roster)
        return make_orders(self.dispatch, self.settings.shaping, frozenset(self.settings.senders), flow, self.clock)

    async def stop(self) -> None:
        """Graceful: no new work; what is on the wire finishes; everything known is on disk."""
        self.draining = True
        await self.door.close()
        if self.submission:
            await self.submission.close()
        if self.way_back:
            await self.way_back.listener.close()
        await self.dispatch.close(self.settings.engine.stop_seconds)
        await self.settle.drain()
        await self.guards.guarding.close()
        await self.steering.close()

    def halt(self) -> None:
        """After a fault: nothing more leaves."""
        if hasattr(self, "dispatch"):
            self.dispatch.halt()

    async def last_words(self) -> None:
        """After a fault, when nothing else moves any more. Raises JournalFailed when that was the fault."""
        if hasattr(self, "settle"):
            await self.settle.last_words()

    async def close(self) -> None:
        """Frees everything in reverse order; also after a failed start."""
        while self._closers:
            await self._closers.pop()()

    async def _close_door(self) -> None:
        """A stop has closed it before; after a fault nobody waits for answers that cannot come."""
        await self.door.close(patience=0.0)

    async def _close_signer(self) -> None:
        await self.signer.close()

    async def _close_suppression(self) -> None:
        await asyncio.to_thread(self.suppression.close)

    async def _close_sent(self) -> None:
        await asyncio.to_thread(self.sent.close)

    def failed(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            error = future.exception() or future.result()
            if isinstance(error, BaseException):
                self._on_fault(error)

    # -- accept's port -------------------------------------------------------------------------------------

    def credit(self) -> int:
        held = self.timeline.total() + len(self.roster)
        return max(0, self.settings.engine.max_recipients - held)

    def status(self) -> Mapping[str, object]:
        return self._status(self)

    def on_accepted(self, receipt: Receipt, submission: Submitted) -> None:
        self.settle.note(reception_of(receipt, submission, self.clock(), self.node))
        for lane, (count, due) in receipt.lanes.items():
            self.timeline.add(lane, count, due)
        self.promote.wake()

    def on_cancel(self, batches: Sequence[int]) -> None:
        self.sweep.cancel_batches(batches)

    async def cancel_recipients(self, found: Sequence[tuple[Lane, Recipient]]) -> int:
        return await self.sweep.cancel_recipients(found)

    def on_spool_failed(self, error: SpoolFailed) -> None:
        self._on_fault(error)

    # -- views ---------------------------------------------------------------------------------------------

    def not_ready(self) -> str:
        if self.draining:
            return "stopping" if self.dispatch.closing else "draining"
        if self.suppression.failure:
            return f"suppression ledger: {self.suppression.failure}"
        if self.sent.failure:
            return self.sent.failure
        return "" if self.credit() else "no credit: the spool holds max_recipients"

    def summary(self) -> str:
        keys = sum(len(keys) for keys in self.signer.keys.values())
        return (
            f"socket {self.settings.door.path}, {len(self.settings.senders)} senders, {keys} keys signed by "
            f"{len(self.signer.pids)} processes ({self.signer.backend}), {self.suppression.entries} addresses in "
            f"suppression, {self.counts.recovered} recipients recovered"
        )
