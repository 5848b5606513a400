"""Whether a message waits for an address, asked of a real spool: portions, spellings, settled rows."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

from engine.mail.envelope import Priority
from engine.spool import queued
from engine.spool.port import Cursor, NewRecipient, Outcome, Settled, Submission
from engine.spool.sqlite import SpoolSettings, SqliteSpool, Tuning


async def submit(spool: SqliteSpool, *addresses: str) -> None:
    await spool.put_message(b"content")
    submission = Submission(
        b"key", b"", "shop", "AD", "", "m", sha256(b"content").digest(), Priority.BULK, 0, 1 << 40,
        [NewRecipient(n, a, "x.jp", {}) for n, a in enumerate(addresses)], b"",
    )  # fmt: skip
    await spool.submit(submission)


def test_it_finds_who_waits_and_not_who_is_done(tmp_path: Path) -> None:
    others = [f"other{number}@x.jp" for number in range(queued.PORTION)]

    async def main() -> None:
        spool = await SqliteSpool.open(SpoolSettings(tmp_path), tuning=Tuning(quiet_seconds=1e6))
        assert await spool.queued(["a@x.jp"]) == []
        await submit(spool, "A@x.jp", "b@x.jp", '"q..r"@x.jp', "d@x.jp", *others, "ö@x.jp", "f@x.jp", r'"g\\"@x.jp')
        assert await spool.queued(["a@x.jp", "q..r@x.jp", "f@x.jp", "none@x.jp"]) == [
            "A@x.jp", '"q..r"@x.jp', "ö@x.jp", "f@x.jp",
        ]  # fmt: skip
        assert await spool.queued([queued.plain(r'"g\\"@x.jp')]) == ["ö@x.jp", r'"g\\"@x.jp']
        (lane,) = await spool.lanes()
        first, *_ = (await spool.pull(lane.lane, Cursor(), 1 << 40, 10))[0]
        await spool.settle([Settled(first, Outcome.DELIVERED)])
        assert await spool.queued(["a@x.jp", "b@x.jp"]) == ["b@x.jp", "ö@x.jp"]
        await spool.close()

    asyncio.run(main())
