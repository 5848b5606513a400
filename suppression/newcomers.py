"""Which addresses has a sender never mailed advertising to? From the last-sent store, for the canary of a mailing.

Reads one view of the file beside its writer: the pages by their index, the log by its blocks, so that a question
costs some milliseconds and no scan of all addresses. An address of which nothing is known was never mailed, also where
the store began after the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import apsw
import numpy as np
from numpy.typing import NDArray

from suppression.pages import pages_of
from suppression.recent import Keys
from suppression.sent import SentStore, exact_keys

_BYTES_AT_ONCE: Final = 1 << 20


def newcomers(store: SentStore, sender: str, identities: Sequence[bytes]) -> list[bool]:
    """Blocks: for a thread. True: never mailed. `identities` as Keyring makes them, none empty."""
    wanted = exact_keys(identities)
    return store.read(lambda database: _newcomers(database, sender, wanted))


def _newcomers(database: apsw.Connection, sender: str, wanted: Keys) -> list[bool]:
    number = database.execute("SELECT id FROM sender WHERE name = ?", (sender,)).get
    if number is None:
        return [True] * len(wanted)
    known = np.zeros(len(wanted), np.bool_)
    for part in pages_of(database, number, wanted):
        known |= np.isin(wanted, part.keys)
    for keys in _logged(database, number):
        known |= np.isin(wanted, keys[_among(keys, wanted)])
        if known.all():
            break
    return [not one for one in known.tolist()]


def _logged(database: apsw.Connection, sender: int) -> Iterator[Keys]:
    """The log's blocks, the youngest first, many together: a day's mailings leave a hundred thousand small ones."""
    blocks: list[bytes] = []
    size = 0
    for (keys,) in database.execute("SELECT keys FROM noted WHERE sender = ? ORDER BY id DESC", (sender,)):
        blocks.append(keys)
        size += len(keys)
        if size >= _BYTES_AT_ONCE:
            yield np.frombuffer(b"".join(blocks), "<i8")
            blocks, size = [], 0
    yield np.frombuffer(b"".join(blocks), "<i8")


def _among(keys: Keys, wanted: Keys) -> NDArray[np.bool_]:
    """Which of many keys are wanted, without sorting the many."""
    few = np.unique(wanted)
    if not len(few):
        return np.zeros(len(keys), np.bool_)
    found: NDArray[np.bool_] = few[np.minimum(np.searchsorted(few, keys), len(few) - 1)] == keys
    return found
