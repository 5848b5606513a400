"""Who was never mailed: from log and pages of the last-sent store alike."""

from __future__ import annotations

import asyncio
import struct
from functools import partial
from itertools import pairwise
from pathlib import Path

from suppression.newcomers import newcomers
from suppression.pages import merge
from suppression.sent import SentStore

DAY = 20_000


def who(*keys: int) -> list[bytes]:
    return [struct.pack("<qq", key, 0) for key in keys]


def test_a_log_of_many_blocks_is_read_to_its_end(tmp_path: Path) -> None:
    """More than are looked at together, in blocks of every size."""

    async def main() -> None:
        store = SentStore(tmp_path)
        try:
            ends = [0, 1, 3, 100_000, 100_002, 260_000, 260_001]
            for first, end in pairwise(ends):
                future = store.note("shop", DAY, who(*range(first, end)), mail_order=False)
                assert future is not None
                await future
            asked = [0, 2, 3, 99_999, 100_001, 131_072, 260_000, 260_001, -1]
            assert newcomers(store, "shop", who(*asked)) == [one < 0 or one > 260_000 for one in asked]
        finally:
            await asyncio.to_thread(store.close)

    asyncio.run(main())


def test_log_and_pages_know_who_was_mailed(tmp_path: Path) -> None:
    async def main() -> None:
        store = SentStore(tmp_path)
        try:
            assert newcomers(store, "shop", who(1, 2)) == [True, True]
            for keys in (who(*range(0, 50_000, 2)), who(-7)):
                future = store.note("shop", DAY, keys, mail_order=False)
                assert future is not None
                await future
            assert newcomers(store, "shop", who(2, 3, -7, 2)) == [False, True, False, False]
            await asyncio.to_thread(partial(merge, store, DAY, lambda: None))
            assert newcomers(store, "shop", who(49_998, 3, -7, -9)) == [False, True, False, True]
            assert newcomers(store, "other", who(2)) == [True]
            assert newcomers(store, "shop", []) == []
            future = store.note("shop", DAY + 1, who(3), mail_order=True)
            assert future is not None
            await future
            assert newcomers(store, "shop", who(3, 4, 5)) == [False, False, True]
        finally:
            await asyncio.to_thread(store.close)

    asyncio.run(main())
