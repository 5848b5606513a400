"""The whole flow in one process and in virtual time: everything of engine/flow and engine/net but the sockets is real.

Spool, journal, suppression and signer are memory; the spool answers as the real one does, later and in order, so that
promote, sweep and settle meet each other half way. Sites are bench's receiver behind a transport of our own; a
recipient's local part is an order to it (bench/faults.py).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.resources import files
from pathlib import Path as FilePath
from types import SimpleNamespace
from typing import Any

from bench.faults import Faults
from bench.receiver import End, Personality, Receiver
from engine.flow.conclude import Identity
from engine.flow.counts import Counts
from engine.flow.directives import DirectiveFile
from engine.flow.dispatch import Dispatch
from engine.flow.fitness import Fitness, PreflightSettings
from engine.flow.guarding import Guarding
from engine.flow.lastsent import LastSent
from engine.flow.letters import Letters
from engine.flow.outlets import Outlets
from engine.flow.path import Path
from engine.flow.promote import Promote
from engine.flow.senders import ConfiguredSender
from engine.flow.settle import Settle, SettleSettings
from engine.flow.steering import Steering
from engine.flow.sweep import Sweep
from engine.flow.walk import Walk
from engine.guards import Guards
from engine.journal import Record
from engine.mail.envelope import Batch, Priority, Recipient, recipient_text
from engine.mail.identity import SenderIdentity
from engine.mail.message import decode_message, encode
from engine.mail.stated import with_stated
from engine.net.connection import Connection, Timeouts
from engine.net.negotiate import Refused
from engine.net.resolver import NO_ROUTE, ResolveFailure, Route, TlsMode
from engine.observe import status
from engine.policy.guard import GuardSettings
from engine.policy.readiness import Report
from engine.policy.rules import compile_rules
from engine.policy.shaping import Limits, Shaping
from engine.queue.timeline import Timeline
from engine.signer.settings import KeyInfo
from engine.smtp.event import Phase
from engine.smtp.extensions import Extensions
from engine.smtp.reply import Reply
from engine.spool.port import Cursor, Lane, NewRecipient, Outcome, Submission
from suppression.decision import Decision, Verdict
from suppression.unsubscribe import TokenKey
from tests.fakes.spool import MemorySpool

EPOCH = 1_700_000_000.0
RTT = 0.002
LIMITS = Limits(max_message_rate=None, max_connection_rate=None, retry_interval=60.0)
IDENTITY = SenderIdentity("shop", "news@shop.example", "shop.example", "shop.example", "shop.example")
SEND = Decision(Verdict.SEND, "", "TEST")
OPTED_OUT = Decision(Verdict.BLOCK, "OPTOUT_ALL", "")
HELD = Decision(Verdict.HOLD, "ADDR_FICT_REVIEW", "")
STRIPPED = Decision(Verdict.STRIP, "OPTOUT_ALL", "")
CONTENT = {"subject": "Hello", "text": "Dear reader\n"}


class LaggingSpool:
    """A MemorySpool behind something like the writer thread: calls run in order, the answers come in order, later."""

    def __init__(self, core: MemorySpool, lag: Callable[[], float]) -> None:
        self.core = core
        self._lag = lag
        self._calls: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = deque()
        self._busy = False
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.core, name)

        async def call(*arguments: Any) -> Any:
            future: asyncio.Future[Any] = self._loop.create_future()
            self._calls.append((partial(method, *arguments), future))
            if not self._busy:
                self._busy = True
                self._loop.call_later(self._lag(), self._work)
            return await future

        return call

    def _work(self) -> None:
        """All that waits, as one commit; then the answers, each a turn of the loop after the work was done."""
        calls, self._calls = self._calls, deque()
        answers = []
        for call, future in calls:
            try:
                call().__await__().send(None)
            except StopIteration as done:
                answers.append((future, done.value, None))
            except Exception as error:  # noqa: BLE001 - the caller's
                answers.append((future, None, error))
        self._loop.call_later(self._lag() / 4, self._answer, answers)

    def _answer(self, answers: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
        for future, value, error in answers:
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        self._busy = bool(self._calls)
        if self._busy:
            self._loop.call_later(self._lag(), self._work)


class FakeSigner:
    """Signs in `seconds`, in the order asked; `hold` keeps everything."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.keys = {IDENTITY.domain: (KeyInfo(0, IDENTITY.domain, "s1", "rsa-sha256", 256, ""),)}
        self.urgent: list[bool] = []
        self.hold: list[tuple[asyncio.Future[list[bytes]], int]] | None = None
        self._seconds = seconds

    def sign(self, digests: Sequence[tuple[int, bytes]], *, urgent: bool) -> asyncio.Future[list[bytes]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[bytes]] = loop.create_future()
        self.urgent.append(urgent)
        if self.hold is not None:
            self.hold.append((future, len(digests)))
        else:
            loop.call_later(self._seconds(), self._signed, future, len(digests))
        return future

    @staticmethod
    def _signed(future: asyncio.Future[list[bytes]], count: int) -> None:
        if not future.done():
            future.set_result([b"s" * 256] * count)

    def release(self) -> None:
        held, self.hold = self.hold or [], None
        for future, count in held:
            self._signed(future, count)


class FakeSuppression:
    """An identity is the address itself."""

    def __init__(self) -> None:
        self.epoch = 1
        self.failure: str | None = None
        self.decisions: dict[str, Decision] = {}
        self.abroad: dict[tuple[str, str], Decision] = {}
        """Address and region, or override -> what holds then."""
        self.asked = 0

    def epoch_at(self, _now: float) -> int:
        return self.epoch

    def opt_out(self, address: str, decision: Decision = OPTED_OUT) -> None:
        self.decisions[address] = decision
        self.epoch += 1

    def identify(self, addresses: Sequence[str]) -> list[bytes]:
        return [address.encode() for address in addresses]

    def decide_identities(
        self, sender: str, topic: str, category: str, identities: Sequence[bytes], *more: str
    ) -> list[Decision]:
        return [self.decide_one(sender, topic, category, identity, *more) for identity in identities]

    def decide_one(
        self,
        _sender: str,
        _topic: str,
        _category: str,
        identity: bytes,
        _display: str = "",
        region: str = "",
        override: str = "",
    ) -> Decision:
        self.asked += 1
        address = identity.decode()
        if override and (address, override) in self.abroad:
            return self.abroad[address, override]
        return self.abroad.get((address, region)) or self.decisions.get(address, SEND)


class FakeSent:
    """The last-sent store: on disk after some time, remembered from then on."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.noted: dict[tuple[str, bool, bytes], int] = {}
        """The last day on disk."""
        self.failing: Exception | None = None
        self._seconds = seconds

    def note(
        self, sender: str, day: int, identities: Sequence[bytes], *, mail_order: bool
    ) -> asyncio.Future[None] | None:
        if self.failing:
            raise self.failing
        new = [one for one in identities if self.noted.get((sender, mail_order, one)) != day]
        if not new:
            return None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(self._seconds(), self._synced, future, [(sender, mail_order, one) for one in new], day)
        return future

    def _synced(self, future: asyncio.Future[None], keys: Sequence[tuple[str, bool, bytes]], day: int) -> None:
        self.noted.update(dict.fromkeys(keys, day))
        if not future.done():
            future.set_result(None)


class Wire(asyncio.Transport):
    """One connection to a site."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site
        self._loop = asyncio.get_running_loop()
        self._receiver = Receiver(site.personality, site.faults, site)
        self._protocol: Any = None
        self._gone = False
        self._sent = 0.0
        site.wires.append(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._gone:
            self._in_order(self._serve, bytes(data))

    def _in_order(self, then: Callable[..., None], *arguments: object) -> None:
        """Half a round trip later, and never before what was sent before."""
        self._sent = max(self._loop.time() + self._site.rtt / 2, self._sent + 1e-6)
        self._loop.call_at(self._sent, then, *arguments)

    def _serve(self, data: bytes) -> None:
        if self._gone:
            return
        replies = self._receiver.receive(data)
        if replies:
            self._in_order(self._reply, replies)
        if self._receiver.end is End.CLOSED:
            self._in_order(self.lose)

    def _reply(self, replies: bytes) -> None:
        if not self._gone:
            self._protocol.data_received(replies)

    def lose(self, error: Exception | None = None) -> None:
        if not self._gone:
            self._gone = True
            self._site.wires.remove(self)
            self._protocol.connection_lost(error)

    def close(self) -> None:
        self._loop.call_soon(self.lose)

    def abort(self) -> None:
        self._loop.call_soon(self.lose)


class Site:
    """A receiving server; Postmaster of its receivers."""

    def __init__(self) -> None:
        self.personality = Personality()
        self.faults = Faults()
        self.rtt = RTT
        self.refusal: Refused | None = None
        self.attempts = 0
        self.received: list[str] = []
        self.messages: dict[str, bytes] = {}
        """The last one of each recipient."""
        self.events: Counter[str] = Counter()
        self.wires: list[Wire] = []

    def receive(self, recipient: bytes, message: bytes, *, answered: bool) -> None:
        self.received.append(recipient.decode())
        self.messages[recipient.decode()] = message

    def count(self, event: str) -> None:
        self.events[event] += 1

    def hang_up(self) -> None:
        for wire in list(self.wires):
            wire.lose(ConnectionResetError())


class Routes:
    """`d1.example` goes to site "d1"; "nowhere.example" nowhere; "shared1.example" and the like to one; "late1.example"
    and the like have to be looked up first, for `holds` seconds. `failures` says what DNS says instead.
    """

    def __init__(self) -> None:
        self.failures: dict[str, ResolveFailure] = {}
        self.asked: Counter[str] = Counter()
        self.under_way = self.most = 0
        self.seconds = 0.05
        self.holds = 300.0
        self._known: dict[str, tuple[Route | ResolveFailure, float]] = {}

    async def look_up(self, domain: str) -> None:
        self.asked[domain] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        failure = self.failures.get(domain)
        if failure is not None and not failure.final:
            self.failures[domain] = replace(failure, in_a_row=self.asked[domain])
        self._known[domain] = self._found(domain), asyncio.get_running_loop().time() + self.holds

    def route(self, domain: str) -> Route | ResolveFailure | None:
        if not domain.startswith("late"):
            return self._found(domain)
        found, until = self._known.get(domain, (None, 0.0))
        return found if asyncio.get_running_loop().time() < until else None

    def _found(self, domain: str) -> Route | ResolveFailure:
        if domain in self.failures:
            return self.failures[domain]
        name = domain.removesuffix(".example")
        if name == "nowhere":
            return NO_ROUTE
        return Route(
            name.rstrip("0123456789") if name.startswith("shared") else name, "127.0.0.1", 25, TlsMode.DISABLED
        )


@dataclass
class Setting:
    limits: Limits = LIMITS
    seed: int = 1
    by_domain: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    settle: SettleSettings = field(default_factory=SettleSettings)
    begins: float = EPOCH
    shaping: Shaping | None = None
    outlets: Outlets | None = None
    directives: DirectiveFile | None = None
    guard: GuardSettings = field(default_factory=lambda: GuardSettings(enabled=False))
    guard_file: FilePath | None = None


class World:
    """Made inside a virtual loop. What engine.observe.status reads of an Engine stands here under the same names."""

    def __init__(self, setting: Setting | None = None, core: MemorySpool | None = None) -> None:
        setting = setting or Setting()
        self.random = random.Random(setting.seed)
        self._loop = asyncio.get_running_loop()
        offset = setting.begins - self._loop.time() if setting.begins != EPOCH else EPOCH
        self.clock = lambda: offset + self._loop.time()
        self.started_at = self.clock()
        self.node = "n0"
        self.core = core or MemorySpool(clock=self.clock)
        self.spool: Any = LaggingSpool(self.core, lambda: self.random.uniform(0.0005, 0.01))
        self.timeline: Timeline[Lane, Cursor] = Timeline(Cursor())
        self.counts = Counts()
        self.accept = SimpleNamespace(counts=SimpleNamespace(recipients=0))
        self.roster: dict[int, Recipient] = {}
        self.suppression: Any = FakeSuppression()
        self.sent = FakeSent(lambda: self.random.uniform(0.0005, 0.01))
        self.signer: Any = FakeSigner(lambda: self.random.uniform(0.0001, 0.003))
        self.journal: list[Record] = []
        self.bounced: list[str] = []
        self.sites: dict[str, Site] = {}
        self.routes = Routes()
        self.faults: list[BaseException] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._submits = 0
        self._wire(setting)

    def _wire(self, setting: Setting) -> None:
        self.settle = Settle(
            setting.settle,
            spool=self.spool,
            append=self._append,
            timeline=self.timeline,
            counts=self.counts,
            roster=self.roster,
            hard_bounce=self._hard_bounced,
        )
        sender = ConfiguredSender(IDENTITY, "Shop", frozenset({"TX"}), TokenKey(0, b"k" * 32))
        self.letters = Letters(
            spool=self.spool,
            signer=self.signer,
            senders={"shop": sender},
            verp_secret=b"v" * 32,
            clock=self.clock,
            sent=LastSent(self.sent, wall=self.clock),
        )
        self.dispatch = Dispatch(
            identity=Identity("n0", "out"),
            resolver=self.routes,  # type: ignore[arg-type]
            shaping=setting.shaping or Shaping(setting.limits, by_domain=setting.by_domain),
            letters=self.letters,
            settle=self.settle,
            suppression=self.suppression,
            rules=compile_rules(files("engine.policy").joinpath("rules.toml").read_text(encoding="utf-8")),
            counts=self.counts,
            opener=self._open,
            clock=self.clock,
            draw=self.random.random,
            steering=Steering(setting.directives, setting.outlets or Outlets(), clock=self.clock),
        )
        self.dispatch.on_fault = self.faults.append
        flow: dict[str, Any] = {
            "spool": self.spool,
            "timeline": self.timeline,
            "dispatch": self.dispatch,
            "settle": self.settle,
            "roster": self.roster,
            "clock": self.clock,
        }
        self.promote = Promote(suppression=self.suppression, letters=self.letters, counts=self.counts, **flow)
        self.guards = self._make_guards(setting)
        self.sweep = Sweep(**flow)
        self.steering = self.dispatch.steering
        self.steering.use(Walk(spool=self.spool, timeline=self.timeline, settle=self.settle, roster=self.roster))
        self.steering.on_over = self.promote.unpark
        self.settle.on_deferred = self.promote.wake
        self.settle.on_drained = self.promote.wake

    def _make_guards(self, setting: Setting) -> Guards:
        guarding = Guarding(
            setting.guard, self.dispatch.steering, self._newcomers, file=setting.guard_file,
            provider_of=lambda domain: self.dispatch.ways.facts(domain).provider, put_back=self.dispatch.put_back,
            accepted=self._accepted, secret=b"s" * 32, clock=self.clock,
        )  # fmt: skip
        self.dispatch.guard = guarding
        if setting.guard.enabled and setting.guard.canary:
            self.promote.screen = guarding.screen
        steering = self.dispatch.steering
        off = PreflightSettings("off")
        fitness = Fitness(
            off, {}, _never, steering=steering, establish=lambda _sender, _why: None, file=FilePath("/nonexistent"),
            clock=self.clock,
        )  # fmt: skip
        return Guards(guarding, fitness, None, self.promote)  # type: ignore[arg-type]

    async def _accepted(self, batch: Batch) -> int:
        return sum(one.accepted for one in await self.spool.totals(batch.sender, batch.mailing))

    async def _newcomers(self, sender: str, identities: Sequence[bytes]) -> list[bool]:
        await asyncio.sleep(0.003)
        known = {who for name, _, who in self.sent.noted if name == sender}
        return [one not in known for one in identities]

    # -- the parts that are not real -----------------------------------------------------------------------

    def site(self, name: str) -> Site:
        return self.sites.setdefault(name, Site())

    async def _append(self, records: Sequence[Record]) -> None:
        await asyncio.sleep(self.random.uniform(0.0005, 0.005))
        self.journal += records

    async def _hard_bounced(self, bounced: Sequence[tuple[Recipient, str]]) -> None:
        self.bounced += [recipient.address for recipient, _ in bounced]

    async def _open(self, path: Path) -> Connection | Refused:
        site = self.site(path.site)
        site.attempts += 1
        await asyncio.sleep(2 * site.rtt)
        if site.refusal is not None:
            return site.refusal
        limits = path.limits
        return Connection(
            Wire(site),
            Extensions(size=0, pipelining=site.personality.pipelining, eightbitmime=True, smtputf8=True),
            peer=("mx", "192.0.2.1"),
            timeouts=replace(
                Timeouts(), mail_from=limits.mail_from_timeout, rcpt_to=limits.rcpt_to_timeout,
                data=limits.data_timeout, data_dot=limits.data_dot_timeout,
            ),
        )  # fmt: skip

    # -- driving -------------------------------------------------------------------------------------------

    def start(self) -> None:
        for work in (
            self.settle.run(),
            self.promote.run(),
            self.sweep.run(),
            self.guards.guarding.run(),
            self.steering.run(),
        ):
            task = self._loop.create_task(work)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.faults.append(error)

    async def submit(
        self, addresses: Sequence[str], *, mailing: str = "m", priority: Priority = Priority.BULK,
        expires: float = 5 * 86400, not_before: float = 0.0, sender: str = "shop", category: str = "TX",
        message: object = CONTENT, region: str = "",
        override: str = "",
    ) -> int:  # fmt: skip
        """`expires` and `not_before` in seconds from now. The first recipient's id."""
        self._submits += 1
        content = encode(decode_message(message))
        await self.spool.put_message(content)
        now = int(self.clock())
        submission = Submission(
            key=b"%d/%d" % (id(self), self._submits), digest=b"", sender=sender, category=category, topic="",
            mailing=mailing, message=sha256(content).digest(), priority=priority, not_before=now + int(not_before),
            expires=now + int(expires), refused=b"",
            recipients=[
                NewRecipient(n, a, a.rpartition("@")[2], with_stated({}, region, override)) for n, a in enumerate(addresses)
            ],
        )  # fmt: skip
        receipt = await self.spool.submit(submission)
        self.accept.counts.recipients += receipt.accepted
        for lane, (count, due) in receipt.lanes.items():
            self.timeline.add(lane, count, due)
        self.promote.wake()
        return int(receipt.first)

    async def cancel(self, mailing: str = "m") -> None:
        self.sweep.cancel_batches(await self.spool.close_mailing("shop", mailing, self.clock()))

    async def cancel_one(self, address: str, mailing: str = "m") -> int:
        return await self.sweep.cancel_recipients(await self.spool.find("shop", mailing, address))

    def credit(self) -> int:
        return 1_000_000

    def status(self) -> dict[str, Any]:
        return status(self)  # type: ignore[arg-type]

    @property
    def open(self) -> int:
        return self.accept.counts.recipients + self.counts.recovered - sum(self.counts.outcomes.values())

    def check(self) -> None:
        """The conservation law, and that each recipient in memory is in one place."""
        assert not self.faults, self.faults
        found = self.status()
        assert found["balance"] == 0, found
        held = [r.id for path in self.dispatch.paths.values() for queue in path.ready.queues for r in queue]
        held += [x.recipient.id for path in self.dispatch.paths.values() for queue in path._prepared for x in queue]
        held += [change.recipient.id for change in self.settle._changes]
        assert len(held) == len(set(held)), "somebody is in two places"
        assert set(held) <= self.roster.keys()
        assert min(path.in_flight for path in self.dispatch.paths.values()) >= 0 if self.dispatch.paths else True

    async def until(self, reached: Callable[[], bool], seconds: float = 3600.0) -> None:
        began = self._loop.time()
        while not reached():
            self.check()
            waited = self._loop.time() - began
            assert waited < seconds, self.status()
            await asyncio.sleep(min(1.0, 0.002 + waited / 50))
        self.check()

    async def settled(self, seconds: float = 3600.0) -> None:
        await self.until(lambda: not self.open, seconds)
        assert not self.roster
        assert not self.core.rows

    def outcome(self, outcome: Outcome) -> int:
        return self.counts.outcomes[outcome]

    def records(self, first: int) -> list[str]:
        return [record.type for record in self.journal if record.id == recipient_text(first)]

    async def stop(self, seconds: float = 25.0) -> None:
        await self.dispatch.close(seconds)
        await self.settle.drain()
        await self.end()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for site in self.sites.values():
            site.hang_up()


async def _never(_sender: str) -> Report:
    raise AssertionError("no preflight here")


REFUSED = Refused(Phase.CONNECT, None, "connection refused")
TOO_MANY = Refused(Phase.GREETING, Reply(421, "4.3.2", "too many connections"), "")
