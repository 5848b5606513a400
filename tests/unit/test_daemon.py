"""The daemon's own rules: the first fault counts, a task that ends with an error stops it, noise of the wire does not.

Signals, exit codes and start-up faults are tested with real processes (tests/integration).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from engine.daemon import Daemon
from engine.spool.port import SpoolFailed


def daemon() -> Daemon:
    return Daemon(None)  # type: ignore[arg-type]


def test_the_first_fault_is_the_one_that_is_told() -> None:
    async def main() -> None:
        made = daemon()
        assert made._healthy() == ""
        made.fail(SpoolFailed("disk"))
        made.fail(RuntimeError("a consequence"))
        assert made._healthy() == "stopped by a fault: disk"
        assert made._stopping.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("ends", ["error", "quietly", "cancelled"])
def test_only_an_error_of_a_part_stops_everything(ends: str) -> None:
    async def part() -> None:
        if ends == "error":
            raise RuntimeError("bug")
        if ends == "cancelled":
            await asyncio.sleep(1000)

    async def main() -> None:
        made = daemon()
        made._spawn("part", part())
        (task,) = made._tasks
        await asyncio.sleep(0)
        if ends == "cancelled":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        assert made._tasks == set()
        assert made._stopping.is_set() == (ends == "error")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("context", "stops"),
    [
        ({"message": "socket.send() raised", "exception": ConnectionResetError()}, False),
        ({"message": "only words"}, False),
        ({"message": "in a callback", "exception": AssertionError("our bug")}, True),
    ],
)
def test_the_wire_is_noise_and_our_own_bug_is_the_end(context: dict[str, Any], stops: bool, caplog) -> None:
    async def main() -> None:
        made = daemon()
        with caplog.at_level(logging.ERROR):
            made._loop_failed(asyncio.get_running_loop(), context)
        assert made._stopping.is_set() == stops
        assert context["message"] in caplog.text

    asyncio.run(main())


def test_a_fault_while_it_stops_is_told_too() -> None:
    class Engine:
        async def stop(self) -> None:
            raise SpoolFailed("the disk went while we stopped")

    async def main() -> None:
        made = daemon()
        await made._stop(Engine())  # type: ignore[arg-type]
        assert made._healthy() == "stopped by a fault: the disk went while we stopped"

    asyncio.run(main())


@pytest.mark.parametrize("is_fault", [True, False])
def test_after_a_fault_nothing_leaves_while_the_parts_are_freed(is_fault: bool) -> None:
    told: list[str] = []

    class Engine:
        def halt(self) -> None:
            told.append("halt")

        async def last_words(self) -> None:
            told.append("last words")

    async def part() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            told.append("part ended")

    async def main() -> None:
        made = daemon()
        made._spawn("part", part())
        await asyncio.sleep(0)
        if is_fault:
            made.fail(SpoolFailed("disk"))
        await made._end_tasks(Engine())  # type: ignore[arg-type]

    asyncio.run(main())
    assert told == (["halt", "part ended", "last words"] if is_fault else ["part ended"])


def test_the_first_signal_asks_to_stop() -> None:
    async def main() -> None:
        made = daemon()
        made._signalled()
        assert made._stopping.is_set()
        assert made._healthy() == ""

    asyncio.run(main())
