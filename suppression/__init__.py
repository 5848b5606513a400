"""May this mail go to this person now? The one place that knows, and that records what people said.

特定電子メール法 3条, 特定商取引法 12条の3. `Suppression` is the face, the event types are what it records, a Decision
is what it answers. It refuses to guess: an unknown category, an address that cannot be matched, a ledger that failed,
all block. It imports nothing of the engine. Our reading of these laws is the tables in rules/, for a lawyer to check.
"""

from suppression.columns import SenderState
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
from suppression.order import OrderKind, OrderReceived, OrderReleased
from suppression.rules import RulesError
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
    "OrderKind",
    "OrderReceived",
    "OrderReleased",
    "Restored",
    "RulesError",
    "Scope",
    "SecretError",
    "SenderState",
    "Suppression",
    "SuppressionSettings",
    "Verdict",
    "Withdrawal",
]
