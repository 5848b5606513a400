"""Raw bytes of a message that came back -> what it says. Never raises, bounded in time and memory.

Asked in this order, the surest first: feedback report, delivery status, read receipt, bounce by header or words when
no person and no vacation program wrote it, refusal, auto-reply. The envelope's evidence (VERP) is the caller's.
"""

from __future__ import annotations

from engine.returns.bounce import is_bounce_like, is_from_daemon, read_bounces
from engine.returns.complaint import read_feedback
from engine.returns.diagnose import Reader
from engine.returns.mime import read_mail
from engine.returns.notice import read_notice
from engine.returns.refusal import is_automatic, read_refusal
from engine.returns.shape import Shape, shape_of
from engine.returns.value import AutoReply, Delivered, Return, Returned, Unknown
from engine.returns.words import address_of


def read_returned(raw: bytes, reader: Reader, *, is_optout_address: bool = False) -> Returned:
    """`is_optout_address`: the envelope recipient is an address that is for refusing. About a millisecond."""
    mail = read_mail(raw)
    shape = shape_of(mail)
    says: list[Return] = [*read_feedback(shape, mail)] or _says(shape, raw, reader, is_optout_address=is_optout_address)
    return Returned(tuple(says), shape.original, mail.is_cut)


def _says(shape: Shape, raw: bytes, reader: Reader, *, is_optout_address: bool) -> list[Return]:
    if shape.dispositions is not None and not is_bounce_like(shape):
        return [Delivered(address_of(shape.dispositions.first("final-recipient", "original-recipient")))]
    noticed = read_notice(shape, reader)
    if noticed:
        return noticed
    if shape.statuses or is_from_daemon(shape) or not is_automatic(shape.fields):
        found = read_bounces(shape, raw, reader)
        if found:
            return found
    automatic = is_automatic(shape.fields)
    refusal = (
        None
        if is_bounce_like(shape) and automatic
        else read_refusal(shape, is_optout_address=is_optout_address and not automatic)
    )
    if refusal is not None:
        return [refusal]
    if automatic:
        return [AutoReply(address_of(shape.fields.first("from")))]
    return [Unknown()]
