"""A sample of a message as one reader gets it, so that what is checked is what is sent: template, footer and all.

Merge fields get a word that is nobody's name and no advertisement; the opt-out link gets a token of the same form as
everybody's. The signature is left out. Raw messages come out as they went in, with the fields that the engine adds.
"""

from __future__ import annotations

from engine.mail.compose import Compiled, Facts
from engine.mail.identity import SenderIdentity, cancel_url

VALUE = "sample"
TOKEN = "0" * 64
ADDRESS = "sample@reader.invalid"
_DATE = "Thu, 01 Jan 2026 00:00:00 +0000"


def sample_link(identity: SenderIdentity) -> str:
    return cancel_url(identity, TOKEN) if identity.unsubscribe_url else ""


def sample(compiled: Compiled, identity: SenderIdentity) -> bytes:
    """Lines of CRLF, dots as the reader has them."""
    facts = Facts(
        recipient_id=0,
        address=ADDRESS,
        fields=dict.fromkeys(compiled.use.names, VALUE),
        date_text=_DATE,
        cancel_url=sample_link(identity),
        message_id=f"sample@{identity.message_id_domain}",
    )
    payload = compiled.compose(facts).finish(())
    return payload.replace(b"\r\n..", b"\r\n.")
