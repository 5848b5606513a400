"""`backup` and `restore`: the durable state of a running engine in one folder, and back in place of a stopped one's.

Exit codes: 0 done, 1 not possible, with the reason, and the old state is as it was, 2 wrong configuration, 3 the engine
refused or did not answer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from engine.cli.checking import settings_of
from engine.cli.speaking import guarded, tell
from engine.client import Client
from engine.config import Settings
from engine.flow.backup import BackupRefused
from engine.flow.restore import Restored, restore
from engine.spool.database import lock_folder
from engine.spool.layout import SpoolUnusable

SHOWN = 20


def run_backup(args: argparse.Namespace) -> int:
    def ask() -> int:
        with Client(args.socket, patience=args.patience) as client:
            told = client.call("backup", {"name": args.name})
        text = f"{told['bytes']:,} bytes in {told['seconds']:,.1f} s, read back and complete"
        tell(args, told, f"{told['folder']}: {text}")
        return 0

    return guarded(args, ask)


def run_restore(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    if settings is None:
        return 2
    try:
        restored = asyncio.run(_restore(args, settings))
    except (BackupRefused, SpoolUnusable, OSError) as error:
        print(f"sokutatsu: nothing was restored: {error}", file=sys.stderr)
        return 1
    if args.json:
        unknown = [{"sender": sender, "mailing": name, "ended": n} for (sender, name), n in restored.unknown.items()]
        names = ("created", "parts", "settled", "waiting")
        told = {name: getattr(restored, name) for name in names}
        tell(args, {**told, "aside": [*map(str, restored.aside)], "unknown": unknown})
    else:
        _show(restored)
    return 0


async def _restore(args: argparse.Namespace, settings: Settings) -> Restored:
    state = settings.engine.state
    state.mkdir(mode=0o750, parents=True, exist_ok=True)
    held = lock_folder(settings.spool.folder)  # held until the process ends: an engine would refuse to start
    assert held >= 0
    return await restore(
        args.folder,
        state,
        spool=settings.spool,
        journal=settings.journal.folder,
        only=args.only,
        lose_events=args.lose_events,
    )


def _show(restored: Restored) -> None:
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(restored.created))
    print(f"restored {', '.join(restored.parts)} as of {at}")
    if "spool" in restored.parts:
        print(f"  {restored.settled:,} recipients settled by what the journal tells since, {restored.waiting:,} wait")
    for path in restored.aside:
        print(f"  what was there is now {path}")
    if restored.unknown:
        print("  accepted after the backup, so not in it; who of these was mailed stands in the journal only:")
        for (sender, mailing), count in restored.unknown.most_common(SHOWN):
            print(f"    {sender} {mailing}: {count:,} ended. Do not submit this mailing again as a whole")
