"""Who was never mailed: from log and pages of the last-sent store alike."""

from __future__ import annotations

import asyncio
import struct
from functools import partial
from pathlib import Path

from suppression.newcomers import newcomers
from suppression.pages import merge
from suppression.sent import SentStore

DAY = 20_000


def who(*keys: int) -> list[bytes]:
    return [struct.pack("<qq", key, 0) for key in keys]


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
