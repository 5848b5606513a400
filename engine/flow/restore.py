"""A backup put back in place of a stopped engine's state: staged, checked, brought up to date, then swapped in.

A spool of yesterday would mail everybody again who was mailed since. So before it takes its place, everybody whose end
the journal proves is settled in it. A ledger is never replaced by one that knows less: refusals would be forgotten.
What is replaced is moved aside, not deleted; until the last moment nothing of the old state is touched.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.flow.backup import LEDGER, BackupRefused, Manifest, read_manifest, sync_file
from engine.flow.recovery import ENDED
from engine.journal import Record, read_records, segments
from engine.spool.database import SpoolSettings
from engine.spool.port import Settled
from engine.spool.sqlite import SqliteSpool
from suppression.copying import last_event
from suppression.day import day_of
from suppression.secret import sync_folder
from suppression.sent import presume

OVERLAP = 3600.0
"""Seconds before the backup from which on the journal is read: it is written before the spool."""
GROUP = 5000
UNFINISHED = "restore.unfinished"
"""There from before the first change of the state until after the last."""


@dataclass(slots=True)
class Restored:
    created: float
    parts: list[str] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)
    settled: int = 0
    """Recipients of the restored spool whose end stands in the journal."""
    waiting: int = 0
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(sender, mailing) -> recipients that the journal has and the backup has not: accepted after it."""


async def restore(
    folder: Path,
    state: Path,
    *,
    spool: SpoolSettings,
    journal: Path,
    only: str = "",
    lose_events: bool = False,
) -> Restored:
    """The engine must be stopped. `only`: "spool" or "ledger". Raises BackupRefused, SpoolUnusable, OSError; the old
    state is then as it was.
    """
    manifest = read_manifest(folder)
    restored = Restored(manifest.created)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    swaps: list[tuple[Path, Path]] = []
    _check_secrets(folder, state, manifest)
    if only != "ledger":
        staged = _stage(folder, state, spool.folder.name, [n for n in manifest.files if n == "spool.db"])
        await _bring_up_to_date(staged, spool, journal, restored)
        swaps.append((staged, spool.folder))
    if only != "spool":
        if not lose_events:
            _check_events(folder, state)
        names = [name for name in manifest.files if name.startswith(f"{LEDGER}/")]
        staged = _stage(folder, state, LEDGER, names)
        presume(staged, day_of(time.time()))
        swaps.append((staged, state / LEDGER))
    unfinished = state / UNFINISHED
    unfinished.touch(mode=0o600)
    sync_folder(state)
    _put_secrets(folder, state, manifest)
    if only != "ledger":
        _put_orders(folder, state, manifest, stamp)
    for staged, place in swaps:
        if place.exists():
            aside = place.with_name(f"{place.name}.replaced-{stamp}")
            place.rename(aside)
            restored.aside.append(aside)
        staged.rename(place)
        restored.parts.append(place.name)
    sync_folder(state)
    unfinished.unlink()
    sync_folder(state)
    return restored


def check_finished(state: Path) -> None:
    """Raises BackupRefused. Between the renames of a restore the spool or the ledger is not there: a start in that
    moment would begin an empty one, without anybody's mail or refusal.
    """
    if (state / UNFINISHED).exists():
        raise BackupRefused(f"{state}: a restore broke off there; run `sokutatsu restore` again, to its end")


def _stage(folder: Path, state: Path, name: str, files: list[str]) -> Path:
    staged = state / f"{name}.restoring"
    if staged.exists():
        shutil.rmtree(staged)
    staged.mkdir(mode=0o700, parents=True)
    for file in files:
        copy = staged / Path(file).name
        copy.touch(mode=0o600)
        shutil.copyfile(folder / file, copy)
        sync_file(copy)
    sync_folder(staged)
    return staged


def _check_secrets(folder: Path, state: Path, manifest: Manifest) -> None:
    """Another secret under the same ledger would make every refusal unknown."""
    for name in _secrets(manifest):
        present = state / name
        if present.exists() and present.read_bytes() != (folder / name).read_bytes():
            raise BackupRefused(f"{present} is another secret than the backup's: move it away first if that is wanted")


def _put_secrets(folder: Path, state: Path, manifest: Manifest) -> None:
    for name in _secrets(manifest):
        if not (state / name).exists():
            _put(folder / name, state / name)


def _put_orders(folder: Path, state: Path, manifest: Manifest, stamp: str) -> None:
    """What operators and automation had ordered about the mail in the spool belongs to it."""
    for name in manifest.files:
        if name.endswith(".json"):
            if (state / name).exists():
                (state / name).rename(state / f"{name}.replaced-{stamp}")
            _put(folder / name, state / name)


def _put(source: Path, place: Path) -> None:
    """Whole or not at all: half a secret would be another one when the restore is repeated."""
    new = place.with_name(f"{place.name}.restoring")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_bytes(source.read_bytes())
    sync_file(new)
    new.replace(place)


def _secrets(manifest: Manifest) -> list[str]:
    return [name for name in manifest.files if name.endswith(".secret")]


def _check_events(folder: Path, state: Path) -> None:
    present = state / LEDGER / "ledger.sqlite"
    if not present.exists():
        return
    ours, theirs = last_event(present), last_event(folder / LEDGER / "ledger.sqlite")
    if ours > theirs:
        raise BackupRefused(
            f"the ledger in {state} has {ours - theirs} events that the backup has not, refusals among them: "
            "restore with --only spool, or say --lose-events if that ledger is beyond use"
        )


async def _bring_up_to_date(staged: Path, settings: SpoolSettings, journal: Path, restored: Restored) -> None:
    spool = await SqliteSpool.open(
        SpoolSettings(folder=staged, node=settings.node, disk_floor=settings.disk_floor, reserve_bytes=0)
    )
    try:
        group: dict[int, Record] = {}
        for record in _ends(journal, restored.created - OVERLAP):
            group[int(record.id, 16)] = record
            if len(group) >= GROUP:
                await _settle(spool, group, restored)
                group = {}
        await _settle(spool, group, restored)
        restored.waiting = sum(lane.waiting for lane in await spool.lanes())
    finally:
        await spool.close()
    (staged / "lock").unlink(missing_ok=True)
    (staged / "reserve").unlink(missing_ok=True)


def _ends(journal: Path, since: float) -> Iterator[Record]:
    for segment in segments(journal):
        if segment.stat().st_mtime < since:
            continue
        for record in read_records(segment):
            if record.type in ENDED and record.timestamp >= since:
                yield record


async def _settle(spool: SqliteSpool, group: dict[int, Record], restored: Restored) -> None:
    known = await spool.those(list(group))
    if known:
        await spool.settle([Settled(recipient, ENDED[group[recipient.id].type]) for recipient in known])
        restored.settled += len(known)
    here = {recipient.id for recipient in known}
    for number, record in group.items():
        if number not in here and record.created > restored.created:
            restored.unknown[record.legal_sender, record.mailing] += 1
