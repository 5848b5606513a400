"""Opening: version, lock, modes, layout, node, floor; each refusal names the thing and the remedy."""

from __future__ import annotations

import asyncio
import os
import shutil

import apsw
import pytest

from engine.spool.database import check_version
from engine.spool.layout import LAYOUT, SpoolUnusable
from engine.spool.port import SpoolFull
from engine.spool.sqlite import SpoolSettings, SqliteSpool, disk_space
from tests.fakes.disk import Disk, no_space, nothing
from tests.unit.spool.contract import new, submission


def opening(folder, **settings):
    async def run():
        spool = await SqliteSpool.open(SpoolSettings(folder, **settings))
        await spool.close()

    asyncio.run(run())


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.9.0"])
def test_sqlite_that_loses_commits_is_refused(version):
    with pytest.raises(SpoolUnusable, match=rf"{version}.*3\.51\.3"):
        check_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "4.0.0"])
def test_sqlite_without_the_defect_is_taken(version):
    check_version(version)


def test_one_engine_a_folder(tmp_path):
    async def run():
        spool = await SqliteSpool.open(SpoolSettings(tmp_path))
        with pytest.raises(SpoolUnusable, match=rf"in use by process '{os.getpid()}'"):
            await SqliteSpool.open(SpoolSettings(tmp_path))
        await spool.close()

    asyncio.run(run())
    opening(tmp_path)


def test_files_are_ours_alone(tmp_path):
    async def run():
        mask = os.umask(0)
        try:
            spool = await SqliteSpool.open(SpoolSettings(tmp_path / "new"))
            await spool.put_message(b"content")
        finally:
            os.umask(mask)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
        assert modes == dict.fromkeys(("lock", "reserve", "spool.db", "spool.db-wal"), 0o600)
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        await spool.close()

    asyncio.run(run())


def test_settings_that_durability_rests_on(tmp_path):
    async def run():
        spool = await SqliteSpool.open(SpoolSettings(tmp_path))
        pragma = spool._store.connection.pragma
        found = {name: pragma(name) for name in ("journal_mode", "synchronous", "locking_mode", "user_version")}
        assert found == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive", "user_version": LAYOUT}
        await spool.close()

    asyncio.run(run())


def test_folder_open_to_others_is_refused(tmp_path):
    tmp_path.chmod(0o770)
    with pytest.raises(SpoolUnusable, match=r"writable for others.*chmod"):
        opening(tmp_path)


def test_link_in_place_of_a_file_is_not_followed(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "spool.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolUnusable, match="cannot be opened"):
        opening(tmp_path / "spool")
    assert not (tmp_path / "elsewhere").exists()


def test_other_file_is_refused(tmp_path):
    (tmp_path / "spool.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(SpoolUnusable, match="not a database"):
        opening(tmp_path)


def test_other_layout_is_refused(tmp_path):
    opening(tmp_path)
    connection = apsw.Connection(str(tmp_path / "spool.db"))
    connection.pragma("user_version", 7)
    connection.close()
    with pytest.raises(SpoolUnusable, match="layout 7"):
        opening(tmp_path)


def test_refused_open_leaves_the_lock_free(tmp_path):
    disk = Disk("no-room-to-begin")
    disk.on_write = no_space

    async def run():
        with pytest.raises(SpoolUnusable, match="full"):
            await SqliteSpool.open(SpoolSettings(tmp_path), vfs=disk.name)

    asyncio.run(run())
    disk.on_write = nothing
    opening(tmp_path)


def test_start_that_cannot_put_things_in_order_is_refused(tmp_path):
    disk = Disk("no-room-to-recover")

    async def crash():
        spool = await SqliteSpool.open(SpoolSettings(tmp_path / "before"))
        await spool.put_message(b"content")
        await spool.submit(submission([new("a@a.example")]))
        await spool.intend([1])
        shutil.copytree(tmp_path / "before", tmp_path / "after")
        await spool.close()
        disk.on_write = no_space
        with pytest.raises(SpoolUnusable, match=r"put in order.*full"):
            await SqliteSpool.open(SpoolSettings(tmp_path / "after"), vfs=disk.name)
        disk.on_write = nothing

    asyncio.run(crash())
    opening(tmp_path / "after")


def test_node_is_in_every_id(tmp_path):
    async def run():
        spool = await SqliteSpool.open(SpoolSettings(tmp_path, node=3))
        await spool.put_message(b"content")
        receipt = await spool.submit(submission([new("a@a.example")]))
        assert receipt.first >> 48 == 3
        await spool.close()

    asyncio.run(run())
    opening(tmp_path, node=4)
    with pytest.raises(SpoolUnusable, match=r"node 4.*node 3"):
        opening(tmp_path, node=3)


def test_a_new_or_restored_folder_never_gives_an_old_id_again(tmp_path):
    keys = iter((b"1", b"2", b"3", b"4"))

    async def first_id(folder, now):
        spool = await SqliteSpool.open(SpoolSettings(folder), clock=lambda: now)
        await spool.put_message(b"content")
        receipt = await spool.submit(submission([new("a@a.example")], key=next(keys)))
        await spool.close()
        return receipt.first

    async def run():
        old = await first_id(tmp_path / "old", 1_800_000_000)
        later = await first_id(tmp_path / "new", 1_800_000_001)
        again = await first_id(tmp_path / "old", 1_800_000_001)
        assert later - old == again - old == 1 << 16
        assert await first_id(tmp_path / "old", 1_800_000_001) == again + 1

    asyncio.run(run())


def test_below_the_floor_submits_are_refused_and_repeats_answered(tmp_path):
    async def run():
        free = [500 << 20]
        spool = await SqliteSpool.open(SpoolSettings(tmp_path), disk=lambda _: (free[0], 1000 << 20))
        await spool.put_message(b"content")
        receipt = await spool.submit(submission([new("a@a.example")]))
        free[0] = 99 << 20
        with pytest.raises(SpoolFull, match=r"99 MiB free .* floor 100 MiB \(10% of the disk\)"):
            await spool.submit(submission([new("a@a.example")], key=b"2"))
        with pytest.raises(SpoolFull):
            await spool.put_message(b"other")
        again = await spool.submit(submission([new("a@a.example")]))
        assert (again.first, again.repeated) == (receipt.first, True)
        free[0] = 100 << 20
        assert not (await spool.submit(submission([new("a@a.example")], key=b"2"))).repeated
        await spool.close()

    asyncio.run(run())


def test_free_pages_of_the_file_count_as_free(tmp_path):
    async def run():
        spool = await SqliteSpool.open(
            SpoolSettings(tmp_path, content_grace_seconds=0), disk=lambda _: (99 << 20, 1000 << 20)
        )
        spool._disk = lambda _: (1000 << 20, 1000 << 20)
        await spool.put_message(b"x" * (2 << 20))
        await spool.tidy(4e9)
        spool._disk = lambda _: (99 << 20, 1000 << 20)
        await spool.put_message(b"content")
        await spool.close()

    asyncio.run(run())


def test_disk_space_is_the_file_systems(tmp_path):
    free, size = disk_space(tmp_path)
    assert 0 <= free <= size
    assert size == os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
