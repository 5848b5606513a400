"""The delivery log, legal evidence of what went to whom: records, their segments on disk, how they are read again.

`Journal.append` returns when the lines are on disk, so the journal never claims less than what left. The form of the
lines is described in docs/journal.md.
"""

from engine.journal.reading import read_lines, read_records, segments
from engine.journal.record import RECORD_DECODER, EnhancedCode, FeedbackReport, Peer, Record, Response, enhanced_code
from engine.journal.segment import JournalSettings
from engine.journal.writer import Journal, JournalFailed

__all__ = [
    "RECORD_DECODER",
    "EnhancedCode",
    "FeedbackReport",
    "Journal",
    "JournalFailed",
    "JournalSettings",
    "Peer",
    "Record",
    "Response",
    "enhanced_code",
    "read_lines",
    "read_records",
    "segments",
]
