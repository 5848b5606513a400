"""Which of some addresses a message waits for, in whatever state: retention and forgetting ask before they purge.

There is no index on addresses, since nobody else asks: all rows are looked at, some thousand at a time between two
commits. Compared in lower case and without quotes; what is not ASCII comes back in any case, for the caller to compare.
"""

from __future__ import annotations

import apsw

from engine.spool.store import Store

PORTION = 5000
"""Rows at once: some milliseconds."""

_LOOK = r"""
SELECT max(id), count(*), group_concat(id) FILTER (WHERE here), group_concat(address, char(10)) FILTER (WHERE here)
FROM (SELECT id, address,
    replace(replace(lower(address), '"', ''), '\', '') IN carray(?1) OR length(address) <> octet_length(address) AS here
    FROM recipient WHERE id > ?2 ORDER BY id LIMIT ?3)
"""


def plain(exact: str) -> str:
    """An address's exact form as it is compared here."""
    return exact.replace('"', "").replace("\\", "")


def look(store: Store, wanted: tuple[str, ...], after: int) -> tuple[list[str], int | None]:
    """Addresses found behind `after`, and where to go on; None: that was all. `wanted` in plain form."""
    last, count, ids, addresses = store.execute(_LOOK, (apsw.carray(wanted), after, PORTION)).get
    rows = zip(map(int, ids.split(",")), addresses.split("\n"), strict=True) if ids else ()
    return [address for number, address in rows if number not in store.settled], last if count == PORTION else None
