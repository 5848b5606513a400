"""What receivers and the network said last when mail did not go: the last distinct texts, each with how often and when.

Two texts that differ in their numbers only (queue ids, addresses of ours, counts) are one. Bounded: the text that was
silent longest goes first. It is for people who look; nothing is decided by it.
"""

from __future__ import annotations

import re
from collections import OrderedDict

MOST = 200
LONGEST = 300
_NUMBERS = re.compile(r"\b[^\W\d]*\d\w*")
"""Words with a digit in them. The \\b keeps it linear: a long word without one is tried once."""


class Remark:
    __slots__ = ("at", "count", "kind", "since", "site", "text")

    def __init__(self, site: str, kind: str, text: str, now: float) -> None:
        self.site = site
        self.kind = kind
        """The reply's class, or the phase in which the wire broke."""
        self.text = text
        self.count = 0
        self.since = self.at = now


class Remarks:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._remarks: OrderedDict[tuple[str, str], Remark] = OrderedDict()

    def note(self, site: str, kind: str, text: str, now: float) -> None:
        """`text` is a stranger's. Cost: some microseconds."""
        cut = text[:LONGEST]
        name = (site, _NUMBERS.sub("#", cut))
        remark = self._remarks.get(name)
        if remark is None:
            remark = self._remarks[name] = Remark(site, kind, cut, now)
            if len(self._remarks) > self._most:
                self._remarks.popitem(last=False)
        else:
            self._remarks.move_to_end(name)
        remark.kind, remark.text, remark.at = kind, cut, now
        remark.count += 1

    def latest(self, most: int) -> list[Remark]:
        """The last heard first."""
        return [remark for _, remark in zip(range(most), reversed(self._remarks.values()), strict=False)]
