"""After a crash: who was about to be sent, and what the journal already proves.

The spool names the recipients whose letters were under way (its intents). Of these, the ones whose end stands in the
journal's last segments are settled by it and not sent again; the others are in doubt: they will be sent, may be
duplicates, and are counted.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from engine.flow.report import COMMANDS
from engine.flow.settle import RECORD_TYPES
from engine.journal import Record, read_records, segments
from engine.mail.envelope import Recipient, recipient_text
from engine.policy.outcome import SUPPRESSED
from engine.smtp.event import Phase
from engine.spool.port import Outcome, Settled, Spool

log = logging.getLogger(__name__)

SEGMENTS_READ = 3
"""A group is written to the journal moments before the spool: the newest segments are enough by far."""

ENDED = {name: outcome for outcome, name in RECORD_TYPES.items()} | {"AdminBounce": Outcome.BOUNCED}
_HEARD = frozenset(COMMANDS.get(phase.name, phase.name) for phase in (Phase.RCPT, Phase.DATA, Phase.DOT))

HardBounced = Callable[[Sequence[tuple[Recipient, str]]], Awaitable[None]]


async def recover(spool: Spool, journal_folder: Path, hard_bounced: HardBounced) -> int:
    """Settles what the journal proves, and tells `hard_bounced` who has no mailbox: the ledger hears it after the
    journal and before the spool, so a crash may have been between. The number of recipients that stay in doubt. To be
    called before anything is sent, and before a new segment is opened.
    """
    doubtful = await spool.doubtful()
    if not doubtful:
        return 0
    proved = proved_ends(doubtful, journal_folder)
    ends = [(one, proved[one.id]) for one in doubtful if one.id in proved]
    gone = [(one, end.bounce_classification) for one, end in ends if _gone(end)]
    settled = [Settled(one, ENDED[end.type]) for one, end in ends]
    if gone:
        await hard_bounced(gone)
    if settled:
        await spool.settle(settled)
    log.warning(
        "the last run did not stop cleanly: %d recipients were under way, the journal settles %d, %d are in doubt",
        len(doubtful),
        len(settled),
        len(doubtful) - len(settled),
    )
    return len(doubtful) - len(settled)


def proved_ends(doubtful: Sequence[Recipient], journal_folder: Path) -> dict[int, Record]:
    wanted = {recipient_text(recipient.id): recipient.id for recipient in doubtful}
    found: dict[int, Record] = {}
    for segment in segments(journal_folder)[-SEGMENTS_READ:]:
        for record in read_records(segment):
            if record.type in ENDED and record.id in wanted:
                found[wanted[record.id]] = record
    return found


def _gone(record: Record) -> bool:
    """The judgement of policy/outcome, read back."""
    heard = record.response is not None and record.response.command in _HEARD
    return record.type == "Bounce" and heard and record.bounce_classification in SUPPRESSED
