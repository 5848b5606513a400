"""Amazon SES's notices (by SNS, as mail): JSON in the body in place of a report.

Relays that a sender goes through may be SES, and this is how it tells of bounces, complaints and deliveries when no
other way is set up. Fields are as its documentation names them; everything else is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.returns.diagnose import Reader
from engine.returns.shape import Shape
from engine.returns.value import Bounce, Delivered, Feedback, How, Return
from engine.returns.words import address_of

MAX_RECIPIENTS = 100


def read_notice(shape: Shape, reader: Reader) -> list[Return]:
    """Empty when it is none."""
    text = shape.words.strip()
    if not text.startswith("{"):
        return []
    notice = _object(text)
    inner = notice.get("Message")
    told = _object(inner) if isinstance(inner, str) else notice
    match told.get("notificationType", told.get("eventType")):
        case "Bounce":
            return [_bounce(each, told["bounce"], reader) for each in _listed(told, "bounce", "bouncedRecipients")]
        case "Complaint":
            held = told.get("complaint")
            kind = held.get("complaintFeedbackType") if isinstance(held, Mapping) else None
            each = _listed(told, "complaint", "complainedRecipients")
            return [Feedback(_plain(kind)[:40] or "abuse", _address(one), how=How.BODY) for one in each]
        case "Delivery":
            return [Delivered("")]
    return []


def _object(text: str) -> Mapping[str, Any]:
    """What JSON it begins with: mail programs add lines behind it."""
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text.replace("\n", ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _listed(told: Mapping[str, Any], about: str, name: str) -> list[Mapping[str, Any]]:
    held = told.get(about)
    listed = held.get(name) if isinstance(held, Mapping) else None
    return [each for each in listed[:MAX_RECIPIENTS] if isinstance(each, Mapping)] if isinstance(listed, list) else []


def _plain(value: object) -> str:
    """JSON may hold lone surrogates, which no disk takes."""
    return value[:2000].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _address(each: Mapping[str, Any]) -> str:
    return address_of(_plain(each.get("emailAddress")))


def _bounce(each: Mapping[str, Any], about: Mapping[str, Any], reader: Reader) -> Bounce:
    text = _plain(each.get("diagnosticCode")).partition(";")[2].strip()
    texts = [text, _plain(about.get("bounceSubType"))]
    diagnosis = reader.diagnose(texts, _plain(each.get("status")), "")
    return Bounce(
        _address(each),
        diagnosis.bounce_class,
        diagnosis.is_hard,
        diagnosis.code,
        diagnosis.status,
        text[:1000],
        How.BODY,
    )
