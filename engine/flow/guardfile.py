"""What the guards have counted, on disk: a restart in the middle of a mailing does not forget its unknown users.

One small JSON file, replaced whole. Pauses themselves are directives and kept there; so a file that is lost or cannot
be read costs only counts: it is said, and counting begins anew.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.flow.directives import replace_whole

log = logging.getLogger(__name__)

MOST_WATCHED = 5000
"""Mailings times providers that are remembered; those that were touched longest ago are forgotten first."""
MOST_BYTES = 8 << 20

Count = Annotated[float, Meta(ge=0)]


class KeptCanary(msgspec.Struct, forbid_unknown_fields=True):
    passing: Annotated[int, Meta(ge=0, le=2)]
    replies: Annotated[int, Meta(ge=0)]
    unknown: Annotated[int, Meta(ge=0)]
    began: float
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Of an older file: whoever came first was the sample."""


class KeptWatch(msgspec.Struct, forbid_unknown_fields=True):
    sender: str
    mailing: str
    place: str
    replies: Count
    unknown: Count
    verdict: Annotated[int, Meta(ge=0, le=3)]
    touched: float
    canary: KeptCanary | None = None


class KeptDaily(msgspec.Struct, forbid_unknown_fields=True):
    sender: str
    place: str
    day: int
    delivered: Annotated[int, Meta(ge=0)]
    complaints: Annotated[int, Meta(ge=0)]
    before: Annotated[int, Meta(ge=0)]
    verdict: Annotated[int, Meta(ge=0, le=3)]


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    watches: Annotated[list[KeptWatch], Meta(max_length=MOST_WATCHED)] = []
    dailies: Annotated[list[KeptDaily], Meta(max_length=MOST_WATCHED)] = []


def read_kept(path: Path | None) -> Kept:
    if path is None or not path.exists():
        return Kept()
    try:
        return msgspec.json.decode(path.read_bytes()[: MOST_BYTES + 1], type=Kept, strict=True)
    except (OSError, msgspec.DecodeError) as error:
        text = ascii(str(error))[1:-1][:120]
        log.error("guards %s cannot be read, counting begins anew: %s", path, text)  # noqa: TRY400 - the text says it
        return Kept()


async def write_kept(path: Path | None, kept: Kept) -> None:
    """Returns after the sync. Raises OSError."""
    if path is not None:
        await asyncio.to_thread(replace_whole, path, msgspec.json.encode(kept))
