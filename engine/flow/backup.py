"""Backups of a running engine: spool, ledger and secrets in one folder with a manifest, complete or not there.

The spool is copied first: the ledger in a backup then knows every refusal that the spool's mail must heed. All of it
is written under another name, synced, read back, and only then given its name. The journal is not copied: its closed
segments never change, rsync takes them; the manifest says from where on they tell what the spool has not heard yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from engine import wire
from engine.wire import Refusal
from suppression.copying import copy_database, damage, ledger_files
from suppression.secret import sync_folder

FORMAT = 1
MANIFEST = "manifest.json"
LEDGER = "suppression"
READ_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    format: int
    engine: str
    """Version of the engine that wrote it."""
    node: str
    created: float
    """Unix seconds, before anything was copied: what the journal tells from then on may be missing in the spool."""
    files: Mapping[str, str]
    """Name within the folder -> SHA-256."""


class BackupRefused(Exception):  # noqa: N818 - an answer
    """No backup was made, or it cannot be used; the text names the reason and the remedy."""


class Backups:
    """Answers `backup`. One at a time."""

    def __init__(
        self,
        folder: Path,
        state: Path,
        *,
        copy_spool: Callable[[Path], Awaitable[None]],
        ledger: Path,
        node: str,
        version: str,
        clock: Callable[[], float],
        disk_floor: float,
    ) -> None:
        """`disk_floor`: share of the backups' disk that must be free afterwards."""
        self._disk_floor = disk_floor
        self._folder = folder
        self._state = state
        self._copy_spool = copy_spool
        self._ledger = ledger
        self._node = node
        self._version = version
        self._clock = clock
        self._busy = asyncio.Lock()

    async def answer(self, request: wire.Backup) -> Mapping[str, object]:
        """Raises Refusal."""
        if self._busy.locked():
            raise Refusal("busy", "", "", "another backup is being written: wait for it")
        async with self._busy:
            started = time.monotonic()
            created = self._clock()
            name = request.name or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(created))
            target = self._folder / name
            try:
                size = await self._take(target, created)
            except BackupRefused as error:
                raise Refusal("backup_failed", "", "", str(error)) from None
            except OSError as error:
                text = f"no backup was made, nothing is left of it: {error.strerror or error} ({target})"
                raise Refusal("backup_failed", "", "", text) from None
            return {"folder": str(target), "bytes": size, "seconds": round(time.monotonic() - started, 3)}

    async def _take(self, target: Path, created: float) -> int:
        partial = await asyncio.to_thread(self._begin, target)
        try:
            await self._copy_spool(partial / "spool.db")
            return await asyncio.to_thread(self._finish, partial, target, created)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
            raise

    def _begin(self, target: Path) -> Path:
        if target.exists():
            raise BackupRefused(f"{target} is there already: choose another name")
        partial = target.with_name(target.name + ".partial")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_room()
        if partial.exists():
            shutil.rmtree(partial)  # of an engine that died meanwhile
        partial.mkdir(mode=0o700)
        return partial

    def _check_room(self) -> None:
        files = [self._state / "spool" / "spool.db", *ledger_files(self._ledger)]
        needed = sum(path.stat().st_size for path in files if path.exists())
        disk = shutil.disk_usage(self._folder)
        if disk.free - needed < self._disk_floor * disk.total:
            free, wanted = disk.free // 2**20, needed // 2**20
            raise BackupRefused(
                f"{self._folder}: {free:,} MiB free, the backup takes {wanted:,} MiB and the disk floor stays free; "
                "make room, or set engine.backups to another disk"
            )

    def _finish(self, partial: Path, target: Path, created: float) -> int:
        (partial / LEDGER).mkdir(mode=0o700)
        for source in ledger_files(self._ledger):
            copy_database(source, partial / LEDGER / source.name)
        for small in (*sorted(self._state.glob("*.secret")), *sorted(self._state.glob("*.json"))):
            copy = partial / small.name
            copy.touch(mode=0o600)
            copy.write_bytes(small.read_bytes())
        names = sorted(str(path.relative_to(partial)) for path in partial.rglob("*") if path.is_file())
        for name in names:
            wrong = damage(partial / name) if name.endswith((".db", ".sqlite")) else ""
            if wrong:
                raise BackupRefused(f"the copy of {name} is damaged ({wrong}): check the disk of {self._folder}")
        manifest = Manifest(
            FORMAT, self._version, self._node, created, {name: digest(partial / name) for name in names}
        )
        (partial / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
        size = 0
        for path in (*(partial / name for name in names), partial / MANIFEST):
            sync_file(path)
            size += path.stat().st_size
        sync_folder(partial / LEDGER)
        sync_folder(partial)
        partial.rename(target)
        sync_folder(self._folder)
        return size


def read_manifest(folder: Path) -> Manifest:
    """Of a backup whose every file is there and as it was written. Raises BackupRefused."""
    try:
        read = json.loads((folder / MANIFEST).read_bytes()[:READ_AT_ONCE])
        manifest = Manifest(**read)
        created, files = float(manifest.created), dict(manifest.files)
    except (OSError, ValueError, TypeError) as error:
        raise BackupRefused(f"{folder}: no complete backup ({error}); choose a folder with {MANIFEST}") from None
    if manifest.format != FORMAT:
        raise BackupRefused(f"{folder}: of format {manifest.format!r}, this engine knows {FORMAT}; use its own version")
    for name, expected in files.items():
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise BackupRefused(f"{folder}: its manifest names {name[:80]!a}, which lies outside")
        if not path.is_file() or digest(path) != expected:
            raise BackupRefused(f"{path}: missing, or not as it was written; choose another backup")
    return Manifest(manifest.format, str(manifest.engine), str(manifest.node), created, files)


def digest(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while portion := file.read(READ_AT_ONCE):
            whole.update(portion)
    return whole.hexdigest()


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
