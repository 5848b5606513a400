"""The pages of the last-sent store against a dictionary: any notes, any merges, any crash between them."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from suppression.pages import KNOWN_DAYS, PAGE_KEYS, Last, last, merge
from suppression.sent import SentStore

DAY = 20_000


def storing(folder: Path, test: Callable[[SentStore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = SentStore(folder)
        try:
            await test(store)
        finally:
            await asyncio.to_thread(store.close)

    asyncio.run(main())


async def note(store: SentStore, sender: str, day: int, keys: list[int], *, mail_order: bool = False) -> None:
    future = store.note(sender, day, [struct.pack("<qq", key, 0) for key in keys], mail_order=mail_order)
    if future is not None:
        await future


def look(store: SentStore, sender: str, keys: list[int]) -> list[Last]:
    return store.read(lambda database: last(database, sender, keys))


async def merged(store: SentStore, today: int = DAY) -> int:
    return await asyncio.to_thread(partial(merge, store, today, lambda: None))


def test_the_later_day_wins_in_log_and_pages_alike(tmp_path: Path) -> None:
    async def test(store: SentStore) -> None:
        await note(store, "shop", DAY, [5, -7])
        await note(store, "shop", DAY - 2, [5, 8])
        await note(store, "shop", DAY - 1, [5], mail_order=True)
        expected = [Last(DAY, DAY - 1), Last(DAY, 0), Last(DAY - 2, 0), Last(0, 0)]
        assert look(store, "shop", [5, -7, 8, 9]) == expected
        assert await merged(store) == 3
        assert look(store, "shop", [5, -7, 8, 9]) == expected
        assert store.read(lambda database: database.execute("SELECT count(*) FROM noted").get) == 0
        assert look(store, "nobody", [5]) == [Last()]
        assert look(store, "shop", []) == []
        await note(store, "shop", DAY + 1, [-7])
        assert look(store, "shop", [-7]) == [Last(DAY + 1, 0)]

    storing(tmp_path, test)


@pytest.mark.parametrize("seed", range(4))
def test_against_a_dictionary(tmp_path: Path, seed: int) -> None:
    pick = random.Random(seed)
    known: dict[tuple[str, int], list[int]] = {}

    async def test(store: SentStore) -> None:
        for turn in range(6):
            for sender in ("a", "b"):
                span = pick.choice((1_000, 2**62))
                keys = [pick.randrange(-span, span) for _ in range(pick.choice((1, 300, 3 * PAGE_KEYS)))]
                day, mail_order = DAY + pick.randrange(-20, 20), pick.random() < 0.4
                await note(store, sender, day, keys, mail_order=mail_order)
                for key in keys:
                    entry = known.setdefault((sender, key), [0, 0])
                    entry[0] = max(entry[0], day)
                    entry[1] = max(entry[1], day * mail_order)
            if turn % 2:
                await merged(store)
        for sender in ("a", "b"):
            keys = pick.sample([key for name, key in known if name == sender], 500)
            assert look(store, sender, keys) == [Last(*known[sender, key]) for key in keys]
        pages = store.read(
            lambda database: database.execute("SELECT max(length(keys)) / 8, count(*) FROM page").fetchall()
        )
        assert pages[0][0] <= PAGE_KEYS
        assert pages[0][1] > 1

    storing(tmp_path, test)


def test_a_merge_that_broke_off_is_done_again_without_harm(tmp_path: Path) -> None:
    keys = list(range(0, 60 * PAGE_KEYS, 3))

    class Killed(Exception):  # noqa: N818 - a kill
        pass

    def pause() -> None:
        raise Killed

    async def test(store: SentStore) -> None:
        await note(store, "shop", DAY, keys)
        with pytest.raises(Killed):
            await asyncio.to_thread(partial(merge, store, DAY, pause))
        await note(store, "shop", DAY + 1, keys[:10])
        assert look(store, "shop", [0, 3, 33]) == [Last(DAY + 1), Last(DAY + 1), Last(DAY)]
        await merged(store)
        assert look(store, "shop", [0, 33, keys[-1], 1]) == [Last(DAY + 1), Last(DAY), Last(DAY), Last()]
        count = store.read(lambda database: database.execute("SELECT sum(length(keys)) / 8 FROM page").get)
        assert count == len(keys)

    storing(tmp_path, test)


def test_what_no_rule_counts_from_any_more_is_dropped_on_the_way(tmp_path: Path) -> None:
    async def test(store: SentStore) -> None:
        await note(store, "shop", DAY, [1, 2])
        await merged(store)
        await note(store, "shop", DAY + KNOWN_DAYS, [2])
        await merged(store, DAY + KNOWN_DAYS)
        assert look(store, "shop", [1, 2]) == [Last(DAY), Last(DAY + KNOWN_DAYS)]
        await note(store, "shop", DAY + KNOWN_DAYS + 1, [2])
        await merged(store, DAY + KNOWN_DAYS + 1)
        assert look(store, "shop", [1, 2]) == [Last(), Last(DAY + KNOWN_DAYS + 1)]

    storing(tmp_path, test)
