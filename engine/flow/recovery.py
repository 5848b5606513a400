"""After a crash: who was about to be sent, and what the journal already proves.

The spool names the recipients whose letters were under way (its intents). Of these, the ones whose end stands in the
journal's last segments are settled by it and not sent again; the others are in doubt: they will be sent, may be
duplicates, and are counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from engine.flow.settle import RECORD_TYPES
from engine.journal import read_records, segments
from engine.mail.envelope import Recipient, recipient_text
from engine.spool.port import Outcome, Settled, Spool

log = logging.getLogger(__name__)

SEGMENTS_READ = 3
"""A group is written to the journal moments before the spool: the newest segments are enough by far."""

_ENDED = {name: outcome for outcome, name in RECORD_TYPES.items()} | {"AdminBounce": Outcome.BOUNCED}


async def recover(spool: Spool, journal_folder: Path) -> int:
    """Settles what the journal proves; the number of recipients that stay in doubt. To be called before anything is
    sent, and before a new segment is opened.
    """
    doubtful = await spool.doubtful()
    if not doubtful:
        return 0
    proved = proved_outcomes(doubtful, journal_folder)
    settled = [Settled(recipient, proved[recipient.id]) for recipient in doubtful if recipient.id in proved]
    if settled:
        await spool.settle(settled)
    log.warning(
        "the last run did not stop cleanly: %d recipients were under way, the journal settles %d, %d are in doubt",
        len(doubtful),
        len(settled),
        len(doubtful) - len(settled),
    )
    return len(doubtful) - len(settled)


def proved_outcomes(doubtful: Sequence[Recipient], journal_folder: Path) -> dict[int, Outcome]:
    wanted = {recipient_text(recipient.id): recipient.id for recipient in doubtful}
    found: dict[int, Outcome] = {}
    for segment in segments(journal_folder)[-SEGMENTS_READ:]:
        for record in read_records(segment):
            outcome = _ENDED.get(record.type)
            if outcome is not None and record.id in wanted:
                found[wanted[record.id]] = outcome
    return found
