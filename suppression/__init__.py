"""May this mail go to this person now? The one place that knows, and that records what people said.

特定電子メール法 3条, 特定商取引法 12条の3. `Suppression` is the face, the event types are what it records, a Decision
is what it answers. It refuses to guess: an unknown category, an address that cannot be matched, a ledger that failed,
all block. It imports nothing of the engine. LAW.md, which the files cite by section, is our reading of these laws; it
is kept outside this tree.
"""

from suppression.database import LedgerRefused
from suppression.decision import Category, Decision, Verdict
from suppression.events import (
    AddressState,
    Basis,
    Complaint,
    Consent,
    Covers,
    Event,
    EventError,
    HardBounce,
    OptOut,
    Restored,
    Scope,
    Withdrawal,
)
from suppression.face import Counts, Imported, Suppression, SuppressionSettings
from suppression.ledger import LedgerFailed
from suppression.secret import SecretError

__all__ = [
    "AddressState",
    "Basis",
    "Category",
    "Complaint",
    "Consent",
    "Counts",
    "Covers",
    "Decision",
    "Event",
    "EventError",
    "HardBounce",
    "Imported",
    "LedgerFailed",
    "LedgerRefused",
    "OptOut",
    "Restored",
    "Scope",
    "SecretError",
    "Suppression",
    "SuppressionSettings",
    "Verdict",
    "Withdrawal",
]
