"""MTA-STS (RFC 8461): which domains demand TLS with a verified certificate, from which hosts, and until when.

A TXT record names the policy's version; a new one is fetched over HTTPS (stsfetch.py), read here, and kept on disk in
a folder of its own, so that neither a restart nor a record that somebody made vanish ends it before its max_age. What
cannot be read or fetched changes nothing: the known policy goes on, or there is none. Unknown fields are passed over,
whatever is wrong in a known one makes the policy invalid.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine.net.dns import Asker, Kind, Status

log = logging.getLogger(__name__)

LONGEST_MAX_AGE: Final = 31_557_600
"""Seconds, RFC 8461 3.2."""
REFRESH: Final = 86_400.0
"""Seconds after which a policy is fetched again though its version is the same."""
RETRY: Final = 300.0
"""Seconds for which a fetch that failed is not repeated."""
MOST_POLICIES: Final = 20_000
MOST_FAILURES: Final = 10_000
MOST_MX: Final = 100
"""Patterns of one policy."""
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_-]{1,63}){0,60}")
_PATTERN: Final = re.compile(r"(?:\*\.)?[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,60}")


class Mode(StrEnum):
    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Policy:
    mode: Mode
    mx: tuple[str, ...]
    max_age: int
    text: tuple[str, ...] = ()
    """Its lines, as a report repeats them (RFC 8460 4.4)."""

    def names(self, host: str) -> bool:
        """Whether mail may go to this MX host. "*." stands for exactly one label (RFC 8461 4.1)."""
        return any(host == mx or (mx.startswith("*.") and host.partition(".")[2] == mx[2:]) for mx in self.mx)


@dataclass(frozen=True, slots=True)
class Kept:
    """A policy, whose it is, and since when."""

    domain: str
    id: str
    fetched_at: float
    policy: Policy

    def holds(self, now: float) -> bool:
        return now < self.fetched_at + self.policy.max_age


@dataclass(frozen=True, slots=True)
class Trouble:
    """No policy. `result` is the word of RFC 8460 4.3."""

    result: str
    text: str
    """Safe to log."""


Fetch = Callable[[str], Awaitable[bytes | Trouble]]
"""The policy file of a domain."""


@dataclass(slots=True)
class StsCounts:
    fetched: int = 0
    failed: int = 0


class StsPolicies:
    """Awaited by who looks a domain up; `of` answers from memory."""

    def __init__(
        self,
        asker: Asker,
        fetch: Fetch,
        folder: Path,
        *,
        clock: Callable[[], float],
    ) -> None:
        """`clock` in Unix seconds. Reads the folder: some microseconds a policy."""
        self._asker = asker
        self._fetch = fetch
        self._folder = folder
        self._clock = clock
        self.on_trouble: Callable[[str, Trouble], None] = lambda _domain, _trouble: None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failed: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._kept: dict[str, Kept] = read_folder(folder, clock())
        self.counts = StsCounts()

    def use(self, fetch: Fetch) -> None:
        """From the next policy on."""
        self._fetch = fetch

    @property
    def known(self) -> int:
        return len(self._kept)

    def of(self, domain: str) -> Kept | None:
        """The policy in force, whatever its mode."""
        kept = self._kept.get(domain)
        return kept if kept is not None and kept.holds(self._clock()) else None

    async def look_up(self, domain: str) -> None:
        """Asks for the version; a new one is waited for, one that only grows old is renewed beside. Never fails."""
        answer = await self._asker.ask(f"_mta-sts.{domain}", Kind.TXT)
        version = version_of(answer.records) if answer.status is Status.NOERROR else None
        if version is None:
            return
        kept = self.of(domain)
        if kept is None or kept.id != version:
            await asyncio.shield(self._renewing(domain, version))
        elif self._clock() > kept.fetched_at + min(REFRESH, kept.policy.max_age / 2):
            self._renewing(domain, version)

    def close(self) -> None:
        for running in self._running.values():
            running.cancel()

    def _renewing(self, domain: str, version: str) -> asyncio.Task[None]:
        running = self._running.get(domain)
        if running is None:
            running = self._running[domain] = asyncio.create_task(self._renew(domain, version))
            running.add_done_callback(lambda _: self._running.pop(domain))
        return running

    async def _renew(self, domain: str, version: str) -> None:
        if self._failed.get((domain, version), 0.0) > self._clock():
            return
        found = await self._fetch(domain)
        policy = parse_policy(found) if isinstance(found, bytes) else found
        if isinstance(policy, Trouble):
            self._note(domain, version, policy)
            return
        self.counts.fetched += 1
        await self._keep(Kept(domain, version, self._clock(), policy))

    def _note(self, domain: str, version: str, trouble: Trouble) -> None:
        self.counts.failed += 1
        self._failed[domain, version] = self._clock() + RETRY
        while len(self._failed) > MOST_FAILURES:
            self._failed.popitem(last=False)
        log.warning("MTA-STS of %.80a: %s: %s", domain, trouble.result, trouble.text)
        self.on_trouble(domain, trouble)

    async def _keep(self, kept: Kept) -> None:
        """In force at once; a disk that is full only costs it the next restart."""
        while kept.domain not in self._kept and len(self._kept) >= MOST_POLICIES:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            await asyncio.to_thread((self._folder / oldest).unlink, missing_ok=True)
        self._kept[kept.domain] = kept
        try:
            await asyncio.to_thread(write_policy, self._folder, kept)
        except OSError as error:
            log.warning("MTA-STS of %.80a: %s is not written: %s", kept.domain, self._folder, error.strerror)


def version_of(records: Sequence[object]) -> str | None:
    """The id of the one STSv1 record; more than one is none (RFC 8461 3.1)."""
    texts = [r.decode("ascii", "replace") for r in records if isinstance(r, bytes) and r.startswith(b"v=STSv1")]
    if len(texts) != 1:
        return None
    first, *fields = (field.strip() for field in texts[0].split(";"))
    ids = [value.strip() for name, _, value in (field.partition("=") for field in fields) if name.strip() == "id"]
    return ids[0] if first == "v=STSv1" and len(ids) == 1 and _ID.fullmatch(ids[0]) else None


def parse_policy(raw: bytes) -> Policy | Trouble:
    """RFC 8461 3.2; lines may end in LF alone."""
    try:
        lines = [line.strip() for line in raw.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return _invalid("not UTF-8")
    values: dict[str, str] = {}
    hosts: list[str] = []
    for line in lines:
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon:
            return _invalid(f"a line without a colon: {line[:80]!a}")
        if name == "mx":
            hosts.append(value.lower().rstrip("."))
        else:
            values.setdefault(name, value)
    return _policy_of(values, tuple(hosts), lines)


def _policy_of(values: dict[str, str], hosts: tuple[str, ...], lines: list[str]) -> Policy | Trouble:
    age = values.get("max_age", "")
    if values.get("version") != "STSv1":
        return _invalid(f"version: {values.get('version', 'missing')[:80]!a}")
    if values.get("mode") not in tuple(Mode):
        return _invalid(f"mode: {values.get('mode', 'missing')[:80]!a}")
    if not (age.isascii() and age.isdigit() and len(age) <= 10):
        return _invalid(f"max_age: {age[:80]!a}")
    wrong = next((host for host in hosts if not _PATTERN.fullmatch(host)), None)
    if wrong is not None:
        return _invalid(f"mx: {wrong[:80]!a}")
    mode = Mode(values["mode"])
    if len(hosts) > MOST_MX or (not hosts and mode is not Mode.NONE):
        return _invalid(f"{len(hosts)} mx lines")
    text = tuple(ascii(line)[1:-1][:300] for line in lines[: MOST_MX + 3])
    return Policy(mode, hosts, min(int(age), LONGEST_MAX_AGE), text)


def _invalid(text: str) -> Trouble:
    return Trouble("sts-policy-invalid", text)


# -- on disk -----------------------------------------------------------------------------------------------


def write_policy(folder: Path, kept: Kept) -> None:
    """One file a domain, replaced as a whole. Blocks. Raises OSError."""
    if not _NAME.fullmatch(kept.domain):
        raise OSError(None, f"{kept.domain[:80]!a} is no name for a file")
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    new = folder / f".new-{kept.domain[:200]}"
    with new.open("w", encoding="utf-8") as opened:
        json.dump(asdict(kept), opened)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(folder / kept.domain)
    entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


def read_folder(folder: Path, now: float) -> dict[str, Kept]:
    """Policies that still hold; the other files are taken away. A damaged one is logged and no more."""
    found: list[Kept] = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        kept = _read_file(file)
        # A clock that was ahead must not keep a policy for ever.
        if kept is not None and kept.holds(now):
            found.append(replace(kept, fetched_at=min(kept.fetched_at, now)))
        else:
            file.unlink()
    found.sort(key=lambda kept: kept.fetched_at)
    return {kept.domain: kept for kept in found[-MOST_POLICIES:]}


def _read_file(file: Path) -> Kept | None:
    try:
        table = json.loads(file.read_bytes())
        policy = parse_policy("\n".join(table["policy"]["text"]).encode())
        if isinstance(policy, Policy) and _ID.fullmatch(table["id"]) and table["domain"] == file.name:
            return Kept(file.name, table["id"], float(table["fetched_at"]), policy)
    except (ValueError, TypeError, KeyError, OSError):
        log.warning("%s is no MTA-STS policy of ours and is taken away", file)
    return None
