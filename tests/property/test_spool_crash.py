"""kill -9 at any write or sync, and a log cut or garbled at any byte.

A child works on a spool and tells through a pipe what it is about to do and what it was told is done; its disk kills
it at a chosen write (before it, or half through) or sync. The parent opens what is left: nothing that was done may
be missing, nothing settled may be back, and the sums must add up.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.spool.port import Cursor, Deferred, Outcome, Settled
from engine.spool.sqlite import SpoolSettings, SqliteSpool, Tuning
from tests.fakes.disk import Disk
from tests.unit.spool.contract import FAR, START, new, submission

SMALL = Tuning(bulk_rows=30, checkpoint_pages=20, clear_at=15, clear_portion=10, quiet_seconds=0.001)
ROUNDS = 20


def open_spool(folder, **more):
    return SqliteSpool.open(SpoolSettings(folder), clock=lambda: START, disk=lambda _: (9, 10), tuning=SMALL, **more)


def numbered(addresses, key):
    return submission([new(address, index) for index, address in enumerate(addresses)], key=key)


class Worker:
    """Runs in the child."""

    def __init__(self, spool, pipe, seed):
        self.spool = spool
        self.pipe = pipe
        self.dice = random.Random(seed)
        self.lanes = {}
        self.held = []
        self.count = 0

    def tell(self, *what):
        os.write(self.pipe, json.dumps(what).encode() + b"\n")

    async def run(self):
        await self.spool.put_message(b"content")
        for _ in range(ROUNDS):
            await asyncio.gather(self.submit(), *self.changes())
            await self.pull()

    async def submit(self):
        self.count += 1
        size = self.dice.randrange(1, 60)
        addresses = [f"u{number}@d{self.dice.randrange(3)}.example" for number in range(size)]
        key = b"%d" % self.count
        self.tell("submit", self.count, addresses)
        receipt = await self.spool.submit(numbered(addresses, key))
        self.tell("submitted", self.count, receipt.first)
        for lane in receipt.lanes:
            self.lanes.setdefault(lane, Cursor())

    def changes(self):
        self.dice.shuffle(self.held)
        for kind in ("settle", "defer", "intend"):
            size = self.dice.randrange(0, 20)
            part, self.held = self.held[:size], self.held[size:]
            yield self.change(kind, part)

    async def change(self, kind, part):
        numbers = [recipient.id for recipient in part]
        self.tell(kind, numbers)
        if kind == "settle":
            await self.spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in part])
        elif kind == "defer":
            await self.spool.settle([Deferred(recipient, START + 5, True, False) for recipient in part])
        else:
            await self.spool.intend(numbers)
            self.held += part
        self.tell(kind + "d", numbers)

    async def pull(self):
        for lane, cursor in self.lanes.items():
            found, self.lanes[lane], _ = await self.spool.pull(lane, cursor, START, 20)
            self.held += found


def work_until_killed(folder, pipe, seed, at, how):
    disk = Disk("deadly")

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def on_write(name, end):
        if disk.writes == at and how == "write":
            die()
        if disk.writes == at and how == "half":
            with Path(name).open("r+b") as file:
                file.seek(end - 4)  # within this write, whatever its length
                file.write(b"torn")
            die()

    def on_sync(_, count):
        if count == at and how == "sync":
            die()

    async def run():
        spool = await open_spool(folder, vfs="deadly")
        disk.writes = disk.syncs = 0
        disk.on_write, disk.on_sync = on_write, on_sync
        await Worker(spool, pipe, seed).run()
        await spool.close()

    asyncio.run(run())


def story_of_a_child(folder, seed, at, how):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            work_until_killed(folder, write, seed, at, how)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        story = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}
    return story


class Expected:
    """What the story allows: sets of ids, by what was begun and what was done."""

    def __init__(self, story):
        self.submits = {}
        self.first = {}
        self.begun = {"settle": set(), "defer": set(), "intend": set()}
        self.done = {"settled": set(), "deferd": set(), "intendd": set()}
        for what, number, *rest in story:
            if what == "submit":
                self.submits[number] = rest[0]
            elif what == "submitted":
                self.first[number] = rest[0]
            else:
                where = self.begun if what in self.begun else self.done
                where["settled" if what == "settled" else what].update(number)
        self.accepted = {
            self.first[number] + place for number in self.first for place in range(len(self.submits[number]))
        }


async def found_after(folder):
    """Opens what is left, checks what it says of itself, and what it answers to the client that asks again."""
    spool = await open_spool(folder)
    assert spool._store.connection.pragma("integrity_check") == "ok"
    present = {}
    for state in await spool.lanes():
        recipients, _, _ = await spool.pull(state.lane, Cursor(), FAR, 100_000)
        assert len(recipients) == state.waiting
        present.update((recipient.id, recipient) for recipient in recipients)
    assert sum(totals.open for totals in await spool.totals(None, None)) == len(present)
    assert (spool._store.execute("SELECT coalesce(sum(remaining), 0) FROM batch").get) == len(present)
    assert spool._store.execute("SELECT count(*) FROM intent").get == 0
    return spool, present


def check(story, present):
    expected = Expected(story)
    numbers = set(present)
    assert expected.accepted - expected.begun["settle"] <= numbers
    assert not expected.done["settled"] & numbers
    unanswered = sum(len(addresses) for number, addresses in expected.submits.items() if number not in expected.first)
    assert len(numbers - expected.accepted) in {0, unanswered}
    moved = expected.begun["settle"] | expected.begun["defer"]
    for number, recipient in present.items():
        if number in expected.done["deferd"]:
            assert recipient.attempts == 1
            assert not recipient.in_doubt
        if number not in expected.begun["defer"]:
            assert recipient.attempts == 0
        if number in expected.done["intendd"] and number not in moved:
            assert recipient.in_doubt
        if number not in expected.begun["intend"]:
            assert not recipient.in_doubt
    return expected


async def ask_again(spool, expected, present):
    """The client repeats every submit by its key: each counts once."""
    await spool.put_message(b"content")
    for number, addresses in expected.submits.items():
        receipt = await spool.submit(numbered(addresses, b"%d" % number))
        assert receipt.accepted == len(addresses)
        if number in expected.first:
            assert (receipt.repeated, receipt.first) == (True, expected.first[number])
    (totals,) = await spool.totals(None, None) or [None]
    assert totals.accepted == sum(map(len, expected.submits.values()))
    await spool.close()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 700), st.sampled_from(["write", "half", "sync"]))
def test_killed_at_any_moment_nothing_is_lost(seed, at, how):
    with tempfile.TemporaryDirectory() as folder:
        story = story_of_a_child(Path(folder), seed, at if how != "sync" else 1 + at // 9, how)

        async def look():
            spool, present = await found_after(Path(folder))
            expected = check(story, present)
            if expected.submits:
                await ask_again(spool, expected, present)
            await spool.close()

        asyncio.run(look())


async def history(folder):
    """A spool left open, and after each commit: the log's size, and what was there."""
    spool = await SqliteSpool.open(SpoolSettings(folder), clock=lambda: START, disk=lambda _: (9, 10))
    log = folder / "spool.db-wal"
    steps = [(0, frozenset(), 0)]
    present = set()

    def note(attempts=0):
        steps.append((log.stat().st_size, frozenset(present), attempts))

    await spool.put_message(b"content")
    note()
    for number in range(8):
        receipt = await spool.submit(submission([new(f"u@d{n % 3}.example", n) for n in range(25)], key=b"%d" % number))
        present |= set(range(receipt.first, receipt.first + 25))
        note(number)
        recipients = [recipient for _, recipient in await spool.sweep(number + 1, 0, 25)]
        await spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in recipients[: 3 * number]])
        present -= {recipient.id for recipient in recipients[: 3 * number]}
        note(number)
        await spool.settle([Deferred(recipients[-1], START + 5, True, False)])
        note(number + 1)
    return spool, steps


class Log:
    """The history made once; each example spoils a copy of its files."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp())
        self.folder.chmod(0o700)

        async def make():
            live = self.folder / "live"
            (self.folder / "before").mkdir()
            first = await SqliteSpool.open(SpoolSettings(live))
            await first.close()
            spool, self.steps = await history(live)
            for name in ("spool.db", "spool.db-wal"):
                shutil.copy(live / name, self.folder / "before" / name)
            await spool.close()

        asyncio.run(make())
        self.size = (self.folder / "before" / "spool.db-wal").stat().st_size

    def spoilt(self, where, how):
        copy = Path(tempfile.mkdtemp(dir=self.folder)) / "spool"
        shutil.copytree(self.folder / "before", copy)
        copy.chmod(0o700)
        log = copy / "spool.db-wal"
        content = log.read_bytes()
        if how == "cut":
            content = content[:where]
        elif how == "zero":
            content = content[:where] + bytes(len(content) - where)
        else:
            content = content[:where] + bytes([content[where] ^ 0x40]) + content[where + 1 :]
        log.write_bytes(content)
        return copy


def test_log_spoilt_at_any_byte_gives_a_prefix():
    log = Log()

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, log.size - 1), st.sampled_from(["cut", "zero", "flip"]))
    def prefix(where, how):
        folder = log.spoilt(where, how)

        async def look():
            spool, present = await found_after(folder)
            await spool.close()
            return frozenset(present), sum(recipient.attempts for recipient in present.values())

        state = asyncio.run(look())
        whole = [step for step in log.steps if step[0] <= where]
        assert state in [step[1:] for step in log.steps[len(whole) - 1 :]]
        shutil.rmtree(folder.parent)

    try:
        prefix()
    finally:
        shutil.rmtree(log.folder)
