"""Retention as the engine does it: once a day, in its own thread, ended by a stop; and what its requests answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.flow.retention import BELIEVED_AFTER, LEAP_DAYS, Retention, is_believed
from engine.request import Forget, Purge
from engine.request import Retention as Show
from engine.wire import Refusal
from suppression import Consent, LedgerFailed, OptOut, Scope, Suppression, SuppressionSettings
from suppression.day import begins, day_of
from suppression.keeping import RetentionSettings
from suppression.sent import SentStore

DAY = 20_500
NOON = begins(DAY) + 12 * 3600


@dataclass
class Queue:
    addresses: list[str] = field(default_factory=list)
    asked: list[Sequence[str]] = field(default_factory=list)

    async def queued(self, wanted: Sequence[str]) -> list[str]:
        self.asked.append(wanted)
        return self.addresses


@dataclass
class Rig:
    retention: Retention
    suppression: Suppression
    sent: SentStore
    queue: Queue
    now: list[float]


def with_retention(folder: Path, test: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        now = [NOON]
        settings = SuppressionSettings(folder / "ledger", folder / "secret")
        suppression = Suppression.open(settings, lambda: now[0])
        sent = SentStore(settings.folder)
        queue = Queue()
        retention = Retention(
            RetentionSettings(), settings.folder, suppression=suppression, sent=sent, queue=queue, clock=lambda: now[0]
        )
        try:
            await test(Rig(retention, suppression, sent, queue, now))
        finally:
            await retention.close()
            await asyncio.to_thread(sent.close)
            suppression.close()

    asyncio.run(main())


async def looked(rig: Rig) -> None:
    """Whoever runs has looked at the day and, if one was due, made its pass, which is on disk. No clock is asked: the
    retention's thread does one thing after the other, and so does the store's.
    """
    for _ in range(2):
        await asyncio.sleep(0)
        await rig.retention._work(lambda: None)
    await asyncio.wrap_future(rig.sent.run(lambda _: None))


class Full:
    """A last-sent store whose disk is full when something is to be written."""

    def __init__(self, sent: SentStore) -> None:
        self.read = sent.read

    def run(self, _work: object) -> Future[None]:
        answer: Future[None] = Future()
        answer.set_exception(LedgerFailed("disk full"))
        return answer


def test_a_day_that_could_not_be_stored_is_told(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        rig.retention._sent = Full(rig.sent)  # type: ignore[assignment]
        with pytest.raises(LedgerFailed, match="disk full"):
            await asyncio.wait_for(rig.retention.run(), 10)
        assert rig.retention.counts.passes == 1

    with_retention(tmp_path, test)


def refused(rig: Rig, address: str, days_ago: int = 100) -> None:
    at = NOON - days_ago * 86400
    rig.suppression.apply_now(
        [
            Consent(address, at - 1, "web", "shop", evidence="form"),
            OptOut(address, at, "web", Scope.SENDER, "shop"),
        ]
    )


def test_it_passes_once_a_day_from_the_hour_on(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        refused(rig, "a@x.jp")
        rig.now[0] = begins(DAY) + 3 * 3600
        for _ in range(2):  # again after a restart
            running = asyncio.create_task(rig.retention.run())
            await looked(rig)
            assert (rig.retention.counts.passes, rig.retention.counts.purged) == (1, 1)
            running.cancel()
        rig.now[0] = begins(DAY) + 4 * 3600
        running = asyncio.create_task(rig.retention.run())
        await looked(rig)
        assert rig.retention.counts.passes == 2
        running.cancel()

    with_retention(tmp_path, test)


def test_a_clock_that_leapt_far_ahead_deletes_nothing_for_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(rig: Rig) -> None:
        refused(rig, "a@x.jp")
        rig.now[0] = begins(DAY) + 3 * 3600
        told = ("INSERT INTO meta VALUES ('pass', ?)", (DAY - LEAP_DAYS - 2,))
        await asyncio.wrap_future(rig.sent.run(lambda database: database.execute(*told).get))
        running = asyncio.create_task(rig.retention.run())
        await looked(rig)
        running.cancel()
        assert rig.retention.counts.passes == 0
        assert "41 days ago" in caplog.text, "the day begins at four"

    with_retention(tmp_path, test)


@pytest.mark.parametrize(
    ("last", "seconds_up", "believed"),
    [
        (0, 0.0, True),
        (DAY - 1, 0.0, True),
        (DAY - LEAP_DAYS, 0.0, True),
        (DAY - LEAP_DAYS - 1, 0.0, False),
        (DAY - LEAP_DAYS - 1, BELIEVED_AFTER - 1, False),
        (DAY - LEAP_DAYS - 1, BELIEVED_AFTER, True),
        (DAY + 400, 0.0, True),
    ],
)
def test_when_a_clock_is_believed(last: int, seconds_up: float, believed: bool) -> None:
    assert is_believed(DAY, last, seconds_up) is believed


def test_a_stop_ends_a_pass_and_refuses_requests(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        refused(rig, "a@x.jp")
        rig.retention._stopping.set()
        with pytest.raises(Refusal, match="ask again when it is back"):
            await rig.retention.purge(Purge(id=1, dry_run=False))
        running = asyncio.create_task(rig.retention.run())
        await looked(rig)
        assert rig.retention.counts.passes == 0
        running.cancel()
        await rig.retention.close()
        with pytest.raises(Refusal, match="ask again when it is back"):
            await rig.retention.show(Show(id=1, address="a@x.jp", sender="shop"))

    with_retention(tmp_path, test)


def test_the_queue_is_asked_in_any_spelling(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        for address in ("a..b@docomo.ne.jp", "user@日本語.jp", "Free@x.jp"):
            refused(rig, address)
        rig.queue.addresses = ['"a..b"@docomo.ne.jp', "user@xn--wgv71a119e.jp", "ünknown@y.jp"]
        answer = await rig.retention.purge(Purge(id=1, dry_run=False))
        assert (answer["purged"], answer["kept"], answer["texts"]) == (1, {"QUEUED": 2}, 0)
        assert sorted(rig.queue.asked[0]) == ["a..b@docomo.ne.jp", "free@x.jp", "user@xn--wgv71a119e.jp"]

    with_retention(tmp_path, test)


def test_forget_answers_before_the_texts_are_looked_for(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        refused(rig, "a@x.jp")
        answer = await rig.retention.forget(Forget(id=1, address="A@x.jp"))
        assert answer == {"events": 2, "erased": 2, "kept": []}
        refused(rig, "b@x.jp", 1)
        answer = await rig.retention.forget(Forget(id=2, address="b@x.jp"))
        assert answer["erased"] == 1
        (kept,) = answer["kept"]  # type: ignore[misc]
        assert (kept[0], kept[2]) == ("shop", "UNSENT")  # type: ignore[has-type]
        with pytest.raises(Refusal, match="cannot be an address"):
            await rig.retention.forget(Forget(id=3, address="nonsense"))

    with_retention(tmp_path, test)


def test_show_tells_the_days_and_every_reason(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        refused(rig, "a@x.jp")
        future = rig.sent.note("shop", day_of(NOON), rig.suppression.identify(["a@x.jp"]), mail_order=False)
        assert future is not None
        await future
        told = await rig.retention.show(Show(id=1, address="A@x.jp", sender="shop"))
        assert (told["last_sent"], told["last_mail_order"], told["today"]) == ("2026-02-16", None, "2026-02-16")
        (record,) = told["records"]  # type: ignore[misc]
        assert record["keep_until"] == "2026-03-22"  # type: ignore[has-type]
        assert record["reasons"] == [["MONTH", "2026-02-16", "2026-03-15", None]]  # type: ignore[has-type]
        assert (await rig.retention.show(Show(id=1, address="A@x.jp", sender="other")))["records"] == []

    with_retention(tmp_path, test)
