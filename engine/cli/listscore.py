"""The score of a list before it is imported: counted on a sample of its lines, on what the ledger knows of them and of
the sender's earlier lists, and on what DNS says of their domains.

Up to some megabytes the whole file is read, of a larger one stretches from its beginning to its end, so that a list of
ten million lines costs a second. What the counts mean stands in policy/listscore.py.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from engine.cli.recipients import FileError
from engine.config import Settings, read_configuration
from engine.mail.address import parse_address
from engine.net.dns import DnsClient
from engine.net.mx import MxResolver
from engine.net.resolver import ResolveFailure, Resolver, StaticRoutes
from engine.policy.listscore import GOOD, LEAST, LIMITS, OLD_DAYS, Counted, Score, score, unlikeness
from suppression import LedgerRefused, SecretError
from suppression.exchange import Fault, Line, read_lines, seconds
from suppression.view import LedgerView

WHOLE_BYTES = 16 << 20
STRETCHES = 64
STRETCH_BYTES = 256 << 10
LOOKED_UP = 20_000
"""Addresses that the ledger is asked about."""
DOMAINS = 400
"""That DNS is asked about."""
DNS_SECONDS = 10.0


def count(path: Path, encoding: str, columns: Sequence[str], common_at: str) -> Counted:
    """Raises OSError, LookupError, FileRefused."""
    is_json = path.suffix.lower() in {".jsonl", ".ndjson"}
    lines = faults = old = 0
    addresses: list[str] = []
    before = time.time() - OLD_DAYS * 86_400
    for text, is_whole in _texts(path, encoding, has_head=not is_json):
        for line in read_lines(io.StringIO(text), json_lines=is_json, columns=columns, needed=("address",)):
            if isinstance(line, Fault) and not is_whole:
                continue  # a quoted line end that the stretch cut
            lines += 1
            if isinstance(line, Fault) or not _is_address(line):
                faults += 1
                continue
            addresses.append(line.address)
            old += _at(line.at or common_at) < before
    return Counted(lines, faults, addresses, old)


def _is_address(line: Line) -> bool:
    try:
        parse_address(line.address)
    except ValueError:
        return False
    return True


def _at(text: str) -> float:
    """What cannot be read is refused by the import itself."""
    try:
        return float(seconds(text))
    except ValueError:
        return time.time()


def _texts(path: Path, encoding: str, *, has_head: bool) -> Iterator[tuple[str, bool]]:
    """Whole lines, each piece with the first line of the file before it when that names the columns; and whether the
    piece is all of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= WHOLE_BYTES:
            yield stream.read().decode(encoding, "surrogateescape"), True
            return
        head = stream.readline(1 << 20).decode(encoding, "surrogateescape") if has_head else ""
        stretches = max(2, min(STRETCHES, size // STRETCH_BYTES))
        for number in range(stretches):
            stream.seek(number * (size - STRETCH_BYTES) // (stretches - 1))
            lines = stream.read(STRETCH_BYTES).split(b"\n")[1:-1]
            body = b"\n".join(lines).decode(encoding.removesuffix("-sig"), "surrogateescape")
            yield f"{head}{body}\n", False


def look_up(counted: Counted, settings: Settings, sender: str) -> Counted | None:
    """With what the ledger knows of a sample of them; None: it cannot be read from here."""
    step = max(1, len(counted.addresses) // LOOKED_UP)
    asked = counted.addresses[::step]
    try:
        with LedgerView(settings.suppression.folder, settings.suppression.secret_file) as view:
            unknown, refused = view.known_bad(asked, sender)
            new = view.newcomers(asked, sender)
            unlike = unlikeness(asked, view.recent_consents(sender, LOOKED_UP))
    except (LedgerRefused, SecretError, OSError):
        return None
    scale = len(counted.addresses) / max(1, len(asked))
    return replace(
        counted,
        unknown=round(unknown * scale),
        refused=round(refused * scale),
        new=None if new is None else round(new * scale),
        unlike=unlike,
    )


async def ask_dns(counted: Counted, resolver: Resolver, seconds: float = DNS_SECONDS) -> Counted:
    """With the share at domains that do not exist or take no mail, of the domains that most addresses are at; what has
    not answered by then counts as alive. Nobody's server is asked for a mailbox.
    """
    domains = Counter(address.rpartition("@")[2].lower().rstrip(".") for address in counted.addresses)
    wanted = [domain for domain, _ in domains.most_common(DOMAINS // 2)]
    others = [domain for domain in domains if domain not in set(wanted)]
    wanted += others[:: max(1, len(others) * 2 // DOMAINS)][: DOMAINS // 2]  # the long tail, too

    async def look(domain: str) -> None:
        if resolver.route(domain) is None:
            await resolver.look_up(domain)

    looks = [asyncio.ensure_future(look(domain)) for domain in wanted]
    if looks:
        done, late = await asyncio.wait(looks, timeout=seconds)
        for one in late:
            one.cancel()
        if late:
            await asyncio.wait(late)
        for one in done:
            one.result()
    found = {domain: resolver.route(domain) for domain in wanted}
    dead = sum(domains[name] for name, to in found.items() if isinstance(to, ResolveFailure) and to.final)
    scale = len(counted.addresses) / max(1, sum(domains[name] for name in wanted))
    return replace(counted, dead=round(dead * scale))


async def _with_dns(counted: Counted, settings: Settings) -> Counted:
    dns = DnsClient(settings.resolver.dns)
    try:
        table = StaticRoutes(settings.routes, dns)
        return await ask_dns(counted, MxResolver(table, dns, settings.resolver.mx))
    finally:
        dns.close()


def scored(path: Path, encoding: str, columns: Sequence[str], common_at: str, whose: tuple[Path, str]) -> Score:
    """`whose`: configuration and sender. What is no file, a pipe, is not judged. Raises OSError, LookupError,
    FileRefused.
    """
    if not path.is_file():
        return Score(100, False, {})
    counted = count(path, encoding, columns, common_at)
    config, sender = whose
    settings = read_configuration(config) if config.exists() else []
    if isinstance(settings, Settings):
        counted = look_up(counted, settings, sender) or counted
        if settings.resolver.mx is not None and "*" not in settings.routes and counted.lines >= LEAST:
            counted = asyncio.run(_with_dns(counted, settings))  # behind a relay for everybody DNS is the relay's
    return score(counted)


def notes_of(found: Score) -> list[str]:
    """For the report."""
    if not found.is_judged:
        return []
    notes = [f"リストの評価 / list score: {found.points} / 100"]
    for name in found.told:
        limit, share = LIMITS[name], f"{found.shares[name]:.1%}"
        notes.append(f"  {share:>6}  {limit.ja} / {limit.en}")
    if found.points < GOOD:
        notes.append("  収集方法をご確認ください / look where this list comes from")
    if "unknown" not in found.shares:
        notes.append("  (台帳は参照できませんでした / the ledger could not be asked: run it as the engine's user)")
    return notes


def refuse_low(found: Score, lowest: int) -> None:
    """Raises FileError."""
    if found.is_judged and found.points < lowest:
        said = "\n".join(notes_of(found))
        raise FileError(
            f"{said}\nthe score is below {lowest} and nothing was imported: look where the list comes from; "
            f"--min-score {found.points} imports it all the same"
        )
