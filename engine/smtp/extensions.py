"""What a server offers in its EHLO reply (RFC 5321 4.1.1.1), reduced to what we use.

SIZE (RFC 1870), PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), STARTTLS (RFC 3207). Other keywords
are passed over: AUTH is aiosmtplib's to read, and enhanced codes are taken where they stand, announced or not. A
parameter that makes no sense counts as absent. More than a hundred keywords is no EHLO reply.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.smtp.reply import ReplyError

MAX_KEYWORDS = 100


@dataclass(frozen=True, slots=True)
class Extensions:
    size: int | None = None
    """Largest message in bytes. None: not offered. 0: offered without a limit (RFC 1870 3)."""
    pipelining: bool = False
    eightbitmime: bool = False
    smtputf8: bool = False
    starttls: bool = False


def parse_extensions(text: str) -> Extensions:
    """Reads the text of an EHLO reply, whose first line is the server's greeting. Raises ReplyError."""
    keywords = text.split("\n")[1:]
    if len(keywords) > MAX_KEYWORDS:
        raise ReplyError(f"the EHLO reply names {len(keywords)} keywords, more than {MAX_KEYWORDS}")
    offered: dict[str, list[str]] = {}
    for line in keywords:
        name, *parameters = line.upper().split() or [""]
        offered.setdefault(name, []).extend(parameters)
    return Extensions(
        size=_size(offered.get("SIZE")),
        pipelining="PIPELINING" in offered,
        eightbitmime="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        starttls="STARTTLS" in offered,
    )


def _size(parameters: list[str] | None) -> int | None:
    if parameters is None:
        return None
    # RFC 1870 3: at most 20 digits. isascii, because other scripts have digits that int() reads too.
    first = parameters[0] if parameters else ""
    return int(first) if first.isascii() and first.isdigit() and len(first) <= 20 else 0
