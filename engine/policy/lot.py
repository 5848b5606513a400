"""Who is drawn for a canary: a random sample of all that a provider would get of a mailing, not the first of its list.

Lists are sorted: by age, by domain, by how good they are. So everybody has a lot, a number from 0 to 1 that follows
from the recipient's own and a secret, and is the same after a restart; whoever's lot is below the share that is wanted
is in the sample. The share is found from how many there are, and widened when too few were drawn.
"""

from __future__ import annotations

import hashlib
from typing import Final

SLACK: Final = 1.25
"""More are drawn than are needed, since chance draws fewer at times and some never answer."""
_RANGE: Final = float(1 << 64)


class Lots:
    __slots__ = ("_seed",)

    def __init__(self, secret: bytes) -> None:
        """`secret`: up to 64 bytes that no client knows, so that nobody can tell beforehand who is drawn."""
        self._seed = hashlib.blake2b(key=secret, digest_size=8, person=b"canary")

    def lot(self, recipient: int) -> float:
        """At least 0, below 1. About a microsecond."""
        drawn = self._seed.copy()
        drawn.update(recipient.to_bytes(8, "little"))
        return int.from_bytes(drawn.digest(), "little") / _RANGE


def share_of(size: int, known: int, before: float) -> float:
    """What share makes a sample of `size` from so many; at least twice what was drawn `before` and was too few."""
    return min(1.0, max(2.0 * before, SLACK * size / max(known, 1)))
