"""The contract, run by the spool in memory and by the one on disk."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from engine.spool.sqlite import SpoolSettings, SqliteSpool
from tests.fakes.spool import MemorySpool
from tests.unit.spool.contract import CASES, START


class MemoryWorld:
    def __init__(self) -> None:
        self.now = START + 0.5
        self.spool = MemorySpool(clock=lambda: self.now)

    async def start_again(self, *, crash: bool) -> None:
        self.spool = self.spool.crash()


class DiskWorld:
    """A crash is played by opening a copy of the files as they are at that moment, log and all."""

    spool: SqliteSpool

    def __init__(self, folder: Path) -> None:
        self.now = START + 0.5
        self._folder = folder
        self._count = 0
        self._opened: list[SqliteSpool] = []

    async def open(self) -> None:
        folder = self._folder / str(self._count)
        self.spool = await SqliteSpool.open(SpoolSettings(folder), clock=lambda: self.now, disk=lambda _: (9, 10))
        self._opened.append(self.spool)

    async def start_again(self, *, crash: bool) -> None:
        if crash:
            before = self._folder / str(self._count)
            self._count += 1
            shutil.copytree(before, self._folder / str(self._count))
        else:
            await self.spool.close()
        await self.open()

    async def close(self) -> None:
        for spool in self._opened:
            await spool.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_memory_spool(case):
    async def run():
        await case(MemoryWorld())

    asyncio.run(run())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_disk_spool(case, tmp_path):
    async def run():
        world = DiskWorld(tmp_path)
        await world.open()
        try:
            await case(world)
        finally:
            await world.close()

    asyncio.run(run())
