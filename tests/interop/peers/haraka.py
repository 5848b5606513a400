"""Haraka as a receiver: another language's parser, PIPELINING, 8BITMIME and SMTPUTF8, and its own mind about lone LF.

From npm by a lock with hashes (install.sh), into the folder of what is not installed; it needs node. Its plugin files
what it takes into a maildir.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.interop.peers.place import DEBS, HERE, Peer, mail_server, resolving, shared

MODULES = DEBS / "haraka" / "node_modules"
NEEDED = pytest.mark.skipif(not MODULES.is_dir(), reason="Haraka is not there: install.sh found no npm with node 20")


@contextlib.contextmanager
def haraka(folder: Path, resolver: str) -> Iterator[Peer]:
    port = free_port()
    shared(folder, "plugins", "queue", "mail")
    # It dies of a setting that is in none of its files, so its own stand beneath ours.
    shutil.copytree(MODULES / "Haraka" / "config", folder / "config")
    for name in ("new", "tmp"):
        (folder / "mail" / name).mkdir()
    shutil.copy(HERE / "haraka" / "keeper.js", folder / "plugins" / "keeper.js")
    settings = {
        "smtp.ini": f"listen=127.0.0.1:{port}\nnodes=0\n",
        "plugins": "keeper\n",
        "me": "mx.haraka.example\n",
        "log.ini": "level=notice\n",
        "databytes": "20000000\n",
    }
    for name, text in settings.items():
        (folder / "config" / name).write_text(text)
    # Its default cuts lines of more than 992 octets; RFC 5321 4.5.3.1.6 allows 1000, without the doubled dot.
    limits = (folder / "config" / "connection.ini").read_text()
    (folder / "config" / "connection.ini").write_text(limits.replace("length=992", "length=1001"))
    (folder / "node_modules").symlink_to(MODULES)
    command = ["env", f"KEEPER_FOLDER={folder / 'mail'}", "node", str(MODULES / "Haraka" / "bin" / "haraka")]
    asking = resolving(resolver, folder, [*command, "-c", str(folder)])
    with mail_server("haraka", asking, folder, ("127.0.0.1", port)) as child:
        yield Peer("haraka", port, folder, child, folder / "mail")
