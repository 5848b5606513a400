"""The opt-out listener, put together from the configuration: whose links it reads, whom its pages show, whom it asks.

[unsubscribe] switches it on. What a page displays of a sender is what the sender's settings have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.config.settings import SenderSettings, Settings
from engine.flow.ledger import SuppressionLedger
from engine.flow.records import Records
from engine.flow.tokens import TokenRing
from engine.web.confirm import Asked, Confirmation, Confirmed
from engine.web.displayed import SenderDisplay
from engine.web.listener import OptOutListener
from engine.web.optout import USER_AGENT_LIMIT, OptOuts
from engine.web.source import UNKNOWN
from suppression import LedgerFailed, Suppression, confirm


def displays(senders: Mapping[str, SenderSettings]) -> dict[str, SenderDisplay]:
    return {name: _display(sender) for name, sender in senders.items()}


def _display(sender: SenderSettings) -> SenderDisplay:
    """The page that the mail's link leads to may carry address and contact (施行規則 9条2号, 3号)."""
    profile = sender.identity.profile
    if profile is None:
        return SenderDisplay(sender.legal_name, mail_from=sender.identity.from_address)
    contacts = tuple(filter(None, (profile.phone, profile.contact_mail, profile.contact_url)))
    return SenderDisplay(sender.legal_name, profile.postal_address, contacts, sender.identity.from_address)


class SignUps:
    """Implements the page's Confirmations with the ledger's sign-ups."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def asked(self, token: str, now: float) -> Asked | None:
        del now
        found = await self._records.asked(token)
        return None if found is None else _asked(found)

    async def confirm(self, token: str, *, source: str, user_agent: str, now: float) -> Confirmation:
        del now
        shown = "".join(character for character in user_agent if character.isprintable())[:USER_AGENT_LIMIT]
        act = await self._records.confirm(token, "" if source == UNKNOWN else source, shown)
        if act is None or act.confirmed is None:
            return Confirmation(Confirmed.EXPIRED if act is not None and act.has_run_out else Confirmed.UNKNOWN)
        result = Confirmed.BEFORE if act.confirmed.is_repeated else Confirmed.NOW
        return Confirmation(result, _asked(act.confirmed))


def _asked(found: confirm.Confirmed) -> Asked:
    return Asked(found.sender, found.topics, found.address)


def opt_out_listener(
    settings: Settings,
    ring: TokenRing,
    told: tuple[SuppressionLedger, Records, Suppression],
    clock: Callable[[], float],
    fault: Callable[[BaseException], None],
) -> OptOutListener | None:
    """None when [unsubscribe] is not in the configuration. `fault`: told when a refusal could not be recorded."""
    if settings.unsubscribe is None:
        return None
    ledger, records, suppression = told
    return OptOutListener(
        settings.unsubscribe,
        ring=ring,
        opt_outs=OptOuts(ledger, suppression, clock, lambda why: fault(LedgerFailed(why))),
        confirmations=SignUps(records),
        senders=displays(settings.senders),
        clock=clock,
    )
