"""Who may submit over SMTP: a file of logins with scrypt hashes (RFC 7914), one a line, made by entry_line().

`login:scrypt$N$r$p$salt$hash` and, after another colon, the senders that this login may use (none named: all). A
right password is remembered under a key of this process, so that a program that logs in for every mail costs one
scrypt a run; a wrong one and an unknown login cost the same time, always.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

COST, BLOCK, PARALLEL = 1 << 14, 8, 1
"""16 MiB and about 50 ms."""
MAX_COST = 1 << 18
REMEMBERED = 1024


class UsersError(Exception):
    """The users file cannot be used: line and remedy in one line."""


@dataclass(frozen=True, slots=True)
class Entry:
    login: str
    cost: int
    block: int
    parallel: int
    salt: bytes
    hash: bytes
    senders: frozenset[str]
    """Empty: all."""


_NOBODY = Entry("", COST, BLOCK, PARALLEL, bytes(16), bytes(32), frozenset())


class Users:
    """Verifies in threads, two at a time: sixteen megabytes each, and the event loop goes on."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}
        self._gate = asyncio.Semaphore(2)

    async def verify(self, login: bytes, password: bytes) -> Entry | None:
        entry = self._entries.get(login.decode("utf-8", "replace"))
        mark = hmac.digest(self._secret, len(login).to_bytes(4) + login + password, "sha256")
        if mark in self._remembered:
            return entry
        async with self._gate:
            is_right = await asyncio.to_thread(_matches, entry or _NOBODY, password)
        if entry is None or not is_right:
            return None
        while len(self._remembered) >= REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[mark] = None
        return entry


def read_users(path: Path) -> Users:
    """Raises UsersError. The file may be read by nobody but its owner and group."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise UsersError(f"{path} can be read by everybody: chmod 0640 {path}")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsersError(f"cannot read the users of SMTP submission from {path}: {error}") from None
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            entry = _read_entry(line.strip())
        except ValueError as error:
            raise UsersError(f"{path}:{number}: {error}: make the line with `sokutatsu submission-user`") from None
        if entry.login in entries:
            raise UsersError(f"{path}:{number}: login {entry.login!a} is there twice: keep one")
        entries[entry.login] = entry
    return Users(entries)


def entry_line(login: str, password: str, senders: tuple[str, ...] = (), cost: int = COST) -> str:
    """A new line for the file, with a salt of its own."""
    salt = secrets.token_bytes(16)
    found = _scrypt(Entry(login, cost, BLOCK, PARALLEL, salt, bytes(32), frozenset()), password.encode())
    hashed = f"scrypt${cost}${BLOCK}${PARALLEL}${_b64(salt)}${_b64(found)}"
    return f"{login}:{hashed}" + (f":{','.join(senders)}" if senders else "")


def _read_entry(line: str) -> Entry:
    login, _, rest = line.partition(":")
    hashed, _, senders = rest.partition(":")
    parts = hashed.split("$")
    if not login or len(parts) != 6 or parts[0] != "scrypt":
        raise ValueError("is not login:scrypt$N$r$p$salt$hash")
    cost, block, parallel = (int(part) for part in parts[1:4])
    if not (1 < cost <= MAX_COST and cost & (cost - 1) == 0 and 1 <= block <= 32 and 1 <= parallel <= 16):
        raise ValueError(f"has scrypt costs out of bounds (N a power of two up to {MAX_COST}, r to 32, p to 16)")
    try:
        salt, found = (base64.b64decode(part, validate=True) for part in parts[4:])
    except binascii.Error:
        raise ValueError("has a salt or hash that is not base64") from None
    if len(salt) < 8 or len(found) != 32:
        raise ValueError("has a salt under 8 bytes or a hash that is not 32 bytes")
    return Entry(login, cost, block, parallel, salt, found, frozenset(filter(None, senders.split(","))))


def _matches(entry: Entry, password: bytes) -> bool:
    return hmac.compare_digest(_scrypt(entry, password), entry.hash)


def _scrypt(entry: Entry, password: bytes) -> bytes:
    memory = 128 * entry.cost * entry.block * (entry.parallel + 2)
    return hashlib.scrypt(
        password, salt=entry.salt, n=entry.cost, r=entry.block, p=entry.parallel, maxmem=memory, dklen=32
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
