"""The door over real sockets: admission, limits, order, and what a client can do to it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgpack
import pytest
import uvloop

from engine import wire
from engine.flow import door as module
from engine.flow.budget import Budget
from engine.flow.door import Door, DoorSettings
from engine.flow.socketfile import SocketError, bind_socket, peer_credentials, unlink_own
from tests.fakes.accepting import PLAIN, open_door, served, until

LARGE = 100_000


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o750)
    return tmp_path


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(folder / "s.sock")
    try:
        yield reader, writer
    finally:
        writer.close()


def framed(**request: Any) -> bytes:
    return wire.frame(msgpack.packb(request))


def put(number: int, size: int = 10) -> bytes:
    return framed(type="put_message", id=number, message={"subject": "s", "text": "x" * size})


async def answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    async with asyncio.timeout(5):
        return msgpack.unpackb(await reader.readexactly(int.from_bytes(await reader.readexactly(4))))


def test_answers_come_when_they_are_ready_and_a_submit_waits_for_the_put_before_it(folder, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with open_door(folder, behind), connected(folder) as (reader, writer):
            writer.write(framed(type="put_message", id=1, message=PLAIN))
            content, _ = behind.accept._reading.message(wire.Message(**PLAIN))
            name = hashlib.sha256(content).digest()
            shared = {"key": "k", "sender": "shop", "category": "AD", "mailing": "m"}
            writer.write(framed(type="submit", id=2, message=name, recipients=[["a@x.example", {}]], **shared))
            writer.write(framed(type="ping", id=3))
            assert (await answer(reader))["id"] == 3
            behind.spool.synced.set()
            told = [await answer(reader), await answer(reader)]
            assert [(t["id"], t["ok"]) for t in told] == [(1, True), (2, True)]

    run(scenario())


def test_bad_frames_are_answered_and_a_flood_of_them_ends(folder, run) -> None:
    async def scenario() -> None:
        async with open_door(folder, served()) as door, connected(folder) as (reader, writer):
            for number in range(99):
                writer.write(framed(type="pong", id=number))
                assert (await answer(reader))["error"]["field"] == "type"
            writer.write(framed(type="ping", id=1))
            assert (await answer(reader))["ok"]
            writer.write(framed(type="pong", id=0) * 100)
            codes = [(await answer(reader))["error"]["code"] for _ in range(101)]
            assert codes == ["bad_request"] * 100 + ["flood"]
            assert await reader.read() == b""
            assert door.counts.bad_frames == 199

    run(scenario())


def test_a_length_over_the_limit_ends_the_connection_after_the_answers_before_it(folder, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with open_door(folder, behind, frame_limit=1000), connected(folder) as (reader, writer):
            writer.write(put(1) + (1001).to_bytes(4))
            told = await answer(reader)
            assert (told["id"], told["error"]["code"]) == (None, "frame_lost")
            behind.spool.synced.set()
            assert (await answer(reader))["id"] == 1
            assert await reader.read() == b""

    run(scenario())


def test_no_more_than_the_outstanding_requests_are_read(folder, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with open_door(folder, behind, outstanding=3) as door, connected(folder) as (reader, writer):
            writer.write(b"".join(put(number) for number in range(10)))
            await until(lambda: door.counts.requests)
            for _ in range(20):
                await asyncio.sleep(0)
            assert door.counts.requests == 3
            behind.spool.synced.set()
            assert sorted([(await answer(reader))["id"] for _ in range(10)]) == list(range(10))

    run(scenario())


def test_who_does_not_read_its_answers_is_not_read_from(folder, run) -> None:
    async def scenario() -> None:
        async with open_door(folder, served()) as door, connected(folder) as (reader, writer):
            ping, sent = framed(type="ping", id="x" * 64) * 1000, 0
            seen = -1
            while door.counts.requests != seen or not sent:
                seen = door.counts.requests
                writer.write(ping)
                sent += 1000
                for _ in range(50):
                    await asyncio.sleep(0)
            assert door.counts.requests < sent
            for _ in range(sent):
                assert (await answer(reader))["ok"]

    run(scenario())


def test_large_frames_share_one_budget_and_each_gets_its_turn(folder, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with (
            open_door(folder, behind, frame_limit=2 * LARGE, memory=2 * LARGE) as door,
            connected(folder) as first,
            connected(folder) as second,
            connected(folder) as third,
        ):
            first[1].write(put(1, LARGE))
            await until(lambda: door.counts.requests == 1)
            second[1].write(put(2, LARGE))
            third[1].write(put(3, LARGE))
            third[1].write(framed(type="ping", id=4))
            await until(lambda: len(door.budget._waiting) == 2)
            assert door.counts.requests == 1
            second[1].close()
            behind.spool.synced.set()
            assert (await answer(first[0]))["id"] == 1
            assert {(await answer(third[0]))["id"] for _ in range(2)} == {3, 4}
            await until(lambda: door.budget._free == 2 * LARGE)

    run(scenario())


def test_a_large_frame_that_does_not_end_loses_its_connection_and_its_budget(folder, monkeypatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(module, "FRAME_SECONDS", 0.01)
        async with (
            open_door(folder, served(), frame_limit=LARGE, memory=LARGE) as door,
            connected(folder) as (reader, writer),
        ):
            writer.write(LARGE.to_bytes(4) + b"x")
            assert (await answer(reader))["error"]["code"] == "frame_lost"
            assert await reader.read() == b""
            await until(lambda: door.budget._free == LARGE)

    asyncio.run(scenario())


def test_a_client_that_has_said_all_still_gets_every_answer(folder, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with open_door(folder, behind, outstanding=2) as door, connected(folder) as (reader, writer):
            writer.write(b"".join(put(number) for number in range(5)))
            writer.write_eof()
            await until(lambda: door.counts.requests)
            behind.spool.synced.set()
            assert sorted([(await answer(reader))["id"] for _ in range(5)]) == list(range(5))
            assert await reader.read() == b""

    run(scenario())


def test_a_fault_of_ours_is_answered_logged_and_ends_nothing(folder, run, caplog) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.failing = ZeroDivisionError("ours")
        async with open_door(folder, behind) as door, connected(folder) as (reader, writer):
            writer.write(put(1))
            assert (await answer(reader))["error"]["code"] == "internal"
            writer.write(framed(type="ping", id=2))
            assert (await answer(reader))["ok"]
            assert door.counts.faults == 1
        assert "a request of type PutMessage failed" in caplog.text
        assert "ZeroDivisionError: ours" in caplog.text

    run(scenario())


def test_connections_are_bounded(folder, run) -> None:
    async def scenario() -> None:
        async with open_door(folder, served(), connections=1), connected(folder) as (reader, writer):
            writer.write(framed(type="ping", id=1))
            assert (await answer(reader))["ok"]
            async with connected(folder) as (refused, _):
                assert (await answer(refused))["error"]["code"] == "too_many_connections"
                async with connected(folder) as (unheard, _):
                    with suppress(ConnectionResetError):
                        assert await unheard.read() == b""
                assert await refused.read() == b""

    run(scenario())


class Stranger(Door):
    """Nobody whom the settings name: our own user is always let in, so the test says no for it."""

    def admits(self, uid: int, gids: frozenset[int]) -> bool:
        assert (uid, os.getgid() in gids) == (os.getuid(), True)
        return False


def test_who_is_not_admitted_gets_the_reason_and_no_answer(folder, run) -> None:
    async def scenario() -> None:
        door = Stranger(DoorSettings(folder / "s.sock"), served().requests.answer)
        await door.start()
        async with connected(folder) as (reader, writer):
            writer.write(framed(type="ping", id=1))
            error = (await answer(reader))["error"]
            assert (error["code"], error["value"]) == ("forbidden", str(os.getuid()))
            assert await reader.read() == b""
        await door.close()
        assert door.counts.requests == 0

    run(scenario())


def test_users_and_groups_that_are_admitted(folder) -> None:
    door = Door(DoorSettings(folder / "s", uids=frozenset({7}), gids=frozenset({8})), served().requests.answer)
    assert door.admits(7, frozenset())
    assert door.admits(9999, frozenset({1, 8}))
    assert door.admits(0, frozenset())
    assert door.admits(os.getuid(), frozenset())
    assert not door.admits(9999, frozenset({9999}))
    with pytest.raises(ValueError, match="raise it"):
        Door(DoorSettings(folder / "s", memory=1), served().requests.answer)


def test_all_groups_of_the_peer_are_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        uid, gids = peer_credentials(ours)
    assert uid == os.getuid()
    assert {os.getgid(), *os.getgroups()} == gids


def test_closing_lets_the_outstanding_be_answered(folder, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with open_door(folder, behind) as door, connected(folder) as (reader, writer):
            writer.write(put(1))
            await until(lambda: door.counts.requests)
            closing = asyncio.create_task(door.close())
            await until(lambda: not (folder / "s.sock").exists())
            writer.write(put(2))
            behind.spool.synced.set()
            assert (await answer(reader))["id"] == 1
            assert await reader.read() == b""
            await closing

    run(scenario())


def test_a_stale_socket_is_taken_over_and_a_living_one_is_not(folder) -> None:
    path = folder / "s.sock"
    first, _ = bind_socket(path, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(SocketError, match="in use by a running process"):
        bind_socket(path, None)
    first.close()
    second, inode = bind_socket(path, os.getgid())
    second.close()
    unlink_own(path, inode + 1)
    assert path.exists()
    unlink_own(path, inode)
    unlink_own(path, inode)
    assert not path.exists()


def test_the_folder_is_made_closed_to_others_or_must_be(folder) -> None:
    bound, _ = bind_socket(folder / "new" / "s.sock", os.getgid())
    bound.close()
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o750
    (folder / "new").chmod(0o755)
    with pytest.raises(SocketError, match="mode 0755: chmod 0750"):
        bind_socket(folder / "new" / "s.sock", None)


def test_what_stands_in_the_way_is_named(folder) -> None:
    (folder / "file").write_text("")
    with pytest.raises(SocketError, match="is no socket: move it away"):
        bind_socket(folder / "file", None)
    with pytest.raises(SocketError, match="over 107 bytes"):
        bind_socket(folder / ("x" * 107), None)
    with pytest.raises(SocketError, match="cannot make socket"):
        bind_socket(folder / "file" / "folder" / "s.sock", None)


def test_a_budget_grants_in_order() -> None:
    class Waiting:
        grants = 0

        def granted(self) -> None:
            self.grants += 1

    budget, big, small = Budget(10), Waiting(), Waiting()
    assert budget.grant(small, 4)
    assert not budget.grant(big, 8)
    assert not budget.grant(small, 1)
    budget.release(1)
    assert (big.grants, small.grants) == (0, 0)
    budget.forget(big)
    assert (big.grants, small.grants) == (0, 1)
    budget.release(4)
    assert budget.grant(big, 10)
