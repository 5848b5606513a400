"""engine/client.py against the real door over a real socket, on both event loops."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from engine.client import AsyncClient, Client, EngineError, Terms, Unreachable
from engine.flow.door import Door, DoorSettings
from engine.spool.port import SpoolFailed
from tests.fakes.accepting import MESSAGE, PLAIN, open_door, served, until

TERMS = Terms(sender="shop", category="AD", mailing="m1", message=MESSAGE)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    if request.param == "asyncio":
        return asyncio.run
    return uvloop.run


def test_what_is_submitted_is_in_the_spool_with_its_fields(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        behind = served()
        async with open_door(tmp_path, behind), AsyncClient(str(tmp_path / "s.sock")) as client:
            told = await client.submit(
                [("a@Example.jp", {"name": "山田"}), ("b@x.example", {"name": 7})], TERMS, key="k"
            )
            assert (told.accepted, told.first, told.refused, told.repeated) == (2, 1 << 48, (), False)
            again = await client.submit(
                [("a@Example.jp", {"name": "山田"}), ("b@x.example", {"name": 7})], TERMS, key="k"
            )
            assert (again.accepted, again.first, again.repeated) == (2, 1 << 48, True)
        (submission,) = behind.spool.submissions.values()
        assert [(r.index, r.address, r.domain, r.fields) for r in submission.recipients] == [
            (0, "a@example.jp", "example.jp", {"name": "山田"}),
            (1, "b@x.example", "x.example", {"name": "7"}),
        ]

    run(scenario())


def test_a_large_mailing_goes_in_submits_of_ten_thousand_and_its_refused_keep_their_place(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        behind = served()
        recipients = ((f"u{n}@x.example" if n != 10_500 else "nobody", {"name": str(n)}) for n in range(25_000))
        async with open_door(tmp_path, behind), AsyncClient(str(tmp_path / "s.sock")) as client:
            told = [s async for s in client.submit_many(recipients, TERMS, key="mailing")]
        assert [(s.offset, s.count, s.accepted) for s in told] == [
            (0, 10_000, 10_000),
            (10_000, 10_000, 9_999),
            (20_000, 5_000, 5_000),
        ]
        assert [(r.index, r.code) for s in told for r in s.refused] == [(10_500, "bad_address")]
        assert behind.spool.accepted() == 24_999
        assert len(behind.spool.contents) == 1

    run(scenario())


def test_what_had_no_answer_is_sent_again_by_its_key_after_the_engine_came_back(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(open_door(tmp_path, behind))
            client = await stack.enter_async_context(AsyncClient(str(tmp_path / "s.sock")))
            submitting = asyncio.create_task(client.submit(["a@x.example"], replace(TERMS, message=PLAIN), key="k"))
            await until(lambda: first.counts.requests)
            for connection in list(first.connections):
                connection.abort()
            await first.close(patience=0)
            behind.spool.synced.set()
            await stack.enter_async_context(open_door(tmp_path, behind))
            told = await submitting
        assert told.accepted == 1
        assert behind.spool.accepted() == 1

    run(scenario())


def test_a_refused_request_says_which_field_and_the_connection_goes_on(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        async with open_door(tmp_path, served()), AsyncClient(str(tmp_path / "s.sock")) as client:
            with pytest.raises(EngineError) as caught:
                await client.submit(["a@x.example"], replace(TERMS, sender="nobody"))
            assert (caught.value.code, caught.value.field, caught.value.value) == ("unknown_sender", "sender", "nobody")
            assert (await client.ping())["ok"]

    run(scenario())


def test_without_credit_the_client_waits_and_sends_the_same_again(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.engine.room = 0
        async with open_door(tmp_path, behind), AsyncClient(str(tmp_path / "s.sock")) as client:
            submitting = asyncio.create_task(client.submit(["a@x.example"], replace(TERMS, message=PLAIN)))
            await until(lambda: behind.accept.counts.submits_refused)
            behind.engine.room = 10
            assert (await submitting).credit == 10

    run(scenario())


def test_patience_ends_with_the_engines_own_words_or_unreachable(tmp_path: Path) -> None:
    async def scenario() -> None:
        behind = served()
        behind.engine.draining = True
        async with AsyncExitStack() as stack:
            door = await stack.enter_async_context(open_door(tmp_path, behind))
            client = await stack.enter_async_context(AsyncClient(str(tmp_path / "s.sock"), patience=0.0))
            with pytest.raises(EngineError, match="draining"):
                await client.submit(["a@x.example"], replace(TERMS, message=PLAIN))
            await door.close(patience=0)
            with pytest.raises(Unreachable):
                await client.ping()

    asyncio.run(scenario())


def test_a_failed_disk_is_asked_again_and_when_patience_ends_its_reason_is_the_error(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.failing = SpoolFailed("Input/output error")
        path = str(tmp_path / "s.sock")
        async with open_door(tmp_path, behind), AsyncClient(path) as client, AsyncClient(path, patience=0.3) as hasty:
            submitting = asyncio.create_task(client.submit(["a@x.example"], replace(TERMS, message=PLAIN)))
            giving_up = asyncio.create_task(hasty.submit(["b@x.example"], replace(TERMS, message=PLAIN)))
            while not giving_up.done():
                assert (await hasty.ping())["ok"], "others are answered meanwhile"
                await asyncio.sleep(0.02)
            with pytest.raises(EngineError, match=r"unavailable: the spool's disk failed and the engine stops"):
                await giving_up
            assert not submitting.done()
            behind.spool.failing = None
            assert (await submitting).accepted == 1
        assert behind.spool.accepted() == 1

    run(scenario())


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"none\.sock"), Client(str(tmp_path / "none.sock")):
        pass


def test_the_blocking_client_does_the_same(tmp_path: Path) -> None:
    behind, stop = served(), threading.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with open_door(tmp_path, behind):
            ready.set()
            await asyncio.to_thread(stop.wait)

    # as the engine: asyncio's own server of 3.11 loses a socket that was accepted just before it closes
    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    try:
        ready.wait()
        with Client(str(tmp_path / "s.sock")) as client:
            stored = client.put_message(MESSAGE)
            assert stored.fields == ("name",)
            terms = replace(TERMS, message=stored.message)
            assert client.submit([("a@x.example", {"name": "A"})], terms).accepted == 1
            many = client.submit_many([("b@x.example", {"name": None}), ("c@x.example", {"name": 3})], terms, key="m")
            assert [s.accepted for s in many] == [2]
            assert client.status("shop")["mailings"][0]["accepted"] == 3
            assert client.cancel("shop", "m1", "a@x.example")["cancelled"] == 1
            assert client.cancel("shop", "m1")["batches"] == 2
            assert client.suppress("a@x.example", "shop", "news")["epoch"] == 1
            assert client.consent("shop", [{"address": "a@x.example", "at": 1, "source": "web"}])["recorded"] == 1
            assert client.ping()["credit"] == 1_000_000
    finally:
        stop.set()
        thread.join()
    assert behind.ledger.opt_outs[0][:4] == ("a@x.example", "shop", "news", "client")


def test_a_client_that_was_idle_while_the_engine_restarted_goes_on(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(open_door(tmp_path, served()))
            client = await stack.enter_async_context(AsyncClient(str(tmp_path / "s.sock"), patience=5.0))
            assert (await client.ping())["ok"]
            client._exchange.heard_at -= 1000
            await first.close()
            await stack.enter_async_context(open_door(tmp_path, served()))
            assert (await client.ping())["ok"]

    run(scenario())


def test_a_client_that_found_the_door_crowded_comes_again(tmp_path: Path, run) -> None:
    async def scenario() -> None:
        async with open_door(tmp_path, served(), connections=1) as door, AsyncExitStack() as stack:
            path = str(tmp_path / "s.sock")
            async with AsyncClient(path) as first:
                assert (await first.ping())["ok"]
                second = await stack.enter_async_context(AsyncClient(path))
                pinging = asyncio.create_task(second.ping())
                await until(lambda: door.counts.connections_refused)
                assert not pinging.done()
            assert (await pinging)["ok"]

    run(scenario())


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_door(tmp_path, served()), AsyncClient(str(tmp_path / "s.sock")) as client:
            await client.ping()
            await client.close()
            with pytest.raises(Unreachable, match="is closed"):
                await client.ping()

    asyncio.run(scenario())


def test_a_client_that_is_not_admitted_is_told_why(tmp_path: Path) -> None:
    class Closed(Door):
        def admits(self, uid: int, gids: frozenset[int]) -> bool:
            return False

    async def scenario() -> None:
        tmp_path.joinpath("d").mkdir(mode=0o750)
        door = Closed(DoorSettings(tmp_path / "d" / "s.sock"), served().requests.answer)
        await door.start()
        async with AsyncClient(str(tmp_path / "d" / "s.sock")) as client:
            for _ in range(2):
                with pytest.raises(EngineError, match="may not use this socket"):
                    await client.ping()
        # the blocking client hears it before it has asked anything
        assert "may not use this socket" in await asyncio.to_thread(blocking_ping)
        await door.close()

    def blocking_ping() -> str:
        with Client(str(tmp_path / "d" / "s.sock")) as client, pytest.raises(EngineError) as told:
            client.ping()
        return str(told.value)

    asyncio.run(scenario())
