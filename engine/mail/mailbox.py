"""Mailboxes as they stand in From, Reply-To and the like (RFC 5322 3.4): one, with or without a display name.

Written from a name and an address, or read from text. Reading is strict: one mailbox, no groups, no lists, no routes,
no nested comments. Where two readers of a From field may disagree, mails come to lie about their sender.
"""

from __future__ import annotations

import re

from engine.mail.address import Address, AddressError, parse_address
from engine.mail.header import Encode, encoded_words

MAX_DISPLAY = 200
_TOGETHER = 60
"""Name and address up to here share a line, the field's name before them or not."""

_MAILBOX = re.compile(
    r"""[ \t]*+ (?:
        (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<atoms>[^"<>,;:@()\\]*+) ) [ \t]*+ <(?P<angle>[^<>]*+)>
        | (?P<bare> (?:"(?:[^"\\]|\\.)*"|[^"<>,;:()\s])+ )
    ) [ \t]*+ (?:\([^()]*+\))? [ \t]*+""",
    re.VERBOSE,
)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*+")


def read_mailbox(text: str) -> tuple[str, Address]:
    """Display name and address of unfolded text. Raises AddressError."""
    match = _MAILBOX.fullmatch(text)
    if match is None:
        raise AddressError(text, "is not one mailbox: write address or Name <address>, the name in quotes if need be")
    name = match["atoms"] or re.sub(r"\\(.)", r"\1", match["quoted"] or "")
    return name.strip(), parse_address(match["bare"] or match["angle"] or "")


def write_mailbox(display: str, address: Address, encode: Encode = encoded_words) -> str:
    """The field's value, folded. Raises ValueError when the display name has control characters or is too long."""
    if len(display) > MAX_DISPLAY or not all(map(_stands_in_a_name, display)):
        raise ValueError(f"display name {display[:80]!a}: at most {MAX_DISPLAY} characters, no control characters")
    if not display:
        return address.wire
    if not display.isascii() or "=?" in display:
        lines = [word.decode("ascii") for word in encode(display)]
    elif _ATOMS.fullmatch(display):
        lines = [display]
    else:
        lines = ['"' + display.replace("\\", "\\\\").replace('"', '\\"') + '"']
    if len(lines[-1]) + len(address.wire) <= _TOGETHER:
        lines[-1] += f" <{address.wire}>"
    else:
        lines.append(f"<{address.wire}>")
    return "\r\n ".join(lines)


def _stands_in_a_name(character: str) -> bool:
    return character.isprintable() or character == "\u3000"
