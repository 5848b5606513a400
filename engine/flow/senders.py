"""The configured senders as the flow uses them, and engine/mail as accept reads with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine import wire
from engine.flow.display import LintMode, Selling, Warnings, check_display, is_enforced
from engine.flow.validate import Reading
from engine.lint import octets_of
from engine.mail.address import parse_address
from engine.mail.identity import TOKEN, SenderIdentity, cancel_url
from engine.mail.message import MessageError, decode, decode_message, encode, use_of
from engine.mail.slots import FieldUse, check_fields
from engine.mail.template import compile_message
from suppression.decision import Category
from suppression.unsubscribe import TokenKey, token_of


@dataclass(frozen=True, slots=True)
class ConfiguredSender:
    """One [senders.NAME]. Implements letters.Sender and accept.SenderRules."""

    identity: SenderIdentity
    legal_name: str
    categories: frozenset[str]
    token_key: TokenKey
    lint: LintMode = LintMode.AUTO
    regions: tuple[str, ...] = ()
    selling: Selling = Selling.REFUSE

    def cancel_url(self, recipient_id: int, address: str, topic: str) -> str:
        """The recipient's own unsubscribe address (RFC 8058 3.1); empty when the sender has none."""
        if not self.identity.unsubscribe_url:
            return ""
        return cancel_url(self.identity, token_of(self.identity.name, topic, address, recipient_id, self.token_key))


def confirm_urls(urls: Mapping[str, str]) -> Callable[[str, str], str]:
    """From sender -> confirm_url: sender, token -> link; empty when the sender has none."""
    return lambda sender, token: urls.get(sender, "").replace(TOKEN, token)


def reading(
    senders: Mapping[str, ConfiguredSender],
    regions: Callable[[], Mapping[str, str]] = dict,
    sizes: Callable[[], Mapping[str, int]] = dict,
) -> Reading:
    """How accept reads addresses and messages. `regions`: those of the decision tables, and their countries. `sizes`:
    of messages, as receivers limit them.
    """

    def suits(content: bytes, sender: str, category: str, region: str = "") -> Warnings:
        spec, configured = decode(content), senders.get(sender)
        if configured is None:
            text = "is not configured since the last reload: put it back, or use one that is there"
            raise wire.Refusal("unknown_sender", "sender", wire.shown(sender), text)
        try:
            compiled = compile_message(spec, configured.identity, mail_order=category == Category.AD_MO)
        except MessageError as error:
            raise wire.Refusal("bad_message", error.field, error.value, error.text) from None
        is_raw = spec.raw is not None
        where = (*configured.regions, region) if region else configured.regions
        return check_display(
            compiled,
            configured.identity,
            configured.lint,
            category,
            is_raw=is_raw,
            regions=where,
            selling=configured.selling,
            sizes=sizes(),
        )

    def octets(content: bytes, sender: str, category: str) -> int:
        configured = senders.get(sender)
        if configured is None or not is_enforced(configured.lint, category):
            return 0
        spec = decode(content)
        return octets_of(
            compile_message(spec, configured.identity, mail_order=category == Category.AD_MO), configured.identity
        )

    return Reading(
        parse_address, _read_message, lambda content: use_of(decode(content)), check_fields, suits, regions, octets
    )


def _read_message(given: wire.Message) -> tuple[bytes, FieldUse]:
    try:
        spec = decode_message(given.parts())
    except MessageError as error:
        raise wire.Refusal("bad_message", error.field, error.value, error.text) from None
    return encode(spec), use_of(spec)
