"""Letters: both halves of a sheet, one bad recipient among good ones, room, and what a broken half does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from engine.flow.letters import MOST_UNDER_WAY, Letter, UnknownSender
from engine.mail.envelope import Batch, Priority, Recipient
from engine.mail.message import decode_message, encode
from engine.signer.client import SignerFailed
from tests.fakes.flow import CONTENT, World
from tests.fakes.virtual import virtually


class Sheets:
    """What came of the writes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.letters: list[Letter] = []
        self.failed: list[tuple[list[int], BaseException]] = []

    def write(self, recipients: Sequence[Recipient]) -> None:
        self.world.letters.write(recipients, self.letters.extend, self._failed)

    def _failed(self, recipients: Sequence[Recipient], error: BaseException) -> None:
        self.failed.append(([recipient.id for recipient in recipients], error))

    @property
    def ids(self) -> list[int]:
        return [letter.recipient.id for letter in self.letters]


def writing(test: Callable[[World, Sheets], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        await test(world, Sheets(world))

    virtually(main())


async def batch(world: World, sender: str = "shop", priority: Priority = Priority.BULK) -> Batch:
    sha = await world.core.put_message(encode(decode_message({**CONTENT, "text": "Dear {{name}}\n"})))
    number = await world.core.message_number(sha)
    assert number is not None
    made = Batch(1, sender, "TX", "", "m", number, priority, 0.0, 0, 1 << 40)
    if sender == "shop":
        await world.letters.load(made)
    return made


def recipients(of: Batch, *names: str | None) -> list[Recipient]:
    return [
        Recipient(number, of, f"r{number}@d.example", {} if name is None else {"name": name})
        for number, name in enumerate(names, 1)
    ]


def test_a_letter_leaves_when_it_is_signed_and_its_intent_is_on_disk() -> None:
    async def test(world: World, sheets: Sheets) -> None:
        world.signer.hold = []
        sheets.write(recipients(await batch(world), "Neko", "Inu"))
        await asyncio.sleep(1)
        assert (world.core._intents, sheets.letters) == ({1, 2}, [])
        world.signer.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sheets.ids == [1, 2]
        assert sheets.letters[0].payload != sheets.letters[1].payload
        assert b"DKIM-Signature:" in sheets.letters[1].payload
        assert sheets.letters[0].envelope_from != sheets.letters[1].envelope_from

    writing(test)


def test_one_that_cannot_be_composed_fails_alone() -> None:
    async def test(world: World, sheets: Sheets) -> None:
        sheets.write(recipients(await batch(world), "a", None, "c"))
        await asyncio.sleep(1)
        assert sorted(sheets.ids) == [1, 3]
        assert [ids for ids, _ in sheets.failed] == [[2]]
        assert world.letters.room(lambda: None)
        assert world.letters._under_way == 0

    writing(test)


@pytest.mark.parametrize("half", ["signer", "spool", "cancelled"])
def test_a_broken_half_fails_the_sheet_once(half: str) -> None:
    async def test(world: World, sheets: Sheets) -> None:
        taken = recipients(await batch(world), "a", "b")
        world.signer.hold = []
        if half == "spool":
            world.core.fail("gone")
        sheets.write(taken)
        ((signatures, _),) = world.signer.hold
        if half == "signer":
            signatures.set_exception(SignerFailed("gone"))
        elif half == "cancelled":
            signatures.cancel()
        await asyncio.sleep(1)
        if half == "spool":
            world.signer.release()
        await asyncio.sleep(1)
        # With the spool lost, or on the way down, there is nobody to defer to.
        assert [(ids, type(error)) for ids, error in sheets.failed] == (
            [([1, 2], SignerFailed)] if half == "signer" else []
        )
        assert (sheets.letters, world.letters._under_way) == ([], 0)

    writing(test)


def test_a_sheet_that_fails_does_so_only_when_its_intent_is_on_disk() -> None:
    """Deferred before, its recipients would leave an intent behind that nobody ends: a false doubt at the next start."""

    async def test(world: World, sheets: Sheets) -> None:
        world.signer.hold = []
        sheets.write(recipients(await batch(world), "a"))
        ((signatures, _),) = world.signer.hold
        signatures.set_exception(SignerFailed("gone"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (world.core._intents, sheets.failed) == (set(), [])
        await asyncio.sleep(1)
        assert world.core._intents == {1}
        assert [ids for ids, _ in sheets.failed] == [[1]]

    writing(test)


def test_who_finds_no_room_is_called_once_in_turn() -> None:
    async def test(world: World, sheets: Sheets) -> None:
        taken = recipients(await batch(world), *["x"] * MOST_UNDER_WAY)
        world.signer.hold = []
        sheets.write(taken)
        called: list[str] = []
        assert not world.letters.room(lambda: called.append("first"))
        assert not world.letters.room(lambda: called.append("second"))
        await asyncio.sleep(1)
        assert called == []
        world.signer.release()
        await asyncio.sleep(1)
        assert called == ["first", "second"]
        assert world.letters.room(lambda: called.append("never"))

    writing(test)


def test_transactional_sheets_say_so_to_the_signer() -> None:
    async def test(world: World, sheets: Sheets) -> None:
        sheets.write(recipients(await batch(world, priority=Priority.TRANSACTIONAL), "a"))
        sheets.write(recipients(await batch(world), "a"))
        assert world.signer.urgent == [True, False]
        await asyncio.sleep(1)

    writing(test)


def test_content_is_compiled_once_for_all_batches_that_name_it() -> None:
    async def test(world: World, _sheets: Sheets) -> None:
        first, second = await batch(world), await batch(world)
        assert first.compiled is second.compiled

    writing(test)


def test_a_sender_that_is_not_configured_any_more_is_named() -> None:
    async def test(world: World, _sheets: Sheets) -> None:
        with pytest.raises(UnknownSender, match=r"senders\.gone"):
            await world.letters.load(await batch(world, "gone"))

    writing(test)
