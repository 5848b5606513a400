"""Which addresses has a sender never mailed advertising to? From the last-sent store, for the canary of a mailing.

Reads one view of the file beside its writer: the pages by their index, the log by its blocks, so that a question
costs some milliseconds and no scan of all addresses. An address of which nothing is known was never mailed, also where
the store began after the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import numpy as np

from suppression.pages import pages_of
from suppression.recent import Keys
from suppression.sent import SentStore, exact_keys


def newcomers(store: SentStore, sender: str, identities: Sequence[bytes]) -> list[bool]:
    """Blocks: for a thread. True: never mailed. `identities` as Keyring makes them, none empty."""
    wanted = exact_keys(identities)
    return store.read(lambda database: never_mailed(database, sender, wanted))


def never_mailed(database: apsw.Connection, sender: str, wanted: Keys) -> list[bool]:
    """The same of an open database of the store."""
    number = database.execute("SELECT id FROM sender WHERE name = ?", (sender,)).get
    if number is None:
        return [True] * len(wanted)
    known = np.zeros(len(wanted), np.bool_)
    for part in pages_of(database, number, wanted):
        known |= np.isin(wanted, part.keys)
    for (keys,) in database.execute("SELECT keys FROM noted WHERE sender = ? ORDER BY id DESC", (number,)):
        known |= np.isin(wanted, np.frombuffer(keys, "<i8"))
        if known.all():
            break
    return [not one for one in known.tolist()]
