"""Mail that comes back, read as values: bounces, complaints, refusals, auto-replies (RFC 3464, 5965, 3834).

`read_returned` takes raw bytes and never raises; what it gives is what strangers wrote and proves nothing. Pure: rules
are the caller's to load (`rules.toml` here and in engine/policy).
"""

from engine.returns.diagnose import Reader
from engine.returns.reader import read_returned
from engine.returns.value import (
    AutoReply,
    Bounce,
    Delayed,
    Delivered,
    Feedback,
    How,
    OptOutMail,
    Original,
    Return,
    Returned,
    Unknown,
)

__all__ = [
    "AutoReply",
    "Bounce",
    "Delayed",
    "Delivered",
    "Feedback",
    "How",
    "OptOutMail",
    "Original",
    "Reader",
    "Return",
    "Returned",
    "Unknown",
    "read_returned",
]
