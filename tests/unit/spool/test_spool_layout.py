"""Files that earlier versions wrote: opened, brought up to date in one step or not at all, and nobody is lost.

tests/data/spool holds what three earlier commits left when they were killed (46e1918, 53f2d3c, 0934337), log and all:
twelve recipients of one mailing, of whom one was delivered, one deferred, one was in an open intent.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.spool import layout
from engine.spool.layout import LAYOUT, STEPS, TABLES, SpoolUnusable
from engine.spool.port import Cursor, Outcome, Settled
from engine.spool.sqlite import SpoolSettings, SqliteSpool
from tests.fakes.disk import Disk, nothing
from tests.unit.spool.contract import START

DATA = Path(__file__).parents[2] / "data" / "spool"
OLD = sorted(folder.name for folder in DATA.iterdir())


def unpacked(name: str, into: Path) -> SpoolSettings:
    for packed in (DATA / name).iterdir():
        (into / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return SpoolSettings(into)


async def opened(settings: SpoolSettings, **words: Any) -> SqliteSpool:
    return await SqliteSpool.open(settings, clock=lambda: START + 900.0, disk=lambda _: (9, 10), **words)


def schema(connection: apsw.Connection) -> set[tuple[Any, ...]]:
    return {*connection.execute("SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")}


@pytest.mark.parametrize("name", OLD)
def test_an_earlier_versions_spool_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    async def run() -> None:
        spool = await opened(unpacked(name, tmp_path))
        assert spool._store.connection.pragma("user_version") == LAYOUT
        states = {state.lane.domain: state for state in await spool.lanes()}
        assert {domain: state.waiting for domain, state in states.items()} == {
            "d0.example": 3, "d1.example": 4, "d2.example": 4,
        }  # fmt: skip
        everybody = [
            r for state in states.values() for r in (await spool.pull(state.lane, Cursor(), START + 900, 99))[0]
        ]
        people = {recipient.address: recipient for recipient in everybody}
        assert people.keys() == {f"r{n}@d{n % 3}.example" for n in range(1, 12)}
        assert people["r6@d0.example"].in_doubt, "its intent was open"
        assert not people["r9@d0.example"].in_doubt
        assert people["r7@d1.example"].fields == {"name": "N7"}
        assert await spool.content(people["r7@d1.example"].batch.message) == b"content"
        await spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in everybody])
        (totals,) = await spool.totals("shop", "spring")
        assert (totals.accepted, totals.delivered, totals.open) == (12, 12, 0)
        await spool.close()
        again = await opened(SpoolSettings(tmp_path))
        assert await again.lanes() == []
        await again.close()

    asyncio.run(run())


@pytest.mark.parametrize("name", OLD)
def test_what_came_out_is_what_a_new_spool_has(name: str, tmp_path: Path) -> None:
    async def run() -> None:
        for folder in ("old", "new"):
            (tmp_path / folder).mkdir(0o700)
        old, new = await opened(unpacked(name, tmp_path / "old")), await opened(SpoolSettings(tmp_path / "new"))
        assert schema(old._store.connection) == schema(new._store.connection)
        for table in ("recipient", "settled", "intent", "batch"):
            columns = [
                {row[1:4] for row in spool._store.connection.execute(f"PRAGMA table_info({table})")}
                for spool in (old, new)
            ]
            assert columns[0] == columns[1], table
        await old.close()
        await new.close()

    asyncio.run(run())


@pytest.mark.parametrize("writes", range(0, 30, 2))
def test_a_disk_that_fills_up_in_a_step_leaves_the_rows_of_before(writes: int, tmp_path: Path) -> None:
    disk = Disk(f"upgrading-{writes}")

    def full(_name: str, _end: int) -> None:
        if disk.writes > writes:
            raise apsw.FullError("database or disk is full")

    async def run() -> None:
        settings = unpacked("first", tmp_path)
        disk.on_write = full
        with contextlib.suppress(SpoolUnusable):
            first = await opened(settings, vfs=disk.name)
            disk.on_write = nothing
            await first.close()
        disk.on_write = nothing
        spool = await opened(settings)
        assert sum(state.waiting for state in await spool.lanes()) == 11
        assert spool._store.connection.pragma("user_version") == LAYOUT
        await spool.close()

    asyncio.run(run())
    assert disk.writes


def test_a_newer_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def run() -> None:
        await (await opened(SpoolSettings(tmp_path))).close()
        connection = apsw.Connection(str(tmp_path / "spool.db"))
        connection.pragma("user_version", LAYOUT + 1)
        connection.close()
        before = (tmp_path / "spool.db").read_bytes()
        with pytest.raises(
            SpoolUnusable, match=f"has layout {LAYOUT + 1}, this version knows up to {LAYOUT}; start the"
        ):
            await opened(SpoolSettings(tmp_path))
        assert (tmp_path / "spool.db").read_bytes() == before

    asyncio.run(run())


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "spool.db"))
    connection.execute("CREATE TABLE x (y)")
    connection.pragma("user_version", 1)
    connection.close()
    with pytest.raises(SpoolUnusable, match="another program's file"):
        asyncio.run(opened(SpoolSettings(tmp_path)))


def test_every_layout_has_its_step() -> None:
    assert len(STEPS) + 1 == LAYOUT
    assert layout._statement("CREATE TABLE settled ") in TABLES
