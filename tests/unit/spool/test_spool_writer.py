"""The writer thread: groups, order, one caller's error, a full disk, a lost disk."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import apsw
import pytest

from engine.mail.envelope import Priority
from engine.spool.port import Deferred, Outcome, Settled, SpoolFailed, SpoolFull
from engine.spool.sqlite import SpoolSettings, SqliteSpool, Tuning
from tests.fakes.disk import Disk, no_space, no_sync, nothing
from tests.unit.spool.contract import new, submission


@asynccontextmanager
async def opened(folder, *, disk=None, **settings):
    spool = await SqliteSpool.open(
        SpoolSettings(folder, **settings), vfs=disk.name if disk else "", disk=lambda _: (9, 10)
    )
    await spool.put_message(b"content")
    try:
        yield spool
    finally:
        await spool.close()


@asynccontextmanager
async def held(spool):
    """What is asked meanwhile is done together afterwards."""
    gate = threading.Event()
    began = threading.Event()

    def hold():
        began.set()
        gate.wait(10)

    holding = spool._writer.read(hold)
    await asyncio.to_thread(began.wait, 10)
    yield
    await asyncio.sleep(0)  # lets the callers put their calls into the queue
    gate.set()
    await holding


def bulk(key, count=1):
    return submission([new(f"u{number}@a.example", number) for number in range(count)], key=key)


async def queued(spool, *calls):
    """The calls' results or errors, all of one group."""
    async with held(spool):
        tasks = [asyncio.ensure_future(call) for call in calls]
    return await asyncio.gather(*tasks, return_exceptions=True)


async def some(spool, count):
    receipt = await spool.submit(bulk(b"some", count))
    return [recipient for _, recipient in await spool.sweep(1, receipt.first - 1, count)]


def test_calls_made_meanwhile_share_a_commit(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:
            before = spool._writer.commits
            receipts = await queued(spool, *(spool.submit(bulk(b"%d" % number)) for number in range(20)))
            ids = sorted(receipt.first for receipt in receipts)
            assert ids == list(range(ids[0], ids[0] + 20))
            assert spool._writer.commits == before + 1

    asyncio.run(run())


def test_bulk_is_taken_in_portions_and_single_mails_overtake_it(tmp_path):
    async def run():
        order = []

        async def submit(spool, name, what):
            await spool.submit(what)
            order.append(name)

        async with opened(tmp_path) as spool:
            before = spool._writer.commits
            single = submission([new("a@a.example")], key=b"single", priority=Priority.TRANSACTIONAL)
            await queued(
                spool,
                submit(spool, "first", bulk(b"1", 4000)),
                submit(spool, "second", bulk(b"2", 4000)),
                submit(spool, "single", single),
            )
            assert order == ["single", "first", "second"]
            assert spool._writer.commits == before + 3

    asyncio.run(run())


def test_one_callers_error_spoils_nobody_elses_call(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:
            broken = submission([new("a@a.example"), new("b@a.example", 1)], key=b"broken", refused="text, not bytes")
            unpackable = submission([new("a@a.example", 0, name=object())], key=b"unpackable")
            results = await queued(
                spool,
                spool.submit(bulk(b"1")),
                spool.submit(broken),
                spool.submit(unpackable),
                spool.submit(bulk(b"2")),
            )
            assert [type(result).__name__ for result in results] == [
                "Receipt",
                "ConstraintError",
                "TypeError",
                "Receipt",
            ]
            assert [(totals.accepted) for totals in await spool.totals(None, None)] == [2]
            assert abs(results[0].first - results[3].first) == 1

    asyncio.run(run())


def test_settling_is_all_or_nothing(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:
            one, two = await some(spool, 2)
            wrong, right = await queued(
                spool,
                spool.settle([Settled(one, Outcome.DELIVERED), Deferred(two, "soon", True, False)]),
                spool.settle([Settled(two, Outcome.BOUNCED)]),
            )
            assert isinstance(wrong, TypeError)
            assert right is None
            (totals,) = await spool.totals(None, None)
            assert (totals.delivered, totals.bounced) == (0, 1)
            assert [state.waiting for state in await spool.lanes()] == [1]

    asyncio.run(run())


def test_what_a_group_took_from_memory_is_there_when_it_is_done_again(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:
            (recipient,) = await some(spool, 1)
            await spool.close_mailing("shop", "spring", 1.0)
        async with opened(tmp_path) as spool:
            offered, wrong = await queued(
                spool, spool.expired_batches(0.0, 9), spool.settle([Deferred(recipient, "soon", True, False)])
            )
            assert isinstance(wrong, TypeError)
            assert offered == [1]

    asyncio.run(run())


def test_caller_that_stops_waiting_undoes_nothing(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:
            async with held(spool):
                task = asyncio.ensure_future(spool.submit(bulk(b"1")))
                await asyncio.sleep(0)
                task.cancel()
            assert (await spool.submit(bulk(b"1"))).repeated

    asyncio.run(run())


def test_failed_sync_ends_it_for_good(tmp_path):
    async def run():
        disk = Disk("lost")
        spool = await SqliteSpool.open(SpoolSettings(tmp_path), vfs="lost")
        await spool.put_message(b"content")
        disk.on_sync = no_sync
        with pytest.raises(SpoolFailed, match=r"SQLITE_IOERR_FSYNC.*EIO.*stop"):
            await spool.submit(bulk(b"1"))
        synced = disk.syncs
        disk.on_sync = nothing
        with pytest.raises(SpoolFailed, match="EIO"):
            await spool.submit(bulk(b"2"))
        with pytest.raises(SpoolFailed, match="EIO"):
            await spool.lanes()
        assert isinstance(await spool.failed, SpoolFailed)
        await spool.close()
        assert disk.syncs == synced  # never again, not even at the close

    asyncio.run(run())


def test_what_was_queued_behind_a_failed_sync_fails_too(tmp_path):
    async def run():
        disk = Disk("lost-queue")
        spool = await SqliteSpool.open(SpoolSettings(tmp_path), vfs="lost-queue")
        await spool.put_message(b"content")
        disk.on_sync = no_sync
        results = await queued(spool, spool.submit(bulk(b"1", 4000)), spool.put_message(b"x"), spool.lanes())
        assert [type(result) for result in results] == [SpoolFailed] * 3
        await spool.close()

    asyncio.run(run())


def test_failed_read_ends_it_for_good(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:

            def broken():
                no_sync("", 0)

            with pytest.raises(SpoolFailed, match="EIO"):
                await spool._writer.read(broken)
            with pytest.raises(SpoolFailed):
                await spool.lanes()

    asyncio.run(run())


def test_full_disk_refuses_submits_and_settles_on(tmp_path):
    async def run():
        disk = Disk("full")
        async with opened(tmp_path, disk=disk) as spool:
            recipients = await some(spool, 10)
            room = (tmp_path / "spool.db-wal").stat().st_size + 100_000

            def no_more(name, end):
                if end > room:
                    no_space(name, end)

            disk.on_write = no_more
            refused, settled, content = await queued(
                spool,
                spool.submit(bulk(b"large", 3000)),
                spool.settle([Settled(recipients[0], Outcome.DELIVERED)]),
                spool.put_message(b"x" * 200_000),
            )
            assert isinstance(refused, SpoolFull)
            assert "free disk space" in str(refused)
            assert isinstance(content, SpoolFull)
            assert settled is None
            (totals,) = await spool.totals(None, None)
            assert (totals.accepted, totals.delivered) == (10, 1)
            disk.on_write = nothing

    asyncio.run(run())


def test_nothing_fits_any_more(tmp_path):
    async def run():
        disk = Disk("full-to-the-brim")
        async with opened(tmp_path, disk=disk) as spool:
            (recipient,) = await some(spool, 1)
            disk.on_write = no_space
            with pytest.raises(SpoolFull):
                await spool.submit(bulk(b"2"))
            # An outcome that cannot be written would be sent again after the next start.
            with pytest.raises(SpoolFailed, match="FullError"):
                await spool.settle([Settled(recipient, Outcome.DELIVERED)])
            disk.on_write = nothing

    asyncio.run(run())


def test_reserve_lets_outcomes_be_written_on_a_full_disk(tmp_path):
    reserve = tmp_path / "reserve"

    async def run():
        disk = Disk("full-but-for-the-reserve")
        space = [100 << 20]
        spool = await SqliteSpool.open(
            SpoolSettings(tmp_path, reserve_bytes=1 << 20), vfs=disk.name, disk=lambda _: (space[0], 100 << 20)
        )
        await spool.put_message(b"content")
        recipients = await some(spool, 2)
        assert spool.reserve_whole
        assert reserve.stat().st_blocks * 512 >= 1 << 20

        def full_while_reserved(name, end):
            if reserve.stat().st_size:
                no_space(name, end)

        disk.on_write = full_while_reserved
        space[0] = 0
        await spool.settle([Settled(recipients[0], Outcome.DELIVERED)])
        await spool.tidy(0.0)
        assert (spool.reserve_whole, reserve.stat().st_size) == (False, 0)
        disk.on_write = nothing
        space[0] = 100 << 20
        await spool.tidy(0.0)
        assert spool.reserve_whole
        (totals,) = await spool.totals(None, None)
        assert totals.delivered == 1
        await spool.close()

    asyncio.run(run())


def test_full_disk_puts_maintenance_off(tmp_path):
    async def run():
        disk = Disk("full-in-maintenance")
        tuning = Tuning(checkpoint_pages=1, clear_at=1)
        spool = await SqliteSpool.open(SpoolSettings(tmp_path), vfs=disk.name, tuning=tuning)
        await spool.put_message(b"content")
        recipients = await some(spool, 50)

        def no_room_in_the_file(name, end):
            if name.endswith("spool.db"):
                no_space(name, end)

        disk.on_write = no_room_in_the_file
        await spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in recipients])
        assert len((await spool.submit(bulk(b"2", 10))).lanes) == 1
        disk.on_write = nothing
        assert [state.waiting for state in await spool.lanes()] == [10]
        await spool.close()

    asyncio.run(run())


def test_disk_lost_in_maintenance_is_told(tmp_path):
    async def run():
        disk = Disk("lost-in-maintenance")
        spool = await SqliteSpool.open(SpoolSettings(tmp_path), vfs=disk.name, tuning=Tuning(checkpoint_pages=1))

        def broken_file(name, end):
            if name.endswith("spool.db"):
                no_sync(name, end)

        disk.on_write = broken_file
        await spool.put_message(b"content")  # the log took it: it is durable
        assert "checkpoint" in str(await spool.failed)
        await spool.close()

    asyncio.run(run())


def test_wrong_read_is_its_callers_error(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:
            with pytest.raises(apsw.SQLError):
                await spool._writer.read(lambda: spool._store.execute("SELECT nonsense"))
            assert await spool.lanes() == []

    asyncio.run(run())


def test_defect_in_a_commit_leaves_nobody_waiting(tmp_path):
    async def run():
        spool = await SqliteSpool.open(SpoolSettings(tmp_path))
        await spool.put_message(b"content")

        async def spoilt():
            await spool._writer.write(lambda: spool._store.remaining.update({object(): 1}))

        results = await queued(spool, spoilt(), spool.submit(bulk(b"1")))
        assert [type(result) for result in results] == [SpoolFailed] * 2
        await spool.close()

    asyncio.run(run())


def test_log_starts_over_and_rows_go(tmp_path):
    log = tmp_path / "spool.db-wal"

    async def run():
        async with opened(tmp_path) as spool:
            for number in range(12):
                await spool.submit(bulk(b"%d" % number, 2000))
                recipients = [recipient for _, recipient in await spool.sweep(number + 1, 0, 2000)]
                await spool.settle([Deferred(recipient, 5, True, False) for recipient in recipients])
                await spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in recipients])
            assert await spool.lanes() == []
            assert log.stat().st_size < 16 << 20
            assert spool._store.execute(
                "SELECT (SELECT count(*) FROM recipient), (SELECT count(*) FROM settled)"
            ).get == (0, 0)

    asyncio.run(run())


def test_close_waits_for_what_is_queued(tmp_path):
    async def run():
        async with opened(tmp_path) as spool:
            async with held(spool):
                task = asyncio.ensure_future(spool.submit(bulk(b"1")))
                await asyncio.sleep(0)
                closing = asyncio.ensure_future(spool.close())
            assert (await task).accepted == 1
            await closing

    asyncio.run(run())
