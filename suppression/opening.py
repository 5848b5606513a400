"""Start: the secret that belongs to this ledger, and the index, mapped from its snapshot and brought up to date.

It refuses what would make refusals vanish silently: another secret, a secret that is gone, a ledger that is older than
the index made from it (restored from a backup, or lost).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from suppression.address import IDENTITY_BYTES, Keyring
from suppression.database import LedgerRefused
from suppression.index import Index
from suppression.ledger import Ledger
from suppression.secret import SecretError, create_secret, read_secret
from suppression.snapshot import SnapshotInvalid, Stamp, read_snapshot, write_snapshot
from suppression.standing import fold

_log = logging.getLogger(__name__)

CLOCK_TOLERANCE: Final = 300.0
"""Seconds; the same that an event may lie in the future."""
_WORTH_SAVING: Final = 100_000


def check_clock(ledger: Ledger, now: float) -> None:
    """A clock that went back would date a new refusal before an old consent, and lose it. Raises LedgerRefused."""
    behind = ledger.last_recorded() / 1e6 - now
    if behind > CLOCK_TOLERANCE:
        raise LedgerRefused(
            f"the clock is {behind:,.0f} seconds behind the last event of the ledger: nothing may be sent or recorded "
            "with such times; set the clock"
        )


def open_keyring(path: Path, ledger: Ledger) -> Keyring:
    """Raises SecretError."""
    secret = read_secret(path)
    if secret is None:
        if ledger.has_fingerprint():
            raise SecretError(
                f"secret file {path}: missing, but the ledger was keyed with it; restore it from the backup"
            )
        secret = create_secret(path)
    keyring = Keyring(secret)
    if ledger.fingerprint(keyring.fingerprint().hex()) != keyring.fingerprint().hex():
        raise SecretError(f"secret file {path}: not the one that the ledger was keyed with; restore that one")
    return keyring


def open_index(path: Path, ledger: Ledger, keyring: Keyring) -> tuple[Index, int]:
    """The index with everything recorded in it, and the event up to which the snapshot on disk goes."""
    last = ledger.last_event()
    index, saved = Index(), 0
    if path.exists():
        try:
            index, saved = read_snapshot(path, _stamp(ledger, keyring))
        except SnapshotInvalid as error:
            if not last:
                raise LedgerRefused(
                    f"{path} shows that there was a ledger here, but this one is empty ({error}); "
                    "restore ledger.sqlite, or remove the snapshot to start from nothing"
                ) from error
            _log.warning("snapshot refused, building from the ledger path=%s reason=%s", path, error)
    if saved > last:
        raise LedgerRefused(
            f"ledger ends at event {last}, {path} knows event {saved}: refusals are lost; "
            "restore a newer ledger, or remove the snapshot to go without them"
        )
    replay(index, ledger, saved)
    if last - saved > _WORTH_SAVING:
        save_index(path, index, ledger, keyring, last)
        saved = last
    return index, saved


def save_index(path: Path, index: Index, ledger: Ledger, keyring: Keyring, event: int) -> None:
    """Raises OSError."""
    write_snapshot(path, index, _stamp(ledger, keyring), event)


def replay(index: Index, ledger: Ledger, after: int) -> None:
    """Brings in what was recorded after this event. Order does not matter: where more than one fact meets, all of
    them are folded from the ledger.
    """
    for fact, identities in ledger.alike_after(after):
        others = index.install_fresh([fact], identities)
        fold_again(index, ledger, (_wide(identities, position) for position in others))


def fold_again(index: Index, ledger: Ledger, wides: Iterable[int]) -> None:
    """Installs these keys from all that is recorded of them."""
    for wide in dict.fromkeys(wides):
        index.install(fold(ledger.facts(wide)))


def _wide(identities: bytes, position: int) -> int:
    start = IDENTITY_BYTES * position + 8
    return int.from_bytes(identities[start : start + 8], "little")


def _stamp(ledger: Ledger, keyring: Keyring) -> Stamp:
    return Stamp(ledger.number, keyring.fingerprint().hex())
