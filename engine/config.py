"""sokutatsu.toml -> frozen settings. The top of the house reads it; nobody below ever imports it.

Every module declares its own settings; here they are filled, checked against each other, and all errors are
reported at once with line and key. Paths in the file are relative to the file. Secrets and keys stand in files of
their own and are named by path; this file is safe to show.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from engine.admin import AdminSettings
from engine.flow.accept import AcceptSettings
from engine.flow.door import DoorSettings
from engine.flow.settle import SettleSettings
from engine.journal import JournalSettings
from engine.mail.identity import IdentityError, SenderIdentity, check_identity
from engine.net.resolver import Route, RouteError, TlsMode, parse_route
from engine.policy.shaping import Shaping, read_shaping
from engine.signer.settings import KeyFile, SignerSettings
from engine.spool.database import SpoolSettings
from engine.tables import Problems, line_numbers, read_table
from suppression import SuppressionSettings
from suppression.decision import Category

MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """[engine]"""

    state: Path
    """Folder of everything durable: spool, ledger, journal, secrets."""
    node: int = 0
    """This machine's number, 0 to 32767, different on each: identifiers are unique across nodes by it."""
    ehlo_name: str = "localhost"
    """The name that we greet with; forward and reverse DNS should agree on it."""
    source_address: str = ""
    """Local address to send from; empty: as the system routes."""
    max_recipients: int = 20_000_000
    """Recipients that may wait in the spool; credit goes to zero there."""
    stop_seconds: float = 25.0
    """How long a graceful stop waits for transactions on the wire."""
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class SenderTable:
    """[senders.NAME]"""

    legal_name: str
    """Registered name of the 送信者 (特定電子メール法 4条1号)."""
    address: str
    """The From address, alone or with a display name."""
    domain: str = ""
    """d= of the signatures; default: the domain of the address."""
    return_path_domain: str = ""
    """Domain of the envelope sender (VERP); default: the domain."""
    message_id_domain: str = ""
    unsubscribe_url: str = ""
    feedback_id: tuple[str, ...] = ()
    categories: tuple[Category, ...] = tuple(Category)
    """What this sender may send."""


@dataclass(frozen=True, slots=True)
class KeyTable:
    """[[senders.NAME.dkim]]"""

    selector: str
    key: Path


@dataclass(frozen=True, slots=True)
class RouteTable:
    """[routes] with a table for one domain"""

    to: str
    tls: TlsMode = TlsMode.OPPORTUNISTIC


@dataclass(frozen=True, slots=True)
class SenderSettings:
    identity: SenderIdentity
    legal_name: str
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settings:
    file: Path
    engine: EngineSettings
    accept: AcceptSettings
    door: DoorSettings
    submission: None
    spool: SpoolSettings
    settle: SettleSettings
    journal: JournalSettings
    suppression: SuppressionSettings
    signer: SignerSettings
    admin: AdminSettings
    senders: Mapping[str, SenderSettings]
    routes: Mapping[str, Route]
    shaping: Shaping


def read_configuration(file: Path) -> Settings | list[str]:
    """The settings, or every error, each with file, line, key, value and remedy."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            return [f"{file}: larger than {MOST_BYTES} bytes; this is no configuration of ours"]
        text = raw.decode("utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        return [f"{file}: {error.strerror}; name an existing file with --config"]
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return [f"{file}: not TOML: {error}"]
    problems = Problems(str(file), line_numbers(text))
    settings = _Reader(file, document, problems).settings()
    return settings if settings and not problems.texts else problems.texts


class _Reader:
    TABLES = frozenset(
        "engine accept socket submission spool settle journal suppression signer admin senders routes shaping".split()
    )

    def __init__(self, file: Path, document: dict[str, Any], problems: Problems) -> None:
        self.file = file
        self.folder = file.resolve().parent
        self.document = document
        self.problems = problems

    def settings(self) -> Settings | None:
        for name in self.document.keys() - self.TABLES:
            self.problems.add(name, f"unknown table; known are {', '.join(sorted(self.TABLES))}")
        engine = self._table(EngineSettings, "engine")
        state = self.folder / (engine.state if engine else "")
        senders, keys = self._senders()
        parts: dict[str, Any] = {
            "accept": self._table(AcceptSettings, "accept"),
            "door": self._door(state),
            "spool": self._table(SpoolSettings, "spool", folder=state / "spool", node=engine.node if engine else 0),
            "settle": self._table(SettleSettings, "settle"),
            "journal": self._table(JournalSettings, "journal", folder=state / "journal"),
            "suppression": self._table(
                SuppressionSettings,
                "suppression",
                folder=state / "suppression",
                secret_file=state / "suppression.secret",
            ),
            "signer": self._table(SignerSettings, "signer", keys=keys),
            "admin": self._table(AdminSettings, "admin"),
            "shaping": self._shaping(),
        }
        routes = self._routes()
        if self.problems.texts or engine is None:
            return None
        self._check_bounds(engine)
        placed = EngineSettings(**{**_values(engine), "state": state})
        return Settings(self.file, placed, submission=None, senders=senders, routes=routes, **parts)

    def _table(self, kind: type[Any], name: str, **given: object) -> Any:
        return read_table(kind, self.document.get(name, {}), name, self.problems, **given)

    def _check_bounds(self, engine: EngineSettings) -> None:
        if engine.node > 32767:
            self.problems.add("engine.node", f"{engine.node}: must be 0 to 32767")
        if engine.log_level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            self.problems.add("engine.log_level", "write DEBUG, INFO, WARNING or ERROR")

    def _door(self, state: Path) -> DoorSettings | None:
        table = dict(self.document.get("socket", {}))
        path = table.pop("path", None)
        if path is not None and not isinstance(path, str):
            self.problems.add("socket.path", "write text in quotes")
            return None
        place = self.folder / path if path else state / "socket" / "sokutatsu.sock"
        return read_table(DoorSettings, table, "socket", self.problems, path=place)

    def _shaping(self) -> Shaping | None:
        read = read_shaping(self.document.get("shaping", {}), "shaping")
        if isinstance(read, list):
            self.problems.extend(read)
            return None
        return read

    def _routes(self) -> dict[str, Route]:
        table = self.document.get("routes", {})
        routes: dict[str, Route] = {}
        if not isinstance(table, Mapping) or not table:
            self.problems.add("routes", 'no route; add [routes] with a line such as "*" = "relay.example.jp:25"')
            return routes
        for domain, value in table.items():
            where = f"routes.{domain}"
            place = RouteTable(value) if isinstance(value, str) else read_table(RouteTable, value, where, self.problems)
            if place is None:
                continue
            try:
                routes[domain.lower()] = parse_route(domain, place.to, place.tls)
            except RouteError as error:
                self.problems.add(where, str(error))
        return routes

    def _senders(self) -> tuple[dict[str, SenderSettings], tuple[KeyFile, ...]]:
        table = self.document.get("senders", {})
        senders: dict[str, SenderSettings] = {}
        keys: list[KeyFile] = []
        if not isinstance(table, Mapping) or not table:
            self.problems.add("senders", "no sender; add a table [senders.NAME]")
            return senders, ()
        for name, entry in table.items():
            where = f"senders.{name}"
            if not isinstance(entry, Mapping):
                self.problems.add(where, f"not a table; write [{where}]")
                continue
            own = {key: value for key, value in entry.items() if key != "dkim"}
            read = read_table(SenderTable, own, where, self.problems)
            if read is None:
                continue
            sender = self._sender(name, read, where)
            if sender:
                senders[name] = sender
                keys += self._keys(entry.get("dkim", []), where, sender.identity.domain)
        return senders, tuple(dict.fromkeys(keys))

    def _sender(self, name: str, table: SenderTable, where: str) -> SenderSettings | None:
        display, address = parseaddr(table.address)
        domain = table.domain or address.rpartition("@")[2]
        identity = SenderIdentity(
            name=name,
            from_address=address,
            from_display=display,
            domain=domain,
            return_path_domain=table.return_path_domain or domain,
            message_id_domain=table.message_id_domain or domain,
            unsubscribe_url=table.unsubscribe_url,
            feedback_id=table.feedback_id,
        )
        try:
            check_identity(identity)
        except IdentityError as error:
            self.problems.add(where, str(error))
            return None
        return SenderSettings(identity, table.legal_name, frozenset(table.categories))

    def _keys(self, entries: object, where: str, domain: str) -> list[KeyFile]:
        keys = []
        if not isinstance(entries, list) or not entries:
            self.problems.add(where, f"no key to sign for {domain}; add [[{where}.dkim]] with selector and key")
            return []
        for entry in entries:
            read = read_table(KeyTable, entry, f"{where}.dkim", self.problems)
            if read:
                keys.append(KeyFile(domain, read.selector, self.folder / read.key))
        return keys


def _values(settings: EngineSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__slots__}
