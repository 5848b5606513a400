"""The opt-out listener, put together from the configuration: whose links it reads, whom its pages show, whom it asks.

[unsubscribe] switches it on. What a page displays of a sender is what the sender's settings have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.config.settings import SenderSettings, Settings
from engine.flow.ledger import SuppressionLedger
from engine.flow.tokens import TokenRing
from engine.web.confirm import NoConfirmations
from engine.web.displayed import SenderDisplay
from engine.web.listener import OptOutListener
from engine.web.optout import OptOuts
from suppression import LedgerFailed, Suppression


def displays(senders: Mapping[str, SenderSettings]) -> dict[str, SenderDisplay]:
    return {
        name: SenderDisplay(sender.legal_name, mail_from=sender.identity.from_address)
        for name, sender in senders.items()
    }


def opt_out_listener(
    settings: Settings,
    ring: TokenRing,
    *,
    ledger: SuppressionLedger,
    suppression: Suppression,
    clock: Callable[[], float],
    fault: Callable[[BaseException], None],
) -> OptOutListener | None:
    """None when [unsubscribe] is not in the configuration. `fault`: told when a refusal could not be recorded."""
    if settings.unsubscribe is None:
        return None
    return OptOutListener(
        settings.unsubscribe,
        ring=ring,
        opt_outs=OptOuts(ledger, suppression, clock, lambda why: fault(LedgerFailed(why))),
        confirmations=NoConfirmations(),
        senders=displays(settings.senders),
        clock=clock,
    )
