"""The flow in a storm, seed by seed: faults in each phase, hang-ups, cancels, opt-outs, expiry, stops and crashes.

At every moment accepted = outcomes + places; nobody stands in two places; in the end everybody has exactly one
outcome, nobody was mailed after a cancel or an opt-out that found them waiting, and nobody twice without doubt.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace

import pytest

from engine.mail.envelope import Priority
from engine.policy.shaping import Limits
from engine.policy.throttle import Rate
from engine.spool.port import Outcome, Settled
from tests.fakes.flow import LIMITS, REFUSED, TOO_MANY, MemorySpool, Setting, World
from tests.fakes.virtual import virtually

KINDS = (
    *("ok-me",) * 6, "bounce-", "defer-1-", "defer-2-", "dotfail-", "dotdefer-1-", "stall-1-", "stall-data-1-",
    "stall-dot-1-", "drop-rcpt-1-", "drop-data-1-", "drop-payload-1-", "drop-dot-1-", "421-1-", "dot421-1-", "452-1-",
)  # fmt: skip
SEEDS = int(os.environ.get("SOKUTATSU_STORMS", "20"))


def limits_of(seed: int) -> Limits:
    """Tight ones of all kinds, by seed."""
    return replace(
        LIMITS,
        connection_limit=1 + seed % 4,
        max_ready=(1, 5, 40, 1024)[seed % 4],
        max_deliveries_per_connection=(1, 7, 100)[seed % 3],
        max_message_rate=(None, Rate(50, 1, 1))[seed % 2],
        max_connection_rate=(None, Rate(60, 60, 2))[seed // 2 % 2],
        failed_cohort_limit=(1.0, 0.0)[seed // 3 % 2],
        consecutive_connection_failures_before_delay=(2, 100)[seed // 4 % 2],
        mail_from_timeout=20.0, rcpt_to_timeout=20.0, data_timeout=20.0, data_dot_timeout=20.0,
        max_retry_interval=300.0,
    )  # fmt: skip


class Storm:
    def __init__(self, seed: int) -> None:
        self.setting = Setting(limits_of(seed), seed)
        self.world = World(self.setting)
        self.pick = self.world.random
        self.world.site("d1").personality = replace(self.world.site("d1").personality, pipelining=False)
        self.world.site("d2").personality = replace(self.world.site("d2").personality, go_ahead_for_nobody=True)
        self.count = 0
        self.forbidden: set[str] = set()
        """Cancelled or opted out while nothing of theirs was on the wire: what came until then is all that may come."""
        self.allowed: Counter[str] = Counter()
        self.crashes = self.doubtful = 0
        self.ids: dict[int, str] = {}

    async def run(self) -> None:
        self.world.start()
        for turn in range(12):
            await self.submit(turn)
            await asyncio.sleep(self.pick.uniform(0.0, 0.4))
            self.world.check()
            for _ in range(3):
                await self.trouble()
                await asyncio.sleep(self.pick.uniform(0.0, 0.03))
                self.world.check()
        for site in self.world.sites.values():
            site.refusal = None
        await self.world.settled(30 * 86400)
        self.judge()
        await self.world.stop()

    async def submit(self, turn: int) -> None:
        addresses = []
        for _ in range(self.pick.randrange(1, 30)):
            self.count += 1
            kind, domain = (
                self.pick.choice(KINDS),
                self.pick.choice(("d1", "d2", "shared1", "shared2", "nowhere", "late1")),
            )
            addresses.append(f"{kind}{self.count}@{domain}.example")
        urgent = self.pick.random() < 0.3
        nowhere = any(address.endswith("@nowhere.example") for address in addresses)
        first = await self.world.submit(
            addresses,
            mailing=f"m{turn}",
            priority=Priority.TRANSACTIONAL if urgent else Priority.BULK,
            expires=3600 if nowhere or self.pick.random() < 0.2 else 5 * 86400,
            not_before=self.pick.choice((0, 0, 0, 30)),
        )
        self.ids |= dict(enumerate(addresses, first))

    async def trouble(self) -> None:
        world, site = self.world, self.world.site(self.pick.choice(("d1", "d2", "shared")))
        match self.pick.randrange(9):
            case 0:
                site.hang_up()
            case 1:
                site.refusal = self.pick.choice((REFUSED, TOO_MANY, None))
            case 2:
                await world.cancel(f"m{self.pick.randrange(12)}")
            case 3:
                await self.cancel_one()
            case 4 | 5:
                self.opt_out()
            case 6:
                await self.stop()
            case 7:
                self.crash()
            case _:
                await asyncio.sleep(self.pick.uniform(0.0, 90.0))

    def on_the_wire(self) -> set[str]:
        """Begun and not ended: those may still arrive."""
        world = self.world
        elsewhere = {r.id for path in world.dispatch.paths.values() for queue in path.ready.queues for r in queue}
        elsewhere |= {x.recipient.id for p in world.dispatch.paths.values() for queue in p._prepared for x in queue}
        return {recipient.address for number, recipient in world.roster.items() if number not in elsewhere}

    async def cancel_one(self) -> None:
        number = self.pick.choice(list(self.ids))
        address = self.ids[number]
        for turn in range(12):
            if await self.world.cancel_one(address, f"m{turn}"):
                self.forbid(address)

    def opt_out(self) -> None:
        address = self.ids[self.pick.choice(list(self.ids))]
        self.world.suppression.opt_out(address)
        if address not in self.on_the_wire():
            self.forbid(address)

    def forbid(self, address: str) -> None:
        if address not in self.forbidden:
            self.forbidden.add(address)
            self.allowed[address] = Counter(self.received())[address]

    def received(self) -> list[str]:
        return [address for site in self.world.sites.values() for address in site.received]

    async def stop(self) -> None:
        before = self.world
        seconds = self.pick.choice((60.0, 0.5))
        await before.stop(seconds)
        if seconds > 20.0:
            # Longer than every timeout: whatever was on the wire has ended, so that nothing is left in doubt.
            assert not before.core._intents & before.core.rows.keys()
        else:
            self.crashes += 1
        self.again(before, before.core.crash())

    def crash(self) -> None:
        self.crashes += 1
        before = self.world
        for task in before._tasks:
            task.cancel()
        core = before.core.crash()
        proved = {record.id: record.type for record in before.journal}
        self.again(before, core, proved)

    def again(self, before: World, core: MemorySpool, proved: dict[str, str] | None = None) -> None:
        for site in before.sites.values():
            site.hang_up()
        for path in before.dispatch.paths.values():
            path.closing = True
            if path._timer:
                path._timer.cancel()
        world = self.world = World(self.setting, core)
        world.random = self.pick
        world.sites = before.sites
        world.suppression.decisions = before.suppression.decisions
        world.suppression.epoch = before.suppression.epoch + 1
        world.journal = before.journal
        self.settle_proved(proved or {})
        self.doubtful += sum(row.in_doubt for row in core.rows.values())
        states: dict[object, list[int]] = {}
        for row in core.rows.values():
            states.setdefault(row.lane, []).append(row.due)
        for lane, dues in states.items():
            world.timeline.add(lane, len(dues), min(dues))
            world.counts.recovered += len(dues)
        world.start()

    def settle_proved(self, proved: dict[str, str]) -> None:
        """What recovery does from the journal's files."""
        ends = {"Delivery": Outcome.DELIVERED, "Bounce": Outcome.BOUNCED, "Expiration": Outcome.EXPIRED,
                "Suppressed": Outcome.SUPPRESSED, "Cancelled": Outcome.CANCELLED}  # fmt: skip
        core = self.world.core
        for number, row in list(core.rows.items()):
            kind = proved.get(f"{number:016x}")
            if row.in_doubt and kind in ends:
                work = core.settle([Settled(core._recipient(number), ends[kind])])
                with pytest.raises(StopIteration):
                    work.send(None)

    def judge(self) -> None:
        got = Counter(self.received())
        ends = [record for record in self.world.journal if record.type != "TransientFailure"]
        assert {record.recipient for record in ends} == set(self.ids.values())
        delivered = {record.recipient for record in ends if record.type == "Delivery"}
        assert delivered <= got.keys()
        for address in self.forbidden:
            assert got[address] <= self.allowed[address], address
        for address, count in got.items():
            doubts = sum(record.in_doubt for record in self.world.journal if record.recipient == address)
            assert count <= 1 + doubts + self.crashes, address
        assert sum(got.values()) - len(got) <= sum(record.in_doubt for record in self.world.journal) + self.doubtful


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nobody_is_lost_in_a_storm(seed: int) -> None:
    async def weather() -> None:
        await Storm(seed).run()

    virtually(weather())
