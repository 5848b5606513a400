"""One line of the journal: names and shapes are those of KumoMTA's log record, so that its readers fit.

Record types: Reception, Delivery, TransientFailure, Bounce, Expiration, OOB, Feedback as there, and Suppressed,
Cancelled and OptOut, which nobody else has. Two shapes differ on purpose: `timestamp` and `created` are Unix seconds
with a fraction (KumoMTA cuts it off), and what only we know (the legal sender, category, basis) stands beside the rest
and not under `meta`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

RECORD_TYPES = (
    *("Reception", "Delivery", "TransientFailure", "Bounce", "Expiration", "Suppressed", "Cancelled"),
    *("OOB", "Feedback", "OptOut", "AdminBounce"),
)
_CODE = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})")


class Peer(msgspec.Struct, frozen=True):
    name: str
    addr: str


class EnhancedCode(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """RFC 3463: 5.1.1 is class 5, subject 1, detail 1."""

    class_: int
    subject: int
    detail: int


class Response(msgspec.Struct, frozen=True):
    code: int
    enhanced_code: EnhancedCode | None
    content: str
    command: str


class FeedbackReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a complaint says (RFC 5965 3), as it stood there: a stranger's words."""

    feedback_type: str
    user_agent: str = ""
    version: str = ""
    arrival_date: str = ""
    incidents: int = 1
    original_envelope_id: str = ""
    original_mail_from: str = ""
    reporting_mta: str = ""
    source_ip: str = ""
    original_rcpto_to: tuple[str, ...] = ()
    """KumoMTA's spelling."""
    reported_domain: tuple[str, ...] = ()


class Record(msgspec.Struct, omit_defaults=True):
    """One line. Times are Unix seconds; `created` is the acceptance, `timestamp` the event."""

    type: str
    id: str
    timestamp: float
    sender: str = ""
    """The envelope sender, MAIL FROM. Who sends by law is `legal_sender`."""
    recipient: str = ""
    queue: str = ""
    site: str = ""
    size: int = 0
    response: Response | None = None
    peer_address: Peer | None = None
    created: float = 0.0
    num_attempts: int = 0
    bounce_classification: str = ""
    egress_source: str = ""
    nodeid: str = ""
    session_id: str = ""
    tls_cipher: str = ""
    tls_protocol_version: str = ""
    in_doubt: bool = False
    """The receiver may have it although its answer was lost; of a Delivery: an earlier attempt may have arrived too."""
    legal_sender: str = ""
    category: str = ""
    topic: str = ""
    mailing: str = ""
    basis: str = ""
    """Why it might go: the decision's legal basis."""
    reason: str = ""
    """Why it might not, or what ended it."""
    epoch: int = -1
    """State of the suppression index that the decision was made in."""
    count: int = 0
    variant: str = ""
    """"without_ad": the message went without its advertisement, and `reason` says why it may not have it."""
    feedback_report: FeedbackReport | None = None


RECORD_DECODER = msgspec.json.Decoder(Record)


@lru_cache(maxsize=1024)
def enhanced_code(text: str) -> EnhancedCode | None:
    """The three numbers of 5.1.1; None when it is not a code of RFC 3463."""
    match = _CODE.fullmatch(text)
    return EnhancedCode(int(match[1]), int(match[2]), int(match[3])) if match else None


def encode_records(encoder: msgspec.json.Encoder, records: Sequence[Record]) -> bytes:
    """One line each. Text that cannot be UTF-8 (a lone surrogate) is written with a question mark, never refused:
    one odd record must not stop the log of all others.
    """
    try:
        return encoder.encode_lines(records)
    except UnicodeEncodeError:
        return encoder.encode_lines([_scrubbed(record) for record in records])


def _scrubbed(record: Record) -> Record:
    changes = {name: _clean(getattr(record, name)) for name in record.__struct_fields__}
    return msgspec.structs.replace(record, **changes)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, tuple):
        return tuple(map(_clean, value))
    if isinstance(value, Response | Peer | FeedbackReport):
        return msgspec.structs.replace(value, **{n: _clean(getattr(value, n)) for n in value.__struct_fields__})
    return value
