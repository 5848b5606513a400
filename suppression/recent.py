"""What the last-sent store has on disk already, as far as it is remembered: a retry then costs no write.

Each key has one place in a table of fixed size, where a later key may take its room. A false yes is impossible, since
the key itself and what was noted stand there; a false no writes once more, which is harmless.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]

SLOTS: Final = 1 << 21
"""24 MB. A power of two."""
_MOST_NAMES: Final = 4096


class Recent:
    def __init__(self, slots: int = SLOTS) -> None:
        self._mask = slots - 1
        self._keys = np.zeros(slots, np.int64)
        self._of = np.zeros(slots, np.int32)
        """Number of what was noted there; 0: nothing."""
        self._numbers: dict[tuple[str, int, bool], int] = {}

    def unknown(self, sender: str, day: int, mail_order: bool, keys: Keys) -> Keys:
        number = self._numbers.get((sender, day, mail_order))
        if number is None:
            return keys
        at = keys & self._mask
        known = (self._keys[at] == keys) & (self._of[at] == number)
        new: Keys = keys[~known]
        return new

    def remember(self, sender: str, day: int, mail_order: bool, keys: Keys) -> None:
        name = (sender, day, mail_order)
        number = self._numbers.get(name)
        if number is None:
            number = self._number(name)
        at = keys & self._mask
        self._keys[at] = keys
        self._of[at] = number

    def _number(self, name: tuple[str, int, bool]) -> int:
        """Days go by: what is too many senders and days begins anew."""
        if len(self._numbers) >= _MOST_NAMES:
            self._numbers.clear()
            self._of[:] = 0
        number = self._numbers[name] = len(self._numbers) + 1
        return number
