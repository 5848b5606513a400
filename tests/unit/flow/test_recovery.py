"""After a crash: what the journal proves is settled and not sent again, the rest is in doubt and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.flow.recovery import SEGMENTS_READ, recover
from engine.flow.report import record_of
from engine.journal import Journal, JournalSettings, Record, Response, segments
from engine.mail.envelope import Batch, Priority, Recipient
from engine.spool.port import Deferred, Outcome, Settled

BATCH = Batch(1, "shop", "TX", "", "m", 1, Priority.BULK, 0.0, 0, 1 << 40)


def recipient(number: int) -> Recipient:
    return Recipient(number, BATCH, f"r{number}@d.example", {})


class Spool:
    def __init__(self, *doubtful: int) -> None:
        self._doubtful = [recipient(number) for number in doubtful]
        self.settled: dict[int, Outcome] = {}
        self.gone: list[tuple[str, str]] = []

    async def hard_bounced(self, bounced: Sequence[tuple[Recipient, str]]) -> None:
        assert not self.settled, "the ledger hears it before the spool forgets the recipient"
        self.gone += [(recipient.address, reason) for recipient, reason in bounced]

    async def doubtful(self) -> list[Recipient]:
        return self._doubtful

    async def settle(self, changes: Sequence[Settled | Deferred]) -> None:
        for change in changes:
            assert isinstance(change, Settled)
            self.settled[change.recipient.id] = change.outcome


def journal(folder: Path, *runs: dict[int, str]) -> None:
    """A segment of each run: recipient -> record type."""

    async def write() -> None:
        for run in runs:
            made = Journal(JournalSettings(folder))
            await made.append([record_of(kind, recipient(number), now=1.0, node="n0") for number, kind in run.items()])
            await made.close()

    asyncio.run(write())


def recovered(spool: Spool, folder: Path) -> int:
    return asyncio.run(recover(spool, folder, spool.hard_bounced))  # type: ignore[arg-type]


def test_what_the_journal_proves_is_not_sent_again(tmp_path: Path) -> None:
    ends = {1: "Delivery", 2: "Bounce", 3: "Expiration", 4: "Suppressed", 5: "Cancelled", 6: "TransientFailure"}
    journal(tmp_path, ends)
    spool = Spool(1, 2, 3, 4, 5, 6, 7)
    assert recovered(spool, tmp_path) == 2, "a failed attempt proves no end, and of 7 nothing is known"
    assert spool.settled == dict(zip((1, 2, 3, 4, 5), Outcome, strict=True))


def test_nobody_in_doubt_reads_no_journal(tmp_path: Path) -> None:
    assert recovered(Spool(), tmp_path / "missing") == 0


def test_without_a_journal_everybody_stays_in_doubt(tmp_path: Path) -> None:
    spool = Spool(1, 2)
    assert recovered(spool, tmp_path) == 2
    assert spool.settled == {}


@pytest.mark.parametrize(("later", "proved"), [(SEGMENTS_READ - 1, True), (SEGMENTS_READ, False)])
def test_only_the_newest_segments_are_read(tmp_path: Path, later: int, proved: bool) -> None:
    journal(tmp_path, {1: "Delivery"}, *({9: "Delivery"} for _ in range(later)))
    spool = Spool(1)
    assert recovered(spool, tmp_path) == (not proved)


def test_a_torn_end_proves_what_stands_before_it(tmp_path: Path) -> None:
    journal(tmp_path, {1: "Delivery"})
    (segment,) = segments(tmp_path)
    with segment.open("ab") as file:
        file.write(b"\x28\xb5\x2f\xfd half a frame")
    spool = Spool(1, 2)
    assert recovered(spool, tmp_path) == 1
    assert spool.settled == {1: Outcome.DELIVERED}


def bounce(number: int, bounce_class: str, command: str) -> Record:
    reply = Response(550, None, "no such user", command)
    return record_of("Bounce", recipient(number), 1.0, "n0", response=reply, bounce_class=bounce_class)


def test_the_ledger_hears_of_mailboxes_that_are_gone_though_the_crash_came_between(tmp_path: Path) -> None:
    async def write() -> None:
        made = Journal(JournalSettings(tmp_path))
        await made.append(
            [bounce(1, "unknown_user", "RCPT TO"), bounce(2, "unknown_user", "MAIL FROM"), bounce(3, "policy", ".")]
        )
        await made.close()

    asyncio.run(write())
    spool = Spool(1, 2, 3)
    assert recovered(spool, tmp_path) == 0
    assert spool.gone == [("r1@d.example", "unknown_user")]
    assert set(spool.settled.values()) == {Outcome.BOUNCED}


def test_others_of_the_journal_are_passed_over(tmp_path: Path) -> None:
    journal(tmp_path, {8: "Delivery", 9: "Bounce"})
    spool = Spool(1)
    assert recovered(spool, tmp_path) == 1
    assert spool.settled == {}
