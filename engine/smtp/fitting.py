"""Which replies may stand where: what session.py holds against every reply before it believes it."""

from __future__ import annotations

from engine.smtp.event import Phase
from engine.smtp.reply import Reply

_DATA, _RSET, _QUIT = Phase.DATA, Phase.RSET, Phase.QUIT


def fits(phase: Phase, code: int) -> bool:
    """The classes of RFC 5321 4.3.2. 220 and 221 belong to no transaction, whatever their class."""
    if code >= 400:
        return phase is not _RSET
    if phase is _DATA:
        return code == 354
    if phase is _QUIT:
        return code < 300
    return 250 <= code < 260


def refuses_streaming(reply: Reply) -> bool:
    """That something stood behind a dot. It must say so: a dot may be answered 503 too, and a stray 250 before that
    would make it a delivery.
    """
    return reply.code == 503 and "pipelin" in reply.text.lower()
