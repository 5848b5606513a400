"""What a submit states of a recipient beside merge fields: the region whose law applies to them, and which state of the
mailbox is expressly set aside.

It is kept among the merge fields under a name that no template can use, so that a spool has one place for whatever is
a recipient's own, and one that was written without it reads as "nothing stated". What is asked of suppression is made
from it again in `asked`, at promote and in the last moment before MAIL FROM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

STATED: Final = "@stated"
"""Its place among the merge fields; slots have letters, digits, `.`, `_` and `-` only."""
_REGION: Final = re.compile(r"[A-Z][A-Z0-9-]{1,15}")


def region_fault(region: str, known: frozenset[str]) -> str | None:
    """None, or why this is no region of the decision tables."""
    if region in known:
        return None
    what = "is not known" if _REGION.fullmatch(region) else "is no region: two capital letters, such as EU"
    names = ", ".join(sorted(known)) or "none"
    return f"region {region[:20]!a} {what}; the decision tables have {names}: use one of these, or add a table"


def with_stated(fields: Mapping[str, str], region: str, override: str = "") -> dict[str, str]:
    """The merge fields as the spool keeps them."""
    text = f"{region} {override}" if override else region
    return {**fields, STATED: text} if text else dict(fields)


def stated(fields: Mapping[str, str]) -> str:
    """Equal for recipients about whom suppression is asked in the same words. One look-up."""
    return fields.get(STATED, "")


def region_of(fields: Mapping[str, str]) -> str:
    return stated(fields).partition(" ")[0]


def asked(fields: Mapping[str, str]) -> tuple[str, str, str]:
    """The last arguments of suppression's questions: display (looked at when the message came in), region, override."""
    region, _, override = stated(fields).partition(" ")
    return "", region, override
