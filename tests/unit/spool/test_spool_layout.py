"""Files that earlier versions wrote: opened, brought up to date in one step or not at all, and nobody is lost.

tests/data/spool holds what three earlier commits left when they were killed (46e1918, 53f2d3c, 0934337), log and all:
twelve recipients of one mailing, of whom one was delivered, one deferred, one was in an open intent. spool-stated is one
of layout 1 that 717ea55 left, with what a submit stated of its recipients.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.mail.stated import asked, with_stated
from engine.spool import layout
from engine.spool.layout import LAYOUT, STEPS, TABLES, SpoolUnusable
from engine.spool.port import Cursor, Outcome, Settled
from engine.spool.sqlite import SpoolSettings, SqliteSpool
from suppression import Basis, Consent, Suppression, SuppressionSettings
from suppression.decision import Verdict
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


def test_what_was_stated_of_recipients_decides_as_if_they_were_submitted_now(tmp_path: Path) -> None:
    """Layout 1 had it among the merge fields as well: the same people, asked about in the same words, and delivered."""
    people = {"plain@a.example": "", "eu@a.example": "EU", "us@b.example": "US", "jp@b.example": ""}
    own = {"plain@a.example": {"name": "A"}, "eu@a.example": {"name": "B"}, "jp@b.example": {"x": "y"}}
    (tmp_path / "spool").mkdir(0o700)

    async def pulled() -> dict[str, dict[str, str]]:
        spool = await opened(unpacked("../spool-stated", tmp_path / "spool"))
        assert spool._store.connection.pragma("user_version") == LAYOUT
        lanes = [state.lane for state in await spool.lanes()]
        everybody = [one for lane in lanes for one in (await spool.pull(lane, Cursor(), START + 900, 99))[0]]
        await spool.settle([Settled(recipient, Outcome.DELIVERED) for recipient in everybody])
        (totals,) = await spool.totals("shop", "spring")
        assert (totals.accepted, totals.delivered, totals.open) == (4, 4, 0)
        await spool.close()
        return {one.address: dict(one.fields) for one in everybody}

    found = asyncio.run(pulled())
    assert found == {address: with_stated(own.get(address, {}), region) for address, region in people.items()}
    assert {address: asked(fields) for address, fields in found.items()} == {
        address: ("", region, "") for address, region in people.items()
    }
    suppression = Suppression.open(
        SuppressionSettings(tmp_path / "ledger", tmp_path / "secret"), clock=lambda: START + 900
    )
    # What may go to a Japanese company whose address is published may not to the EU.
    suppression.apply_now([
        Consent(address, START - 5, "web", "shop", basis=Basis.PUBLISHED, evidence="url") for address in people
    ])  # fmt: skip
    verdicts = {}
    for address, fields in found.items():
        told = suppression.decide_identities("shop", "news", "AD", suppression.identify([address]), *asked(fields))
        now = suppression.decide_one("shop", "news", "AD", suppression.identify([address])[0], region=people[address])
        assert told == [now]
        verdicts[address] = now.verdict
    suppression.close()
    assert verdicts == {
        "plain@a.example": Verdict.SEND, "jp@b.example": Verdict.SEND, "us@b.example": Verdict.SEND,
        "eu@a.example": Verdict.BLOCK,
    }  # fmt: skip


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
