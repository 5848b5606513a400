"""Who sends: everything of a sender that its messages carry in their header (RFC 5322 3.6.2, RFC 8058, Feedback-ID).

Checked once, when the configuration is read; after that nothing in it can be wrong. The address in From must be ASCII
(one that needs SMTPUTF8 could write to few people) and in line with the signing domain, or DMARC would fail
(RFC 7489 3.1.1). Feedback-ID has four parts at most, the last one the sender's own, stable name; Gmail counts by them,
so none may differ from recipient to recipient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.mail.address import AddressError, parse_address
from engine.mail.mailbox import write_mailbox
from engine.mail.profile import Profile

TOKEN = "{token}"  # noqa: S105 - a placeholder
MAX_URL = 800
"""A URL cannot be folded; with its field's name it must stay under 998 octets."""

_URL = re.compile(r"https://[!-;=?-~]{1,800}")
_MAILTO = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_PART = re.compile(r"[A-Za-z0-9._-]{0,64}")
_SENDER_ID = re.compile(r"[A-Za-z0-9._-]{5,15}")


class IdentityError(ValueError):
    """A sender that cannot send. `field` is SenderIdentity's."""

    def __init__(self, field: str, value: str, text: str) -> None:
        super().__init__(f"{field} {value[:80]!a}: {text}")
        self.field = field


@dataclass(frozen=True, slots=True)
class SenderIdentity:
    name: str
    """The sender's name in submits and in the journal; not in mail."""
    from_address: str
    domain: str
    """d= of its signatures."""
    return_path_domain: str
    message_id_domain: str
    from_display: str = ""
    unsubscribe_url: str = ""
    """https, with {token} where the recipient's token goes. Empty: no List-Unsubscribe, no %cancelurl%."""
    unsubscribe_mailto: str = ""
    """Address that takes refusals by mail; stands in List-Unsubscribe behind the URL (RFC 8058 3.1, RFC 6068)."""
    feedback_id: tuple[str, ...] = ()
    """Up to four parts, the last of 5 to 15 characters. Empty: no Feedback-ID."""
    legal_name: str = ""
    """The registered name, for %footer%; not in the header."""
    profile: Profile | None = None
    """What the law wants displayed; without it there is no %footer%."""


def check_identity(identity: SenderIdentity) -> None:
    """Raises IdentityError for the first thing that is wrong."""
    for field in ("domain", "return_path_domain", "message_id_domain"):
        _check_domain(field, getattr(identity, field))
    _check_from(identity)
    url = identity.unsubscribe_url
    if url and (not is_link(url) or TOKEN not in url):
        raise IdentityError(
            "unsubscribe_url", url, f"must be an https URL of at most {MAX_URL} ASCII with {TOKEN} in it"
        )
    _check_mailto(identity)
    parts = identity.feedback_id
    if parts and (len(parts) > 4 or not all(map(_PART.fullmatch, parts)) or not _SENDER_ID.fullmatch(parts[-1])):
        raise IdentityError("feedback_id", ":".join(parts), "up to four parts of A-Za-z0-9._-, the last of 5 to 15")


def is_link(url: str) -> bool:
    return len(url) <= MAX_URL and _URL.fullmatch(url) is not None


def _check_mailto(identity: SenderIdentity) -> None:
    """An address that needs no encoding in a URI; and the token, which is the subject, can be told from the URL."""
    address, url = identity.unsubscribe_mailto, identity.unsubscribe_url
    if address and (len(address) > 254 or not _MAILTO.fullmatch(address)):
        raise IdentityError(
            "unsubscribe_mailto", address, "write an address of letters, digits and ._+- such as stop@a.example"
        )
    if address and url.count(TOKEN) != 1:
        raise IdentityError("unsubscribe_mailto", address, f"needs an unsubscribe_url with {TOKEN} in it, once")


def _check_domain(field: str, domain: str) -> None:
    try:
        canonical = parse_address(f"x@{domain}").domain
    except AddressError as error:
        raise IdentityError(field, domain, error.reason) from None
    if canonical != domain:
        raise IdentityError(field, domain, f"write it as {canonical}")


def _check_from(identity: SenderIdentity) -> None:
    try:
        address = parse_address(identity.from_address)
        write_mailbox(identity.from_display, address)
    except ValueError as error:
        raise IdentityError("from", identity.from_address, str(error)) from None
    if address.utf8:
        raise IdentityError("from_address", identity.from_address, "must be ASCII")
    if not is_aligned(address.domain, identity.domain):
        raise IdentityError("from_address", identity.from_address, f"is not in the signing domain {identity.domain}")


def is_aligned(from_domain: str, signing_domain: str) -> bool:
    """The From domain is the signing domain or lies under it, or the other way round (RFC 7489 3.1.1, relaxed)."""
    return f".{from_domain}".endswith(f".{signing_domain}") or signing_domain.endswith(f".{from_domain}")


def feedback_id(identity: SenderIdentity) -> str:
    """a:b:c:SenderId, empty parts in front when there are fewer; empty when the sender has none."""
    if not identity.feedback_id:
        return ""
    return ":" * (4 - len(identity.feedback_id)) + ":".join(identity.feedback_id)


def cancel_url(identity: SenderIdentity, token: str) -> str:
    """The recipient's opt-out link; empty when the sender has none."""
    return identity.unsubscribe_url.replace(TOKEN, token)


def mailto_uri(identity: SenderIdentity) -> str:
    """With {token} in the subject; empty when the sender takes no refusals by mail."""
    address = identity.unsubscribe_mailto.replace("+", "%2B")
    return f"mailto:{address}?subject=unsubscribe%20{TOKEN}" if address else ""


def around_token(url: str) -> tuple[int, int]:
    """Characters before and behind the token in every link that cancel_url() makes."""
    before, _, behind = url.partition(TOKEN)
    return len(before), len(behind)
