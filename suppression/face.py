"""The face: identities, decisions from the index, events into the ledger.

Decisions are made by the caller's thread from memory alone. Events go to the ledger's writer thread, which changes the
index when they are durable and then moves the epoch; so a decision that was taken at an older epoch is asked again.
After a failure of the ledger every decision is BLOCK with SUPPRESSION_UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from suppression import policy
from suppression.address import IDENTITY_BYTES, Keyring
from suppression.columns import Columns, SenderState
from suppression.day import begins, day_of, day_of_microseconds, within
from suppression.decision import Decision
from suppression.events import Event, EventError, check
from suppression.hashed import MatchHashed
from suppression.history import History
from suppression.ledger import Ledger, Written
from suppression.opening import check_clock, fold_again, open_index, open_keyring, save_index
from suppression.order import OrderEvent, check_order, row_of
from suppression.orders import OrderAct, read_orders
from suppression.parties import ALONE, Parties
from suppression.policy import Finding
from suppression.reasons import open_tables
from suppression.recording import Act, Batch, Bulk, Entry, entries_of, microseconds
from suppression.spreading import TakeOver
from suppression.standing import Fact, ages
from suppression.tables import Table

_log = logging.getLogger(__name__)

_PAIR: Final = struct.Struct("<QQ")
FEW: Final = 24
"""So many are asked about one by one: 2 us each, while a batch of any size begins at 60."""
_IMPORT_ROWS: Final = 1_000_000
"""In one transaction; the writer is busy for some seconds."""
_SNAPSHOT_EVENTS: Final = 500_000
_MAX_REFUSED: Final = 10_000


@dataclass(frozen=True, slots=True)
class SuppressionSettings:
    folder: Path
    """Ledger and snapshot; made with mode 0700."""
    secret_file: Path
    """Mode 0600; made on the first start. Losing it loses every recorded refusal: back it up apart from the ledger."""
    rules: Path | None = None
    """Folder of the operator's own decision tables (*.toml) beside those of the package."""


@dataclass(slots=True)
class Counts:
    """Since the start."""

    events: int = 0
    """Rows written to the ledger."""
    commits: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0


@dataclass(slots=True)
class Imported:
    """What became of an import. The refused rows beyond the first 10,000 are counted only."""

    recorded: int = 0
    refused_count: int = 0
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    """Row number from 0, address, reason."""
    seconds: float = 0.0


class Suppression:
    @classmethod
    def open(cls, settings: SuppressionSettings, clock: Callable[[], float] = time.time) -> Suppression:
        """Raises RulesError, SecretError, LedgerRefused. Maps the snapshot and replays what came after, or all."""
        opened = cls(settings, clock)
        opened._ledger.start()
        return opened

    def __init__(self, settings: SuppressionSettings, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.tables = open_tables(settings.rules)
        self.parties = ALONE
        """Who speaks for whom: from the next event on. See take_over."""
        self._snapshot = settings.folder / "index.snapshot"
        self._ledger = Ledger(settings.folder, self._installed)
        try:
            check_clock(self._ledger, clock())
            self._keyring: Keyring = open_keyring(settings.secret_file, self._ledger)
            self._index, self._saved = open_index(self._snapshot, self._ledger, self._keyring)
            orders = read_orders(self._ledger.database)
        except BaseException:
            self._ledger.close()
            raise
        self.counts = Counts()
        self.history = History(settings.folder / "ledger.sqlite")
        day = day_of(clock())
        self._midnight = begins(day + 1)
        self._columns = Columns(self.tables, self._index.standings, self._ledger.senders, self._ledger.topics, day)
        if orders:
            self._columns.set_orders(orders)
        self._names = len(self._ledger.senders) + len(self._ledger.topics)
        self._epoch = self._ledger.last_event()

    @property
    def epoch(self) -> int:
        """Moves with every change: the number of the last event in force, plus what else changed the answers since the
        start (orders, senders' states, a new day in Japan). Moves too when the ledger fails, so that what was allowed
        before is asked again.
        """
        return self.epoch_at(self._clock())

    def epoch_at(self, now: float) -> int:
        """The same for a caller that has just asked the clock: every mail passes here twice."""
        if now >= self._midnight:
            self._turn()
        return self._epoch + self._columns.moves + (self._ledger.failure is not None)

    @property
    def failure(self) -> str | None:
        """Why everything is blocked, or None."""
        return self._ledger.failure

    @property
    def entries(self) -> int:
        """Keys in the index."""
        return len(self._index)

    @property
    def regions(self) -> Mapping[str, str]:
        """Names that the tables in force know (regions, and countries of theirs) -> region; none when no tables are."""
        rules = self._columns.rules
        return {} if rules is None else rules.places

    def identify(self, addresses: Iterable[str]) -> list[bytes]:
        """Opaque, for decide_identities; empty for what cannot be an address, which is always blocked."""
        return self._keyring.identities(addresses)

    def decide(self, sender: str, topic: str, category: str, addresses: Iterable[str]) -> list[Decision]:
        return self.decide_identities(sender, topic, category, self.identify(addresses))

    def decide_identities(
        self,
        sender: str,
        topic: str,
        category: str,
        identities: Sequence[bytes],
        display: str = "",
        region: str = "",
        override: str = "",
    ) -> list[Decision]:
        """Fastest for hundreds at once. Identities as identify made them. `display`: what the message lacks
        (DISPLAY_...), empty for nothing. `region`: of the recipients, such as EU, if it is known. `override`: the state
        of a mailbox that the submit expressly sets aside, such as UNKNOWN_USER.
        """
        joined = b"".join(identities)
        if len(identities) <= FEW or len(joined) != IDENTITY_BYTES * len(identities):
            one = self.decide_one
            return [one(sender, topic, category, identity, display, region, override) for identity in identities]
        if self._ledger.failure is not None:
            return [policy.UNAVAILABLE] * len(identities)
        if self._clock() >= self._midnight:
            self._turn()
        column = self._columns.column((sender, topic, category, display, region, override))
        numbers = self._index.find_many(column.sender, joined)
        decisions = self._columns.decisions(column)
        return [decisions[number] for number in numbers.tolist()]

    def decide_one(
        self,
        sender: str,
        topic: str,
        category: str,
        identity: bytes,
        display: str = "",
        region: str = "",
        override: str = "",
    ) -> Decision:
        if self._ledger.failure is not None:
            return policy.UNAVAILABLE
        if len(identity) != IDENTITY_BYTES:
            return policy.ADDR_SYNTAX
        if self._clock() >= self._midnight:
            self._turn()
        columns, asked = self._columns, (sender, topic, category, display, region, override)
        column = columns.ready.get(asked) or columns.column(asked)
        exact, wide = _PAIR.unpack(identity)
        number = self._index.find(column.sender, exact, wide)
        decisions = column.decisions
        if number >= len(decisions):
            decisions = columns.decisions(column)
        return decisions[number]

    def explain(
        self, sender: str, topic: str, category: str, identity: bytes, display: str = "", region: str = ""
    ) -> Finding:
        """The same decision, with the row and the article that gave it. Not for the hot path."""
        decision = self.decide_one(sender, topic, category, identity, display, region)
        if decision in (policy.UNAVAILABLE, policy.ADDR_SYNTAX):
            return Finding(decision)
        asked = (sender, topic, category, display, region, "")
        exact, wide = _PAIR.unpack(identity)
        return self._columns.explain(asked, self._index.find(self._columns.column(asked).sender, exact, wide))

    def set_sender(self, name: str, state: SenderState) -> None:
        """In force for the next question; the epoch moves if it is another state than before."""
        self._columns.set_sender(name, state)

    def take_over(self, parties: Parties) -> int:
        """Brings in what was refused before these parties were known; how many events. Blocks. Raises LedgerFailed."""
        taken = 0
        for sender, origins in parties.origins().items():
            act, over = TakeOver(sender, origins, self._clock()), False
            while not over:
                self._ledger.put(act).result()
                taken, over = taken + act.taken, act.is_over
            matching = MatchHashed(0, self._clock())
            while act.hashed and matching.after is not None:
                self._ledger.put(matching).result()
        return taken

    def use_tables(self, tables: Sequence[Table]) -> None:
        """Other decision tables, from the next question on; the epoch moves if they differ."""
        self.tables = tuple(tables)
        self._columns.use_tables(self.tables)

    async def apply(self, events: Sequence[Event]) -> int:
        """Durable, then in force, then the answer: the epoch. Raises EventError (nothing recorded), LedgerFailed."""
        if events:
            await asyncio.wrap_future(self._ledger.put(self._batch(events)))
        return self.epoch

    async def apply_order(self, event: OrderEvent) -> int:
        """The same for an order or its release."""
        now = self._clock()
        check_order(event, now)
        return await self.perform(OrderAct(row_of(event, microseconds(now))))

    def apply_now(self, events: Sequence[Event]) -> int:
        """The same for programs without a loop: waits."""
        if events:
            self._ledger.put(self._batch(events)).result()
        return self.epoch

    async def perform(self, act: Act) -> int:
        """As apply, for what is more than events: durable, in force, then the epoch. Raises LedgerFailed."""
        await asyncio.wrap_future(self._ledger.put(act))
        return self.epoch

    def perform_now(self, act: Act) -> int:
        self._ledger.put(act).result()
        return self.epoch

    def load(
        self,
        event: Event,
        rows: Iterable[tuple[str, float]],
        progress: Callable[[Imported], None] | None = None,
    ) -> Imported:
        """Imports many (address, at) that share everything else with `event`. Blocks; each million is one
        transaction and in force after it, events of others go in between. Raises EventError (before anything is
        recorded), LedgerFailed.
        """
        check(replace(event, at=0.0), self._clock())
        imported, started = Imported(), time.monotonic()
        numbered = enumerate(rows)
        while (bulk := self._bulk(event, numbered, imported)).identities:
            self._ledger.put(bulk).result()
            imported.recorded += len(bulk.identities)
            imported.seconds = time.monotonic() - started
            if progress is not None:
                progress(imported)
        return imported

    def close(self) -> None:
        """Writes what was put before, then the snapshot. Again is harmless."""
        self._ledger.stop()
        if self._ledger.failure is None and self._saved != self._epoch:
            self._save()
        self._ledger.close()

    def _batch(self, events: Sequence[Event]) -> Batch:
        now = self._clock()
        recorded = microseconds(now)
        made: list[Entry] = []
        for event in events:
            check(event, now)
            identity = self._keyring.identity(event.address)
            if not identity:
                raise EventError(f"address: {event.address[:80]!a} cannot be an address; correct it")
            for one in self.parties.spread(event):
                made.extend(entries_of(one, identity, recorded))
        return Batch(made, recorded)

    def _bulk(self, event: Event, rows: Iterator[tuple[int, tuple[str, float]]], imported: Imported) -> Bulk:
        """Takes as many rows as make one transaction; empty at their end."""
        now = self._clock()
        recorded = microseconds(now)
        all_of_them = self.parties.spread(replace(event, at=0.0))
        template = [entry for one in all_of_them for entry in entries_of(one, bytes(IDENTITY_BYTES), recorded)]
        bulk = Bulk(template, recorded, [], [], [])
        identity_of = self._keyring.identity
        for number, (address, at) in rows:
            identity = identity_of(address)
            if not identity:
                _refuse(imported, number, address, "cannot be an address")
            elif not 0 <= at <= now:
                _refuse(imported, number, address, f"at: {at!r} is not a Unix time up to now")
            else:
                bulk.identities.append(identity)
                bulk.addresses.append(address)
                bulk.ats.append(microseconds(at))
                if len(bulk.ats) == _IMPORT_ROWS:
                    break
        return bulk

    def _turn(self) -> None:
        day = day_of(self._clock())
        self._columns.turn(day)
        self._midnight = begins(day + 1)

    def _installed(self, written: Sequence[Written], last: int) -> None:
        """In the writer thread, after the commit."""
        wides: dict[int, None] = {}
        for batch, facts in written:
            if isinstance(batch, Bulk):
                wides.update(dict.fromkeys(self._install_bulk(batch, facts)))
            else:
                wides.update((fact.wide, None) for fact in facts)
        fold_again(self._index, self._ledger, wides)
        names = len(self._ledger.senders) + len(self._ledger.topics)
        if names != self._names:
            self._names = names
            self._columns.names_grew()
        if any(isinstance(batch, OrderAct) for batch, _ in written):
            self._columns.set_orders(read_orders(self._ledger.database))
        self.counts.commits += 1
        self.counts.events += last - self._epoch
        self._epoch = last
        if last - self._saved > max(_SNAPSHOT_EVENTS, self._saved // 2):
            self._save()

    def _install_bulk(self, bulk: Bulk, facts: Sequence[Fact]) -> Iterator[int]:
        """Answers the wide keys that have to be folded from all that is recorded. What ages goes in day by day."""
        days: dict[int, list[int]] = {0: list(range(len(bulk.ats)))}
        if any(map(ages, facts)):
            days = {}
            for position, at in enumerate(bulk.ats):
                days.setdefault(day_of_microseconds(at), []).append(position)
        for day, positions in days.items():
            dated = [fact._replace(at=within(day)) for fact in facts]
            for other in self._index.install_fresh(dated, b"".join([bulk.identities[one] for one in positions])):
                yield _PAIR.unpack(bulk.identities[positions[other]])[1]

    def _save(self) -> None:
        """A cache: if it cannot be written, the next start takes longer."""
        try:
            save_index(self._snapshot, self._index, self._ledger, self._keyring, self._epoch)
            self.counts.snapshots += 1
        except OSError as error:
            self.counts.snapshots_failed += 1
            _log.warning("snapshot not written path=%s error=%s", self._snapshot, error)
        self._saved = self._epoch


def _refuse(imported: Imported, number: int, address: str, reason: str) -> None:
    imported.refused_count += 1
    if len(imported.refused) < _MAX_REFUSED:
        imported.refused.append((number, address[:320], reason))
