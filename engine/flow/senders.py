"""The configured senders as the flow uses them, and engine/mail as accept reads with it."""

from __future__ import annotations

from dataclasses import dataclass

from engine import wire
from engine.flow.validate import Reading
from engine.mail.address import parse_address
from engine.mail.identity import SenderIdentity
from engine.mail.message import MessageError, MessageSpec, decode, decode_message, encode, fields
from suppression.unsubscribe import Unsubscribe, make_token


@dataclass(frozen=True, slots=True)
class ConfiguredSender:
    """One [senders.NAME]. Implements letters.Sender and accept.SenderRules."""

    identity: SenderIdentity
    legal_name: str
    categories: frozenset[str]
    token_secret: bytes
    token_key_id: int = 0

    def cancel_url(self, recipient_id: int, address: str, topic: str) -> str:
        """The recipient's own unsubscribe address (RFC 8058 3.1); empty when the sender has none."""
        url = self.identity.unsubscribe_url
        if not url:
            return ""
        what = Unsubscribe(self.identity.name, topic, address, recipient_id)
        return url.replace("{token}", make_token(what, self.token_secret, self.token_key_id))


def reading() -> Reading:
    """How accept reads addresses and messages."""
    return Reading(address=parse_address, message=_read_message, stored=lambda content: fields(decode(content)))


def _read_message(given: wire.MessageMap) -> tuple[bytes, frozenset[str]]:
    spec = _spec(given)
    return encode(spec), fields(spec)


def _spec(given: wire.MessageMap) -> MessageSpec:
    try:
        return decode_message(given)
    except MessageError as error:
        raise wire.Refusal("bad_message", error.field, error.value, error.text) from None
