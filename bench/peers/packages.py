"""Fetches Debian's and npm's packages and lays them out, without installing anything.

`apt-get download` of what an installation would add, unpacked into one tree that a cell lays over this system; npm
into a folder of its own. A stamp keeps the second run from fetching again. Maintainers' scripts are not run: the users
that they would make are written here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.processes import ProcessFailed

SECONDS = 300.0
DEBIAN = ("postfix", "opendkim", "rspamd")
CONFLICTING = ("exim4-base", "exim4-daemon-light")
"""Exim and Postfix exclude each other when installed; unpacked they do not."""
NODE = ("Haraka@3.3.4", "haraka-plugin-dkim@1.3.1")
_MERGED = ("bin", "sbin", "lib", "lib64")
_USERS = {
    "postfix": 991,
    "postdrop": 990,
    "opendkim": 989,
    "_rspamd": 988,
    "Debian-exim": 987,
}


def fetch_debian(folder: Path) -> dict[str, str]:
    """Versions by package. The tree is folder/tree. Raises ProcessFailed."""
    stamp = folder / "versions.json"
    if not stamp.exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "archives").mkdir(parents=True)
        names = sorted(set(_needed(DEBIAN)) | set(_needed(CONFLICTING)))
        _run(["apt-get", "download", *names], folder / "archives")
        _unpack(folder)
        stamp.write_text(json.dumps(_versions(folder / "archives")))
    return dict(json.loads(stamp.read_text()))


def _needed(names: Sequence[str]) -> list[str]:
    """What an installation would add to this system."""
    told = _run(["apt-get", "-s", "install", "--no-install-recommends", *names], Path("/"))
    added = [line.split()[1] for line in told.splitlines() if line.startswith("Inst ")]
    return sorted({*added, *names})


def _unpack(folder: Path) -> None:
    """Old paths (/lib) lead to /usr as on a merged system: a real folder there would hide the system's link."""
    tree = folder / "tree"
    for name in _MERGED:
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for archive in sorted((folder / "archives").glob("*.deb")):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as reading:
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "-C", str(tree)],
                stdin=reading.stdout,
                check=True,
                timeout=SECONDS,
            )
    for name, fields in (("passwd", "x:{0}:{0}::/nonexistent:/usr/sbin/nologin"), ("group", "x:{0}:")):
        known = Path("/etc", name).read_text("utf-8")
        lines = [f"{user}:{fields.format(number)}\n" for user, number in _USERS.items() if f"\n{user}:" not in known]
        (tree / "etc" / name).write_text(known + "".join(lines), "utf-8")


def _versions(archives: Path) -> dict[str, str]:
    found = {}
    for archive in archives.glob("*.deb"):
        name, version = _run(["dpkg-deb", "-W", "--showformat=${Package} ${Version}", str(archive)], archives).split()
        found[name] = version
    return found


def fetch_node(folder: Path) -> dict[str, str]:
    """Versions by package. The modules are folder/node_modules. Raises ProcessFailed."""
    stamp = folder / "versions.json"
    if not stamp.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run(["npm", "install", "--no-audit", "--no-fund", "--omit=optional", *NODE], folder)
        found = {name.partition("@")[0]: name.partition("@")[2] for name in NODE}
        found["node"] = _run(["node", "--version"], folder).strip()
        stamp.write_text(json.dumps(found))
    return dict(json.loads(stamp.read_text()))


def _run(command: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError as error:
        raise ProcessFailed(f"{command[0]} is not on this system: apt-get install {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise ProcessFailed(f"{' '.join(command)[:80]}: not done after {SECONDS:.0f} s") from error
    if done.returncode:
        hint = "\nif the package lists are old or missing: apt-get update" if command[0] == "apt-get" else ""
        raise ProcessFailed(f"{' '.join(command)[:80]}: code {done.returncode}\n{done.stderr[-800:]}{hint}")
    return done.stdout
