"""The day of the last advertisement: on disk before a letter may leave, and never a day too early."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from engine.flow.lastsent import AHEAD_SECONDS, ENOUGH, ON_THE_WIRE_SECONDS, PATIENCE, LastSent
from engine.mail.envelope import Batch, Priority, Recipient
from engine.policy.throttle import Rate
from engine.spool.port import Outcome
from suppression import LedgerFailed
from suppression.day import begins, day_of
from tests.fakes.flow import LIMITS, Setting, World
from tests.fakes.virtual import virtually

NOON = 1_800_000_000.0 - 1_800_000_000 % 86400 + 3 * 3600
"""In Japan."""
TODAY = day_of(NOON)


class Store:
    """Writes when told to."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, int, list[bytes], bool]] = []
        self.futures: list[asyncio.Future[None]] = []
        self.known = False
        self.failing = False

    def note(
        self, sender: str, day: int, identities: Sequence[bytes], *, mail_order: bool
    ) -> asyncio.Future[None] | None:
        if self.failing:
            raise LedgerFailed("disk")
        self.notes.append((sender, day, list(identities), mail_order))
        if self.known:
            return None
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


def recipients(category: str, *names: str, sender: str = "shop") -> list[Recipient]:
    batch = Batch(1, sender, category, "", "m", 1, Priority.BULK, 0.0, 0, 1 << 40)
    return [Recipient(n, batch, f"{name}@x.jp", {}, who=name.encode()) for n, name in enumerate(names)]


def noting(test: Callable[[Store, LastSent], Awaitable[None]]) -> None:
    async def main() -> None:
        store = Store()
        await test(store, LastSent(store, wall=lambda: 0.0))

    virtually(main())


@pytest.mark.parametrize("category", ["TX", "NP"])
def test_what_is_no_advertisement_waits_for_nothing_and_is_good_for_ever(category: str) -> None:
    async def test(store: Store, sent: LastSent) -> None:
        assert sent.note(recipients(category, "a"), NOON, urgent=True) == (None, math.inf)
        assert store.notes == []

    noting(test)


@pytest.mark.parametrize("category", ["AD", "AD_MO", "TX_AD", "OTHER_AD", "FREE_AD", "CONFIRM"])
def test_every_advertisement_is_noted_and_mail_order_as_such(category: str) -> None:
    async def test(store: Store, sent: LastSent) -> None:
        synced, _ = sent.note(recipients(category, "a", "b"), NOON, urgent=True)
        assert store.notes == [("shop", TODAY, [b"a", b"b"], category == "AD_MO")]
        assert synced is not None
        assert not synced.done()
        store.futures[0].set_result(None)
        await asyncio.sleep(0)
        assert synced.done()

    noting(test)


def test_a_mixed_sheet_waits_for_every_sender_and_kind() -> None:
    async def test(store: Store, sent: LastSent) -> None:
        sheet = [
            *recipients("AD", "a"), *recipients("TX", "b"), *recipients("AD_MO", "c"), *recipients("AD", "d", sender="z"),
        ]  # fmt: skip
        synced, _ = sent.note(sheet, NOON, urgent=True)
        assert synced is not None
        assert [note[2] for note in store.notes] == [[b"a"], [b"c"], [b"d"]]
        for future in store.futures:
            await asyncio.sleep(0)
            assert not synced.done()
            future.set_result(None)
        await asyncio.sleep(0)
        assert synced.done()

    noting(test)


def test_sheets_share_a_write_for_a_moment_and_enough_of_them_do_not_wait() -> None:
    async def test(store: Store, sent: LastSent) -> None:
        first, _ = sent.note(recipients("AD", "a"), NOON, urgent=False)
        second, _ = sent.note(recipients("AD", "b"), NOON, urgent=False)
        assert first is second
        assert store.notes == []
        await asyncio.sleep(PATIENCE + 0.001)
        assert store.notes == [("shop", TODAY, [b"a", b"b"], False)]
        sent.note(recipients("AD", *(f"n{n}" for n in range(ENOUGH))), NOON, urgent=False)
        assert len(store.notes) == 2
        await asyncio.sleep(1)
        assert len(store.notes) == 2

    noting(test)


def test_what_is_on_disk_already_is_done_at_once() -> None:
    async def test(store: Store, sent: LastSent) -> None:
        store.known = True
        synced, _ = sent.note(recipients("AD", "a"), NOON, urgent=True)
        assert synced is not None
        assert synced.done()

    noting(test)


def test_a_failed_store_fails_everybody() -> None:
    async def test(store: Store, sent: LastSent) -> None:
        first, _ = sent.note([*recipients("AD", "a"), *recipients("AD_MO", "b")], NOON, urgent=True)
        assert first is not None
        for future in store.futures:
            future.set_exception(LedgerFailed("disk"))
        store.failing = True
        second, _ = sent.note(recipients("AD", "c"), NOON, urgent=True)
        assert second is not None
        for synced in (first, second):
            with pytest.raises(LedgerFailed):
                await synced

    noting(test)


@pytest.mark.parametrize("before_midnight", [7200.0, AHEAD_SECONDS + 1, AHEAD_SECONDS, 1000.0, 1.0, 0.0, -1.0])
def test_the_day_noted_covers_every_moment_until_which_the_letter_is_good(before_midnight: float) -> None:
    async def test(store: Store, sent: LastSent) -> None:
        now = begins(TODAY + 1) - before_midnight
        _, good_until = sent.note(recipients("AD", "a"), now, urgent=True)
        noted = store.notes[0][1]
        assert noted == TODAY + (before_midnight <= AHEAD_SECONDS)
        assert good_until > now
        assert day_of(good_until + ON_THE_WIRE_SECONDS - 0.001) == noted

    noting(test)


@pytest.mark.parametrize("behind", [-3600.0, 0.0, 3600.0, 7200.0, 30 * 86400.0])
def test_a_clock_that_stayed_behind_the_walls_understates_no_day(behind: float) -> None:
    """A machine that was suspended: the engine's clock has not seen the time go by."""

    async def main() -> None:
        store = Store()
        now = begins(TODAY + 1) - 5400.0
        _, good_until = LastSent(store, wall=lambda: now + behind).note(recipients("AD", "a"), now, urgent=True)
        noted = store.notes[0][1]
        ahead = max(0.0, behind)
        assert noted >= day_of(now + ahead)
        assert now < good_until
        assert day_of(good_until + ahead + ON_THE_WIRE_SECONDS - 0.001) == noted

    virtually(main())


def test_letters_that_a_midnight_overtakes_are_noted_and_made_again() -> None:
    """At one message in two minutes the letters made ahead wait for an hour."""

    async def main() -> None:
        midnight = begins(TODAY + 1)
        limits = replace(LIMITS, max_message_rate=Rate(1, 120, 1))
        world = World(Setting(limits, begins=midnight - AHEAD_SECONDS - 60))
        world.start()
        seen: dict[str, tuple[float, int]] = {}
        site = world.site("d1")
        receive = site.receive

        def watched(recipient: bytes, message: bytes, *, answered: bool) -> None:
            name = recipient.decode()
            seen[name] = world.clock(), world.sent.noted["shop", False, recipient]
            receive(recipient, message, answered=answered)

        site.receive = watched  # type: ignore[method-assign]
        await world.submit([f"r{n}@d1.example" for n in range(40)], category="AD")
        while world.open:
            await asyncio.sleep(60)
        world.check()
        assert world.outcome(Outcome.DELIVERED) == 40
        times = list(seen.values())
        assert [at for at, noted in times if noted < day_of(at)] == []
        assert min(noted for _, noted in times) == TODAY, "the first were noted for their own day"
        assert max(at for at, _ in times) > midnight
        await world.end()

    virtually(main())


def test_nothing_is_sent_and_nobody_deferred_once_the_store_has_failed() -> None:
    async def main() -> None:
        world = World()
        world.start()
        world.sent.failing = LedgerFailed("disk")
        await world.submit(["a@d1.example"], category="AD")
        await asyncio.sleep(3600)
        assert (world.site("d1").received, world.open, world.counts.deferrals) == ([], 1, 0)
        await world.end()

    virtually(main())
