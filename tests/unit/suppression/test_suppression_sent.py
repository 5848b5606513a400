"""The last-sent store: durable when it says so, one write for an address and day, and what a failure does."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from suppression import LedgerFailed, LedgerRefused
from suppression.recent import Recent
from suppression.sent import SentStore

DAY = 20_000
PAIR = struct.Struct("<qq")


def who(*numbers: int) -> list[bytes]:
    """Identities: exact key, then a wide one."""
    return [PAIR.pack(number, -1) for number in numbers]


def storing(folder: Path, test: Callable[[SentStore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = SentStore(folder)
        try:
            await test(store)
        finally:
            await asyncio.to_thread(store.close)

    asyncio.run(main())


def logged(folder: Path) -> list[tuple[str, int, int, list[int]]]:
    """As another connection sees the file. Not of the sqlite3 module: two SQLites in one process lose their locks."""
    with closing(apsw.Connection(str(folder / "sent.sqlite"))) as database:
        rows: list[Any] = database.execute(
            "SELECT name, day, mail_order, keys FROM noted JOIN sender ON sender.id = sender ORDER BY noted.id"
        ).fetchall()
    return [(*row[:3], [key for (key,) in struct.iter_unpack("<q", row[3])]) for row in rows]


async def note(store: SentStore, sender: str, day: int, *numbers: int, mail_order: bool = False) -> bool:
    """Whether it had to be written."""
    future = store.note(sender, day, who(*numbers), mail_order=mail_order)
    if future is None:
        return False
    await asyncio.wait_for(future, 10)
    return True


def test_it_is_on_disk_when_it_is_done_and_written_once_a_day(tmp_path: Path) -> None:
    async def test(store: SentStore) -> None:
        assert await note(store, "shop", DAY, 1, -2, 3)
        assert logged(tmp_path) == [("shop", DAY, 0, [1, -2, 3])]
        assert not await note(store, "shop", DAY, 3, 1, -2)
        assert await note(store, "shop", DAY, 3, 4)
        assert logged(tmp_path)[1:] == [("shop", DAY, 0, [4])]
        assert await note(store, "shop", DAY + 1, 1)
        assert await note(store, "other", DAY, 1)
        assert await note(store, "shop", DAY, 1, mail_order=True)
        assert [row[:3] for row in logged(tmp_path)[2:]] == [("shop", DAY + 1, 0), ("other", DAY, 0), ("shop", DAY, 1)]
        assert (store.notes, store.commits) == (7, 5)

    storing(tmp_path, test)
    storing(tmp_path, lambda store: note(store, "shop", DAY, 9))  # type: ignore[arg-type]
    assert logged(tmp_path)[-1] == ("shop", DAY, 0, [9])


def test_what_waits_together_is_one_row(tmp_path: Path) -> None:
    async def test(store: SentStore) -> None:
        all_there = threading.Event()
        running = store.run(lambda _: all_there.wait(60))
        futures = [store.note("shop", DAY, who(number), mail_order=False) for number in range(20)]
        all_there.set()
        await asyncio.gather(*(future for future in futures if future is not None))
        await asyncio.wrap_future(running)
        assert sorted(key for row in logged(tmp_path) for key in row[3]) == list(range(20))
        assert len(logged(tmp_path)) <= 2

    storing(tmp_path, test)


def test_an_address_that_has_no_keys_is_nobodys(tmp_path: Path) -> None:
    async def test(store: SentStore) -> None:
        with pytest.raises(ValueError, match="without keys"):
            store.note("shop", DAY, [b""], mail_order=False)

    storing(tmp_path, test)


def test_one_failure_and_it_has_failed_for_good(tmp_path: Path) -> None:
    async def test(store: SentStore) -> None:
        await asyncio.wrap_future(store.run(lambda database: database.execute("DROP TABLE noted").get))
        first = store.note("shop", DAY, who(1), mail_order=False)
        assert first is not None
        with pytest.raises(LedgerFailed, match="last-sent store: SQLError"):
            await first
        assert isinstance(await store.failed, LedgerFailed)
        for again in (
            lambda: store.note("shop", DAY, who(1), mail_order=False),
            lambda: store.run(lambda _: None),
        ):
            with pytest.raises(LedgerFailed):
                again()

    storing(tmp_path, test)


def test_who_waits_behind_a_failure_is_told(tmp_path: Path) -> None:
    def failing(_: apsw.Connection) -> None:
        raise apsw.IOError("disk")

    async def test(store: SentStore) -> None:
        all_there = threading.Event()
        slow = store.run(lambda _: all_there.wait(60))
        answers = [store.run(failing), store.run(lambda _: None)]
        behind = store.note("shop", DAY, who(1), mail_order=False)
        all_there.set()
        await asyncio.wrap_future(slow)
        for answer in answers:
            with pytest.raises(LedgerFailed):
                await asyncio.wrap_future(answer)
        assert behind is not None
        assert await asyncio.gather(behind, return_exceptions=True) != [None] or logged(tmp_path)
        assert store.failure is not None

    storing(tmp_path, test)


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    async def test(store: SentStore) -> None:
        await asyncio.to_thread(store.close)
        with pytest.raises(LedgerFailed, match="closed"):
            store.note("shop", DAY, who(1), mail_order=False)

    storing(tmp_path, test)


def test_another_file_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "sent.sqlite")) as database:
        database.execute("PRAGMA user_version = 7")
    with pytest.raises(LedgerRefused, match="not a last-sent store"):
        storing(tmp_path, lambda _: asyncio.sleep(0))
    (tmp_path / "sent.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(LedgerRefused, match="restore it"):
        storing(tmp_path, lambda _: asyncio.sleep(0))


def test_what_is_forgotten_is_only_written_again() -> None:
    recent = Recent(slots=4)
    keys = np.arange(16, dtype=np.int64)
    recent.remember("shop", DAY, mail_order=False, keys=keys)
    unknown = recent.unknown("shop", DAY, mail_order=False, keys=keys)
    assert len(unknown) == 12
    assert set(keys.tolist()) - set(unknown.tolist()) <= set(keys.tolist())
    for number in range(5000):
        recent.remember(f"s{number}", DAY, mail_order=False, keys=keys[:1])
    assert len(recent.unknown("s4999", DAY, mail_order=False, keys=keys[:1])) == 0
    assert len(recent.unknown("s0", DAY, mail_order=False, keys=keys[:1])) == 1


CHILD = """
import asyncio, struct, sys
from pathlib import Path
from suppression.sent import SentStore

async def main():
    store = SentStore(Path(sys.argv[1]))
    for number in range(100_000):
        await store.note("shop", 20_000, [struct.pack("<qq", number, 0)], mail_order=False)
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 50])
def test_killed_it_keeps_what_it_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        for _ in range(acknowledged):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        last = acknowledged - 1 + len(child.stdout.read().split())
    child.wait()
    assert {key for row in logged(tmp_path) for key in row[3]} >= set(range(last + 1))


def test_a_log_cut_anywhere_gives_a_prefix(tmp_path: Path) -> None:
    frozen = tmp_path / "frozen"

    async def test(store: SentStore) -> None:
        for number in range(10):
            await note(store, "shop", DAY, number)
        shutil.copytree(tmp_path, frozen)

    storing(tmp_path, test)
    log = (frozen / "sent.sqlite-wal").read_bytes()
    lengths = set()
    for end in range(len(log), 0, -max(1, len(log) // 15)):
        cut = tmp_path / f"cut{end}"
        shutil.copytree(frozen, cut)
        (cut / "sent.sqlite-shm").unlink()
        (cut / "sent.sqlite-wal").write_bytes(log[:end])
        storing(cut, lambda _: asyncio.sleep(0))
        keys = [key for row in logged(cut) for key in row[3]]
        assert keys == list(range(len(keys)))
        lengths.add(len(keys))
    assert {10, 5} < lengths
